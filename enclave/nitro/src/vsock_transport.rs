//! vsock: the host connects to the enclave's port, the enclave connects to the host's relay.

use std::io;

use strongroom_runtime::transport::{Dial, Transport};
use tokio_vsock::{VsockAddr, VsockStream};
use vsock::{VMADDR_CID_ANY, VsockListener};

/// The port that the enclave listens on.
const ENCLAVE_PORT: u32 = 5005;

/// The port of the host's KMS relay.
const RELAY_PORT: u32 = 9001;

/// The enclave's listener, and the way to its relay.
pub(crate) struct VsockTransport {
    listener: VsockListener,
    relay: VsockAddr,
}

impl VsockTransport {
    /// Listens on the enclave's port; the relay is at `parent_cid`.
    pub(crate) fn bind(parent_cid: u32) -> io::Result<Self> {
        let listener = VsockListener::bind_with_cid_port(VMADDR_CID_ANY, ENCLAVE_PORT)?;
        Ok(Self { listener, relay: VsockAddr::new(parent_cid, RELAY_PORT) })
    }
}

impl Dial for VsockTransport {
    type Stream = VsockStream;

    async fn connect(&self) -> io::Result<VsockStream> {
        VsockStream::connect(self.relay).await
    }
}

impl Transport for VsockTransport {
    type Raw = vsock::VsockStream;

    fn accept(&self) -> io::Result<vsock::VsockStream> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => return Ok(stream),
                // The peer went away before it was accepted; the listener is well.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn adopt(raw: vsock::VsockStream) -> io::Result<VsockStream> {
        VsockStream::new(raw)
    }
}
