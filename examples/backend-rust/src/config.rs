//! The configuration and the files that it names: read and checked to types before a port is bound.
//!
//! Holds neither a session token nor its user's secrets: of a token, its SHA-256 alone.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use strongroom_proto::id::{TenantId, sha256};
use strongroom_proto::names::is_id;
use strongroom_sdk::client::ApiKey;
use strongroom_sdk::keys::{KeyUse, SigningKey};
use strongroom_sdk::{Error, files};
use subtle::ConstantTimeEq;

use crate::statement::Current;

/// Longest file with settings, and longest with users, in bytes.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// Everything that the backend is told at its start.
pub(crate) struct Config {
    /// A loopback address; port 0 lets the kernel choose.
    pub(crate) listen: SocketAddr,
    /// `https://HOST[:PORT]`, or `http://127.0.0.1:PORT`.
    pub(crate) host: String,
    /// The tenant's key at the host.
    pub(crate) api_key: ApiKey,
    /// The statement, which alone is read again later.
    pub(crate) statement: Current,
    /// Who may call.
    pub(crate) users: Users,
    /// Folder of the receipts.
    pub(crate) receipts: PathBuf,
    /// The company's own half, where it keeps shares.
    pub(crate) custodian: Option<Custodian>,
}

/// What the backend of a company with custodian shares is told.
pub(crate) struct Custodian {
    /// The operational key.
    pub(crate) key: SigningKey,
    /// A folder for each wallet, in it `PAIR.CURVE` for each pair: what the company's MPC server made.
    pub(crate) shares: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCustodian {
    operational_key: PathBuf,
    shares: PathBuf,
}

impl Custodian {
    fn load(raw: &RawCustodian) -> Result<Self, Error> {
        let none =
            || Err(refused("custodian.operational_key", "it has a passphrase, and nobody is there to ask for it"));
        let key = SigningKey::read(&raw.operational_key, KeyUse::Operational, none)?;
        Ok(Self { key, shares: raw.shares.clone() })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    listen: String,
    host: String,
    api_key: PathBuf,
    tenant: String,
    statement: PathBuf,
    users: PathBuf,
    receipts: PathBuf,
    custodian: Option<RawCustodian>,
}

impl Config {
    /// Reads the configuration and every file that it names.
    pub(crate) fn load(path: &Path) -> Result<Self, Error> {
        let raw: RawConfig = toml_file(path)?;
        // A real backend stands behind its company's TLS; tokens do not travel in the clear.
        let listen = raw.listen.parse().ok().filter(|listen: &SocketAddr| listen.ip().is_loopback());
        let listen = listen.ok_or_else(|| {
            let rule = "is no loopback address with a port, such as 127.0.0.1:7444";
            refused("listen", format!("{:?} {rule}", raw.listen))
        })?;
        if !raw.receipts.is_dir() {
            return Err(refused("receipts", format!("there is no folder {}", raw.receipts.display())));
        }
        let mut tenant = [0; 32];
        hex::decode_to_slice(&raw.tenant, &mut tenant).map_err(|_| refused("tenant", "not 64 hex digits"))?;
        let statement = Current::load(raw.statement, TenantId(tenant))?;
        let users = Users::load(&raw.users)?;
        let key = files::read(&raw.api_key, FILE_BYTES_MAX)?;
        if users.by_token(key.trim_ascii()).is_some() {
            return Err(refused("users", "one of the tokens is the host's API key"));
        }
        Ok(Self {
            listen,
            host: raw.host,
            api_key: ApiKey::read(&raw.api_key)?,
            statement,
            users,
            receipts: raw.receipts,
            custodian: raw.custodian.as_ref().map(Custodian::load).transpose()?,
        })
    }
}

/// A user as the company knows it, with one session.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) wallet: String,
    /// SHA-256 of the session token, hex. Tokens are random, so they need no slow hash.
    token_sha256: String,
}

/// The users, each under the hash of its token.
pub(crate) struct Users(Vec<([u8; 32], Arc<User>)>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUsers {
    user: Vec<User>,
}

impl Users {
    fn load(path: &Path) -> Result<Self, Error> {
        let mut users: Vec<([u8; 32], Arc<User>)> = Vec::new();
        for user in toml_file::<RawUsers>(path)?.user {
            if !is_id(&user.name) || !is_id(&user.wallet) {
                return Err(refused("users", "name and wallet must be 1 to 64 bytes of [A-Za-z0-9._-]"));
            }
            let mut hash = [0; 32];
            let wrong = |problem: &str| refused("users", format!("token_sha256 of {} {problem}", user.name));
            hex::decode_to_slice(&user.token_sha256, &mut hash).map_err(|_| wrong("is not 64 hex digits"))?;
            if users.iter().any(|(other, _)| *other == hash) {
                return Err(wrong("is there twice"));
            }
            users.push((hash, Arc::new(user)));
        }
        Ok(Self(users))
    }

    /// Whose session a token is. Takes the same time for every token: each entry is compared whole.
    pub(crate) fn by_token(&self, token: &[u8]) -> Option<Arc<User>> {
        let hash = sha256(&[token]);
        let found = self.0.iter().fold(
            None,
            |found, (known, user)| {
                if bool::from(known.ct_eq(&hash)) { Some(user) } else { found }
            },
        );
        found.map(Arc::clone)
    }
}

fn toml_file<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = files::read(path, FILE_BYTES_MAX)?;
    let problem = |problem: String| Error::File { path: path.to_owned(), problem };
    let text = std::str::from_utf8(&bytes).map_err(|_| problem("is not UTF-8".to_owned()))?;
    toml::from_str(text).map_err(|error| problem(error.message().to_owned()))
}

fn refused(field: &str, problem: impl Into<String>) -> Error {
    Error::Input { field: field.to_owned(), problem: problem.into() }
}
