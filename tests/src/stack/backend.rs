//! The examples of a tenant's backend: their settings, and each as a process on a loopback port.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};
use ring::rand::{SecureRandom, SystemRandom};
use strongroom_proto::id::sha256;
use strongroom_sdk::keys::KeyUse;
use strongroom_sdk::tenant::Folder;

use super::Stack;
use super::process::{Process, binary};

/// What a backend is told.
#[derive(Debug)]
pub struct Settings {
    /// Where it listens.
    pub listen: String,
    /// Address of the host.
    pub host: String,
    /// File of the tenant's API key.
    pub api_key: PathBuf,
    /// The tenant's id, hex.
    pub tenant: String,
    /// File of the statement that goes into the backend's own store.
    pub statement: PathBuf,
    /// Users, each with a wallet.
    pub users: Vec<(String, String)>,
    /// Of a company with shares of its own: its operational key, and the folder of the shares.
    pub custodian: Option<(PathBuf, PathBuf)>,
}

impl Settings {
    /// A backend of the stack's tenant, on a port of the kernel's choice.
    pub fn of(stack: &Stack, users: &[(&str, &str)]) -> Result<Self> {
        Ok(Self {
            listen: "127.0.0.1:0".to_owned(),
            host: stack.api()?,
            api_key: stack.api_key_file(),
            tenant: stack.tenant()?,
            statement: stack.folder().join("tenant/keys/statement.pb"),
            users: users.iter().map(|(name, wallet)| ((*name).to_owned(), (*wallet).to_owned())).collect(),
            custodian: None,
        })
    }

    /// The backend of the company that has these shares of each user's wallet, as files `PAIR.CURVE` in `shares/WALLET`.
    pub fn with_shares(self, stack: &Stack, shares: &[(&str, &str, &[u8])]) -> Result<Self> {
        let folder = stack.folder().join("tenant/shares");
        for (_, wallet) in &self.users {
            fs::create_dir_all(folder.join(wallet))?;
            for (pair, curve, bytes) in shares {
                fs::write(folder.join(wallet).join(format!("{pair}.{curve}")), bytes)?;
            }
        }
        let key = Folder::new(&stack.folder().join("tenant/keys")).key_file(KeyUse::Operational);
        Ok(Self { custodian: Some((key, folder)), ..self })
    }

    /// Writes `backend.toml` and what it names to a new folder, and each user's session token to `NAME.session`.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        fs::create_dir_all(folder.join("receipts"))?;
        fs::copy(&self.statement, folder.join("statement.pb"))?;
        let mut users = String::new();
        for (name, wallet) in &self.users {
            let token = session_token()?;
            fs::write(session_file(folder, name), &token)?;
            let hash = hex::encode(sha256(&[token.as_bytes()]));
            writeln!(users, "[[user]]\nname = {name:?}\nwallet = {wallet:?}\ntoken_sha256 = {hash:?}\n")?;
        }
        fs::write(folder.join("users.toml"), users)?;
        let text = format!(
            r#"listen = {listen:?}
host = {host:?}
api_key = "{api_key}"
tenant = {tenant:?}
statement = "{folder}/statement.pb"
users = "{folder}/users.toml"
receipts = "{folder}/receipts"
"#,
            listen = self.listen,
            host = self.host,
            api_key = self.api_key.display(),
            tenant = self.tenant,
            folder = folder.display(),
        );
        let custodian = self.custodian.as_ref().map(|(key, shares)| {
            format!("\n[custodian]\noperational_key = \"{}\"\nshares = \"{}\"\n", key.display(), shares.display())
        });
        let path = folder.join("backend.toml");
        fs::write(&path, text + custodian.as_deref().unwrap_or_default())?;
        Ok(path)
    }
}

/// The file of a user's session token.
#[must_use]
pub fn session_file(folder: &Path, user: &str) -> PathBuf {
    folder.join(format!("{user}.session"))
}

/// In the one form of bearer tokens that the command `strongroom` sends.
fn session_token() -> Result<String> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("the kernel gives no randomness"))?;
    Ok(format!("sr_{}", hex::encode(bytes)))
}

/// One of the examples.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Example {
    /// `examples/backend-rust`.
    Rust,
    /// `examples/backend-python`.
    Python,
}

impl Example {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Rust, Self::Python];

    /// How it is started.
    pub fn command(self, config: &Path) -> Result<Command> {
        let mut command = match self {
            Self::Rust => Command::new(binary("strongroom-example-backend")?),
            Self::Python => {
                let root =
                    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the crate lies in the repository")?;
                let (python, api) = (root.join("target/venv/bin/python"), root.join("target/python"));
                for path in [&python, &api] {
                    ensure!(path.exists(), "{} is not there: run `make target/python/made`", path.display());
                }
                let mut command = Command::new(python);
                command.arg("-B").arg(root.join("examples/backend-python/backend.py")).env("PYTHONPATH", api);
                command
            }
        };
        command.arg("--config").arg(config);
        Ok(command)
    }

    /// Starts it over a folder that [`Settings::write`] made.
    pub fn start(self, folder: &Path) -> Result<Backend> {
        self.start_with(folder, &[])
    }

    /// As [`Example::start`], with further arguments.
    pub fn start_with(self, folder: &Path, more: &[&str]) -> Result<Backend> {
        let ready = match self {
            Self::Rust => "strongroom-example-backend ready address=",
            Self::Python => "backend ready address=",
        };
        let mut command = self.command(&folder.join("backend.toml"))?;
        command.args(more);
        let (process, address) = Process::start(command, &folder.join("log"), ready)?;
        Ok(Backend { process, url: format!("http://{address}"), folder: folder.to_owned() })
    }
}

/// A running example.
#[derive(Debug)]
pub struct Backend {
    /// Its process.
    pub process: Process,
    /// Where devices reach it.
    pub url: String,
    /// Its settings, receipts and log.
    pub folder: PathBuf,
}

impl Backend {
    /// A user's session token.
    pub fn session(&self, user: &str) -> Result<String> {
        Ok(fs::read_to_string(session_file(&self.folder, user))?)
    }

    /// The names and contents of its own store, in order.
    pub fn kept(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(self.folder.join("receipts"))? {
            let path = entry?.path();
            let name = path.file_name().context("a file has a name")?.to_string_lossy().into_owned();
            kept.push((name, fs::read(&path)?));
        }
        kept.sort();
        Ok(kept)
    }
}
