//! What the host keeps in its rows, as protobuf. Ciphertext, public values and the host's own notes; never a secret.

use prost::Message;
use strongroom_proto::enclave::v1::SealedRecord;
use strongroom_proto::id::RecordId;
use strongroom_proto::v1::{OpenAct, Pair, Role, SecretKind, SignedReceipt, Storage};

use crate::error::Error;

mod books;

pub use books::{BooksRow, CiphertextRow, GenerationBook, SealNote, UnfinishedRow};

/// A tenant.
#[derive(Clone, PartialEq, Message)]
pub struct TenantRow {
    /// Ed25519 public key, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub root_key: Vec<u8>,
    /// Ed25519 public key, 32 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub standby_key: Vec<u8>,
    /// For the operator's lists.
    #[prost(string, tag = "3")]
    pub display_name: String,
    /// By the host's clock.
    #[prost(uint64, tag = "4")]
    pub created_ms: u64,
}

/// An API key; its row's key is its SHA-256.
#[derive(Clone, PartialEq, Message)]
pub struct ApiKeyRow {
    /// Whose it is, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub tenant: Vec<u8>,
    /// What the operator calls it.
    #[prost(string, tag = "2")]
    pub label: String,
    /// By the host's clock.
    #[prost(uint64, tag = "3")]
    pub created_ms: u64,
    /// When it was revoked; 0 while it is valid.
    #[prost(uint64, tag = "4")]
    pub revoked_ms: u64,
}

/// A wrapped KEK.
#[derive(Clone, PartialEq, Message)]
pub struct KekRow {
    /// KMS `CiphertextBlob`, at most 6,144 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub wrapped: Vec<u8>,
    /// By the host's clock.
    #[prost(uint64, tag = "2")]
    pub created_ms: u64,
}

/// A wallet. Every creation of a record replaces it, so that two creations cannot both take the last place; the first eject does, too.
#[derive(Clone, PartialEq, Message)]
pub struct WalletRow {
    /// By the host's clock.
    #[prost(uint64, tag = "1")]
    pub created_ms: u64,
    /// Backups made so far.
    #[prost(uint32, tag = "2")]
    pub backups: u32,
    /// When its shares were ejected for the first time, by the host's clock; 0 if never.
    #[prost(uint64, tag = "3")]
    pub ejected_ms: u64,
}

/// A backup.
#[derive(Clone, PartialEq, Message)]
pub struct BackupRow {
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub record_id: Vec<u8>,
    /// As in the creation intent.
    #[prost(string, tag = "2")]
    pub method: String,
    /// A `SecretKind`.
    #[prost(int32, tag = "3")]
    pub secret: i32,
    /// As in the creation intent.
    #[prost(message, repeated, tag = "4")]
    pub pairs: Vec<Pair>,
    /// Roles that the creation intent named.
    #[prost(int32, repeated, tag = "5")]
    pub roles: Vec<i32>,
    /// By the host's clock.
    #[prost(uint64, tag = "6")]
    pub created_ms: u64,
    /// A `Storage`: who keeps the client's part of every generation. Fixed at creation; 0 in rows of releases that knew one place alone.
    #[prost(int32, tag = "7")]
    pub storage: i32,
}

impl BackupRow {
    /// Whether the caller keeps the client's part.
    #[must_use]
    pub fn is_self_managed(&self) -> bool {
        self.storage == i32::from(Storage::SelfManaged)
    }

    /// The roles that it was made in, in order.
    pub fn roles(&self) -> impl Iterator<Item = Role> {
        self.roles.iter().filter_map(|role| Role::try_from(*role).ok())
    }

    /// Whether the caller keeps the sealed shares of a role: those of the user, and no key in escrow.
    #[must_use]
    pub fn keeps_outside(&self, role: Role) -> bool {
        self.is_self_managed() && role == Role::Client && self.secret != i32::from(SecretKind::Key)
    }

    /// Its record.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` where the row holds no such id.
    pub fn record_id(&self) -> Result<RecordId, Error> {
        RecordId::from_slice(&self.record_id).ok_or(Error::Internal("a backup's row holds no record id"))
    }
}

/// A sealed record with the receipt of its newest act, and what the host notes from its receipts; all of it moves together.
#[derive(Clone, PartialEq, Message)]
pub struct RecordRow {
    /// As the enclave gave it.
    #[prost(message, optional, tag = "1")]
    pub record: Option<SealedRecord>,
    /// Of the newest act.
    #[prost(message, optional, tag = "2")]
    pub receipt: Option<SignedReceipt>,
    /// The generations that the record names, ascending.
    #[prost(message, repeated, tag = "3")]
    pub generations: Vec<GenerationNote>,
    /// What waits in the record.
    #[prost(message, repeated, tag = "4")]
    pub open_acts: Vec<OpenAct>,
    /// The record was deleted: it has no shares and takes no act.
    #[prost(bool, tag = "5")]
    pub closed: bool,
    /// The caller keeps its sealed shares: there are no rows of them.
    #[prost(bool, tag = "6")]
    pub outside: bool,
}

/// What the host notes of a generation, so that it finds the rows of its shares.
#[derive(Clone, PartialEq, Message)]
pub struct GenerationNote {
    /// Its number.
    #[prost(uint64, tag = "1")]
    pub generation: u64,
    /// One share for each.
    #[prost(message, repeated, tag = "2")]
    pub pairs: Vec<Pair>,
    /// Of the KEK that its shares are sealed under.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    /// The version of the record that its put led to: the key of the put's receipt.
    #[prost(uint64, tag = "4")]
    pub put_version: u64,
    /// Of shares that the caller keeps: every sealed form that the record names, at most two of a pair, the older one first.
    #[prost(message, repeated, tag = "5")]
    pub seals: Vec<SealNote>,
    /// Beside it lie the rows of what the device encrypted itself.
    #[prost(bool, tag = "6")]
    pub ciphertexts: bool,
}

/// One of the things that are sealed under an epoch: a record, or a generation of one.
#[derive(Clone, PartialEq, Message)]
pub struct ListedRow {
    /// The record's wallet.
    #[prost(string, tag = "1")]
    pub wallet: String,
    /// Shares of the generation; 0 for a record itself.
    #[prost(uint32, tag = "2")]
    pub shares: u32,
}

/// A sealed share.
#[derive(Clone, PartialEq, Message)]
pub struct ShareRow {
    /// As the enclave gave it.
    #[prost(bytes = "vec", tag = "1")]
    pub sealed: Vec<u8>,
    /// Of the KEK that it is sealed under.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
}

/// A stored reply.
#[derive(Clone, PartialEq, Message)]
pub struct ReplyRow {
    /// SHA-256 over the rpc's name, 0x00 and the encoded request.
    #[prost(bytes = "vec", tag = "1")]
    pub request_sha256: Vec<u8>,
    /// The encoded response.
    #[prost(bytes = "vec", tag = "2")]
    pub response: Vec<u8>,
    /// By the host's clock.
    #[prost(uint64, tag = "3")]
    pub created_ms: u64,
}

/// An act that waits; its key says which and when.
#[derive(Clone, PartialEq, Message)]
pub struct DueRow {
    /// The record's wallet.
    #[prost(string, tag = "1")]
    pub wallet: String,
    /// When nobody can carry it out any more, by the enclave's time.
    #[prost(uint64, tag = "2")]
    pub expires_ms: u64,
    /// How often the enclave refused.
    #[prost(uint32, tag = "3")]
    pub tries: u32,
}

/// A generation that waits for its commit in both roles; its key says which and when.
#[derive(Clone, PartialEq, Message)]
pub struct UncommittedRow {
    /// The records' wallet.
    #[prost(string, tag = "1")]
    pub wallet: String,
    /// How often the commit was refused.
    #[prost(uint32, tag = "2")]
    pub tries: u32,
}

/// A recovery; its key says which.
#[derive(Clone, PartialEq, Message)]
pub struct RecoveryRow {
    /// The backup's id.
    #[prost(string, tag = "1")]
    pub backup: String,
    /// The generation that it releases.
    #[prost(uint64, tag = "2")]
    pub generation: u64,
    /// To the user's device, in both roles.
    #[prost(bool, tag = "3")]
    pub eject: bool,
    /// By the host's clock.
    #[prost(uint64, tag = "4")]
    pub created_ms: u64,
    /// One for each role that it was begun in.
    #[prost(message, repeated, tag = "5")]
    pub parts: Vec<RecoveryPart>,
    /// A `RecoveryState`: COMPLETED or FAILED where a caller reported it.
    #[prost(int32, tag = "6")]
    pub reported: i32,
}

/// A recovery in one role.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct RecoveryPart {
    /// A `Role`.
    #[prost(int32, tag = "1")]
    pub role: i32,
    /// A `RecoveryState`: DELAYED while it waits, due or not; then RELEASED, CANCELLED or DENIED.
    #[prost(int32, tag = "2")]
    pub state: i32,
    /// By the enclave's time; 0 where it did not wait.
    #[prost(uint64, tag = "3")]
    pub not_before_ms: u64,
    /// By the enclave's time; 0 where it did not wait.
    #[prost(uint64, tag = "4")]
    pub expires_ms: u64,
    /// By the host's clock; 0 before.
    #[prost(uint64, tag = "5")]
    pub released_ms: u64,
}

/// Which recovery has a place; its key says which place.
#[derive(Clone, PartialEq, Message)]
pub struct RecoveryPlaceRow {
    /// Hash of the intent that started it, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub recovery: Vec<u8>,
}

/// Reads a row.
///
/// # Errors
/// `INTERNAL_ERROR` where the store holds something else.
pub fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, Error> {
    M::decode(bytes).map_err(|_| Error::Internal("a row of the store does not decode"))
}
