//! The KMS byte relay: enclaves have no network, so the host carries their bytes to a fixed list of names.
//!
//! TLS ends in the enclave: the relay sees ciphertext only, and never looks at it. An enclave sends one byte n (1 to 253) and n bytes
//! of name; the relay answers one byte (0 connected, 1 the name is not on the list, 2 cannot connect) and then copies both ways.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::config::{RELAY_NAME_BYTES_MAX, Target};
use crate::listen::enclaves::{Enclaves, Vsock};

/// Most connections at once.
pub const RELAY_CONNECTIONS_MAX: usize = 64;
/// Bytes copied at once, each way.
const COPY_BYTES: usize = 16 * 1024;

/// The answer to a preface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
enum Answer {
    Connected = 0,
    NotListed = 1,
    CannotConnect = 2,
}

/// How long the relay waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    /// For the whole preface.
    preface: Duration,
    /// For a connection to the name.
    connect: Duration,
    /// For the next byte either way.
    idle: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { preface: Duration::from_secs(5), connect: Duration::from_secs(5), idle: Duration::from_mins(2) }
    }
}

/// Serves until it is dropped.
pub(crate) async fn serve<V: Vsock>(enclaves: Enclaves<V>, names: BTreeMap<String, Target>, waits: Waits) {
    let names = Arc::new(names);
    let room = Arc::new(Semaphore::new(RELAY_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let names = Arc::clone(&names);
        let enclave = enclaves.accept().await.stream;
        connections.spawn(async move {
            carry(enclave, &names, waits).await;
            drop(permit);
        });
    }
}

async fn carry(mut enclave: impl AsyncRead + AsyncWrite + Unpin, names: &BTreeMap<String, Target>, waits: Waits) {
    let Ok(Ok(name)) = tokio::time::timeout(waits.preface, preface(&mut enclave)).await else {
        tracing::info!(name: "relay preface missing or malformed", "");
        return;
    };
    let (answer, kms) = match names.get_key_value(name.as_str()) {
        None => (Answer::NotListed, None),
        Some((name, target)) => match tokio::time::timeout(waits.connect, connect(name, target)).await {
            Ok(Ok(stream)) => (Answer::Connected, Some(stream)),
            Ok(Err(_)) | Err(_) => (Answer::CannotConnect, None),
        },
    };
    tracing::debug!(name: "relay answered", code = ?answer);
    let answered = enclave.write_all(&[answer as u8]).await.is_ok() && enclave.flush().await.is_ok();
    if let (Some(kms), true) = (kms, answered) {
        copy_both(enclave, kms, waits.idle).await;
    }
}

async fn preface(enclave: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let len = usize::from(enclave.read_u8().await?);
    if !(1..=RELAY_NAME_BYTES_MAX).contains(&len) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut name = vec![0; len];
    enclave.read_exact(&mut name).await?;
    String::from_utf8(name).map_err(|_| io::ErrorKind::InvalidData.into())
}

async fn connect(name: &str, target: &Target) -> io::Result<TcpStream> {
    let stream = match target {
        Target::Name => TcpStream::connect((name, 443)).await?,
        Target::Fixed(address) => TcpStream::connect(address).await?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Copies both ways until both have ended, one fails, or no byte has moved for `idle`.
async fn copy_both(one: impl AsyncRead + AsyncWrite + Unpin, other: TcpStream, idle: Duration) {
    let (mut one_read, mut one_write) = tokio::io::split(one);
    let (mut other_read, mut other_write) = tokio::io::split(other);
    let moved = Moved(std::sync::Mutex::new(Instant::now()));
    let both = async {
        let there = copy(&mut one_read, &mut other_write, &moved);
        let back = copy(&mut other_read, &mut one_write, &moved);
        tokio::try_join!(there, back).map(drop)
    };
    tokio::select! {
        ended = both => if let Err(error) = ended {
            tracing::debug!(name: "relay connection failed", error = %error);
        },
        () = moved.idle(idle) => tracing::debug!(name: "relay connection idle", ""),
    }
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    moved: &Moved,
) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let len = from.read(&mut buffer).await?;
        if len == 0 {
            return to.shutdown().await;
        }
        to.write_all(buffer.get(..len).unwrap_or_default()).await?;
        to.flush().await?;
        moved.touch();
    }
}

/// When the last byte moved.
struct Moved(std::sync::Mutex<Instant>);

impl Moved {
    fn touch(&self) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
    }

    fn since(&self) -> Duration {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).elapsed()
    }

    /// Returns once no byte has moved for `idle`.
    async fn idle(&self, idle: Duration) {
        while let Some(left) = idle.checked_sub(self.since()).filter(|left| !left.is_zero()) {
            tokio::time::sleep(left).await;
        }
    }
}

#[cfg(test)]
mod tests;
