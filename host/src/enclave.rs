//! The frame client: asks one enclave, over few connections, with many requests in flight.
//!
//! It keeps the enclave booted and supplied with credentials, and reconnects by itself. It never judges an answer: what an enclave
//! says is stored or passed on. Work in flight is bounded by count and bytes before anything is sent.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost::Message;
use strongroom_proto::enclave::v1::{self as frames, request, response};
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

pub(crate) use known::Known;
pub use link::{Link, Outbox};

/// Most requests in flight to one enclave.
pub const IN_FLIGHT_MAX: usize = 1024;
/// Most bytes of requests in flight to one enclave.
pub const IN_FLIGHT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest wait for an answer.
pub const CALL_MAX: Duration = Duration::from_secs(15);

/// One enclave, for all callers. Its connections end when it is dropped.
pub struct Enclave {
    shared: Arc<Shared>,
    _keepers: JoinSet<()>,
}

/// What callers and the keepers of the connections share.
struct Shared {
    role: Role,
    links: Mutex<Vec<Arc<Link>>>,
    next: AtomicUsize,
    count: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    call_max: Duration,
    health: watch::Sender<Option<frames::Health>>,
    connects: AtomicU64,
    watch: events::Watch,
}

/// Room in the limits, held until the enclave has answered, the connection has gone or the wait is over.
struct Permit {
    _count: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Enclave {
    /// Reads manifest and credentials as [`Enclave::start`] will.
    ///
    /// # Errors
    /// As [`Enclave::start`].
    pub fn check(config: &EnclaveConfig) -> Result<(), Error> {
        keeper::Supply::read(config).map(drop)
    }

    /// Reads manifest and credentials, and starts to connect.
    ///
    /// # Errors
    /// Where a file cannot be read or does not hold what it should.
    pub fn start(config: &EnclaveConfig) -> Result<Self, Error> {
        Self::start_with(config, CALL_MAX)
    }

    fn start_with(config: &EnclaveConfig, call_max: Duration) -> Result<Self, Error> {
        let supply = keeper::Supply::read(config)?;
        let shared = Arc::new(Shared {
            role: config.role,
            links: Mutex::new(Vec::new()),
            next: AtomicUsize::new(0),
            count: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            bytes: Arc::new(Semaphore::new(IN_FLIGHT_BYTES_MAX)),
            call_max,
            health: watch::Sender::new(None),
            connects: AtomicU64::new(0),
            watch: events::Watch::new(&config.address),
        });
        let keepers = keeper::spawn(&shared, config, supply);
        Ok(Self { shared, _keepers: keepers })
    }

    /// The role that the enclave serves.
    #[must_use]
    pub fn role(&self) -> Role {
        self.shared.role
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

    /// Asks, and supplies once what the enclave says it needs.
    ///
    /// # Errors
    /// The enclave's refusal, `OVERLOADED` with nothing sent, or `ENCLAVE_UNAVAILABLE`.
    pub(crate) async fn ask(&self, body: request::Body, known: &Known<'_>) -> Result<response::Body, Error> {
        let mut request = frames::Request { body: Some(body) };
        let answer = self.shared.send(&request).await?;
        let response::Body::Need(need) = answer else { return refusal(answer) };
        known.supply(&mut request, need)?;
        match self.shared.send(&request).await? {
            response::Body::Need(_) => Err(Error::Internal("the enclave needs again what it was given")),
            answer => refusal(answer),
        }
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
            Ok(Err(_)) => Err(Error::EnclaveUnavailable("the connection was lost")),
            Err(_) => Err(Error::EnclaveUnavailable("no answer in time")),
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
        link.cloned().ok_or(Error::EnclaveUnavailable("not connected"))
    }

    fn add(&self, link: Arc<Link>) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).push(link);
    }

    fn remove(&self, link: &Arc<Link>) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|other| !Arc::ptr_eq(other, link));
        if links.is_empty() {
            self.health.send_replace(None);
        }
    }
}

fn refusal(answer: response::Body) -> Result<response::Body, Error> {
    let response::Body::Error(error) = answer else { return Ok(answer) };
    let reason = Reason::try_from(error.reason).unwrap_or(Reason::InternalError);
    Err(Error::Enclave { reason, detail: error.detail, retry_after_ms: error.retry_after_ms })
}

#[cfg(test)]
mod tests;
