//! The configuration as TOML has it, and the checks that turn it into types. Reads no file but the text that it is given.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use strongroom_proto::v1::Role;
use tracing::level_filters::LevelFilter;

use super::parent::{RawCredentials, RawParent};
use super::{
    Address, Api, CONNECTIONS_DEFAULT, CONNECTIONS_MAX, ENCLAVES_PER_ROLE_MAX, EnclaveConfig, Format, Listen, Log,
    RELAY_NAME_BYTES_MAX, RELAY_NAMES_MAX, Relay, SOCKET_PATH_BYTES_MAX, Target, Tls,
};
use crate::error::Error;

/// Context ids below this one are the hypervisor's, the local machine's and the host's.
const ENCLAVE_CID_MIN: u32 = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    api: RawApi,
    admin: RawAdmin,
    store: RawStore,
    enclave: Vec<RawEnclave>,
    relay: RawRelay,
    #[serde(default)]
    parent: RawParent,
    #[serde(default)]
    log: RawLog,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawApi {
    listen: String,
    tls: Option<Tls>,
    #[serde(default)]
    reflection: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAdmin {
    socket: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStore {
    sqlite: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEnclave {
    role: String,
    unix: Option<PathBuf>,
    vsock: Option<RawVsock>,
    manifest: PathBuf,
    connections: Option<i64>,
    credentials: RawCredentials,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVsock {
    cid: u32,
    port: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRelay {
    unix: Option<PathBuf>,
    vsock_port: Option<u32>,
    names: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLog {
    level: Option<String>,
    #[serde(default)]
    format: Format,
}

impl Config {
    pub(super) fn check(self) -> Result<super::Config, Error> {
        socket_path("admin.socket", &self.admin.socket)?;
        Ok(super::Config {
            api: self.api.check()?,
            admin_socket: self.admin.socket,
            sqlite: non_empty("store.sqlite", self.store.sqlite)?,
            enclaves: enclaves(self.enclave)?,
            relay: self.relay.check()?,
            parent: self.parent.check()?,
            log: self.log.check()?,
        })
    }
}

impl RawApi {
    fn check(self) -> Result<Api, Error> {
        let listen: SocketAddr = self.listen.parse().map_err(|_| {
            Error::config(
                "api.listen",
                quoted(&self.listen),
                "must be an IP address with a port, such as 127.0.0.1:7443",
            )
        })?;
        if self.tls.is_none() && !listen.ip().is_loopback() {
            let limit = "is not a loopback address: api.tls with cert and key is required, or listen on 127.0.0.1";
            return Err(Error::config("api.listen", quoted(&self.listen), limit));
        }
        if let Some(tls) = &self.tls {
            non_empty("api.tls.cert", tls.cert.clone())?;
            non_empty("api.tls.key", tls.key.clone())?;
        }
        Ok(Api { listen, tls: self.tls, reflection: self.reflection })
    }
}

fn enclaves(raw: Vec<RawEnclave>) -> Result<Vec<EnclaveConfig>, Error> {
    let mut out: Vec<EnclaveConfig> = Vec::with_capacity(raw.len());
    for (index, enclave) in raw.into_iter().enumerate() {
        let enclave = enclave.check(&format!("enclave[{index}]"))?;
        let of_role = out.iter().filter(|other| other.role == enclave.role).count().saturating_add(1);
        if of_role > ENCLAVES_PER_ROLE_MAX {
            let limit = format!("at most {ENCLAVES_PER_ROLE_MAX} enclaves of one role");
            return Err(Error::config(format!("enclave[{index}].role"), format!("{of_role} of this role"), limit));
        }
        if out.iter().any(|other| other.address == enclave.address) {
            let limit = "one enclave at each address: no process serves two roles, or twice";
            return Err(Error::config(
                format!("enclave[{index}].{}", enclave.address.field()),
                "the same address twice",
                limit,
            ));
        }
        out.push(enclave);
    }
    if out.is_empty() {
        return Err(Error::config("enclave", "none", "at least one [[enclave]] is required"));
    }
    Ok(out)
}

impl RawEnclave {
    fn check(self, at: &str) -> Result<EnclaveConfig, Error> {
        let role = match self.role.as_str() {
            "client" => Role::Client,
            "custodian" => Role::Custodian,
            other => {
                return Err(Error::config(format!("{at}.role"), quoted(other), "must be \"client\" or \"custodian\""));
            }
        };
        let connections = self.connections.unwrap_or(CONNECTIONS_DEFAULT.into());
        let in_range = u16::try_from(connections).ok().filter(|n| (1..=CONNECTIONS_MAX).contains(n));
        let connections = in_range.ok_or_else(|| {
            let limit = format!("must be 1 to {CONNECTIONS_MAX}");
            Error::config(format!("{at}.connections"), connections.to_string(), limit)
        })?;
        let address = match (self.unix, self.vsock) {
            (Some(path), None) => {
                socket_path(&format!("{at}.unix"), &path)?;
                Address::Unix(path)
            }
            (None, Some(RawVsock { cid, port })) if cid >= ENCLAVE_CID_MIN => Address::Vsock { cid, port },
            (None, Some(RawVsock { cid, .. })) => {
                let limit = format!("must be at least {ENCLAVE_CID_MIN}");
                return Err(Error::config(format!("{at}.vsock.cid"), cid.to_string(), limit));
            }
            (unix, _) => return Err(one_of(at, "unix", "vsock", unix.is_some())),
        };
        Ok(EnclaveConfig {
            role,
            address,
            manifest: non_empty(&format!("{at}.manifest"), self.manifest)?,
            connections,
            credentials: self.credentials.check(&format!("{at}.credentials"))?,
        })
    }
}

impl RawRelay {
    fn check(self) -> Result<Relay, Error> {
        let listen = listen("relay", self.unix, self.vsock_port)?;
        if !(1..=RELAY_NAMES_MAX).contains(&self.names.len()) {
            let limit = format!("must hold 1 to {RELAY_NAMES_MAX} names");
            return Err(Error::config("relay.names", self.names.len().to_string(), limit));
        }
        let names = self.names.into_iter().map(|(name, target)| {
            let target = target_of(&name, &target)?;
            Ok((name, target))
        });
        Ok(Relay { listen, names: names.collect::<Result<_, Error>>()? })
    }
}

fn target_of(name: &str, target: &str) -> Result<Target, Error> {
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if !(1..=RELAY_NAME_BYTES_MAX).contains(&name.len()) || !name.split('.').all(label) {
        let limit = format!("must be a DNS name in lower case, at most {RELAY_NAME_BYTES_MAX} bytes");
        return Err(Error::config("relay.names", quoted(name), limit));
    }
    if target.is_empty() {
        return Ok(Target::Name);
    }
    target.parse().map(Target::Fixed).map_err(|_| {
        let limit = "must be an IP address with a port, or \"\" for the name itself at port 443";
        Error::config(format!("relay.names.\"{name}\""), quoted(target), limit)
    })
}

impl RawLog {
    fn check(self) -> Result<Log, Error> {
        let level = match self.level.as_deref() {
            Some("error") => LevelFilter::ERROR,
            Some("warn") => LevelFilter::WARN,
            None | Some("info") => LevelFilter::INFO,
            Some("debug") => LevelFilter::DEBUG,
            Some("trace") => LevelFilter::TRACE,
            Some(other) => {
                return Err(Error::config("log.level", quoted(other), "must be error, warn, info, debug or trace"));
            }
        };
        Ok(Log { level, format: self.format })
    }
}

pub(super) fn listen(at: &str, unix: Option<PathBuf>, vsock_port: Option<u32>) -> Result<Listen, Error> {
    match (unix, vsock_port) {
        (Some(path), None) => {
            socket_path(&format!("{at}.unix"), &path)?;
            Ok(Listen::Unix(path))
        }
        (None, Some(port)) => Ok(Listen::Vsock(port)),
        (unix, _) => Err(one_of(at, "unix", "vsock_port", unix.is_some())),
    }
}

pub(super) fn one_of(at: &str, one: &str, other: &str, both: bool) -> Error {
    let value = if both { "both" } else { "neither" };
    Error::config(format!("{at}.{one}, {at}.{other}"), value, "exactly one must be given")
}

fn socket_path(field: &str, path: &std::path::Path) -> Result<(), Error> {
    if (1..=SOCKET_PATH_BYTES_MAX).contains(&path.as_os_str().len()) {
        return Ok(());
    }
    let limit = format!("must be a path of 1 to {SOCKET_PATH_BYTES_MAX} bytes");
    Err(Error::config(field, quoted(&path.display().to_string()), limit))
}

pub(super) fn non_empty(field: &str, path: PathBuf) -> Result<PathBuf, Error> {
    if path.as_os_str().is_empty() { Err(Error::config(field, "\"\"", "must be a path")) } else { Ok(path) }
}

pub(super) fn quoted(text: &str) -> String {
    format!("{text:?}")
}
