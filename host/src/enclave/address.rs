//! Connects to an enclave: a unix socket or vsock(7).

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio_vsock::{VsockAddr, VsockStream};

use crate::config::Address;

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A connected byte stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects once.
pub(super) async fn connect(address: &Address) -> io::Result<Box<dyn Stream>> {
    let connecting = async {
        Ok::<Box<dyn Stream>, io::Error>(match address {
            Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Address::Vsock { cid, port } => Box::new(VsockStream::connect(VsockAddr::new(*cid, *port)).await?),
        })
    };
    tokio::time::timeout(CONNECT_MAX, connecting).await.map_err(|_| io::ErrorKind::TimedOut)?
}
