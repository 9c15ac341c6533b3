//! The transport of a simulated enclave: unix sockets where a real one has vsock.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use strongroom_runtime::transport::{Dial, Transport};
use tokio::net::UnixStream;

/// Listens on one socket and dials another.
#[derive(Debug)]
pub struct UnixTransport {
    listener: StdListener,
    relay: PathBuf,
}

impl UnixTransport {
    /// Listens on `listen` (mode 0600), over a socket that an earlier process left there; the host's relay is at `relay`.
    ///
    /// # Errors
    /// Where the socket cannot be made, or `listen` is a file of another kind.
    pub fn bind(listen: &Path, relay: &Path) -> io::Result<Self> {
        use std::os::unix::fs::FileTypeExt;
        match fs::symlink_metadata(listen) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(listen)?,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is there")),
            Err(_) => {}
        }
        let listener = StdListener::bind(listen)?;
        fs::set_permissions(listen, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, relay: relay.to_owned() })
    }
}

impl Dial for UnixTransport {
    type Stream = UnixStream;

    async fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(&self.relay).await
    }
}

impl Transport for UnixTransport {
    type Raw = StdStream;

    fn accept(&self) -> io::Result<StdStream> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => return Ok(stream),
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn adopt(raw: StdStream) -> io::Result<UnixStream> {
        raw.set_nonblocking(true)?;
        UnixStream::from_std(raw)
    }
}
