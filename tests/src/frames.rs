//! The host's end of the hop, in a few blocking lines: what a hostile host would write for itself.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use prost::Message;
use strongroom_proto::enclave::v1::{GetEvents, GetHealth, Request, Response, request, response};
use strongroom_proto::frame::{self, Decoder};

/// A connection to an enclave.
#[derive(Debug)]
pub struct Frames {
    stream: UnixStream,
    decoder: Decoder,
    next_id: u64,
}

impl Frames {
    /// Connects to the enclave's socket.
    pub fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).with_context(|| format!("connecting to {}", socket.display()))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { stream, decoder: Decoder::new(), next_id: 1 })
    }

    /// Sends a request and waits for its answer.
    pub fn ask(&mut self, body: request::Body) -> Result<response::Body> {
        let payload = Request { body: Some(body) }.encode_to_vec();
        let answer = self.ask_bytes(&payload)?;
        Response::decode(answer.as_slice())?.body.context("an empty answer")
    }

    /// Sends a payload as it is and gives the answer's.
    pub fn ask_bytes(&mut self, payload: &[u8]) -> Result<Vec<u8>> {
        let id = self.next_id;
        self.next_id += 1;
        let mut out = Vec::new();
        frame::encode(id, payload, &mut out)?;
        self.stream.write_all(&out)?;
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                if frame.id != id {
                    bail!("an answer to frame {} and not to {id}", frame.id);
                }
                return Ok(frame.payload);
            }
            let mut buffer = [0; 16 * 1024];
            let read = self.stream.read(&mut buffer)?;
            if read == 0 {
                bail!("the enclave closed the connection");
            }
            self.decoder.push(&buffer[..read]);
        }
    }

    /// What the enclave still lacks; empty when it serves.
    pub fn missing(&mut self) -> Result<Vec<String>> {
        match self.ask(request::Body::GetHealth(GetHealth {}))? {
            response::Body::Health(health) => Ok(health.missing),
            other => bail!("not a health answer: {other:?}"),
        }
    }

    /// The first lines that the enclave keeps of what it has said.
    pub fn said(&mut self) -> Result<Vec<String>> {
        match self.ask(request::Body::GetEvents(GetEvents { after: 0 }))? {
            response::Body::Events(events) => Ok(events.events.into_iter().map(|event| event.line).collect()),
            other => bail!("not its lines: {other:?}"),
        }
    }
}
