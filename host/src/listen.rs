//! Sockets: unix sockets that only their owner opens, and connections counted against a limit.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixSocket, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::error::Error;

pub(crate) mod enclaves;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 128;

/// A unix socket's path, removed on drop.
pub(crate) struct SocketPath(PathBuf);

impl Drop for SocketPath {
    fn drop(&mut self) {
        // A path that is gone already is as it should be.
        drop(std::fs::remove_file(&self.0));
    }
}

/// Listens on a unix socket of mode 0600. A socket that nobody listens on is replaced.
///
/// # Errors
/// Where the path is something else, or somebody listens there.
pub(crate) fn unix(path: &Path) -> Result<(UnixListener, SocketPath), Error> {
    if let Ok(there) = std::fs::symlink_metadata(path) {
        let abandoned = there.file_type().is_socket()
            && std::os::unix::net::UnixStream::connect(path)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        if !abandoned {
            return Err(Error::io("listen on", path)(io::ErrorKind::AddrInUse.into()));
        }
        std::fs::remove_file(path).map_err(Error::io("replace socket", path))?;
    }
    // Nobody can connect before `listen`, and by then the mode stands.
    let listen = || {
        let socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        socket.listen(BACKLOG)
    };
    Ok((listen().map_err(Error::io("listen on", path))?, SocketPath(path.to_owned())))
}

/// Accepts connections one by one.
pub(crate) trait Accept: Send + 'static {
    /// What a connection is.
    type Stream: AsyncRead + AsyncWrite + Connected + Send + Unpin + 'static;

    /// Waits for the next connection.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        Ok(UnixListener::accept(self).await?.0)
    }
}

/// The listener's connections, at most `max` at once; more wait in the kernel. The accepting task runs in `tasks`.
pub(crate) fn incoming<A: Accept + Sync>(
    listener: A,
    max: usize,
    tasks: &mut JoinSet<()>,
) -> ReceiverStream<io::Result<Counted<A::Stream>>> {
    let (sender, receiver) = mpsc::channel(1);
    tasks.spawn(async move {
        let room = Arc::new(Semaphore::new(max));
        while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
            match listener.accept().await {
                Ok(stream) => {
                    if sender.send(Ok(Counted { stream, _permit: permit })).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(name: "cannot accept", error = %error);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    ReceiverStream::new(receiver)
}

/// A connection that takes room in a limit until it is dropped.
pub(crate) struct Counted<S> {
    stream: S,
    _permit: OwnedSemaphorePermit,
}

impl<S: Connected> Connected for Counted<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio_stream::StreamExt;

    use super::*;

    #[tokio::test]
    async fn a_unix_socket_is_its_owners_alone_and_replaces_only_an_abandoned_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (listener, guard) = unix(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(unix(&path).err().unwrap().to_string().contains("listen on"));
        drop(listener);
        std::mem::forget(guard);
        let (_listener, guard) = unix(&path).unwrap();
        drop(guard);
        assert!(!path.exists());
        std::fs::write(&path, "precious").unwrap();
        assert!(unix(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        assert!(unix(&dir.path().join("absent/s")).is_err());
    }

    #[tokio::test]
    async fn connections_past_the_limit_wait_until_one_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (listener, _guard) = unix(&path).unwrap();
        let mut tasks = JoinSet::new();
        let mut incoming = incoming(listener, 1, &mut tasks);
        let _one = UnixStream::connect(&path).await.unwrap();
        let mut other = UnixStream::connect(&path).await.unwrap();
        other.write_all(b"x").await.unwrap();
        let first = incoming.next().await.unwrap().unwrap();
        let early = tokio::time::timeout(Duration::from_millis(100), incoming.next()).await;
        assert!(early.is_err(), "the second came before the first had ended");
        drop(first);
        incoming.next().await.unwrap().unwrap();
    }
}
