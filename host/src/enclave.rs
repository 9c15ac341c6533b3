//! The frame client: asks one enclave, over few connections, with many requests in flight.
//!
//! It keeps the enclave booted and supplied with credentials, and reconnects by itself. It never judges an answer: what an enclave
//! says is stored or passed on. Work in flight is bounded by count and bytes before anything is sent.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prost::Message;
use strongroom_proto::enclave::v1::{self as frames, response};
use strongroom_proto::limits::FRAME_BYTES_MAX;
use strongroom_proto::v1::{FleetEnclave, Reason, Role};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::config::EnclaveConfig;
use crate::error::Error;

mod address;
mod credentials;
mod events;
mod keeper;
mod known;
mod link;
mod manifest;
mod slots;

pub(crate) use known::Known;
pub use link::{Link, Outbox};
pub(crate) use slots::{Answerer, Slots};

/// Most requests in flight to one enclave.
pub const IN_FLIGHT_MAX: usize = 1024;
/// Most bytes of requests in flight to one enclave.
pub const IN_FLIGHT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest wait for an answer.
pub const CALL_MAX: Duration = Duration::from_secs(15);
/// For how long an enclave that said it cannot work, or did not answer in time, is asked after the others of its role.
const SET_BACK: Duration = Duration::from_secs(5);

/// Why there is no answer.
const NOT_CONNECTED: &str = "not connected";
const LOST: &str = "the connection was lost";
const TIMED_OUT: &str = "no answer in time";

/// One enclave, for all callers. Its connections end when it is dropped.
pub struct Enclave {
    shared: Arc<Shared>,
    _keepers: JoinSet<()>,
}

/// What callers and the keepers of the connections share.
struct Shared {
    role: Role,
    /// Its address, for the log.
    name: String,
    links: Mutex<Vec<Arc<Link>>>,
    next: AtomicUsize,
    count: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    call_max: Duration,
    health: watch::Sender<Option<frames::Health>>,
    connects: AtomicU64,
    watch: events::Watch,
    /// What its manifest made of PCR16, as it said when it was booted. It outlives connections, as the process may: whoever connects again
    /// finds out whether it is another one.
    pcr16: Mutex<Option<Vec<u8>>>,
    /// When it said last that it cannot work, or did not answer in time.
    set_back: Mutex<Option<Instant>>,
}

/// Room in the limits, held until the enclave has answered, the connection has gone or the wait is over.
struct Permit {
    _count: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Enclave {
    /// Reads manifest and credentials as they will be read once the enclave is there.
    ///
    /// # Errors
    /// Where a file cannot be read or does not hold what it should.
    pub fn check(config: &EnclaveConfig) -> Result<(), Error> {
        keeper::Supply::check(config)
    }

    /// Starts to connect. An enclave that is not there, or whose files are not, is waited for.
    #[must_use]
    pub fn start(config: &EnclaveConfig) -> Self {
        Self::start_with(config, CALL_MAX)
    }

    fn start_with(config: &EnclaveConfig, call_max: Duration) -> Self {
        let shared = Arc::new(Shared {
            role: config.role,
            name: config.address.to_string(),
            links: Mutex::new(Vec::new()),
            next: AtomicUsize::new(0),
            count: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            bytes: Arc::new(Semaphore::new(IN_FLIGHT_BYTES_MAX)),
            call_max,
            health: watch::Sender::new(None),
            connects: AtomicU64::new(0),
            watch: events::Watch::new(&config.address),
            pcr16: Mutex::default(),
            set_back: Mutex::default(),
        });
        let keepers = keeper::spawn(&shared, config);
        Self { shared, _keepers: keepers }
    }

    /// The role that the enclave serves.
    #[must_use]
    pub fn role(&self) -> Role {
        self.shared.role
    }

    /// Its address, as the log names it.
    pub(crate) fn name(&self) -> &str {
        &self.shared.name
    }

    /// What the enclave last said of itself; `None` while no connection stands.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Option<frames::Health>> {
        self.shared.health.subscribe()
    }

    /// Grows with every connection made, and so whenever the enclave has restarted.
    #[must_use]
    pub fn connects(&self) -> u64 {
        self.shared.connects.load(Ordering::Relaxed)
    }

    /// What is known of the enclave, for the operator.
    #[must_use]
    pub fn fleet(&self) -> FleetEnclave {
        let connected = !self.shared.links.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        self.shared.watch.fleet(self.shared.role, connected)
    }

    /// PCR16 of the process that is connected, or was last, where it is known: it says under which manifest it runs.
    #[must_use]
    pub fn pcr16(&self) -> Option<Vec<u8>> {
        self.shared.pcr16().clone()
    }

    /// Asks, and supplies once what this enclave says it needs: another one's cache knows other things.
    ///
    /// # Errors
    /// The enclave's refusal, `OVERLOADED` with nothing sent, or `ENCLAVE_UNAVAILABLE`.
    async fn ask(&self, request: &mut frames::Request, known: &Known<'_>) -> Result<response::Body, Error> {
        let answer = self.shared.send(request).await?;
        let response::Body::Need(need) = answer else { return refusal(answer) };
        known.supply(request, need)?;
        match self.shared.send(request).await? {
            response::Body::Need(_) => Err(Error::Internal("the enclave needs again what it was given")),
            answer => refusal(answer),
        }
    }

    /// Has the others of its role asked first for a while.
    fn set_back(&self) {
        let before = self.shared.set_back().replace(Instant::now());
        if before.is_none_or(|at| at.elapsed() >= SET_BACK) {
            tracing::warn!(name: "enclave cannot work", role = self.role().as_str_name(), enclave = self.name());
        }
    }

    fn is_set_back(&self) -> bool {
        self.shared.set_back().is_some_and(|at| at.elapsed() < SET_BACK)
    }
}

impl Shared {
    async fn send(&self, request: &frames::Request) -> Result<response::Body, Error> {
        let len = request.encoded_len();
        if len > FRAME_BYTES_MAX {
            return Err(Error::Internal("a request does not fit a frame"));
        }
        let link = self.link()?;
        let permit = self.permit(len)?;
        let answer = link.send_within(request.encode_to_vec(), permit)?;
        match tokio::time::timeout(self.call_max, answer).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(_)) => Err(Error::EnclaveUnavailable(LOST)),
            Err(_) => Err(Error::EnclaveUnavailable(TIMED_OUT)),
        }
    }

    fn permit(&self, len: usize) -> Result<Permit, Error> {
        let len = u32::try_from(len).map_err(|_| Error::Overloaded("requests to the enclave"))?;
        let full = |_| Error::Overloaded("requests to the enclave");
        Ok(Permit {
            _count: Arc::clone(&self.count).try_acquire_owned().map_err(full)?,
            _bytes: Arc::clone(&self.bytes).try_acquire_many_owned(len).map_err(full)?,
        })
    }

    /// The next connection in turn.
    fn link(&self) -> Result<Arc<Link>, Error> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let link = turn.checked_rem(links.len()).and_then(|turn| links.get(turn));
        link.cloned().ok_or(Error::EnclaveUnavailable(NOT_CONNECTED))
    }

    fn add(&self, link: Arc<Link>) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).push(link);
    }

    fn remove(&self, link: &Arc<Link>) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let before = links.len();
        links.retain(|other| !Arc::ptr_eq(other, link));
        // A connection that never came to be one of them takes nothing with it that others have learned.
        if links.is_empty() && before > 0 {
            self.health.send_replace(None);
            *self.set_back() = None;
        }
    }

    fn set_back(&self) -> MutexGuard<'_, Option<Instant>> {
        self.set_back.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pcr16(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.pcr16.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(answer: response::Body) -> Result<response::Body, Error> {
    let response::Body::Error(error) = answer else { return Ok(answer) };
    let reason = Reason::try_from(error.reason).unwrap_or(Reason::InternalError);
    Err(Error::Enclave { reason, detail: error.detail, retry_after_ms: error.retry_after_ms })
}

#[cfg(test)]
mod tests;
