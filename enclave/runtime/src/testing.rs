//! What the unit tests share: a module that signs nothing, and files that vanish.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA384, digest};

use crate::measure::PCR_BYTES;
use crate::nsm::{AttestRequest, Nsm, NsmError};
use crate::transport::Dial;

/// A module with scripted randomness and documents that carry a time and no signature.
#[derive(Default)]
pub(crate) struct FakeNsm {
    pub(crate) random: Mutex<Vec<Vec<u8>>>,
    pub(crate) time_ms: AtomicU64,
    /// Each extension and lock, in order.
    pub(crate) pcr_calls: Mutex<Vec<(&'static str, u16, Vec<u8>)>>,
    /// The `public_key` of the newest document.
    pub(crate) public_key: Mutex<Vec<u8>>,
    /// What PCR16 held before the enclave began; all zero where empty.
    pub(crate) pcr16: Vec<u8>,
    /// Calls to extend or lock from this number on fail.
    pub(crate) pcr_calls_max: Option<usize>,
}

impl FakeNsm {
    /// Answers with these, in order, and then fails.
    pub(crate) fn with_random(mut answers: Vec<Vec<u8>>) -> Self {
        answers.reverse();
        Self { random: Mutex::new(answers), time_ms: AtomicU64::new(1_700_000_000_000), ..Self::default() }
    }

    /// A module with enough randomness to boot.
    pub(crate) fn ready() -> Self {
        Self::with_random(vec![(0..32).collect(), (1..33).collect()])
    }

    fn pcr(&self, call: &'static str, index: u16, data: &[u8]) -> Result<(), NsmError> {
        let mut calls = self.pcr_calls.lock().unwrap();
        if self.pcr_calls_max.is_some_and(|max| calls.len() >= max) {
            return Err(NsmError::ReadOnlyIndex);
        }
        calls.push((call, index, data.to_vec()));
        Ok(())
    }
}

impl Nsm for FakeNsm {
    fn random(&self) -> Result<Vec<u8>, NsmError> {
        self.random.lock().unwrap().pop().ok_or(NsmError::InternalError)
    }

    fn extend_pcr(&self, index: u16, data: &[u8]) -> Result<Vec<u8>, NsmError> {
        self.pcr("extend", index, data)?;
        let before = if self.pcr16.is_empty() { vec![0; PCR_BYTES] } else { self.pcr16.clone() };
        Ok(digest(&SHA384, &[before.as_slice(), data].concat()).as_ref().to_vec())
    }

    fn lock_pcr(&self, index: u16) -> Result<(), NsmError> {
        self.pcr("lock", index, &[])
    }

    fn attest(&self, request: &AttestRequest<'_>) -> Result<Vec<u8>, NsmError> {
        *self.public_key.lock().unwrap() = request.public_key.unwrap_or_default().to_vec();
        let mut payload = vec![0xa1, 0x69];
        payload.extend_from_slice(b"timestamp");
        payload.push(0x1b);
        payload.extend_from_slice(&self.time_ms.load(Ordering::Relaxed).to_be_bytes());
        let mut document = vec![0x84, 0x40, 0xa0, 0x58, u8::try_from(payload.len()).unwrap()];
        document.extend_from_slice(&payload);
        document.push(0x40);
        Ok(document)
    }
}

/// An empty file in the temporary folder, removed when dropped.
pub(crate) struct TemporaryFile(PathBuf);

pub(crate) fn temporary_file(name: &str) -> TemporaryFile {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("strongroom-{}-{number}-{name}", std::process::id()));
    std::fs::write(&path, []).unwrap();
    TemporaryFile(path)
}

impl TemporaryFile {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A relay that nobody listens at.
pub(crate) struct NoRelay;

impl Dial for NoRelay {
    type Stream = tokio::io::DuplexStream;

    async fn connect(&self) -> std::io::Result<Self::Stream> {
        Err(std::io::ErrorKind::ConnectionRefused.into())
    }
}
