//! The configuration: TOML, parsed and checked to types before anything is bound.
//!
//! Unknown fields are refused. An error names the field, the value and the limit. It holds paths of secrets, never a secret.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use strongroom_proto::v1::Role;

use crate::error::Error;

mod parent;
mod raw;

/// Longest configuration file in bytes.
pub const CONFIG_BYTES_MAX: u64 = 64 * 1024;
/// Most enclaves of one role: the one in use, the next release beside it, and room to spare.
pub const ENCLAVES_PER_ROLE_MAX: usize = 4;
/// Most connections to one enclave.
pub const CONNECTIONS_MAX: u16 = 16;
/// Connections to one enclave where the file says nothing.
pub const CONNECTIONS_DEFAULT: u16 = 2;
/// Most names that the relay connects to.
pub const RELAY_NAMES_MAX: usize = 16;
/// Longest name that the relay connects to, in bytes (RFC 1035).
pub const RELAY_NAME_BYTES_MAX: usize = 253;
/// Longest path of a unix socket in bytes, as Linux has it.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Everything that the host is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The gRPC API.
    pub api: Api,
    /// Unix socket of `AdminService`.
    pub admin_socket: PathBuf,
    /// File of the SQLite store.
    pub sqlite: PathBuf,
    /// The enclaves, at least one for each role that runs here.
    pub enclaves: Vec<EnclaveConfig>,
    /// The KMS byte relay.
    pub relay: Relay,
    /// What else a parent listens for.
    pub parent: Parent,
    /// The log.
    pub log: Log,
}

/// Where and how the gRPC API is served.
#[derive(Clone, Debug)]
pub struct Api {
    /// Port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// Always present off loopback.
    pub tls: Option<Tls>,
    /// Serve gRPC reflection.
    pub reflection: bool,
}

/// Files of the server's certificate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM chain, the server's certificate first.
    pub cert: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
}

/// One enclave.
#[derive(Clone, Debug)]
pub struct EnclaveConfig {
    /// The role that it serves.
    pub role: Role,
    /// Where it listens.
    pub address: Address,
    /// File of its encoded manifest, read when the enclave is booted.
    pub manifest: PathBuf,
    /// 1 to 16.
    pub connections: u16,
    /// Where the IAM credentials of its KMS key come from.
    pub credentials: CredentialSource,
}

/// Where IAM credentials come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CredentialSource {
    /// A file that somebody else renews.
    File(PathBuf),
    /// The role of the EC2 instance that the host runs on.
    InstanceRole {
        /// Its name.
        role: String,
        /// Where the instance metadata service listens.
        imds: SocketAddr,
    },
}

/// Where an enclave listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// A unix socket: the simulated enclave.
    Unix(PathBuf),
    /// vsock(7).
    Vsock {
        /// Context id of the enclave, at least 3.
        cid: u32,
        /// Port in the enclave.
        port: u32,
    },
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
        }
    }
}

impl Address {
    /// The field that gives it.
    fn field(&self) -> &'static str {
        match self {
            Self::Unix(_) => "unix",
            Self::Vsock { .. } => "vsock",
        }
    }
}

/// The KMS byte relay.
#[derive(Clone, Debug)]
pub struct Relay {
    /// Where it listens for enclaves.
    pub listen: Listen,
    /// The names that may be asked for.
    pub names: BTreeMap<String, Target>,
}

/// What a parent listens for beside the relay; nothing where the file says nothing.
#[derive(Clone, Debug, Default)]
pub struct Parent {
    /// One byte that says that an image has come up, and is sent back.
    pub heartbeat: Option<Listen>,
    /// The line that a panicking enclave sends.
    pub last_words: Option<Listen>,
}

/// Where the host listens for enclaves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Listen {
    /// A unix socket.
    Unix(PathBuf),
    /// A vsock port of this machine; only the configured enclaves' context ids are served.
    Vsock(u32),
}

/// Where a name leads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// The name by DNS, port 443.
    Name,
    /// Always this address.
    Fixed(SocketAddr),
}

/// The log, on standard error.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    /// Least severe level that is written.
    pub level: tracing::level_filters::LevelFilter,
    /// How a line looks.
    pub format: Format,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `name=value` pairs.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Where the file cannot be read or is longer than 64 KiB, and as [`Config::parse`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let len = std::fs::metadata(path).map_err(Error::io("read configuration", path))?.len();
        if len > CONFIG_BYTES_MAX {
            let limit = format!("must be at most {CONFIG_BYTES_MAX} bytes");
            return Err(Error::config(path.display().to_string(), format!("{len} bytes"), limit));
        }
        Self::parse(&std::fs::read_to_string(path).map_err(Error::io("read configuration", path))?)
    }

    /// Checks a configuration.
    ///
    /// # Errors
    /// Names the field, the value and what it must be.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let raw: raw::Config = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            Error::config("configuration", format!("line {line}"), error.message())
        })?;
        raw.check()
    }
}

#[cfg(test)]
mod tests;
