//! The Nitro Secure Module as the runtime uses it: four of its calls, with its own error codes.
//!
//! The production binary implements this over `/dev/nsm`, the simulated enclave over a module in
//! software that signs under a test root. Nothing here decides anything.

use thiserror::Error;

/// Number of the PCR that the manifest extends.
pub const MANIFEST_PCR: u16 = 16;

/// One past the highest PCR.
pub const PCR_COUNT: u16 = 32;

/// Longest `public_key` that an attestation document takes, in bytes.
pub const PUBLIC_KEY_BYTES_MAX: usize = 1024;

/// Longest `user_data` and `nonce` that an attestation document takes, in bytes.
pub const USER_DATA_BYTES_MAX: usize = 512;

/// The optional fields of an attestation document that its requester chooses.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttestRequest<'a> {
    /// Public key that KMS encrypts its answer to, as SPKI DER.
    pub public_key: Option<&'a [u8]>,
    /// Data that the document binds, at most 512 bytes.
    pub user_data: Option<&'a [u8]>,
    /// The verifier's nonce, at most 512 bytes.
    pub nonce: Option<&'a [u8]>,
}

/// What the module answers instead of a result: the NSM API's `ErrorCode`, and the driver's own failure.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
pub enum NsmError {
    /// An argument is not of the call's form.
    #[error("NSM: invalid argument")]
    InvalidArgument,
    /// A PCR index that does not exist.
    #[error("NSM: invalid index")]
    InvalidIndex,
    /// A locked PCR cannot be extended or locked again.
    #[error("NSM: the PCR is locked")]
    ReadOnlyIndex,
    /// The call is not possible in the module's state.
    #[error("NSM: invalid operation")]
    InvalidOperation,
    /// The answer does not fit.
    #[error("NSM: buffer too small")]
    BufferTooSmall,
    /// A field is longer than the module takes.
    #[error("NSM: input too large")]
    InputTooLarge,
    /// The module failed.
    #[error("NSM: internal error")]
    InternalError,
    /// The device could not be opened or answered in another form.
    #[error("NSM device: {0}")]
    Device(&'static str),
}

/// The security module of one enclave.
pub trait Nsm: Send + Sync + 'static {
    /// Random bytes of the module, at least 32 and at most 256.
    ///
    /// # Errors
    /// As the module answers.
    fn random(&self) -> Result<Vec<u8>, NsmError>;

    /// Sets PCR `index` to SHA-384(old value ‖ `data`) and returns the new value, 48 bytes.
    ///
    /// # Errors
    /// [`NsmError::ReadOnlyIndex`] where the PCR is locked.
    fn extend_pcr(&self, index: u16, data: &[u8]) -> Result<Vec<u8>, NsmError>;

    /// Locks PCR `index` until the enclave ends; from then on documents list it.
    ///
    /// # Errors
    /// [`NsmError::ReadOnlyIndex`] where the PCR is locked already.
    fn lock_pcr(&self, index: u16) -> Result<(), NsmError>;

    /// A fresh attestation document: `COSE_Sign1`, ES384, under the module's certificate chain.
    ///
    /// # Errors
    /// [`NsmError::InputTooLarge`] where a field is longer than its limit.
    fn attest(&self, request: &AttestRequest<'_>) -> Result<Vec<u8>, NsmError>;
}
