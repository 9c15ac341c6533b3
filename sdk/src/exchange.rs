//! What a tenant's devices, backend and MPC servers hand each other. None of it is on the service's wire, and none is a secret: shares
//! are in it sealed only.

use prost::Message;
use strongroom_proto::canonical;
use strongroom_proto::limits::{INTENT_BYTES_MAX, MESSAGE_BYTES_MAX};
use strongroom_proto::v1::{Assertion, NewCredential, SignedReceipt, TenantSignature};

use crate::error::Error;
use crate::receipt::RECEIPT_BYTES_MAX;

/// Longest of these messages in bytes: one sealed message or release, an intent, consents and receipts.
pub const EXCHANGE_BYTES_MAX: usize = MESSAGE_BYTES_MAX + INTENT_BYTES_MAX + 2 * RECEIPT_BYTES_MAX + 16 * 1024;

/// From the backend to the device: what it sealed for the custodian role, for one draft.
#[derive(Clone, PartialEq, Message)]
pub struct CustodianSeal {
    /// Hash of the draft, as of any intent.
    #[prost(bytes = "vec", tag = "1")]
    pub draft: Vec<u8>,
    /// SHA-256 of the sealed message, 32 bytes. The backend keeps the message.
    #[prost(bytes = "vec", tag = "2")]
    pub message_hash: Vec<u8>,
    /// Epoch of the channel key that it is sealed to.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
}

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

/// From the device to the backend: the draft with both message hashes, and the passkey's consent to it.
#[derive(Clone, PartialEq, Message)]
pub struct SignedDraft {
    /// Encoded intent.
    #[prost(bytes = "vec", tag = "1")]
    pub intent: Vec<u8>,
    /// The passkey's assertion over it.
    #[prost(message, optional, tag = "2")]
    pub assertion: Option<Assertion>,
    /// Of a creation: its first credential.
    #[prost(message, optional, tag = "3")]
    pub credential: Option<NewCredential>,
    /// The message sealed for the client role.
    #[prost(bytes = "vec", tag = "4")]
    pub client_message: Vec<u8>,
    /// Epoch of the channel key that it is sealed to.
    #[prost(uint64, tag = "5")]
    pub client_epoch: u64,
}

/// From the backend to the device: what the host answered to what both signed.
#[derive(Clone, PartialEq, Message)]
pub struct SentDraft {
    /// The tenant's signature over the same intent.
    #[prost(message, optional, tag = "1")]
    pub tenant_signature: Option<TenantSignature>,
    /// One receipt for each role.
    #[prost(message, repeated, tag = "2")]
    pub receipts: Vec<SignedReceipt>,
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
