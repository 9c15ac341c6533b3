//! Sealed shares that the caller keeps: what a call brings of them, and what it is handed. Whether they open decides the enclave, which
//! knows their hashes; the host finds by them under which epoch they lie.

use strongroom_proto::enclave::v1::SealedShare;
use strongroom_proto::id::sha256;
use strongroom_proto::limits::{PAIRS_MAX, SEALED_SHARE_BYTES_MAX};
use strongroom_proto::v1::{ClientCiphertext, StoredShare};

use super::load::StoredRecord;
use crate::error::Error;
use crate::keys::Name;
use crate::rows::SealNote;

/// What a call brings beside its consents and messages.
#[derive(Default)]
pub(super) struct Brought {
    /// The sealed client shares of the generation that it opens.
    pub(super) shares: Vec<StoredShare>,
    /// Of a put.
    pub(super) ciphertexts: Vec<ClientCiphertext>,
}

impl Brought {
    /// What a release brings.
    ///
    /// # Errors
    /// `BAD_REQUEST` that names the field.
    pub(super) fn shares(shares: Vec<StoredShare>) -> Result<Self, Error> {
        check(&shares)?;
        Ok(Self { shares, ..Self::default() })
    }
}

/// Lengths and names of the shares that a call brings.
pub(super) fn check(shares: &[StoredShare]) -> Result<(), Error> {
    if shares.len() > PAIRS_MAX {
        return Err(Error::bad("client_shares", format!("at most {PAIRS_MAX}")));
    }
    for share in shares {
        Name::parse("client_shares.pair", &share.pair)?;
        if !(1..=SEALED_SHARE_BYTES_MAX).contains(&share.sealed.len()) {
            return Err(Error::bad("client_shares.sealed", format!("1 to {SEALED_SHARE_BYTES_MAX} bytes")));
        }
    }
    Ok(())
}

/// Checks that shares are brought only to a record whose shares the host does not keep.
pub(super) fn check_needed<'a>(
    shares: &[StoredShare],
    records: impl IntoIterator<Item = &'a StoredRecord>,
) -> Result<(), Error> {
    let needed = shares.is_empty() || records.into_iter().any(|record| record.row.outside);
    if needed { Ok(()) } else { Err(Error::bad("client_shares", "empty: the host keeps what this opens")) }
}

/// The shares of a generation that the caller keeps, as the enclave takes them.
///
/// # Errors
/// `BAD_REQUEST` where they are not one for each of its pairs.
pub(super) fn sealed(
    record: &StoredRecord,
    generation: u64,
    brought: &[StoredShare],
) -> Result<Vec<SealedShare>, Error> {
    if brought.iter().any(|share| share.generation != generation) {
        return Err(Error::bad("client_shares.generation", "the generation that the act opens"));
    }
    let note = record.row.generations.iter().find(|note| note.generation == generation);
    if let Some(note) = note {
        let mut wanted: Vec<&str> = note.pairs.iter().map(|pair| pair.id.as_str()).collect();
        let mut given: Vec<&str> = brought.iter().map(|share| share.pair.as_str()).collect();
        wanted.sort_unstable();
        given.sort_unstable();
        if wanted != given {
            return Err(Error::bad("client_shares", "one for each pair of the generation: the caller keeps them"));
        }
    }
    let share = |share: &StoredShare| {
        let StoredShare { pair, generation, sealed } = share.clone();
        let hash = sha256(&[&sealed]);
        let seal = note.and_then(|note| note.seals.iter().find(|seal| seal.pair == pair && seal.sha256 == hash));
        // The enclave does not know what is not noted either, and says so.
        let epoch = seal.map(|seal| seal.epoch).or(note.map(|note| note.epoch)).unwrap_or(record.sealed.epoch);
        SealedShare { generation, pair, sealed, epoch }
    };
    Ok(brought.iter().map(share).collect())
}

/// What the host notes of a sealed share.
pub(super) fn seal(share: &SealedShare) -> SealNote {
    SealNote { pair: share.pair.clone(), sha256: sha256(&[&share.sealed]).to_vec(), epoch: share.epoch }
}

/// The seals that the record names after a release, as it names them: what was brought stands first of its pair, and what lay below it
/// in age opens no more; behind it stands what was sealed anew, now or before.
pub(super) fn seals_after(before: &[SealNote], brought: &[SealNote], anew: &[SealNote]) -> Vec<SealNote> {
    let mut after = Vec::with_capacity(before.len());
    for first in brought {
        let mut rest = before.iter().filter(|seal| seal.pair == first.pair);
        let position = rest.by_ref().position(|seal| seal.sha256 == first.sha256);
        after.push(first.clone());
        let newer = anew.iter().find(|seal| seal.pair == first.pair);
        after.extend(newer.or(position.and_then(|_| rest.next())).cloned());
    }
    after
}

/// A share as it is handed to the caller.
pub(super) fn handed(share: SealedShare) -> StoredShare {
    StoredShare { pair: share.pair, generation: share.generation, sealed: share.sealed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_brought_stands_first_and_what_it_replaced_is_gone() {
        let seal = |(pair, hash, epoch): &(&str, u8, u64)| SealNote {
            pair: (*pair).to_owned(),
            sha256: vec![*hash; 32],
            epoch: *epoch,
        };
        let all = |seals: &[(&str, u8, u64)]| seals.iter().map(seal).collect::<Vec<_>>();
        let (p, q) = ([("p", 1, 1), ("p", 2, 2)], [("q", 3, 1)]);
        for (brought, anew, expect) in [
            // The older form, with the newer one still beside it.
            (&p[..1], &[][..], &p[..]),
            // The older form, sealed anew once more.
            (&p[..1], &[("p", 4, 3)], &[("p", 1, 1), ("p", 4, 3)]),
            (&p[1..], &[], &[("p", 2, 2)]),
            (&p[1..], &[("p", 4, 3)], &[("p", 2, 2), ("p", 4, 3)]),
            (&[("p", 2, 2), ("q", 3, 1)], &[("q", 4, 2)], &[("p", 2, 2), ("q", 3, 1), ("q", 4, 2)]),
            (&[("q", 3, 1)], &[("p", 4, 2)], &[("q", 3, 1)]),
        ] {
            let before = all(&[&p[..], &q[..]].concat());
            assert_eq!(seals_after(&before, &all(brought), &all(anew)), all(expect), "{brought:?} {anew:?}");
        }
    }
}
