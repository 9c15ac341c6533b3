//! The Nitro Secure Module in software: real PCR rules and error codes, documents signed under a
//! development root.

use crate::authority::Authority;
use crate::certificates::Chain;
use crate::document::{Content, MapEncoding, make};
use crate::error::SimulatedError;
use crate::measurements::Measurements;
use crate::pcrs::PcrBank;
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use strongroom_runtime::nsm::{AttestRequest, Nsm, NsmError, PUBLIC_KEY_BYTES_MAX, USER_DATA_BYTES_MAX};
use time::OffsetDateTime;

/// Bytes of one answer of `GetRandom`.
const RANDOM_BYTES: usize = 256;

/// The module's own clock: milliseconds since 1970-01-01T00:00:00Z.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The NSM of one simulated enclave. It forgets its PCRs when dropped, as a real one does.
pub struct SimulatedNsm {
    authority: Authority,
    module_id: String,
    encoding: MapEncoding,
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    pcrs: PcrBank,
    chain: Chain,
}

impl SimulatedNsm {
    /// The NSM of an enclave that runs `image`, at the system's time.
    ///
    /// # Errors
    /// [`SimulatedError::Certificate`].
    pub fn new(authority: Authority, image: &Measurements) -> Result<Self, SimulatedError> {
        Self::with_clock(authority, image, Arc::new(system_time_ms))
    }

    /// As [`SimulatedNsm::new`], with another clock.
    ///
    /// # Errors
    /// [`SimulatedError::Certificate`].
    pub fn with_clock(authority: Authority, image: &Measurements, clock: Clock) -> Result<Self, SimulatedError> {
        let mut id = [0; 16];
        SystemRandom::new().fill(&mut id).map_err(|_| rcgen::Error::RingUnspecified)?;
        let id = hex::encode(id);
        let instance_id = format!("i-{}", &id[..17]);
        let module_id = format!("{instance_id}-enc{}", &id[16..]);
        let chain = Chain::issue(&authority, &module_id, date(clock()))?;
        let state = Mutex::new(State { pcrs: PcrBank::new(image, &instance_id), chain });
        Ok(Self { authority, module_id, encoding: MapEncoding::default(), clock, state })
    }

    /// Sets how documents encode their map.
    #[must_use]
    pub fn with_map_encoding(mut self, encoding: MapEncoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// The module's name, as documents have it.
    #[must_use]
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// No call leaves the state half changed, so a panic elsewhere does not spoil it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nsm for SimulatedNsm {
    fn random(&self) -> Result<Vec<u8>, NsmError> {
        let mut bytes = vec![0; RANDOM_BYTES];
        SystemRandom::new().fill(&mut bytes).map_err(|_| NsmError::InternalError)?;
        Ok(bytes)
    }

    fn extend_pcr(&self, index: u16, data: &[u8]) -> Result<Vec<u8>, NsmError> {
        self.state().pcrs.extend(index, data).map(|value| value.to_vec())
    }

    fn lock_pcr(&self, index: u16) -> Result<(), NsmError> {
        self.state().pcrs.lock(index)
    }

    fn attest(&self, request: &AttestRequest<'_>) -> Result<Vec<u8>, NsmError> {
        let limits = [
            (request.public_key, PUBLIC_KEY_BYTES_MAX),
            (request.user_data, USER_DATA_BYTES_MAX),
            (request.nonce, USER_DATA_BYTES_MAX),
        ];
        if limits.iter().any(|(field, max)| field.is_some_and(|bytes| bytes.len() > *max)) {
            return Err(NsmError::InputTooLarge);
        }
        if request.public_key.is_some_and(<[u8]>::is_empty) {
            return Err(NsmError::InvalidArgument);
        }
        let timestamp_ms = (self.clock)();
        let mut state = self.state();
        state.chain.renew(&self.authority, &self.module_id, date(timestamp_ms)).map_err(|_| NsmError::InternalError)?;
        let content = Content {
            module_id: &self.module_id,
            timestamp_ms,
            pcrs: state.pcrs.locked(),
            root: self.authority.root_der(),
            request,
        };
        make(&content, &state.chain, self.encoding)
    }
}

impl fmt::Debug for SimulatedNsm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedNsm").field("module_id", &self.module_id).finish_non_exhaustive()
    }
}

/// The system's time in milliseconds since 1970-01-01T00:00:00Z.
pub(crate) fn system_time_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// The whole second, as certificates have it. A time past what certificates can say becomes 1970.
fn date(ms: u64) -> OffsetDateTime {
    i64::try_from(ms / 1000)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
