//! The shares of an act: new ones, those that a release sealed anew, and those that go.

use prost::Message;
use strongroom_proto::enclave::v1::SealedShare;
use strongroom_proto::v1::StoredShare;

use super::super::{Part, Work};
use crate::error::Error;
use crate::keys::{self, Key, Name};
use crate::rows::{GenerationNote, RecordRow, SealNote, ShareRow};
use crate::services::listing::Place;
use crate::services::{App, brought, load};
use crate::store::{Expect, Write};

const OTHER: Error = Error::Internal("the enclave sealed other shares anew");

/// What becomes of an act's shares: rows where the host keeps them, and what the caller is handed where he does.
#[derive(Default)]
pub(super) struct Shares {
    pub(super) writes: Vec<Write>,
    pub(super) handed: Vec<StoredShare>,
}

/// Notes the shares that an enclave answered in the record's row.
pub(super) async fn settle(
    app: &App,
    part: &Part<'_>,
    row: &mut RecordRow,
    shares: Vec<SealedShare>,
) -> Result<Shares, Error> {
    let place = &part.order.place;
    if matches!(part.order.work, Work::PutShares { .. }) {
        return Ok(if row.outside {
            Shares { handed: shares.into_iter().map(brought::handed).collect(), ..Shares::default() }
        } else {
            Shares { writes: load::new_shares(place, shares)?, ..Shares::default() }
        });
    }
    if row.outside {
        note_brought(row, &part.brought, &shares);
        return Ok(Shares { handed: shares.into_iter().map(brought::handed).collect(), ..Shares::default() });
    }
    Ok(Shares { writes: replace(app, place, row, shares).await?, ..Shares::default() })
}

/// Notes which sealed forms of the shares that a release was brought open from here on.
fn note_brought(row: &mut RecordRow, brought: &[SealNote], shares: &[SealedShare]) {
    let anew: Vec<SealNote> = shares.iter().map(brought::seal).collect();
    // All that was brought, and all that was sealed anew, is of the one generation whose seals these are.
    let is_of = |note: &&mut GenerationNote| {
        brought.iter().any(|it| note.seals.iter().any(|seal| seal.pair == it.pair && seal.sha256 == it.sha256))
    };
    if let Some(note) = row.generations.iter_mut().find(is_of) {
        note.seals = brought::seals_after(&note.seals, brought, &anew);
        note.epoch = note.seals.iter().map(|seal| seal.epoch).min().unwrap_or(note.epoch);
    }
}

/// The rows of shares that a release sealed anew take the place of those that it was brought. The record's row, which moves in the same
/// commit, says that they are still as the enclave had them.
async fn replace(app: &App, place: &Place, row: &mut RecordRow, shares: Vec<SealedShare>) -> Result<Vec<Write>, Error> {
    if shares.is_empty() {
        return Ok(Vec::new());
    }
    let mut writes = Vec::with_capacity(shares.len());
    for share in shares {
        let mut notes = row.generations.iter_mut();
        let note = notes.find(|note| note.generation == share.generation).ok_or(OTHER)?;
        note.pairs.iter().find(|pair| pair.id == share.pair).ok_or(OTHER)?;
        note.epoch = share.epoch;
        let pair = Name::parse("pair", &share.pair).map_err(|_| OTHER)?;
        let key = keys::share(&place.tenant, &place.record, place.role, share.generation, &pair);
        writes.push((key, ShareRow { sealed: share.sealed, epoch: share.epoch }));
    }
    let before = app.store.get_all(writes.iter().map(|(key, _)| key.clone()).collect()).await?;
    let write = |((key, after), before): ((Key, ShareRow), Option<Vec<u8>>)| {
        let expect = Expect::unchanged(Some(&before.ok_or(OTHER)?));
        Ok(Write { key, expect, put: Some(after.encode_to_vec()) })
    };
    writes.into_iter().zip(before).map(write).collect()
}

/// Deletes what lies beside generations that the record names no more, and the books of a backup that was deleted.
pub(super) async fn dropped(
    app: &App,
    place: &Place,
    row: &RecordRow,
    dropped: &[GenerationNote],
) -> Result<Vec<Write>, Error> {
    let mut all = Vec::new();
    for note in dropped {
        if !row.outside {
            all.extend(load::share_keys(place, note)?);
        }
        if note.ciphertexts {
            all.extend(ciphertext_keys(place, note)?);
        }
    }
    if row.closed {
        all.push(keys::books(&place.tenant, &place.record));
    }
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let rows = app.store.get_all(all.clone()).await?;
    let there = all.into_iter().zip(rows).filter_map(|(key, row)| row.map(|row| (key, row)));
    Ok(there.map(|(key, row)| Write { key, expect: Expect::unchanged(Some(&row)), put: None }).collect())
}

fn ciphertext_keys(place: &Place, note: &GenerationNote) -> Result<Vec<Key>, Error> {
    let key = |pair: &strongroom_proto::v1::Pair| {
        let pair = Name::parse("pair", &pair.id)?;
        Ok(keys::ciphertext(&place.tenant, &place.record, note.generation, &pair))
    };
    note.pairs.iter().map(key).collect()
}
