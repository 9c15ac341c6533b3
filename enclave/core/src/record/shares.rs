//! A record's shares: sealed at their places, opened only where the record names them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use strongroom_proto::contents;
use strongroom_proto::enclave::v1::{Generation, ResealedPart, SealedShare, SharePart};
use strongroom_proto::id::ContentHash;
use strongroom_proto::secret::Secret;
use strongroom_proto::v1::Reason;

use super::Record;
use crate::kek::Kek;
use crate::keks::Keks;
use crate::platform::Platform;
use crate::refusal::{Refusal, refuse};
use crate::role::RoleKind;
use crate::seal::{self, Spot};
use crate::suite::Suite;

/// A share that was brought and opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) share: contents::Share,
    /// As an act leaves it in the record: the bytes that were brought stand first.
    pub(crate) part: SharePart,
}

/// Whether a part could be an enclave's own: what was sealed again has a hash of its own and lies under a higher epoch.
pub(super) fn is_sound(part: &SharePart) -> bool {
    part.resealed.as_ref().is_none_or(|again| {
        let own_hash = ContentHash::from_slice(&again.sealed_hash).is_some() && again.sealed_hash != part.sealed_hash;
        own_hash && again.epoch > part.epoch
    })
}

/// The part of a record that names these bytes, which stand first in it: `None` where it names them in neither place.
fn named(part: &SharePart, sealed: &[u8]) -> Option<SharePart> {
    let hash = ContentHash::of(sealed).0;
    if part.sealed_hash == hash {
        return Some(part.clone());
    }
    let again = part.resealed.as_ref().filter(|again| again.sealed_hash == hash)?;
    let ResealedPart { sealed_hash, epoch } = again.clone();
    Some(SharePart { pair: part.pair.clone(), sealed_hash, epoch, resealed: None })
}

impl Record {
    /// Seals one pair's share at its place in this record.
    pub(crate) fn seal_share<P: Platform, R: RoleKind>(
        &self,
        platform: &P,
        kek: &Kek<P::Suite>,
        generation: u64,
        share: &contents::Share,
    ) -> Result<SealedShare, Refusal> {
        let spot = Spot { kind: R::SHARE, generation, pair: &share.pair, ..self.spot() };
        let sealed = seal::seal(platform, kek, &spot, share.bytes.expose())?;
        Ok(SealedShare { generation, pair: share.pair.clone(), sealed, epoch: kek.context.epoch })
    }

    /// Seals anew what lies under a lower epoch, and names it beside what was brought. Whoever keeps the sealed shares has what he brought,
    /// and not for certain what he is handed now: so both open, until he brings the new one.
    pub(crate) fn raise_shares<P: Platform, R: RoleKind>(
        &self,
        platform: &P,
        kek: &Kek<P::Suite>,
        generation: u64,
        opened: &mut [Opened],
    ) -> Result<Vec<SealedShare>, Refusal> {
        let lower = opened.iter_mut().filter(|it| it.part.epoch < kek.context.epoch);
        lower
            .map(|Opened { share, part }| {
                let sealed = self.seal_share::<P, R>(platform, kek, generation, share)?;
                let sealed_hash = ContentHash::of(&sealed.sealed).0.to_vec();
                part.resealed = Some(ResealedPart { sealed_hash, epoch: sealed.epoch });
                Ok(sealed)
            })
            .collect()
    }

    /// Names the shares of a generation as they now are.
    pub(crate) fn name_shares(&mut self, generation: u64, parts: &[SharePart]) {
        for known in self.content.generations.iter_mut().filter(|it| it.generation == generation) {
            known.parts = parts.to_vec();
        }
    }

    /// Opens every share of a generation. A share counts only if the record names its generation, pair and hash, and opens only under the
    /// epoch that stands beside that very hash.
    pub(crate) fn open_shares<S: Suite, R: RoleKind>(
        &self,
        keks: Keks<'_, S>,
        generation: &Generation,
        stored: &[SealedShare],
    ) -> Result<Vec<Opened>, Damaged> {
        generation.parts.iter().map(|part| self.open_share::<S, R>(keks, generation.generation, part, stored)).collect()
    }

    fn open_share<S: Suite, R: RoleKind>(
        &self,
        keks: Keks<'_, S>,
        generation: u64,
        part: &SharePart,
        stored: &[SealedShare],
    ) -> Result<Opened, Damaged> {
        let pair = part.pair.as_ref().map(|pair| pair.id.as_str()).unwrap_or_default();
        let sealed = stored
            .iter()
            .find(|share| share.generation == generation && share.pair == pair)
            .ok_or_else(|| Damaged::Missing(pair.into()))?;
        let part = named(part, &sealed.sealed).ok_or_else(|| Damaged::OtherBytes(pair.into()))?;
        let kek = keks.of(part.epoch).ok_or_else(|| Damaged::OtherEpoch(pair.into(), part.epoch))?;
        let spot = Spot { kind: R::SHARE, generation, pair, ..self.spot() };
        let bytes = seal::open(kek, &spot, &sealed.sealed).map_err(|_| Damaged::NotOpened(pair.into()))?;
        Ok(Opened { share: contents::Share { pair: pair.into(), bytes: Secret::from(bytes) }, part })
    }
}

/// Which share of a generation is not as the record says, by pair.
#[derive(Debug)]
pub(crate) enum Damaged {
    Missing(String),
    OtherBytes(String),
    OtherEpoch(String, u64),
    NotOpened(String),
}

impl From<Damaged> for Refusal {
    fn from(damaged: Damaged) -> Self {
        match damaged {
            Damaged::Missing(pair) => refuse(Reason::NoValidBackup, format!("shares: none for pair {pair}")),
            Damaged::OtherBytes(pair) => refuse(
                Reason::CiphertextHashMismatch,
                format!("shares: pair {pair} has other bytes than the record names"),
            ),
            Damaged::OtherEpoch(pair, epoch) => refuse(
                Reason::BadRequest,
                format!("shares: pair {pair} is sealed under epoch {epoch}, and no KEK beside it is of it"),
            ),
            Damaged::NotOpened(pair) => refuse(Reason::DecryptFailed, format!("shares: pair {pair} does not open")),
        }
    }
}
