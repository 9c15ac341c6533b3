//! What the core needs from outside: time, randomness, attestation, and a place for its caches.

use alloc::vec::Vec;

use crate::cache::Caches;
use crate::suite::Suite;

/// Milliseconds since the Unix epoch by the enclave's own clock, never the host's.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct EnclaveTime(pub u64);

/// Something that the platform gives is missing at the moment; names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unavailable(pub &'static str);

/// The outside world of one enclave.
pub trait Platform {
    /// The code behind the two costliest primitives.
    type Suite: Suite;

    /// The enclave's time.
    ///
    /// # Errors
    /// Before the enclave has one.
    fn now(&self) -> Result<EnclaveTime, Unavailable>;

    /// Fills `out` from a cryptographic generator that the NSM's entropy was mixed into.
    ///
    /// # Errors
    /// Where the generator fails; `out` is then not to be used.
    fn random(&self, out: &mut [u8]) -> Result<(), Unavailable>;

    /// A fresh attestation document with this `user_data`, this `nonce`, and no `public_key`.
    ///
    /// # Errors
    /// Where the NSM fails.
    fn attest(&self, user_data: &[u8], nonce: Option<&[u8]>) -> Result<Vec<u8>, Unavailable>;

    /// Runs `f` on the caches, which all workers of the process share. `f` is short and does not call the platform.
    fn with_caches<T>(&self, f: impl FnOnce(&mut Caches<Self::Suite>) -> T) -> T;
}
