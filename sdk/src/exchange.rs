//! What a tenant's devices, backend and MPC servers hand each other. None of it is on the service's wire, and none is a secret: shares
//! are in it sealed only.

use prost::Message;
use strongroom_proto::canonical;
use strongroom_proto::limits::{CIPHERTEXT_BYTES_MAX, INTENT_BYTES_MAX, MESSAGE_BYTES_MAX, PAIRS_MAX};
use strongroom_proto::v1::{
    Assertion, ClientCiphertext, NewCredential, Pair, SignedReceipt, Storage, StoredShare, TenantSignature,
};

use crate::error::Error;
use crate::receipt::RECEIPT_BYTES_MAX;

/// Longest of these messages in bytes: one sealed message or release, every pair's ciphertext or sealed share, an intent, consents and
/// receipts.
pub const EXCHANGE_BYTES_MAX: usize =
    MESSAGE_BYTES_MAX + PAIRS_MAX * (CIPHERTEXT_BYTES_MAX + 256) + INTENT_BYTES_MAX + 2 * RECEIPT_BYTES_MAX + 16 * 1024;

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
    /// Who keeps the client's part.
    #[prost(enumeration = "Storage", tag = "6")]
    pub storage: i32,
    /// Of a key in escrow: what it encrypts.
    #[prost(message, repeated, tag = "7")]
    pub client_ciphertexts: Vec<ClientCiphertext>,
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
    /// Where the device keeps them: its sealed shares.
    #[prost(message, repeated, tag = "3")]
    pub client_shares: Vec<StoredShare>,
}

/// From the device to the backend, for a backup whose client share no enclave keeps: what the device encrypted itself. The backend makes
/// the custodian's record beside it.
#[derive(Clone, PartialEq, Message)]
pub struct OwnCiphertexts {
    /// The wallet.
    #[prost(string, tag = "1")]
    pub wallet: String,
    /// The backup.
    #[prost(string, tag = "2")]
    pub backup: String,
    /// Its method.
    #[prost(string, tag = "3")]
    pub method: String,
    /// Of a new generation: the record, 32 bytes; empty for a new backup.
    #[prost(bytes = "vec", tag = "4")]
    pub record_id: Vec<u8>,
    /// The generation that they were made for.
    #[prost(uint64, tag = "5")]
    pub generation: u64,
    /// The pairs, in order of their ids.
    #[prost(message, repeated, tag = "6")]
    pub pairs: Vec<Pair>,
    /// One for each pair, in the same order.
    #[prost(message, repeated, tag = "7")]
    pub ciphertexts: Vec<ClientCiphertext>,
    /// Who keeps them.
    #[prost(enumeration = "Storage", tag = "8")]
    pub storage: i32,
}

/// From the backend to the device: the act that the backend made and signed alone, and what the host answered.
#[derive(Clone, PartialEq, Message)]
pub struct SentAlone {
    /// Encoded intent.
    #[prost(bytes = "vec", tag = "1")]
    pub intent: Vec<u8>,
    /// The tenant's signature over it.
    #[prost(message, optional, tag = "2")]
    pub tenant_signature: Option<TenantSignature>,
    /// The custodian role's receipt.
    #[prost(message, repeated, tag = "3")]
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
