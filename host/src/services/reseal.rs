//! Re-seals: a record and its shares, as they stand, under a newer epoch.
//!
//! The host asks for them; the enclave moves neither version nor head, and raises epochs only. One frame and one compare-and-swap commit
//! for each generation, so that a crash between two leaves a record that opens.

use std::collections::BTreeSet;

use strongroom_proto::enclave::v1::{Reseal, Resealed, SealedShare, request, response};
use strongroom_proto::limits::GENERATIONS_MAX;
use strongroom_proto::v1::Reason;

use super::App;
use super::listing::{self, Place};
use super::load::{StoredRecord, StoredStatement};
use crate::error::Error;
use crate::keys::{self, Name};
use crate::rows::{GenerationNote, RecordRow, ShareRow};
use crate::store::{Expect, Write};

pub(crate) mod sweep;

/// Most frames for one record: itself, and each of its generations once.
const RECORD_FRAMES_MAX: usize = GENERATIONS_MAX + 2;

/// How the re-seal of a record ended.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Done {
    /// Commits made.
    pub(super) moved: usize,
    /// Generations whose shares are missing or do not open; 0 for the record itself.
    pub(super) damaged: BTreeSet<u64>,
}

/// The next frame of a re-seal.
#[derive(Debug, Eq, PartialEq)]
enum Next {
    Record,
    Generation(u64),
    Nothing,
}

impl App {
    /// Seals a record and all its generations under the newest epoch that the statement names.
    ///
    /// # Errors
    /// `VERSION_CONFLICT` where the record moved meanwhile; what moved before stays moved.
    pub(super) async fn reseal(&self, place: &Place, statement: &StoredStatement) -> Result<Done, Error> {
        let target = statement.epochs(place.role)?.newest();
        let mut done = Done::default();
        for _ in 0..RECORD_FRAMES_MAX {
            let record = self.record(place).await?;
            // Shares that the caller keeps are sealed anew when a release brings them.
            let here = if record.row.outside { &[] } else { record.row.generations.as_slice() };
            let step = match next(record.sealed.epoch, here, target, &done.damaged) {
                Next::Nothing => return Ok(done),
                Next::Record => self.reseal_part(place, statement, record, None, target).await,
                Next::Generation(number) => self.reseal_part(place, statement, record, Some(number), target).await,
            };
            match step {
                Ok(()) => done.moved += 1,
                Err((number, error)) if is_damage(&error) && number != 0 => {
                    done.damaged.insert(number);
                }
                Err((_, error)) if is_damage(&error) => {
                    done.damaged.insert(0);
                    return Ok(done);
                }
                Err((_, error)) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Seals a record alone under the newest epoch, for a request that cannot bring the KEKs of all the epochs that it lies under.
    pub(super) async fn reseal_record(&self, place: &Place, statement: &StoredStatement) -> Result<(), Error> {
        let target = statement.epochs(place.role)?.newest();
        let record = self.record(place).await?;
        if record.sealed.epoch >= target {
            return Ok(());
        }
        self.reseal_part(place, statement, record, None, target).await.map_err(|(_, error)| error)
    }

    async fn reseal_part(
        &self,
        place: &Place,
        statement: &StoredStatement,
        record: StoredRecord,
        generation: Option<u64>,
        target: u64,
    ) -> Result<(), (u64, Error)> {
        let number = generation.unwrap_or_default();
        self.try_part(place, statement, record, generation, target).await.map_err(|error| (number, error))
    }

    async fn try_part(
        &self,
        place: &Place,
        statement: &StoredStatement,
        record: StoredRecord,
        generation: Option<u64>,
        target: u64,
    ) -> Result<(), Error> {
        let shares = match generation {
            Some(number) => self.shares(place, &record, number).await?,
            None => Vec::new(),
        };
        // Without any share the frame would be one for the record alone.
        if generation.is_some() && shares.is_empty() {
            return Err(Error::NotFound("share"));
        }
        let others = [record.sealed.epoch].into_iter().chain(shares.iter().map(|share| share.epoch));
        let opens: Vec<u64> = [target].into_iter().chain(others).collect();
        let keks = self.keks(&place.tenant, place.role, statement, &opens).await?;
        let (kek, other_kek) = keks.references();
        let body = Reseal {
            tenant: place.tenant.0.to_vec(),
            statement: Some(statement.reference()),
            kek,
            record: Some(record.sealed.clone()),
            shares: shares.clone(),
            other_kek,
        };
        let known = keks.known(Some(&statement.signed));
        match self.enclave_of(place.role, statement)?.ask(request::Body::Reseal(body), &known).await? {
            response::Body::Resealed(resealed) => {
                self.store.commit(writes(place, &record, &shares, generation, resealed)?).await
            }
            _ => Err(Error::Internal("an enclave's answer to Reseal")),
        }
    }
}

/// What to do next: generations that the record's own frame can take along come first, then the record, then the others.
fn next(epoch: u64, generations: &[GenerationNote], target: u64, damaged: &BTreeSet<u64>) -> Next {
    let mut left = generations.iter().filter(|it| it.epoch < target && !damaged.contains(&it.generation));
    // A frame carries the KEKs of two epochs: the one to seal under, and one more.
    match left.find(|it| epoch >= target || it.epoch == epoch) {
        Some(generation) => Next::Generation(generation.generation),
        None if epoch < target => Next::Record,
        None => Next::Nothing,
    }
}

/// Whether record or shares are missing or, as the enclave says, not what they should be: asking again does not help.
fn is_damage(error: &Error) -> bool {
    let reasons = [Reason::DecryptFailed, Reason::CiphertextHashMismatch, Reason::NoValidBackup, Reason::BadRequest];
    match error {
        Error::Enclave { reason, .. } => reasons.contains(reason),
        Error::NotFound(_) => true,
        _ => false,
    }
}

fn writes(
    place: &Place,
    record: &StoredRecord,
    shares: &[SealedShare],
    generation: Option<u64>,
    resealed: Resealed,
) -> Result<Vec<Write>, Error> {
    const OTHER: Error = Error::Internal("the enclave re-sealed something else");
    let sealed = resealed.record.ok_or(OTHER)?;
    if sealed.record_id != place.record.0 || resealed.shares.len() != shares.len() {
        return Err(OTHER);
    }
    let mut row = RecordRow { record: Some(sealed), ..record.row.clone() };
    let mut writes = Vec::with_capacity(shares.len());
    for share in resealed.shares {
        let before =
            shares.iter().find(|it| it.pair == share.pair && Some(it.generation) == generation).ok_or(OTHER)?;
        let pair = Name::parse("pair", &share.pair).map_err(|_| OTHER)?;
        let key = keys::share(&place.tenant, &place.record, place.role, share.generation, &pair);
        for note in row.generations.iter_mut().filter(|note| Some(note.generation) == generation) {
            note.epoch = share.epoch;
        }
        let before = ShareRow { sealed: before.sealed.clone(), epoch: before.epoch };
        let after = ShareRow { sealed: share.sealed, epoch: share.epoch };
        let expect = Expect::unchanged(Some(&prost::Message::encode_to_vec(&before)));
        writes.push(Write { key, expect, put: Some(prost::Message::encode_to_vec(&after)) });
    }
    // The record first, so that another write to it is the conflict that is named.
    let mut all = listing::writes(place, Some(record), &row);
    all.extend(writes);
    Ok(all)
}

#[cfg(test)]
mod tests;
