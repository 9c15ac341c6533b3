//! The core's outside world: the enclave's clock, randomness, its NSM, and the lock around the caches.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use strongroom_core::{Caches, EnclaveTime, Platform, Unavailable};

use crate::clock::Clock;
use crate::nsm::{AttestRequest, Nsm};
use crate::xwing::XWing;

/// What one enclave process gives to its core.
pub struct RuntimePlatform {
    clock: Clock,
    nsm: Arc<dyn Nsm>,
    random: SystemRandom,
    caches: Mutex<Caches<XWing>>,
}

impl RuntimePlatform {
    /// A platform with empty caches. The entropy of `nsm` must have been mixed in before.
    #[must_use]
    pub fn new(clock: Clock, nsm: Arc<dyn Nsm>) -> Self {
        Self { clock, nsm, random: SystemRandom::new(), caches: Mutex::new(Caches::new()) }
    }
}

impl Platform for RuntimePlatform {
    type Kem = XWing;

    fn now(&self) -> Result<EnclaveTime, Unavailable> {
        self.clock.now_ms().filter(|_| self.clock.is_fresh()).map(EnclaveTime).ok_or(Unavailable("clock"))
    }

    fn random(&self, out: &mut [u8]) -> Result<(), Unavailable> {
        self.random.fill(out).map_err(|_| Unavailable("entropy"))
    }

    fn attest(&self, user_data: &[u8], nonce: Option<&[u8]>) -> Result<Vec<u8>, Unavailable> {
        let request = AttestRequest { public_key: None, user_data: Some(user_data), nonce };
        self.nsm.attest(&request).map_err(|_| Unavailable("attestation"))
    }

    /// A thread that panics ends the process, so no lock is ever left poisoned.
    fn with_caches<T>(&self, f: impl FnOnce(&mut Caches<XWing>) -> T) -> T {
        f(&mut self.caches.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::ANCHOR_AGE_MAX;
    use crate::testing::FakeNsm;

    #[test]
    fn the_core_gets_no_time_from_a_clock_that_was_not_anchored_for_long() {
        let now = |clock| RuntimePlatform::new(clock, Arc::new(FakeNsm::ready())).now();
        assert_eq!(now(Clock::default()), Err(Unavailable("clock")));
        assert_eq!(now(Clock::anchored_before(ANCHOR_AGE_MAX + Duration::from_millis(1))), Err(Unavailable("clock")));
        assert!(now(Clock::anchored_before(Duration::from_secs(1))).is_ok());
    }
}
