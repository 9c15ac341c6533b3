//! Frames: length-prefixed messages with an id, many in flight on one connection.
//!
//! A frame is the length of its payload (4 bytes, big-endian), an id (8 bytes, big-endian) that the answer repeats, and the payload:
//! one encoded Request or Response. Decoding is incremental and touches no socket; a length over the limit is refused before a
//! byte of the payload is awaited.

use alloc::vec::Vec;
use core::fmt;

use crate::limits::FRAME_BYTES_MAX;

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 12;

/// One frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// Chosen by whoever asks; unique among the frames in flight on a connection.
    pub id: u64,
    /// An encoded Request or Response.
    pub payload: Vec<u8>,
}

/// A peer announced, or a caller asked to write, more than [`FRAME_BYTES_MAX`] bytes. The connection cannot go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FrameTooLong(
    /// The payload's length in bytes.
    pub usize,
);

impl fmt::Display for FrameTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a frame of {} bytes is over the limit of {FRAME_BYTES_MAX}", self.0)
    }
}

impl core::error::Error for FrameTooLong {}

/// Appends a frame to `out`.
///
/// # Errors
/// [`FrameTooLong`], with nothing written.
pub fn encode(id: u64, payload: &[u8], out: &mut Vec<u8>) -> Result<(), FrameTooLong> {
    let len = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= FRAME_BYTES_MAX);
    let len = len.ok_or(FrameTooLong(payload.len()))?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(payload);
    Ok(())
}

/// Takes bytes as they come and gives whole frames.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    read: usize,
}

impl Decoder {
    /// An empty decoder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more bytes of the connection.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.read > 0 {
            self.buffer.drain(..self.read);
            self.read = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, or `None` until more bytes have come.
    ///
    /// # Errors
    /// [`FrameTooLong`] as soon as its header has come.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameTooLong> {
        let rest = self.buffer.get(self.read..).unwrap_or_default();
        let Some((len, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
        if len > FRAME_BYTES_MAX {
            return Err(FrameTooLong(len));
        }
        let Some((id, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let Some(payload) = rest.get(..len) else { return Ok(None) };
        let frame = Frame { id: u64::from_be_bytes(*id), payload: payload.to_vec() };
        self.read = self.read.saturating_add(HEADER_BYTES).saturating_add(len);
        Ok(Some(frame))
    }

    /// Bytes held that are not yet part of a frame given out.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len().saturating_sub(self.read)
    }
}

#[cfg(test)]
mod tests;
