//! Connects to an enclave: a unix socket or vsock(7).

use std::io;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio_vsock::{VsockAddr, VsockStream};

use crate::config::Address;
use crate::listen::enclaves::Stream;

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);

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
