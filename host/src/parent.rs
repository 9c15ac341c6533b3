//! What an enclave says to its parent beside the frames: that its image has come up, and where it panicked.
//!
//! Both are for the log alone, and nothing is decided by them. On Nitro it is nitro-cli that answers the heartbeat of the enclave that it
//! starts, so the host listens for it only where another launcher is used. What comes in is bounded in bytes, time, connections and lines.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::error::Error;
use crate::listen::SocketPath;
use crate::listen::enclaves::{Enclaves, Vsock, bind};

/// Longest line of last words in bytes, without its end.
pub(crate) const LAST_WORDS_BYTES_MAX: usize = 256;
/// Most connections at once to each listener; more wait in the kernel.
pub(crate) const PARENT_CONNECTIONS_MAX: usize = 8;
/// Longest life of a connection.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(2);
/// Most lines of one enclave in each minute. An image says at most eight before it ends.
pub(crate) const LINES_PER_MINUTE_MAX: u32 = 16;
/// What a heartbeat is.
const HEARTBEAT: u8 = 0xB7;

/// The listeners that the configuration asks for.
pub(crate) struct Listeners<V = tokio_vsock::VsockListener> {
    pub(crate) heartbeat: Option<Enclaves<V>>,
    pub(crate) last_words: Option<Enclaves<V>>,
}

impl Listeners {
    /// Listens. The sockets' paths go with the second value.
    ///
    /// # Errors
    /// Where a path or port cannot be used.
    pub(crate) fn bind(config: &Config) -> Result<(Self, Vec<SocketPath>), Error> {
        let mut paths = Vec::new();
        let mut bind = |at: &Option<_>| {
            let Some(at) = at else { return Ok::<_, Error>(None) };
            let (listener, path) = bind(at, &config.enclaves)?;
            paths.extend(path);
            Ok(Some(listener))
        };
        let heartbeat = bind(&config.parent.heartbeat)?;
        let last_words = bind(&config.parent.last_words)?;
        Ok((Self { heartbeat, last_words }, paths))
    }
}

impl<V: Vsock> Listeners<V> {
    /// Serves until it is dropped.
    pub(crate) async fn serve(self) {
        tokio::join!(serve(self.heartbeat, Kind::Heartbeat), serve(self.last_words, Kind::LastWords));
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Heartbeat,
    LastWords,
}

async fn serve<V: Vsock>(enclaves: Option<Enclaves<V>>, kind: Kind) {
    let Some(enclaves) = enclaves else { return };
    let room = Arc::new(Semaphore::new(PARENT_CONNECTIONS_MAX));
    let lines = Arc::new(Lines::default());
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let arrival = enclaves.accept().await;
        let lines = Arc::clone(&lines);
        connections.spawn(async move {
            let hear = hear(kind, arrival.stream, arrival.cid, &lines);
            if tokio::time::timeout(CONNECTION_TIME_MAX, hear).await != Ok(true) {
                tracing::debug!(name: "an enclave said nothing that is expected", cid = arrival.cid);
            }
            drop(permit);
        });
    }
}

/// Whether what came is what should have. The connection ends after the log has it.
async fn hear(kind: Kind, mut enclave: impl AsyncRead + AsyncWrite + Unpin, cid: Option<u32>, lines: &Lines) -> bool {
    match kind {
        Kind::Heartbeat => {
            let beat = beat(&mut enclave).await;
            if beat && lines.admit(cid, Instant::now()) {
                tracing::info!(name: "an enclave's image has come up", cid);
            }
            beat
        }
        Kind::LastWords => {
            let line = line(&mut enclave).await;
            if let Some(words) = &line
                && lines.admit(cid, Instant::now())
            {
                tracing::warn!(name: "an enclave's last words", cid, words = words.as_str());
            }
            line.is_some()
        }
    }
}

/// Sends a heartbeat back.
async fn beat(enclave: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> bool {
    matches!(enclave.read_u8().await, Ok(HEARTBEAT))
        && enclave.write_all(&[HEARTBEAT]).await.is_ok()
        && enclave.flush().await.is_ok()
}

/// One line, with everything but visible ASCII escaped; nothing where it is empty, longer than the limit or without an end.
async fn line(enclave: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::with_capacity(LAST_WORDS_BYTES_MAX + 1);
    let mut rest = enclave.take(LAST_WORDS_BYTES_MAX as u64 + 1);
    loop {
        let before = bytes.len();
        if rest.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = bytes.iter().skip(before).position(|byte| *byte == b'\n') {
            bytes.truncate(before + end);
            return (!bytes.is_empty()).then(|| bytes.escape_ascii().to_string());
        }
    }
}

/// How many lines of each enclave the log has had in its current minute. Only configured enclaves come this far, so it stays small.
#[derive(Default)]
struct Lines(Mutex<BTreeMap<Option<u32>, (Instant, u32)>>);

impl Lines {
    fn admit(&self, cid: Option<u32>, now: Instant) -> bool {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, count) = lines.entry(cid).or_insert((now, 0));
        if now.saturating_duration_since(*began) >= Duration::from_mins(1) {
            (*began, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= LINES_PER_MINUTE_MAX
    }
}

#[cfg(test)]
mod tests;
