//! Keeps the connections to one enclave: connects, boots it where it has no manifest, supplies credentials, watches its health.
//!
//! That nobody is there is nothing to worry about: a slot may be empty until the next release, and its files come with that.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use prost::Message;
use strongroom_proto::enclave::v1::{Boot, GetHealth, Health, Request, request, response};
use strongroom_proto::v1::Reason;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinSet;

use super::link::Link;
use super::{LOST, Shared, TIMED_OUT, address, credentials, events, manifest, refusal};
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
    manifest: PathBuf,
    credentials: CredentialSource,
    /// The lock lets one connection at a time supply.
    supplied: Mutex<Supplied>,
    /// What was last said of this slot, so that it is said once.
    said: std::sync::Mutex<Option<String>>,
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
    fn new(config: &EnclaveConfig) -> Self {
        let (manifest, credentials) = (config.manifest.clone(), config.credentials.clone());
        Self { manifest, credentials, supplied: Mutex::default(), said: std::sync::Mutex::default() }
    }

    /// Reads and checks the files.
    pub(super) fn check(config: &EnclaveConfig) -> Result<(), Error> {
        manifest::read(&config.manifest, config.role)?;
        credentials::check(&config.credentials)
    }

    /// Whether this was not the last thing that was said of the slot; it is from here on.
    fn is_news(&self, what: String) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.replace(what.clone()) != Some(what)
    }
}

/// Starts one keeper for each connection.
pub(super) fn spawn(shared: &Arc<Shared>, config: &EnclaveConfig) -> JoinSet<()> {
    let supply = Arc::new(Supply::new(config));
    let mut keepers = JoinSet::new();
    for _ in 0..config.connections {
        keepers.spawn(keep(Arc::clone(shared), config.address.clone(), Arc::clone(&supply)));
    }
    keepers
}

async fn keep(shared: Arc<Shared>, address: Address, supply: Arc<Supply>) {
    let (role, enclave) = (shared.role.as_str_name(), shared.name.as_str());
    let mut backoff = BACKOFF.0;
    loop {
        let connected = Instant::now();
        match address::connect(&address).await {
            Err(error) => {
                shared.watch.failed(&error);
                if supply.is_news("nobody".to_owned()) {
                    tracing::info!(name: "enclave not there", role, enclave, error = %error);
                }
            }
            Ok(stream) => {
                let (link, outbox) = Link::new();
                let why = tokio::select! {
                    why = link.drive(stream, outbox) => why,
                    Err(error) = tend(&shared, &link, &supply) => refused(&shared, &error),
                };
                shared.remove(&link);
                link.close();
                tracing::warn!(name: "enclave connection lost", role, enclave, error = why);
            }
        }
        if connected.elapsed() > BACKOFF.1 {
            backoff = BACKOFF.0;
        }
        tokio::time::sleep(backoff).await;
        backoff = backoff.saturating_mul(2).min(BACKOFF.1);
    }
}

fn refused(shared: &Shared, error: &Error) -> &'static str {
    shared.watch.failed(error);
    let (role, enclave) = (shared.role.as_str_name(), shared.name.as_str());
    tracing::warn!(name: "enclave refused control", role, enclave, error = %error);
    "a control request failed"
}

/// Prepares the enclave, opens the connection to callers, and looks after both until something fails.
async fn tend(shared: &Shared, link: &Arc<Link>, supply: &Supply) -> Result<(), Error> {
    let mut health = look(shared, link, supply, true).await?;
    shared.connects.fetch_add(1, Ordering::Relaxed);
    shared.add(Arc::clone(link));
    let (role, enclave) = (shared.role.as_str_name(), shared.name.as_str());
    tracing::info!(name: "enclave connected", role, enclave, version = health.release);
    let mut unready = UNREADY_EVERY.0;
    loop {
        let ready = health.missing.is_empty();
        shared.health.send_if_modified(|known| {
            let changed = known.as_ref().map(|known| &known.missing) != Some(&health.missing);
            if changed && ready {
                tracing::info!(name: "enclave ready", role, enclave, version = health.release);
            }
            *known = Some(health);
            changed
        });
        tokio::time::sleep(if ready { READY_EVERY } else { unready }).await;
        unready = if ready { UNREADY_EVERY.0 } else { unready.saturating_mul(2).min(UNREADY_EVERY.1) };
        link.sweep(shared.call_max);
        health = look(shared, link, supply, false).await?;
    }
}

/// Asks for the enclave's health and gives it what it lacks. The first look of a connection learns what the enclave was booted with.
async fn look(shared: &Shared, link: &Link, supply: &Supply, is_first: bool) -> Result<Health, Error> {
    let mut supplied = supply.supplied.lock().await;
    let mut health = get_health(link).await?;
    events::hear(shared, link, &health).await?;
    let is_bare = lacks(&health, "manifest");
    if is_bare {
        // Of the process before. That a connection was lost says nothing of it: the file may have been replaced since, and an enclave that
        // refuses its new manifest does not say again what it runs under.
        *shared.pcr16() = None;
        *supplied = Supplied::default();
    }
    if is_bare || is_first || shared.pcr16().is_none() {
        boot(shared, link, supply, is_bare).await?;
        health = get_health(link).await?;
    }
    if lacks(&health, "manifest") {
        return Ok(health);
    }
    if health.role() != shared.role {
        return Err(Error::State("the enclave serves another role"));
    }
    if supplied.is_due(lacks(&health, "credentials")) {
        match set_credentials(link, &supply.credentials, supplied.has).await {
            Ok(now) => *supplied = now,
            // What the enclave has may hold for a while: the source is read again, and health says what lacks.
            Err(error) => {
                supplied.due = Some(Instant::now() + credentials::retry(&supply.credentials));
                let (role, enclave) = (shared.role.as_str_name(), shared.name.as_str());
                tracing::warn!(name: "credentials not supplied", role, enclave, error = %error);
            }
        }
        health = get_health(link).await?;
    }
    Ok(health)
}

/// Gives the enclave the manifest of its slot. One that has a manifest says the same again, or that it has another one: then what was
/// learned of its PCR16 before stands, and where that is nothing, enclaves that a statement lists come before it. Without a manifest to give, it is waited for.
async fn boot(shared: &Shared, link: &Link, supply: &Supply, is_bare: bool) -> Result<(), Error> {
    let (role, enclave) = (shared.role.as_str_name(), shared.name.as_str());
    let manifest = match manifest::read(&supply.manifest, shared.role) {
        Ok(manifest) => manifest,
        Err(error) => {
            shared.watch.failed(&error);
            if supply.is_news(error.to_string()) {
                tracing::warn!(name: "manifest not usable", role, enclave, error = %error);
            }
            return Ok(());
        }
    };
    match control(link.send(encode(request::Body::Boot(Boot { manifest })))?).await {
        Ok(response::Body::Booted(booted)) => {
            *shared.pcr16() = Some(booted.pcr16);
            if is_bare {
                tracing::info!(name: "enclave booted", role, enclave);
            }
            Ok(())
        }
        Ok(_) => Err(Error::Internal("an enclave's answer to Boot")),
        Err(Error::Enclave { reason: Reason::StateInvalid, .. }) if !is_bare => {
            if supply.is_news("another manifest".to_owned()) {
                tracing::warn!(name: "enclave was booted with another manifest than its file", role, enclave);
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
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
        Ok(Err(_)) => Err(Error::EnclaveUnavailable(LOST)),
        Err(_) => Err(Error::EnclaveUnavailable(TIMED_OUT)),
    }
}

pub(super) fn encode(body: request::Body) -> Vec<u8> {
    Request { body: Some(body) }.encode_to_vec()
}

fn lacks(health: &Health, what: &str) -> bool {
    health.missing.iter().any(|missing| missing == what)
}
