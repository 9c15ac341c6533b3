//! Where enclaves come in: a unix socket, or a vsock port for the context ids of the configured enclaves alone.
//!
//! Whoever runs on the parent's hypervisor can connect to a vsock port. The peer's context id is the kernel's word, not the peer's.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio_vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener, VsockStream};

use super::SocketPath;
use crate::config::{Address, EnclaveConfig, Listen};
use crate::error::Error;

/// A connected byte stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Accepts connections together with their peers' context ids.
pub(crate) trait Vsock: Send + Sync + 'static {
    /// What a connection is.
    type Stream: Stream + 'static;

    /// Waits for the next connection.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, u32)>> + Send;
}

impl Vsock for VsockListener {
    type Stream = VsockStream;

    async fn accept(&self) -> io::Result<(VsockStream, u32)> {
        let (stream, peer) = VsockListener::accept(self).await?;
        Ok((stream, peer.cid()))
    }
}

/// A listener for enclaves.
pub(crate) enum Enclaves<V = VsockListener> {
    /// A unix socket, which only its owner opens.
    Unix(UnixListener),
    /// vsock(7), for these context ids alone.
    Vsock(V, Vec<u32>),
}

/// An enclave that has come in.
pub(crate) struct Arrival {
    pub(crate) stream: Box<dyn Stream>,
    /// Its context id, where it came over vsock.
    pub(crate) cid: Option<u32>,
}

/// Listens where the configuration says. The socket's path goes with the second value.
///
/// # Errors
/// Where the path or port cannot be used.
pub(crate) fn bind(at: &Listen, enclaves: &[EnclaveConfig]) -> Result<(Enclaves, Option<SocketPath>), Error> {
    match at {
        Listen::Unix(path) => {
            let (listener, guard) = super::unix(path)?;
            Ok((Enclaves::Unix(listener), Some(guard)))
        }
        Listen::Vsock(port) => {
            let listener = VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, *port));
            let listener = listener.map_err(Error::io("listen on vsock port", port.to_string()))?;
            Ok((Enclaves::Vsock(listener, cids(enclaves)), None))
        }
    }
}

fn cids(enclaves: &[EnclaveConfig]) -> Vec<u32> {
    let cid = |enclave: &EnclaveConfig| match enclave.address {
        Address::Vsock { cid, .. } => Some(cid),
        Address::Unix(_) => None,
    };
    enclaves.iter().filter_map(cid).collect()
}

impl<V: Vsock> Enclaves<V> {
    /// Waits for the next enclave; strangers are turned away.
    pub(crate) async fn accept(&self) -> Arrival {
        loop {
            match self.try_accept().await {
                Ok(Some(arrival)) => return arrival,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(name: "cannot accept an enclave", error = %error);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn try_accept(&self) -> io::Result<Option<Arrival>> {
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(Some(Arrival { stream: Box::new(stream), cid: None }))
            }
            Self::Vsock(listener, cids) => match listener.accept().await? {
                (stream, cid) if cids.contains(&cid) => Ok(Some(Arrival { stream: Box::new(stream), cid: Some(cid) })),
                (_, cid) => {
                    tracing::warn!(name: "a stranger was turned away", cid);
                    Ok(None)
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use strongroom_proto::v1::Role;

    use super::*;
    use crate::testing::enclave_config_of;

    #[test]
    fn the_context_ids_are_those_of_the_configured_enclaves() {
        let dir = tempfile::tempdir().unwrap();
        let enclave = |role, address| EnclaveConfig { address, ..enclave_config_of(dir.path(), role, 1) };
        let client = enclave(Role::Client, Address::Vsock { cid: 16, port: 5005 });
        let custodian = enclave(Role::Custodian, Address::Vsock { cid: 17, port: 5006 });
        let simulated = enclave(Role::Custodian, Address::Unix("/s".into()));
        assert_eq!(cids(&[client.clone(), custodian]), [16, 17]);
        assert_eq!(cids(&[client, simulated.clone()]), [16]);
        assert!(cids(&[simulated]).is_empty() && cids(&[]).is_empty());
    }
}
