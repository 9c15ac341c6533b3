//! Rows of the host's books: what is missing of a generation, what was given up, and what devices encrypted themselves.

use prost::Message;

/// What the host notes of a backup's generations beyond the records' receipts.
#[derive(Clone, PartialEq, Message)]
pub struct BooksRow {
    /// Ascending. One that is not named has all its parts and was not given up.
    #[prost(message, repeated, tag = "1")]
    pub generations: Vec<GenerationBook>,
}

/// A generation of which a part is missing, or which was given up.
#[derive(Clone, PartialEq, Message)]
pub struct GenerationBook {
    /// Its number.
    #[prost(uint64, tag = "1")]
    pub generation: u64,
    /// When it was put, by the host's clock.
    #[prost(uint64, tag = "2")]
    pub added_ms: u64,
    /// Ids of the pairs whose client's part is missing.
    #[prost(string, repeated, tag = "3")]
    pub missing: Vec<String>,
    /// Since when a part is missing, by the host's clock.
    #[prost(uint64, tag = "4")]
    pub missing_since_ms: u64,
    /// Those of the missing ones that the caller reported as failed.
    #[prost(string, repeated, tag = "5")]
    pub failed: Vec<String>,
    /// A `BackupReason` where it was given up; 0 otherwise.
    #[prost(int32, tag = "6")]
    pub closed: i32,
}

/// A sealed form of a share that the caller keeps.
#[derive(Clone, PartialEq, Message)]
pub struct SealNote {
    /// The pair's id.
    #[prost(string, tag = "1")]
    pub pair: String,
    /// Of the sealed bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub sha256: Vec<u8>,
    /// Of the KEK that it is sealed under.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
}

/// What a device encrypted under a key that no enclave has.
#[derive(Clone, PartialEq, Message)]
pub struct CiphertextRow {
    /// Empty where the caller keeps it.
    #[prost(bytes = "vec", tag = "1")]
    pub ciphertext: Vec<u8>,
    /// Of the ciphertext, 32 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub sha256: Vec<u8>,
}

/// A generation of which a part is missing; its key says which and until when.
#[derive(Clone, PartialEq, Message)]
pub struct UnfinishedRow {
    /// The records' wallet.
    #[prost(string, tag = "1")]
    pub wallet: String,
    /// The records' backup.
    #[prost(string, tag = "2")]
    pub backup: String,
}
