//! The enclave's time: the `timestamp` of its NSM's documents plus the monotonic clock.
//!
//! It never goes backwards and never reads the host's wall clock. Before the first document is
//! read there is no time, and whoever needs one must wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use minicbor::data::Type;
use minicbor::{Decoder, decode};

use crate::error::RuntimeError;
use crate::nsm::{AttestRequest, Nsm};

/// Time between two readings of the NSM's time.
pub const ANCHOR_INTERVAL: Duration = Duration::from_mins(1);

/// Age of the newest reading from which on the clock counts as missing.
pub const ANCHOR_AGE_MAX: Duration = Duration::from_mins(10);

/// Longest time that the module may take for a reading. A later answer would set the clock back by as much.
pub const READING_TIME_MAX: Duration = Duration::from_secs(5);

/// Entries of a document's payload that are looked at before it is refused.
const PAYLOAD_ENTRIES_MAX: u64 = 16;

/// No document was read yet. A reading is a number of milliseconds since 1970 and never this large.
const UNSET: u64 = u64::MAX;

/// A clock that all threads share.
#[derive(Clone, Debug)]
pub struct Clock(Arc<State>);

#[derive(Debug)]
struct State {
    /// Where the monotonic readings below start.
    origin: Instant,
    /// Time at `origin` by the newest document, in milliseconds, or `UNSET`.
    offset_ms: AtomicU64,
    /// Monotonic milliseconds at which the newest document was read.
    anchored_ms: AtomicU64,
    /// The latest time that was ever given out.
    latest_ms: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(State {
            origin: Instant::now(),
            offset_ms: AtomicU64::new(UNSET),
            anchored_ms: AtomicU64::new(0),
            latest_ms: AtomicU64::new(0),
        }))
    }
}

impl Clock {
    /// Milliseconds since the Unix epoch, or nothing before the first anchor.
    #[must_use]
    pub fn now_ms(&self) -> Option<u64> {
        let offset = self.0.offset_ms.load(Ordering::Acquire);
        if offset == UNSET {
            return None;
        }
        let now = offset.saturating_add(self.elapsed_ms());
        Some(now.max(self.0.latest_ms.fetch_max(now, Ordering::AcqRel)))
    }

    /// Whether the clock was set, and not too long ago.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        let age = self.elapsed_ms().saturating_sub(self.0.anchored_ms.load(Ordering::Acquire));
        self.now_ms().is_some() && Duration::from_millis(age) <= ANCHOR_AGE_MAX
    }

    /// The same time as a `SystemTime`, for libraries that want one.
    #[must_use]
    pub fn system_time(&self) -> Option<SystemTime> {
        self.now_ms().map(|ms| UNIX_EPOCH + Duration::from_millis(ms))
    }

    /// Reads the time from a fresh document of the enclave's own NSM.
    ///
    /// # Errors
    /// As the NSM answers, or [`RuntimeError::Document`] where its answer has no timestamp or took longer than
    /// [`READING_TIME_MAX`].
    pub fn anchor(&self, nsm: &dyn Nsm) -> Result<(), RuntimeError> {
        let asked_ms = self.elapsed_ms();
        let document = nsm.attest(&AttestRequest::default())?;
        self.take(timestamp_ms(&document)?, asked_ms)
    }

    /// Takes a reading that was asked for at `asked_ms` of the monotonic clock.
    fn take(&self, timestamp_ms: u64, asked_ms: u64) -> Result<(), RuntimeError> {
        if Duration::from_millis(self.elapsed_ms().saturating_sub(asked_ms)) > READING_TIME_MAX {
            return Err(RuntimeError::Document("came too late to set the clock"));
        }
        // The document is older than now, so the clock may lag by the call's duration; it never leads.
        self.set(timestamp_ms);
        Ok(())
    }

    pub(crate) fn set(&self, timestamp_ms: u64) {
        let elapsed = self.elapsed_ms();
        self.0.anchored_ms.store(elapsed, Ordering::Release);
        self.0.offset_ms.store(timestamp_ms.saturating_sub(elapsed), Ordering::Release);
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.0.origin.elapsed().as_millis()).unwrap_or(UNSET)
    }
}

impl rustls::time_provider::TimeProvider for Clock {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        let ms = self.now_ms()?;
        Some(rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_millis(ms)))
    }
}

impl aws_smithy_async::time::TimeSource for Clock {
    /// The KMS client starts only when the clock is set; before that, requests carry the epoch and are refused.
    fn now(&self) -> SystemTime {
        self.system_time().unwrap_or(UNIX_EPOCH)
    }
}

/// The `timestamp` of a document that this enclave's own NSM made; no signature is checked.
fn timestamp_ms(document: &[u8]) -> Result<u64, RuntimeError> {
    match find_timestamp(document) {
        Ok(Some(ms)) if ms > 0 && ms < UNSET => Ok(ms),
        Ok(_) => Err(RuntimeError::Document("no timestamp")),
        Err(_) => Err(RuntimeError::Document("not of the form of RFC 9052")),
    }
}

fn find_timestamp(document: &[u8]) -> Result<Option<u64>, decode::Error> {
    let mut outer = Decoder::new(document);
    if outer.array()? != Some(4) {
        return Ok(None);
    }
    outer.skip()?;
    outer.skip()?;
    let mut payload = Decoder::new(outer.bytes()?);
    let entries = payload.map()?;
    for _ in 0..entries.unwrap_or(PAYLOAD_ENTRIES_MAX).min(PAYLOAD_ENTRIES_MAX) {
        if payload.datatype()? == Type::Break {
            break;
        }
        if payload.str()? == "timestamp" {
            return payload.u64().map(Some);
        }
        payload.skip()?;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeNsm;

    impl Clock {
        /// A clock whose newest reading is `age` old.
        pub(crate) fn anchored_before(age: Duration) -> Self {
            let clock = Self(Arc::new(State {
                origin: Instant::now().checked_sub(age).unwrap(),
                offset_ms: AtomicU64::new(1_700_000_000_000),
                anchored_ms: AtomicU64::new(0),
                latest_ms: AtomicU64::new(0),
            }));
            assert!(clock.now_ms().is_some());
            clock
        }
    }

    /// A document with `payload` in the place of the signed one.
    fn document(payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0x84, 0x40, 0xa0, 0x58, u8::try_from(payload.len()).unwrap()];
        out.extend_from_slice(payload);
        out.extend_from_slice(&[0x40]);
        out
    }

    fn payload(head: u8, tail: &[u8]) -> Vec<u8> {
        let mut out = vec![head, 0x66];
        out.extend_from_slice(b"digest");
        out.extend_from_slice(&[0x66]);
        out.extend_from_slice(b"SHA384");
        out.push(0x69);
        out.extend_from_slice(b"timestamp");
        out.extend_from_slice(&[0x1b, 0, 0, 1, 0x8b, 0, 0, 0, 5]);
        out.extend_from_slice(tail);
        out
    }

    fn check(document: &[u8], expect: Option<u64>) {
        assert_eq!(timestamp_ms(document).ok(), expect);
    }

    #[test]
    fn timestamps_of_both_map_forms_are_read_and_all_else_is_refused() {
        check(&document(&payload(0xa2, &[])), Some(0x018b_0000_0005));
        check(&document(&payload(0xbf, &[0xff])), Some(0x018b_0000_0005));
        check(&[], None);
        check(&document(&[0xa0]), None);
        check(&document(&[0xbf, 0xff]), None);
        check(&document(&[0x9f; 200]), None);
        check(&[0x83, 0x40, 0xa0, 0x40], None);
        let whole = document(&payload(0xa2, &[]));
        for end in 0..whole.len() - 1 {
            check(&whole[..end], None);
        }
    }

    #[test]
    fn real_documents_give_their_time() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/nitro-attestation");
        let Ok(entries) = std::fs::read_dir(folder) else {
            assert!(std::env::var_os("CI").is_none(), "{folder} is absent");
            println!("skipped: {folder} is absent");
            return;
        };
        for entry in
            entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "bin"))
        {
            let ms = timestamp_ms(&std::fs::read(&entry).unwrap()).unwrap();
            assert!((1_600_000_000_000..1_900_000_000_000).contains(&ms), "{}: {ms}", entry.display());
        }
    }

    #[test]
    fn time_starts_with_the_first_anchor_and_never_goes_back() {
        let clock = Clock::default();
        assert_eq!(clock.now_ms(), None);
        assert!(!clock.is_fresh());
        clock.set(1_700_000_000_000);
        let first = clock.now_ms().unwrap();
        assert!((1_700_000_000_000..1_700_000_005_000).contains(&first));
        assert!(clock.is_fresh());
        clock.set(1_600_000_000_000);
        assert!(clock.now_ms().unwrap() >= first);
        clock.set(1_800_000_000_000);
        assert!(clock.now_ms().unwrap() >= 1_800_000_000_000);
    }

    #[test]
    fn a_clock_that_was_not_anchored_for_long_counts_as_missing() {
        let clock = Clock::anchored_before(ANCHOR_AGE_MAX.saturating_sub(Duration::from_secs(5)));
        assert!(clock.is_fresh());
        let clock = Clock::anchored_before(ANCHOR_AGE_MAX + Duration::from_millis(1));
        assert!(!clock.is_fresh());
        assert!(clock.now_ms().is_some(), "TLS to KMS still has a time, decisions have none");
        clock.anchor(&FakeNsm::ready()).unwrap();
        assert!(clock.is_fresh());
    }

    #[test]
    fn a_reading_that_the_module_took_too_long_for_does_not_set_the_clock() {
        let clock = Clock::anchored_before(ANCHOR_AGE_MAX + Duration::from_millis(1));
        let ago = |time: Duration| clock.elapsed_ms() - u64::try_from(time.as_millis()).unwrap();
        let late = clock.take(1_700_000_000_000, ago(READING_TIME_MAX + Duration::from_millis(1)));
        assert_eq!(late.unwrap_err().to_string(), "attestation document: came too late to set the clock");
        assert!(!clock.is_fresh());
        clock.take(1_700_000_000_000, ago(READING_TIME_MAX / 2)).unwrap();
        assert!(clock.is_fresh());
    }
}
