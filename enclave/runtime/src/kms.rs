//! KMS from inside the enclave: TLS ends here, the host only relays bytes.
//!
//! Every answer is checked for its key, its form and its recipient before anything is taken from
//! it. No call of this module returns a data key that KMS showed in plain.

mod ber;
pub mod client;
pub mod connector;
pub mod credentials;
pub mod envelope;
mod failure;
pub mod recipient;
pub mod service;
pub mod tls;

use std::time::Duration;

use strongroom_core::KmsFailure;
use thiserror::Error;

/// Why a call to KMS gave nothing.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
pub enum KmsError {
    /// KMS, or the key's policy, refuses the call; the code is KMS's own.
    #[error("KMS refused: {0}")]
    Denied(&'static str),
    /// KMS cannot unwrap these bytes in this context.
    #[error("KMS does not unwrap this")]
    NotUnwrapped,
    /// KMS asks for fewer calls.
    #[error("KMS throttles")]
    Throttled {
        /// When to try again.
        retry_after: Duration,
    },
    /// KMS was not reached or did not answer; trying again may help.
    #[error("KMS unavailable: {0}")]
    Unavailable(&'static str),
    /// An answer that fails the named check. Nothing of it was used.
    #[error("KMS answer refused: {0}")]
    BadReply(&'static str),
    /// The key's policy allows the named call to whoever has no attestation document.
    #[error("the key policy allows {0} without attestation")]
    Unguarded(&'static str),
    /// KMS does not say that the named call is denied to whoever has no attestation document.
    #[error("{operation} without attestation is not known to be denied: {why}")]
    Unproven {
        /// The call.
        operation: &'static str,
        /// What KMS says instead: its own code, or a check that its answer fails.
        why: &'static str,
    },
    /// Too many calls wait already.
    #[error("too many KMS calls wait")]
    Overloaded,
}

impl From<KmsError> for KmsFailure {
    fn from(error: KmsError) -> Self {
        match error {
            KmsError::Denied(_) => Self::Denied,
            KmsError::NotUnwrapped => Self::NotUnwrapped,
            KmsError::Throttled { retry_after } => {
                Self::Throttled { retry_after_ms: u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX) }
            }
            KmsError::Unavailable(reason) => Self::Unavailable(reason),
            KmsError::BadReply(check) => Self::BadReply(check),
            // Only boot asks for these, and no request goes to KMS before it.
            KmsError::Unguarded(_) | KmsError::Unproven { .. } => Self::Unavailable("the key's policy is not usable"),
            KmsError::Overloaded => Self::Overloaded,
        }
    }
}
