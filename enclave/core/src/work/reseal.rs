//! `Reseal`: the record, and the shares that come with it, under a higher epoch. It asks for no consent, because it releases nothing and
//! changes nothing but the key that seals: neither version nor head move.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use strongroom_proto::enclave::v1::{Reseal, Resealed, SealedShare};
use strongroom_proto::id::ContentHash;

use super::{Scene, subject};
use crate::platform::Platform;
use crate::record::Record;
use crate::refusal::{Refusal, bad};
use crate::role::RoleKind;

pub(super) fn run<P: Platform, R: RoleKind>(scene: &Scene<'_, P>, request: &Reseal) -> Result<Resealed, Refusal> {
    let statement = scene.statement()?;
    if statement.tenant != scene.tenant {
        return Err(bad("statement: of another tenant"));
    }
    statement.check_sealing::<R, _>(scene.kek)?;
    let mut record = Record::open(scene.keks(), request.record.as_ref().ok_or_else(|| bad("record: missing"))?)?;
    subject::check_serial(statement, &record)?;
    let shares = match request.shares.first() {
        Some(share) => reseal_generation::<P, R>(scene, &mut record, share.generation, &request.shares)?,
        None => Vec::new(),
    };
    let parts = record.content.generations.iter().flat_map(|generation| &generation.parts);
    let epochs: BTreeSet<u64> = parts.map(|part| part.epoch).chain([scene.kek.context.epoch]).collect();
    Ok(Resealed { record: Some(record.seal(scene.platform, scene.kek)?), shares, epochs: epochs.into_iter().collect() })
}

/// Seals every share of one generation again, whatever its state is: a pending one moves with the others.
fn reseal_generation<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    record: &mut Record,
    number: u64,
    stored: &[SealedShare],
) -> Result<Vec<SealedShare>, Refusal> {
    let found = record.content.generations.iter().find(|generation| generation.generation == number);
    let mut generation = found.cloned().ok_or_else(|| bad("shares.generation: not one of the record"))?;
    if generation.parts.iter().any(|part| part.epoch > scene.kek.context.epoch) {
        return Err(bad("kek.epoch: below the epoch that the shares are sealed under"));
    }
    let opened = record.open_shares::<_, R>(scene.keks(), &generation, stored)?;
    let sealed = opened
        .iter()
        .map(|share| record.seal_share::<P, R>(scene.platform, scene.kek, number, share))
        .collect::<Result<Vec<_>, _>>()?;
    for (part, share) in generation.parts.iter_mut().zip(&sealed) {
        part.sealed_hash = ContentHash::of(&share.sealed).0.to_vec();
        part.epoch = share.epoch;
    }
    for known in record.content.generations.iter_mut().filter(|it| it.generation == number) {
        known.clone_from(&generation);
    }
    Ok(sealed)
}
