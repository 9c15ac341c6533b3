//! Why a request is refused: one reason of the API, and a sentence that names the field and the limit.

use alloc::string::String;
use alloc::vec::Vec;

use prost::Message;
use strongroom_proto::enclave::v1::{Error, Response, response::Body};
use strongroom_proto::v1::Reason;

use crate::platform::Unavailable;

/// A refused request. The detail never holds a secret or bytes of the request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The stable id that the caller sees.
    pub reason: Reason,
    /// Names the field and the limit.
    pub detail: String,
    /// When to try again, in milliseconds; 0 where that does not help.
    pub retry_after_ms: u32,
}

/// A refusal that trying again does not change.
#[must_use]
pub fn refuse(reason: Reason, detail: impl Into<String>) -> Refusal {
    Refusal { reason, detail: detail.into(), retry_after_ms: 0 }
}

/// A request that breaks a rule of form.
pub(crate) fn bad(detail: impl Into<String>) -> Refusal {
    refuse(Reason::BadRequest, detail)
}

impl Refusal {
    /// The refusal as an encoded Response.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let error = Error { reason: self.reason.into(), detail: self.detail, retry_after_ms: self.retry_after_ms };
        Response { body: Some(Body::Error(error)) }.encode_to_vec()
    }
}

/// How long to wait for something that the platform lacks.
const PLATFORM_RETRY_MS: u32 = 1000;

impl From<Unavailable> for Refusal {
    fn from(missing: Unavailable) -> Self {
        Self { reason: Reason::EnclaveUnavailable, detail: missing.0.into(), retry_after_ms: PLATFORM_RETRY_MS }
    }
}
