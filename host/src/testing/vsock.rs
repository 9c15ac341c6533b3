//! vsock for tests: a unix socket whose connections claim context ids in turn.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;

use tokio::net::{UnixListener, UnixStream};

use crate::listen::enclaves::Vsock;

/// The listener.
pub(crate) struct Claims(UnixListener, Mutex<VecDeque<u32>>);

impl Claims {
    /// The nth connection has the nth of `cids`.
    pub(crate) fn new(listener: UnixListener, cids: &[u32]) -> Self {
        Self(listener, Mutex::new(cids.iter().copied().collect()))
    }
}

impl Vsock for Claims {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, u32)> {
        let (stream, _) = self.0.accept().await?;
        Ok((stream, self.1.lock().unwrap().pop_front().unwrap()))
    }
}
