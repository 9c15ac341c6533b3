//! The process: the threads, and connections handed to workers in turn.
//!
//! Each worker is one thread with its own tokio runtime; a connection stays with its worker. The
//! caller's thread accepts. A panic anywhere ends the process.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{LocalSet, spawn_local};

use crate::budget::Budget;
use crate::clock::{ANCHOR_INTERVAL, Clock};
use crate::enclave::Enclave;
use crate::entropy::Pool;
use crate::error::RuntimeError;
use crate::guard::{guarded, guarded_task};
use crate::log::Log;
use crate::nsm::Nsm;
use crate::serve::connection;
use crate::transport::Transport;

/// Most connections at one time, and so most workers: a connection stays with its worker. One more is closed at once. Each holds one
/// unfinished frame at most.
pub const CONNECTIONS_MAX: usize = 16;

/// Pause between two tries to read the first time.
const FIRST_ANCHOR_INTERVAL: Duration = Duration::from_secs(1);

/// What a binary may choose.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads that serve connections; at most [`CONNECTIONS_MAX`] are started, since more would serve none.
    pub workers: NonZeroUsize,
    /// How the module's random bytes reach what keys are drawn from.
    pub pool: Arc<dyn Pool>,
    /// Where the runtime says what happened. It may hold lines from before.
    pub log: Log,
}

impl Options {
    /// One worker for each processor.
    #[must_use]
    pub fn new(pool: Arc<dyn Pool>, log: Log) -> Self {
        Self { workers: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN), pool, log }
    }
}

/// An accepted connection and its place among [`CONNECTIONS_MAX`].
type Accepted<T> = (<T as Transport>::Raw, OwnedSemaphorePermit);

/// Runs an enclave on the calling thread until it fails.
///
/// # Errors
/// Where a thread cannot be started, the listener fails, or a worker has ended.
pub fn run<T: Transport>(nsm: Arc<dyn Nsm>, transport: &Arc<T>, options: &Options) -> Result<Infallible, RuntimeError> {
    let clock = Clock::default();
    let enclave = Arc::new(Enclave::new(Arc::clone(&nsm), Arc::clone(transport), clock.clone(), options.log.clone())?);
    enclave.gather_entropy(options.pool.as_ref());
    keep_time(nsm, clock, options.log.clone())?;
    let budget = Budget::default();
    let workers = options.workers.get().min(CONNECTIONS_MAX);
    let workers: Vec<_> =
        (0..workers).map(|_| spawn_worker::<T>(Arc::clone(&enclave), budget.clone())).collect::<Result<_, _>>()?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    for worker in workers.iter().cycle() {
        let raw = transport.accept().map_err(RuntimeError::Listener)?;
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            options.log.note(format_args!("connection refused: {CONNECTIONS_MAX} are open"));
            continue;
        };
        // The channel has room for every connection that has a place.
        worker.try_send((raw, place)).map_err(|_| RuntimeError::WorkerEnded)?;
    }
    Err(RuntimeError::WorkerEnded)
}

/// Reads the module's time once, and again in the background for as long as the process lives.
fn keep_time(nsm: Arc<dyn Nsm>, clock: Clock, log: Log) -> Result<(), RuntimeError> {
    let anchor = move || {
        if let Err(error) = clock.anchor(nsm.as_ref()) {
            log.note(format_args!("clock: {error}"));
        }
        clock.is_fresh()
    };
    let mut is_fresh = anchor();
    let keep = move || loop {
        thread::sleep(if is_fresh { ANCHOR_INTERVAL } else { FIRST_ANCHOR_INTERVAL });
        is_fresh = anchor();
    };
    spawn("clock", keep).map(|_| ())
}

fn spawn_worker<T: Transport>(
    enclave: Arc<Enclave<T>>,
    budget: Budget,
) -> Result<mpsc::Sender<Accepted<T>>, RuntimeError> {
    let (sender, accepted) = mpsc::channel(CONNECTIONS_MAX);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RuntimeError::Thread("worker", error))?;
    let work = move || LocalSet::new().block_on(&runtime, work(enclave, budget, accepted));
    spawn("worker", work)?;
    Ok(sender)
}

/// Serves the connections that are handed over, each in a task of its own.
async fn work<T: Transport>(enclave: Arc<Enclave<T>>, budget: Budget, mut accepted: mpsc::Receiver<Accepted<T>>) {
    while let Some((raw, place)) = accepted.recv().await {
        let (enclave, budget) = (Arc::clone(&enclave), budget.clone());
        spawn_local(guarded_task(async move {
            let served = match T::adopt(raw) {
                Ok(stream) => connection(Arc::clone(&enclave), budget, stream).await,
                Err(error) => Err(error.into()),
            };
            if let Err(reason) = served {
                enclave.log().note(format_args!("connection closed: {reason}"));
            }
            drop(place);
        }));
    }
}

fn spawn(name: &'static str, f: impl FnOnce() + Send + 'static) -> Result<thread::JoinHandle<()>, RuntimeError> {
    let body = move || guarded(f);
    thread::Builder::new().name(name.into()).spawn(body).map_err(|error| RuntimeError::Thread(name, error))
}

#[cfg(test)]
mod tests;
