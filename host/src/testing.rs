//! A fake enclave for tests: it speaks frames on a unix socket, is booted and supplied as a real one, and answers what a closure says.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use prost::Message;
use strongroom_proto::enclave::v1::{
    Booted, CredentialsSet, Error, Event, Events, Health, Request, Response, request::Body as Ask,
    response::Body as Answer,
};
use strongroom_proto::frame::{self, Decoder};
use strongroom_proto::v1::{Manifest, Reason, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::config::{Address, CredentialSource, EnclaveConfig};

pub(crate) mod imds;
pub(crate) mod log;
pub(crate) mod vsock;

pub(crate) use vsock::Claims;

/// What the fake does with a request.
pub(crate) enum Reaction {
    /// Answers.
    Say(Answer),
    /// Never answers.
    Ignore,
    /// Closes the connection.
    HangUp,
    /// Sends these bytes as they are.
    Raw(Vec<u8>),
}

type Behaviour = dyn Fn(&Ask) -> Reaction + Send + Sync;

/// What the fake knows of itself; lost with it.
#[derive(Default)]
pub(crate) struct Process {
    booted: Option<Vec<u8>>,
    /// What it says that it lacks, beside what it was not given.
    pub(crate) lacks: Option<&'static str>,
    pub(crate) credentials: Vec<String>,
    pub(crate) boots: usize,
    pub(crate) asked: usize,
    /// How often its health was asked for.
    pub(crate) looks: usize,
    /// How many credentials it refuses from now on.
    pub(crate) refuses: usize,
    /// What it has said.
    pub(crate) said: Vec<Event>,
}

impl Process {
    /// As another host would boot it.
    pub(crate) fn boot(&mut self, manifest: Vec<u8>) {
        self.booted = Some(manifest);
    }
}

/// A running fake; its connections are cut when it is dropped.
pub(crate) struct FakeEnclave {
    pub(crate) process: Arc<Mutex<Process>>,
    _tasks: JoinSet<()>,
}

impl FakeEnclave {
    pub(crate) fn start(path: &Path, behaviour: impl Fn(&Ask) -> Reaction + Send + Sync + 'static) -> Self {
        drop(std::fs::remove_file(path));
        let listener = UnixListener::bind(path).unwrap();
        let process = Arc::new(Mutex::new(Process::default()));
        let (mut tasks, shared) = (JoinSet::new(), Arc::clone(&process));
        let behaviour: Arc<Behaviour> = Arc::new(behaviour);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (process, behaviour) = (Arc::clone(&shared), Arc::clone(&behaviour));
                connections.spawn(async move { drop(serve(stream, &process, &*behaviour).await) });
            }
        });
        Self { process, _tasks: tasks }
    }
}

async fn serve(mut stream: UnixStream, process: &Mutex<Process>, behaviour: &Behaviour) -> io::Result<()> {
    let mut decoder = Decoder::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let len = stream.read(&mut buffer).await?;
        if len == 0 {
            return Ok(());
        }
        decoder.push(&buffer[..len]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            let ask = Request::decode(frame.payload.as_slice()).unwrap().body.unwrap();
            let reaction = control(&ask, &mut process.lock().unwrap());
            match reaction.unwrap_or_else(|| behaviour(&ask)) {
                Reaction::Say(answer) => stream.write_all(&framed(frame.id, answer)).await?,
                Reaction::Raw(bytes) => stream.write_all(&bytes).await?,
                Reaction::Ignore => {}
                Reaction::HangUp => return Ok(()),
            }
        }
    }
}

fn framed(id: u64, answer: Answer) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(id, &Response { body: Some(answer) }.encode_to_vec(), &mut out).unwrap();
    out
}

fn control(ask: &Ask, process: &mut Process) -> Option<Reaction> {
    Some(Reaction::Say(match ask {
        Ask::GetHealth(_) => {
            process.looks += 1;
            let missing = [("manifest", process.booted.is_some()), ("credentials", !process.credentials.is_empty())];
            let missing = missing.iter().filter(|(_, has)| !has).map(|(name, _)| *name).chain(process.lacks);
            let missing = missing.map(str::to_owned).collect();
            let Manifest { role, release, .. } = manifest(process.booted.as_deref().unwrap_or_default());
            Answer::Health(Health { missing, role, release, ..Default::default() })
        }
        Ask::Boot(boot) if process.booted.as_ref().is_some_and(|booted| *booted != boot.manifest) => {
            refusal(Reason::StateInvalid, 0)
        }
        Ask::GetEvents(asked) => {
            let events: Vec<Event> = process.said.iter().filter(|event| event.seq > asked.after).cloned().collect();
            let (oldest, next) = (1, process.said.last().map_or(1, |event| event.seq + 1));
            let uptime_ms = process.said.last().map_or(0, |event| event.uptime_ms);
            Answer::Events(Events { events, oldest, next, uptime_ms })
        }
        Ask::Boot(boot) => {
            process.boots += usize::from(process.booted.is_none());
            process.booted = Some(boot.manifest.clone());
            Answer::Booted(Booted { pcr16: pcr16(manifest(&boot.manifest).release) })
        }
        Ask::SetCredentials(_) if process.refuses > 0 => {
            process.refuses -= 1;
            refusal(Reason::BadRequest, 0)
        }
        Ask::SetCredentials(message) => {
            process.credentials.push(message.access_key_id.clone());
            Answer::CredentialsSet(CredentialsSet {})
        }
        _ => {
            process.asked += 1;
            return None;
        }
    }))
}

fn manifest(bytes: &[u8]) -> Manifest {
    Manifest::decode(bytes).unwrap()
}

/// What a release's manifest makes of PCR16 in a fake.
pub(crate) fn pcr16(release: u64) -> Vec<u8> {
    release.to_be_bytes().repeat(6)
}

pub(crate) fn refusal(reason: Reason, retry_after_ms: u32) -> Answer {
    Answer::Error(Error { reason: reason.into(), detail: "refused by the fake".to_owned(), retry_after_ms })
}

/// Files for a host's enclave section in `dir`, of the client role: `enclave.sock`, a manifest and credentials.
pub(crate) fn enclave_config(dir: &Path, connections: u16) -> EnclaveConfig {
    enclave_config_of(dir, Role::Client, connections)
}

/// Where a role's fake enclave listens.
pub(crate) fn socket(dir: &Path, role: Role) -> PathBuf {
    dir.join(if role == Role::Custodian { "custodian.sock" } else { "enclave.sock" })
}

/// As [`enclave_config`], of a role.
pub(crate) fn enclave_config_of(dir: &Path, role: Role, connections: u16) -> EnclaveConfig {
    let file =
        |name: &str| dir.join(if role == Role::Custodian { format!("custodian.{name}") } else { name.to_owned() });
    let config = EnclaveConfig {
        role,
        address: Address::Unix(socket(dir, role)),
        manifest: file("manifest"),
        connections,
        credentials: CredentialSource::File(file("credentials.toml")),
    };
    write_manifest(&config.manifest, role, 1);
    write_credentials(&file("credentials.toml"), "AK1");
    config
}

/// As [`enclave_config`], in a slot of its own, whose manifest is of this release.
pub(crate) fn slot_config(dir: &Path, slot: usize, release: u64) -> EnclaveConfig {
    let config = EnclaveConfig {
        address: Address::Unix(slot_socket(dir, slot)),
        manifest: dir.join(format!("{slot}.manifest")),
        ..enclave_config(dir, 1)
    };
    write_manifest(&config.manifest, Role::Client, release);
    config
}

/// Where the fake enclave of a slot listens.
pub(crate) fn slot_socket(dir: &Path, slot: usize) -> PathBuf {
    dir.join(format!("{slot}.sock"))
}

pub(crate) fn write_manifest(path: &Path, role: Role, release: u64) {
    let manifest = Manifest { role: role.into(), release, ..Default::default() };
    std::fs::write(path, manifest.encode_to_vec()).unwrap();
}

pub(crate) fn write_credentials(path: &Path, access_key_id: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, format!("access_key_id = \"{access_key_id}\"\nsecret_access_key = \"s\"\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
