//! One connection of the host: frames in, frames out, many requests in flight.
//!
//! What needs no KMS call is computed where it is read, and the answers to all frames of one read go
//! out in one write. A KMS call runs as a task of its own, and its request's answer is written when it
//! comes. Nothing here looks into a request.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use strongroom_core::{Incoming, KEK_PER_STEP_MAX, KmsCall, KmsFailure, Pending, Refusal, Step, parse, refuse};
use strongroom_proto::enclave::v1::{Response, response::Body};
use strongroom_proto::frame::{self, Decoder, Frame, FrameTooLong};
use strongroom_proto::limits::FRAME_BYTES_MAX;
use strongroom_proto::v1::Reason;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use crate::budget::{Budget, Permit};
use crate::enclave::Enclave;
use crate::guard::guarded_task;
use crate::transport::Dial;

/// Bytes that one read takes at most: the size of a batch.
const READ_BYTES_MAX: usize = 64 * 1024;

/// Longest time that the host may take to read a batch of answers.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);

/// When an overloaded enclave may be asked again.
const OVERLOADED_RETRY_MS: u32 = 200;

/// Why a connection ended other than by the host's wish.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// A frame over the limit.
    #[error("{0}")]
    FrameTooLong(#[from] FrameTooLong),
    /// The host went away in the middle of a frame.
    #[error("closed within a frame")]
    CutFrame,
    /// No answer was taken for too long.
    #[error("the host does not read its answers")]
    Stalled,
    /// The connection failed.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
}

/// What answers the requests of a connection.
pub trait Answering: 'static {
    /// Answers a request's bytes as far as that needs no KMS call.
    fn begin(&self, payload: &[u8]) -> Step;

    /// Makes the KMS calls of one request, one after the other, and gives its answer.
    fn finish(&self, call: KmsCall, pending: Pending) -> impl Future<Output = Vec<u8>>;
}

/// An answer on its way out; the request's permit is held until it is written.
struct Answer {
    id: u64,
    payload: Vec<u8>,
    permit: Option<Permit>,
}

/// The answers to one batch, encoded, with the permits of their requests.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    permits: Vec<Permit>,
}

impl Batch {
    /// Adds an answer. One that no frame holds becomes a refusal: the other requests of the connection go on.
    fn push(&mut self, answer: Answer) -> Result<(), FrameTooLong> {
        self.permits.extend(answer.permit);
        frame::encode(answer.id, &answer.payload, &mut self.bytes).or_else(|FrameTooLong(bytes)| {
            let detail = format!("an answer of {bytes} bytes is over the limit of {FRAME_BYTES_MAX}");
            frame::encode(answer.id, &refuse(Reason::InternalError, detail).encode(), &mut self.bytes)
        })
    }
}

/// Serves `stream` until the host closes it.
///
/// # Errors
/// Where it ends in any other way.
pub async fn connection<A: Answering, S>(enclave: Arc<A>, budget: Budget, stream: S) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (late, mut answers) = mpsc::unbounded_channel();
    let mut decoder = Decoder::new();
    let mut buffer = vec![0; READ_BYTES_MAX];
    loop {
        let mut batch = Batch::default();
        tokio::select! {
            answer = answers.recv() => {
                // This function holds a sender too, so the channel is open.
                let Some(answer) = answer else { return Ok(()) };
                batch.push(answer)?;
            }
            read = reader.read(&mut buffer) => {
                let read = read?;
                if read == 0 {
                    return if decoder.buffered() == 0 { Ok(()) } else { Err(ConnectionError::CutFrame) };
                }
                decoder.push(&buffer[..read]);
                while let Some(frame) = decoder.next_frame()? {
                    answer_frame(&enclave, &budget, &late, frame, &mut batch)?;
                }
                if decoder.buffered() == 0 {
                    // An idle connection keeps no buffer of the size of its longest frame.
                    decoder = Decoder::new();
                }
            }
        }
        while let Ok(answer) = answers.try_recv() {
            batch.push(answer)?;
        }
        if !batch.bytes.is_empty() {
            write(&mut writer, &batch.bytes).await?;
        }
    }
}

/// Answers one frame into `batch`, or leaves its answer to a task that sends it to `late`.
fn answer_frame<A: Answering>(
    enclave: &Arc<A>,
    budget: &Budget,
    late: &mpsc::UnboundedSender<Answer>,
    frame: Frame,
    batch: &mut Batch,
) -> Result<(), FrameTooLong> {
    let Frame { id, payload } = frame;
    let Some(permit) = budget.take(payload.len()) else {
        return batch.push(Answer { id, payload: overloaded().encode(), permit: None });
    };
    match enclave.begin(&payload) {
        Step::Reply(payload) => batch.push(Answer { id, payload, permit: Some(permit) }),
        Step::Kms(call, pending) => {
            let (enclave, late) = (Arc::clone(enclave), late.clone());
            spawn_local(guarded_task(async move {
                let payload = enclave.finish(call, pending).await;
                // Where the connection has ended, nobody waits for the answer.
                let _ = late.send(Answer { id, payload, permit: Some(permit) });
            }));
            Ok(())
        }
    }
}

impl<D: Dial> Answering for Enclave<D> {
    fn begin(&self, payload: &[u8]) -> Step {
        match parse(payload) {
            Err(refusal) => Step::Reply(refusal),
            Ok(Incoming::Control(control)) => Step::Reply(match self.control(control) {
                Ok(body) => encode(body),
                Err(refusal) => refusal.encode(),
            }),
            Ok(Incoming::Work(work)) => match self.serving() {
                Ok(serving) => serving.core.begin(work),
                Err(refusal) => Step::Reply(refusal.encode()),
            },
        }
    }

    async fn finish(&self, mut call: KmsCall, mut pending: Pending) -> Vec<u8> {
        let serving = match self.serving() {
            Ok(serving) => serving,
            Err(refusal) => return refusal.encode(),
        };
        for _ in 0..KEK_PER_STEP_MAX {
            let reply = serving.kms.call(call).await.map_err(|error| {
                self.log().note(format_args!("KMS call: {error}"));
                KmsFailure::from(error)
            });
            match serving.core.resume(pending, reply) {
                Step::Reply(payload) => return payload,
                Step::Kms(next_call, next_pending) => (call, pending) = (next_call, next_pending),
            }
        }
        refuse(Reason::InternalError, "more KMS calls than a request may cause").encode()
    }
}

fn overloaded() -> Refusal {
    Refusal {
        reason: Reason::Overloaded,
        detail: "too many requests or bytes in flight".into(),
        retry_after_ms: OVERLOADED_RETRY_MS,
    }
}

fn encode(body: Body) -> Vec<u8> {
    Response { body: Some(body) }.encode_to_vec()
}

async fn write<W: AsyncWrite + Unpin>(writer: &mut W, bytes: &[u8]) -> Result<(), ConnectionError> {
    let writing = async {
        writer.write_all(bytes).await?;
        writer.flush().await
    };
    match tokio::time::timeout(WRITE_TIME_MAX, writing).await {
        Ok(written) => Ok(written?),
        Err(_) => Err(ConnectionError::Stalled),
    }
}

#[cfg(test)]
mod tests;
