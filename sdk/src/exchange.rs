//! What a tenant's devices, backend and MPC servers hand each other. The host sees none of it, and none is a secret: shares are in it
//! sealed only.

use prost::Message;
use strongroom_proto::canonical;
use strongroom_proto::limits::{CIPHERTEXT_BYTES_MAX, INTENT_BYTES_MAX, MESSAGE_BYTES_MAX, PAIRS_MAX};
use strongroom_proto::v1::SignedReceipt;
pub use strongroom_proto::v1::{CustodianSeal, OwnCiphertexts, SentAlone, SentDraft, SignedDraft};

use crate::error::Error;
use crate::receipt::RECEIPT_BYTES_MAX;

/// Longest of these messages in bytes: one sealed message or release, every pair's ciphertext or sealed share, an intent, consents and
/// receipts.
pub const EXCHANGE_BYTES_MAX: usize =
    MESSAGE_BYTES_MAX + PAIRS_MAX * (CIPHERTEXT_BYTES_MAX + 256) + INTENT_BYTES_MAX + 2 * RECEIPT_BYTES_MAX + 16 * 1024;

/// What the backend keeps between a draft and its signature.
#[derive(Clone, PartialEq, Message)]
pub struct HeldDraft {
    /// The draft as the backend checked it: an intent with empty message hashes.
    #[prost(bytes = "vec", tag = "1")]
    pub draft: Vec<u8>,
    /// The message that it sealed for the custodian role.
    #[prost(bytes = "vec", tag = "2")]
    pub message: Vec<u8>,
    /// Epoch of the channel key that it is sealed to.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
}

/// From whoever asked for a release to the MPC server that it is sealed to.
#[derive(Clone, PartialEq, Message)]
pub struct Delivery {
    /// Encoded intent that asked for it.
    #[prost(bytes = "vec", tag = "1")]
    pub intent: Vec<u8>,
    /// The custodian role's receipt.
    #[prost(message, optional, tag = "2")]
    pub receipt: Option<SignedReceipt>,
    /// The sealed release.
    #[prost(bytes = "vec", tag = "3")]
    pub release: Vec<u8>,
}

/// Reads one of these messages in its one encoding. Nothing is verified yet.
///
/// # Errors
/// [`Error::Malformed`] names `part`.
pub fn read<M: Message + Default>(part: &'static str, bytes: &[u8]) -> Result<M, Error> {
    canonical::decode(bytes, EXCHANGE_BYTES_MAX).map_err(|error| Error::malformed(part, error))
}
