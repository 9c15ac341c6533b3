//! `Reseal`: the record, and the shares that come with it, under a higher epoch. It asks for no consent, because it releases nothing and
//! changes nothing but the key that seals: neither version nor head move.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use strongroom_proto::enclave::v1::{Reseal, Resealed, SealedShare, SharePart};
use strongroom_proto::id::ContentHash;

use super::Scene;
use super::subject::open_any;
use crate::platform::Platform;
use crate::record::Record;
use crate::record::shares::Opened;
use crate::refusal::{Refusal, bad};
use crate::role::RoleKind;

pub(super) fn run<P: Platform, R: RoleKind>(scene: &Scene<'_, P>, request: &Reseal) -> Result<Resealed, Refusal> {
    let mut record = open_any(scene, request.record.as_ref())?;
    scene.statement()?.check_sealing::<R, _>(scene.kek)?;
    let shares = match request.shares.first() {
        Some(share) => reseal_generation::<P, R>(scene, &mut record, share.generation, &request.shares)?,
        None => Vec::new(),
    };
    let parts = record.content.generations.iter().flat_map(|generation| &generation.parts);
    let epochs_of = |part: &SharePart| [Some(part.epoch), part.resealed.as_ref().map(|again| again.epoch)];
    let epochs: BTreeSet<u64> = parts.flat_map(epochs_of).flatten().chain([scene.kek.context.epoch]).collect();
    Ok(Resealed { record: Some(record.seal(scene.platform, scene.kek)?), shares, epochs: epochs.into_iter().collect() })
}

/// Seals every share of one generation again, whatever its state is: a pending one moves with the others. The record names what this
/// gives and nothing else: the host keeps these shares, in one commit with the record.
fn reseal_generation<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    record: &mut Record,
    number: u64,
    stored: &[SealedShare],
) -> Result<Vec<SealedShare>, Refusal> {
    let found = record.content.generations.iter().find(|generation| generation.generation == number);
    let generation = found.ok_or_else(|| bad("shares.generation: not one of the record"))?;
    let opened = record.open_shares::<_, R>(scene.keks(), generation, stored)?;
    let (mut sealed, mut parts) = (Vec::new(), Vec::new());
    for Opened { share, part } in opened {
        let share = record.seal_share::<P, R>(scene.platform, scene.kek, number, &share)?;
        let sealed_hash = ContentHash::of(&share.sealed).0.to_vec();
        parts.push(SharePart { pair: part.pair, sealed_hash, epoch: share.epoch, resealed: None });
        sealed.push(share);
    }
    record.name_shares(number, &parts);
    Ok(sealed)
}
