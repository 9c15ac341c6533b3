//! What its owner keeps in the host's place: sealed shares as an enclave handed them out, or ciphertexts that the device made itself.
//!
//! Nothing is kept that no receipt names, and nothing is given up before something newer has opened.

use std::fmt;

use prost::Message;
use strongroom_proto::id::{ContentHash, RecordId};
use strongroom_proto::limits::CIPHERTEXT_BYTES_MAX;
use strongroom_proto::v1::{Pair, StoredShare};

use crate::ciphertext::Ciphertexts;
use crate::error::{Error, expect, expect_bytes};

mod folder;

pub use folder::Folder;

const PART: &str = "sealed share";

/// What is kept.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// Shares that the client role's enclave sealed.
    Shares,
    /// Ciphertexts that the device or its app made.
    Ciphertexts,
}

/// One for each pair of a generation, each of them checked against its hash.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    kind: Kind,
    record_id: RecordId,
    generation: u64,
    shares: Vec<StoredShare>,
}

/// Where an owner keeps them. `Send` and `Sync`, so that a device's calls are `Send`.
pub trait Keeper: fmt::Debug + Send + Sync {
    /// Keeps them, beside whatever is kept already: once this returns, they must outlive the device's battery.
    ///
    /// # Errors
    /// Where they cannot be kept.
    fn keep(&self, kept: &Kept) -> Result<(), Error>;

    /// The newest that are kept of a generation.
    ///
    /// # Errors
    /// Where there are none.
    fn bring(&self, kind: Kind, record_id: &RecordId, generation: u64) -> Result<Kept, Error>;
}

/// What shares are to be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Their record.
    pub record_id: RecordId,
    /// Their generation.
    pub generation: u64,
    /// Its pairs, in the order of their ids.
    pub pairs: &'a [Pair],
    /// SHA-256 of each, in the same order, as the receipt of the act that sealed them names them.
    pub hashes: &'a [ContentHash],
}

/// Checks sealed shares that came back from a host against the receipt of the act that sealed them.
///
/// # Errors
/// [`Error::Mismatch`] with the field, [`Error::Malformed`] past a limit.
pub fn check(shares: Vec<StoredShare>, expected: &Expected<'_>) -> Result<Kept, Error> {
    let names = |list: Vec<&str>| list.join(", ");
    let found = names(shares.iter().map(|share| share.pair.as_str()).collect());
    expect(
        "answer",
        "list of sealed shares",
        found,
        names(expected.pairs.iter().map(|pair| pair.id.as_str()).collect()),
    )?;
    expect("receipt", "number of hashes of sealed shares", expected.hashes.len(), shares.len())?;
    for (share, hash) in shares.iter().zip(expected.hashes) {
        expect(PART, "generation", share.generation, expected.generation)?;
        check_size(share)?;
        expect_bytes(PART, "SHA-256", ContentHash::of(&share.sealed), hash)?;
    }
    let Expected { record_id, generation, .. } = *expected;
    Ok(Kept { kind: Kind::Shares, record_id, generation, shares })
}

fn check_size(share: &StoredShare) -> Result<(), Error> {
    if (1..=CIPHERTEXT_BYTES_MAX).contains(&share.sealed.len()) {
        return Ok(());
    }
    let problem = format_args!(
        "of pair {} has {} bytes; 1 to {CIPHERTEXT_BYTES_MAX} are allowed",
        share.pair,
        share.sealed.len()
    );
    Err(Error::malformed(PART, problem))
}

impl Kept {
    /// Ciphertexts of a generation, for their owner to keep.
    #[must_use]
    pub fn of_ciphertexts(ciphertexts: &Ciphertexts, record_id: RecordId, generation: u64) -> Self {
        let of =
            |(pair, bytes): (&Pair, &[u8])| StoredShare { pair: pair.id.clone(), generation, sealed: bytes.to_vec() };
        Self { kind: Kind::Ciphertexts, record_id, generation, shares: ciphertexts.iter().map(of).collect() }
    }

    /// What they are.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Their record.
    #[must_use]
    pub fn record_id(&self) -> RecordId {
        self.record_id
    }

    /// Their generation.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// As requests bring them: in the order of their pairs.
    #[must_use]
    pub fn shares(&self) -> &[StoredShare] {
        &self.shares
    }

    /// As ciphertexts of these pairs.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where they are of other pairs; as [`Ciphertexts::new`].
    pub fn ciphertexts(&self, pairs: &[Pair]) -> Result<Ciphertexts, Error> {
        let found: Vec<&str> = self.shares.iter().map(|share| share.pair.as_str()).collect();
        let wanted: Vec<&str> = pairs.iter().map(|pair| pair.id.as_str()).collect();
        expect("kept ciphertext", "list of pairs", found.join(", "), wanted.join(", "))?;
        Ciphertexts::new(pairs.iter().cloned().zip(self.shares.iter().map(|share| share.sealed.clone())).collect())
    }

    /// The file's form.
    fn to_bytes(&self) -> Vec<u8> {
        let Self { record_id, generation, shares, .. } = self.clone();
        KeptFile { version: VERSION, record_id: record_id.0.to_vec(), generation, shares }.encode_to_vec()
    }
}

const VERSION: u32 = 1;

/// A file of what is kept.
#[derive(Clone, PartialEq, Message)]
struct KeptFile {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(bytes = "vec", tag = "2")]
    record_id: Vec<u8>,
    #[prost(uint64, tag = "3")]
    generation: u64,
    #[prost(message, repeated, tag = "4")]
    shares: Vec<StoredShare>,
}

#[cfg(test)]
mod tests;
