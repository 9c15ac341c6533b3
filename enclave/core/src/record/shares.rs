//! A record's shares: sealed at their places, opened only where the record names them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use strongroom_proto::contents;
use strongroom_proto::enclave::v1::{Generation, SealedShare, SharePart};
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

    /// Opens every share of a generation. A share counts only if the record names its generation, pair and hash.
    pub(crate) fn open_shares<S: Suite, R: RoleKind>(
        &self,
        keks: Keks<'_, S>,
        generation: &Generation,
        stored: &[SealedShare],
    ) -> Result<Vec<contents::Share>, Damaged> {
        generation.parts.iter().map(|part| self.open_share::<S, R>(keks, generation.generation, part, stored)).collect()
    }

    fn open_share<S: Suite, R: RoleKind>(
        &self,
        keks: Keks<'_, S>,
        generation: u64,
        part: &SharePart,
        stored: &[SealedShare],
    ) -> Result<contents::Share, Damaged> {
        let pair = part.pair.as_ref().map(|pair| pair.id.as_str()).unwrap_or_default();
        let sealed = stored
            .iter()
            .find(|share| share.generation == generation && share.pair == pair)
            .ok_or_else(|| Damaged::Missing(pair.into()))?;
        if ContentHash::of(&sealed.sealed).0 != *part.sealed_hash {
            return Err(Damaged::OtherBytes(pair.into()));
        }
        let kek = keks.of(part.epoch).ok_or_else(|| Damaged::OtherEpoch(pair.into(), part.epoch))?;
        let spot = Spot { kind: R::SHARE, generation, pair, ..self.spot() };
        let bytes = seal::open(kek, &spot, &sealed.sealed).map_err(|_| Damaged::NotOpened(pair.into()))?;
        Ok(contents::Share { pair: pair.into(), bytes: Secret::from(bytes) })
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
