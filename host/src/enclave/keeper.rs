//! Keeps the connections to one enclave: connects, boots it where it has no manifest, supplies credentials, watches its health.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use prost::Message;
use strongroom_proto::canonical;
use strongroom_proto::enclave::v1::{Boot, GetHealth, Health, Request, request, response};
use strongroom_proto::limits::MANIFEST_BYTES_MAX;
use strongroom_proto::v1::Manifest;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinSet;

use super::link::Link;
use super::{Shared, address, credentials, events, refusal};
use crate::clock::now_ms;
use crate::config::{Address, CredentialSource, EnclaveConfig};
use crate::error::Error;

/// First and longest wait before the next attempt to connect.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));
/// First and longest wait between two looks at an enclave that is not ready.
const UNREADY_EVERY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// Wait between two looks at an enclave that is ready.
const READY_EVERY: Duration = Duration::from_secs(2);
/// Longest wait for the answer to a control request; a connection that takes longer is given up.
const CONTROL_MAX: Duration = Duration::from_secs(10);
/// What an enclave is supplied with, shared by its connections.
pub(super) struct Supply {
    manifest: Vec<u8>,
    credentials: CredentialSource,
    /// The lock lets one connection at a time supply.
    supplied: Mutex<Supplied>,
}

/// Which credentials an enclave has.
#[derive(Default)]
struct Supplied {
    /// Their hash.
    has: Option<[u8; 32]>,
    /// When their source is read next; at once where there is nothing.
    due: Option<Instant>,
}

impl Supplied {
    /// Whether the source is to be read now. An enclave that lacks what it was given is not made to wait.
    fn is_due(&mut self, lacking: bool) -> bool {
        if lacking && self.has.take().is_some() {
            self.due = None;
        }
        self.due.is_none_or(|due| due <= Instant::now())
    }
}

impl Supply {
    /// Reads and checks the files, so that a wrong one is refused at the start.
    pub(super) fn read(config: &EnclaveConfig) -> Result<Self, Error> {
        let path = &config.manifest;
        let refused =
            |value: String, limit: String| Err(Error::config(format!("manifest {}", path.display()), value, limit));
        let len = std::fs::metadata(path).map_err(Error::io("read manifest", path))?.len();
        if len > MANIFEST_BYTES_MAX as u64 {
            return refused(format!("{len} bytes"), format!("must be at most {MANIFEST_BYTES_MAX} bytes"));
        }
        let bytes = std::fs::read(path).map_err(Error::io("read manifest", path))?;
        match canonical::decode::<Manifest>(&bytes, MANIFEST_BYTES_MAX) {
            Err(error) => return refused(error.to_string(), "must be a canonically encoded manifest".to_owned()),
            Ok(manifest) if manifest.role() != config.role => {
                let value = manifest.role().as_str_name().to_owned();
                return refused(value, format!("must be for {}", config.role.as_str_name()));
            }
            Ok(_) => {}
        }
        credentials::check(&config.credentials)?;
        Ok(Self { manifest: bytes, credentials: config.credentials.clone(), supplied: Mutex::default() })
    }
}

/// Starts one keeper for each connection.
pub(super) fn spawn(shared: &Arc<Shared>, config: &EnclaveConfig, supply: Supply) -> JoinSet<()> {
    let supply = Arc::new(supply);
    let mut keepers = JoinSet::new();
    for _ in 0..config.connections {
        keepers.spawn(keep(Arc::clone(shared), config.address.clone(), Arc::clone(&supply)));
    }
    keepers
}

async fn keep(shared: Arc<Shared>, address: Address, supply: Arc<Supply>) {
    let role = shared.role.as_str_name();
    let mut backoff = BACKOFF.0;
    loop {
        let connected = Instant::now();
        match address::connect(&address).await {
            Err(error) => {
                shared.watch.failed(&error);
                tracing::debug!(name: "enclave not there", role, error = %error);
            }
            Ok(stream) => {
                let (link, outbox) = Link::new();
                let why = tokio::select! {
                    why = link.drive(stream, outbox) => why,
                    Err(error) = tend(&shared, &link, &supply) => {
                        shared.watch.failed(&error);
                        refused(role, &error)
                    }
                };
                shared.remove(&link);
                link.close();
                tracing::warn!(name: "enclave connection lost", role, error = why);
            }
        }
        if connected.elapsed() > BACKOFF.1 {
            backoff = BACKOFF.0;
        }
        tokio::time::sleep(backoff).await;
        backoff = backoff.saturating_mul(2).min(BACKOFF.1);
    }
}

fn refused(role: &str, error: &Error) -> &'static str {
    tracing::warn!(name: "enclave refused control", role, error = %error);
    "a control request failed"
}

/// Prepares the enclave, opens the connection to callers, and looks after both until something fails.
async fn tend(shared: &Shared, link: &Arc<Link>, supply: &Supply) -> Result<(), Error> {
    let mut health = look(shared, link, supply).await?;
    shared.connects.fetch_add(1, Ordering::Relaxed);
    shared.add(Arc::clone(link));
    tracing::info!(name: "enclave connected", role = shared.role.as_str_name(), version = health.release);
    let mut unready = UNREADY_EVERY.0;
    loop {
        let ready = health.missing.is_empty();
        shared.health.send_if_modified(|known| {
            let changed = known.as_ref().map(|known| &known.missing) != Some(&health.missing);
            *known = Some(health);
            changed
        });
        tokio::time::sleep(if ready { READY_EVERY } else { unready }).await;
        unready = if ready { UNREADY_EVERY.0 } else { unready.saturating_mul(2).min(UNREADY_EVERY.1) };
        link.sweep(shared.call_max);
        health = look(shared, link, supply).await?;
    }
}

/// Asks for the enclave's health and gives it what it lacks.
async fn look(shared: &Shared, link: &Link, supply: &Supply) -> Result<Health, Error> {
    let mut supplied = supply.supplied.lock().await;
    let mut health = get_health(link).await?;
    events::hear(shared, link, &health).await?;
    if lacks(&health, "manifest") {
        *supplied = Supplied::default();
        let boot = request::Body::Boot(Boot { manifest: supply.manifest.clone() });
        match control(link.send(encode(boot))?).await? {
            response::Body::Booted(_) => tracing::info!(name: "enclave booted", role = shared.role.as_str_name()),
            _ => return Err(Error::Internal("an enclave's answer to Boot")),
        }
        health = get_health(link).await?;
    }
    if health.role() != shared.role && !lacks(&health, "manifest") {
        return Err(Error::State("the enclave serves another role"));
    }
    if supplied.is_due(lacks(&health, "credentials")) {
        match set_credentials(link, &supply.credentials, supplied.has).await {
            Ok(now) => *supplied = now,
            // What the enclave has may hold for a while: the source is read again, and health says what lacks.
            Err(error) => {
                supplied.due = Some(Instant::now() + credentials::retry(&supply.credentials));
                let role = shared.role.as_str_name();
                tracing::warn!(name: "credentials not supplied", role, error = %error);
            }
        }
        health = get_health(link).await?;
    }
    Ok(health)
}

/// Sends the source's credentials unless the enclave has them.
async fn set_credentials(link: &Link, source: &CredentialSource, has: Option<[u8; 32]>) -> Result<Supplied, Error> {
    let credentials = credentials::read(source).await?;
    if has != Some(credentials.hash) {
        match control(link.send_secret(credentials.encode())?).await? {
            response::Body::CredentialsSet(_) => {}
            _ => return Err(Error::Internal("an enclave's answer to SetCredentials")),
        }
    }
    let wait = credentials::again(source, credentials.expires_at_ms(), now_ms());
    Ok(Supplied { has: Some(credentials.hash), due: Some(Instant::now() + wait) })
}

async fn get_health(link: &Link) -> Result<Health, Error> {
    match control(link.send(encode(request::Body::GetHealth(GetHealth {})))?).await? {
        response::Body::Health(health) => Ok(health),
        _ => Err(Error::Internal("an enclave's answer to GetHealth")),
    }
}

pub(super) async fn control(answer: oneshot::Receiver<response::Body>) -> Result<response::Body, Error> {
    match tokio::time::timeout(CONTROL_MAX, answer).await {
        Ok(Ok(body)) => refusal(body),
        Ok(Err(_)) => Err(Error::EnclaveUnavailable("the connection was lost")),
        Err(_) => Err(Error::EnclaveUnavailable("no answer in time")),
    }
}

pub(super) fn encode(body: request::Body) -> Vec<u8> {
    Request { body: Some(body) }.encode_to_vec()
}

fn lacks(health: &Health, what: &str) -> bool {
    health.missing.iter().any(|missing| missing == what)
}
