//! The thread that talks to KMS: one client, one tokio runtime, a bounded queue of calls.
//!
//! Equal unwraps in flight share one call. No call is made before the key's facts and its policy were
//! checked, and a full queue is told at once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use strongroom_core::{KekReply, KmsCall};
use strongroom_proto::secret::Secret;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};

use super::KmsError;
use super::client::KmsClient;
use super::credentials::CredentialStore;
use crate::error::RuntimeError;
use crate::guard::{guarded, guarded_task};
use crate::log::Log;

/// Most calls that wait for the thread. One more is refused.
pub const QUEUE_MAX: usize = 64;

/// Most calls to KMS at one time.
pub const CALLS_MAX: usize = 8;

/// Most requests that share one call. One more is refused.
pub const WAITERS_MAX: usize = 1024;

/// Longest pause between two tries to check the key.
const CHECK_PAUSE_MAX: Duration = Duration::from_secs(5);

/// First pause between two tries to check the key.
const CHECK_PAUSE_MIN: Duration = Duration::from_millis(100);

type Answer = Result<KekReply, KmsError>;

/// A call and where its answer goes.
struct Job {
    call: KmsCall,
    answer: oneshot::Sender<Answer>,
}

/// A handle on the thread, for every worker.
#[derive(Clone, Debug)]
pub struct KmsService {
    jobs: mpsc::Sender<Job>,
    check: Arc<Check>,
}

/// How the check of the key stands.
#[derive(Debug, Default)]
struct Check {
    passed: AtomicBool,
    /// Why the newest one failed.
    failure: Mutex<Option<KmsError>>,
}

/// What the thread calls; a trait so that its queue can be tested without KMS.
trait Calls: 'static {
    async fn check_key(&self) -> Result<(), KmsError>;
    async fn call(&self, call: &KmsCall) -> Answer;
}

impl Calls for KmsClient {
    async fn check_key(&self) -> Result<(), KmsError> {
        self.describe().await?;
        self.guard().await
    }

    async fn call(&self, call: &KmsCall) -> Answer {
        self.call(call).await
    }
}

impl KmsService {
    /// Starts the thread. It checks the key as soon as there are credentials.
    ///
    /// # Errors
    /// [`RuntimeError::Thread`].
    pub fn spawn(client: KmsClient, credentials: CredentialStore, log: Log) -> Result<Self, RuntimeError> {
        spawn(client, credentials, log)
    }

    /// Whether the key's facts and its policy were checked and hold.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.check.passed.load(Ordering::Acquire)
    }

    /// Why the newest check of the key failed, until one passes.
    #[must_use]
    pub fn failure(&self) -> Option<KmsError> {
        let failure = self.check.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.clone().filter(|_| !self.is_ready())
    }

    /// Makes the call, or waits for an equal one in flight.
    ///
    /// # Errors
    /// As [`KmsClient::call`]; [`KmsError::Unavailable`] before the key was checked, [`KmsError::Overloaded`]
    /// where too many calls wait.
    pub async fn call(&self, call: KmsCall) -> Answer {
        if !self.is_ready() {
            return Err(KmsError::Unavailable("the key was not checked yet"));
        }
        let (answer, answered) = oneshot::channel();
        self.jobs.try_send(Job { call, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => KmsError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => KmsError::Unavailable("the KMS thread has ended"),
        })?;
        answered.await.unwrap_or(Err(KmsError::Unavailable("the KMS thread has ended")))
    }
}

fn spawn<C: Calls + Send>(calls: C, credentials: CredentialStore, log: Log) -> Result<KmsService, RuntimeError> {
    let (jobs, queue) = mpsc::channel(QUEUE_MAX);
    let check = Arc::new(Check::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RuntimeError::Thread("kms", error))?;
    let checked = Arc::clone(&check);
    let run = move || {
        let calls = Rc::new(calls);
        LocalSet::new().block_on(&runtime, async move {
            spawn_local(guarded_task(check_key(Rc::clone(&calls), credentials, checked, log)));
            serve(calls, queue).await;
        });
    };
    thread::Builder::new()
        .name("kms".into())
        .spawn(|| guarded(run))
        .map_err(|error| RuntimeError::Thread("kms", error))?;
    Ok(KmsService { jobs, check })
}

/// Checks the key until its facts and its policy hold; new credentials end a pause at once.
async fn check_key<C: Calls>(calls: Rc<C>, credentials: CredentialStore, check: Arc<Check>, log: Log) {
    let mut pause = CHECK_PAUSE_MIN;
    loop {
        if credentials.is_present() {
            match calls.check_key().await {
                Ok(()) => {
                    check.passed.store(true, Ordering::Release);
                    log.note(format_args!("KMS key checked"));
                    return;
                }
                Err(error) => {
                    let mut last = check.failure.lock().unwrap_or_else(PoisonError::into_inner);
                    if last.as_ref() != Some(&error) {
                        log.note(format_args!("KMS key not usable: {error}"));
                        *last = Some(error);
                    }
                }
            }
        }
        credentials.changed(pause).await;
        pause = (pause * 2).min(CHECK_PAUSE_MAX);
    }
}

/// Those who wait for each unwrap in flight.
type InFlight = Rc<RefCell<HashMap<KmsCall, Vec<oneshot::Sender<Answer>>>>>;

/// Takes calls from the queue until every handle is gone.
async fn serve<C: Calls>(calls: Rc<C>, mut queue: mpsc::Receiver<Job>) {
    let in_flight = InFlight::default();
    let slots = Arc::new(Semaphore::new(CALLS_MAX));
    while let Some(Job { call, answer }) = queue.recv().await {
        let Some(answer) = join(&in_flight, &call, answer) else { continue };
        // A semaphore that is never closed gives its permits.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        if let KmsCall::Unwrap { .. } = call {
            in_flight.borrow_mut().insert(call.clone(), Vec::new());
        }
        let (calls, in_flight) = (Rc::clone(&calls), Rc::clone(&in_flight));
        spawn_local(guarded_task(async move {
            let reply = calls.call(&call).await;
            drop(slot);
            let waiters = in_flight.borrow_mut().remove(&call).unwrap_or_default();
            for waiter in waiters {
                // Whoever no longer waits needs no answer.
                let _ = waiter.send(copy(&reply));
            }
            let _ = answer.send(reply);
        }));
    }
}

/// Lets `answer` wait for an equal unwrap in flight; gives it back where there is none.
fn join(in_flight: &InFlight, call: &KmsCall, answer: oneshot::Sender<Answer>) -> Option<oneshot::Sender<Answer>> {
    let mut in_flight = in_flight.borrow_mut();
    let Some(waiters) = in_flight.get_mut(call) else { return Some(answer) };
    if waiters.len() < WAITERS_MAX {
        waiters.push(answer);
    } else {
        let _ = answer.send(Err(KmsError::Overloaded));
    }
    None
}

/// The same answer for one more request. Each copy of the KEK erases itself.
fn copy(answer: &Answer) -> Answer {
    match answer {
        Ok(reply) => Ok(KekReply { wrapped: reply.wrapped.clone(), kek: Secret::new(reply.kek.expose().to_vec()) }),
        Err(error) => Err(error.clone()),
    }
}

#[cfg(test)]
mod tests;
