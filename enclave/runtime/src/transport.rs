//! How connections reach the enclave and how the enclave reaches the host's relay.
//!
//! The production binary implements this over vsock, the simulated enclave over unix sockets.
//! Nothing here reads or writes a frame.

use std::future::Future;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

/// Opens byte streams to the host's relay.
pub trait Dial: Send + Sync + 'static {
    /// A byte stream that belongs to the tokio runtime which opened it.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Connects to the relay. The caller sends the relay's preface.
    ///
    /// # Errors
    /// Where nobody listens at the other end.
    fn connect(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Accepts the host's connections.
pub trait Transport: Dial {
    /// An accepted connection that belongs to no tokio runtime yet.
    type Raw: Send + 'static;

    /// Waits for the next connection; blocks the calling thread.
    ///
    /// # Errors
    /// Where the listener failed. Failures of one connection alone are retried inside.
    fn accept(&self) -> io::Result<Self::Raw>;

    /// Registers `raw` with the tokio runtime of the calling thread.
    ///
    /// # Errors
    /// Where the runtime refuses the file descriptor.
    fn adopt(raw: Self::Raw) -> io::Result<Self::Stream>;
}
