//! One connection: requests go out in batches with one flush, answers find their callers by id.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prost::Message;
use strongroom_proto::enclave::v1::{Response, response};
use strongroom_proto::frame::{self, Decoder};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroize;

use super::{LOST, Permit};
use crate::error::Error;

/// Bytes from which a batch takes no further request.
const BATCH_BYTES: usize = 64 * 1024;
/// Bytes read at once.
const READ_BYTES: usize = 32 * 1024;

/// A connection that callers write to.
pub struct Link {
    outgoing: mpsc::UnboundedSender<Outgoing>,
    waiting: Mutex<HashMap<u64, Waiting>>,
    next_id: AtomicU64,
}

/// A frame on its way out. The queue is bounded by the permits.
struct Outgoing {
    id: u64,
    payload: Vec<u8>,
    secret: bool,
}

struct Waiting {
    answer: oneshot::Sender<response::Body>,
    since: Instant,
    _permit: Option<Permit>,
}

/// The sending queue's other end.
pub struct Outbox(mpsc::UnboundedReceiver<Outgoing>);

impl Link {
    /// A connection that is not driven yet.
    #[must_use]
    pub fn new() -> (Arc<Self>, Outbox) {
        let (outgoing, outbox) = mpsc::unbounded_channel();
        let waiting = Mutex::default();
        (Arc::new(Self { outgoing, waiting, next_id: AtomicU64::new(1) }), Outbox(outbox))
    }

    /// Queues an encoded request. The answer's sender is dropped when the connection is lost.
    ///
    /// # Errors
    /// `ENCLAVE_UNAVAILABLE` where it is lost already.
    pub fn send(&self, payload: Vec<u8>) -> Result<oneshot::Receiver<response::Body>, Error> {
        self.queue(payload, None, false)
    }

    /// As [`Link::send`], for a request that takes room in the limits until it is answered.
    pub(super) fn send_within(
        &self,
        payload: Vec<u8>,
        permit: Permit,
    ) -> Result<oneshot::Receiver<response::Body>, Error> {
        self.queue(payload, Some(permit), false)
    }

    /// As [`Link::send`], for a request whose bytes are erased once they are sent.
    pub(super) fn send_secret(&self, payload: Vec<u8>) -> Result<oneshot::Receiver<response::Body>, Error> {
        self.queue(payload, None, true)
    }

    fn queue(
        &self,
        payload: Vec<u8>,
        permit: Option<Permit>,
        secret: bool,
    ) -> Result<oneshot::Receiver<response::Body>, Error> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (answer, receiver) = oneshot::channel();
        self.waiting().insert(id, Waiting { answer, since: Instant::now(), _permit: permit });
        if self.outgoing.send(Outgoing { id, payload, secret }).is_err() {
            self.waiting().remove(&id);
            return Err(Error::EnclaveUnavailable(LOST));
        }
        Ok(receiver)
    }

    /// Forgets requests older than `age`, and frees their room in the limits.
    pub(super) fn sweep(&self, age: Duration) {
        self.waiting().retain(|_, waiting| waiting.since.elapsed() < age);
    }

    /// Ends every wait; the connection has gone.
    pub(super) fn close(&self) {
        self.waiting().clear();
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves bytes until the connection is lost, and says why.
    pub async fn drive(&self, stream: impl AsyncRead + AsyncWrite, outbox: Outbox) -> &'static str {
        let (reading, writing) = tokio::io::split(stream);
        tokio::select! {
            why = self.read(reading) => why,
            why = write(writing, outbox) => why,
        }
    }

    async fn read(&self, mut stream: impl AsyncRead + Unpin) -> &'static str {
        let mut decoder = Decoder::new();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let len = match stream.read(&mut buffer).await {
                Ok(0) => return "closed by the enclave",
                Ok(len) => len,
                Err(_) => return "reading failed",
            };
            decoder.push(buffer.get(..len).unwrap_or_default());
            loop {
                match decoder.next_frame() {
                    Ok(Some(frame)) => {
                        let Ok(Response { body: Some(body) }) = Response::decode(frame.payload.as_slice()) else {
                            return "a malformed answer";
                        };
                        // An id that nobody waits for is an answer that came after its wait.
                        if let Some(waiting) = self.waiting().remove(&frame.id) {
                            drop(waiting.answer.send(body));
                        }
                    }
                    Ok(None) => break,
                    Err(_) => return "an answer over the limit",
                }
            }
        }
    }
}

async fn write(mut stream: impl AsyncWrite + Unpin, mut outbox: Outbox) -> &'static str {
    let mut batch = Vec::new();
    while let Some(first) = outbox.0.recv().await {
        let mut secret = push(first, &mut batch);
        while batch.len() < BATCH_BYTES {
            let Ok(next) = outbox.0.try_recv() else { break };
            secret |= push(next, &mut batch);
        }
        if stream.write_all(&batch).await.is_err() || stream.flush().await.is_err() {
            return "writing failed";
        }
        if secret {
            batch.zeroize();
        }
        batch.clear();
        batch.shrink_to(BATCH_BYTES);
    }
    "no longer used"
}

/// Appends a frame and says whether the batch holds a secret. Its length was checked where it was encoded.
fn push(mut outgoing: Outgoing, batch: &mut Vec<u8>) -> bool {
    if let Err(error) = frame::encode(outgoing.id, &outgoing.payload, batch) {
        tracing::error!(name: "a frame over the limit was queued", error = %error);
    }
    if outgoing.secret {
        outgoing.payload.zeroize();
    }
    outgoing.secret
}
