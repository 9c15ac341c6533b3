//! A record inside the enclave: opened, moved by one version, sealed again.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use hpke::kem::Kem;
use prost::Message;
use strongroom_proto::enclave::v1::{Generation, Record as Content, SealedRecord, SealedShare};
use strongroom_proto::id::{ContentHash, Head, RecordId};
use strongroom_proto::names::is_id;
use strongroom_proto::seal::SealKind;
use strongroom_proto::secret::Secret;
use strongroom_proto::v1::{Event, Reason};
use strongroom_proto::{canonical, contents, signed};

use crate::kek::Kek;
use crate::platform::{Platform, Unavailable};
use crate::refusal::{Refusal, bad, refuse};
use crate::role::RoleKind;
use crate::seal::{self, Spot};

/// Longest sealed record in bytes: 16 credentials with the largest keys, and the generations.
pub(crate) const RECORD_BYTES_MAX: usize = 64 * 1024;

/// An open record.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) wallet: String,
    pub(crate) backup: String,
    pub(crate) id: RecordId,
    pub(crate) head: Head,
    pub(crate) content: Content,
}

impl Record {
    /// Opens what the host stored. What the host says of wallet, record and backup must be what the record was sealed as.
    pub(crate) fn open<K: Kem>(kek: &Kek<K>, sealed: &SealedRecord) -> Result<Self, Refusal> {
        if !is_id(&sealed.wallet) || !is_id(&sealed.backup) {
            return Err(bad("record.wallet, record.backup: not 1 to 64 bytes of [A-Za-z0-9._-]"));
        }
        if sealed.epoch != kek.context.epoch {
            return Err(bad(format!(
                "record.epoch: {}, and the KEK beside it is of epoch {}",
                sealed.epoch, kek.context.epoch
            )));
        }
        if sealed.sealed.len() > RECORD_BYTES_MAX {
            return Err(bad(format!("record.sealed: more than {RECORD_BYTES_MAX} bytes")));
        }
        let record_id = RecordId::from_slice(&sealed.record_id).ok_or_else(|| bad("record.id: not 32 bytes"))?;
        let failed = || {
            refuse(
                Reason::DecryptFailed,
                "record: does not open as this tenant's, wallet's and backup's record under this epoch",
            )
        };
        let spot = record_spot(&sealed.wallet, &record_id, &sealed.backup);
        let bytes = seal::open(kek, &spot, &sealed.sealed).map_err(|_| failed())?;
        // Fields that this release does not know may restrict the record: it then stays closed here.
        let content: Content = canonical::decode(&bytes, RECORD_BYTES_MAX).map_err(|_| failed())?;
        let head = Head::from_slice(&content.head).ok_or_else(failed)?;
        if content.record_id != record_id.0 {
            return Err(failed());
        }
        Ok(Self { wallet: sealed.wallet.clone(), backup: sealed.backup.clone(), id: record_id, head, content })
    }

    /// Moves the record by one version: `event` carries everything but the version, which is set here. Returns the encoded event.
    pub(crate) fn advance(&mut self, mut event: Event) -> Vec<u8> {
        self.content.version = self.content.version.saturating_add(1);
        self.content.statement_serial = self.content.statement_serial.max(event.statement_serial);
        event.version = self.content.version;
        let event = event.encode_to_vec();
        self.head = signed::next_head(&self.head, &event);
        self.content.head = self.head.0.to_vec();
        event
    }

    /// Seals the record for the host's store.
    pub(crate) fn seal<P: Platform>(&self, platform: &P, kek: &Kek<P::Kem>) -> Result<SealedRecord, Unavailable> {
        let spot = record_spot(&self.wallet, &self.id, &self.backup);
        Ok(SealedRecord {
            wallet: self.wallet.clone(),
            record_id: self.id.0.to_vec(),
            backup: self.backup.clone(),
            epoch: kek.context.epoch,
            sealed: seal::seal(platform, kek, &spot, &self.content.encode_to_vec())?,
        })
    }

    /// A generation that opens.
    pub(crate) fn generation(&self, number: u64) -> Result<&Generation, Refusal> {
        self.content.generations.iter().find(|generation| generation.generation == number).ok_or_else(|| {
            refuse(Reason::NoValidBackup, format!("generation {number}: the record has none that opens"))
        })
    }

    /// Seals one pair's share at its place in this record.
    pub(crate) fn seal_share<P: Platform, R: RoleKind>(
        &self,
        platform: &P,
        kek: &Kek<P::Kem>,
        generation: u64,
        share: &contents::Share,
    ) -> Result<SealedShare, Unavailable> {
        let spot = Spot { kind: R::SHARE, generation, pair: &share.pair, ..self.spot() };
        let sealed = seal::seal(platform, kek, &spot, share.bytes.expose())?;
        Ok(SealedShare { generation, pair: share.pair.clone(), sealed })
    }

    /// Opens every share of a generation. A share counts only if the record names its generation, pair and hash.
    pub(crate) fn open_shares<K: Kem, R: RoleKind>(
        &self,
        kek: &Kek<K>,
        generation: &Generation,
        stored: &[SealedShare],
    ) -> Result<Vec<contents::Share>, Damaged> {
        let mut shares = Vec::with_capacity(generation.parts.len());
        for part in &generation.parts {
            let pair = part.pair.as_ref().map(|pair| pair.id.as_str()).unwrap_or_default();
            let sealed = stored
                .iter()
                .find(|share| share.generation == generation.generation && share.pair == pair)
                .ok_or_else(|| Damaged::Missing(pair.into()))?;
            if ContentHash::of(&sealed.sealed).0 != *part.sealed_hash {
                return Err(Damaged::OtherBytes(pair.into()));
            }
            let spot = Spot { kind: R::SHARE, generation: generation.generation, pair, ..self.spot() };
            let mut bytes = seal::open(kek, &spot, &sealed.sealed).map_err(|_| Damaged::NotOpened(pair.into()))?;
            shares.push(contents::Share { pair: pair.into(), bytes: Secret::take(&mut bytes) });
        }
        Ok(shares)
    }

    fn spot(&self) -> Spot<'_> {
        record_spot(&self.wallet, &self.id, &self.backup)
    }
}

/// Which share of a generation is not as the record says, by pair.
#[derive(Debug)]
pub(crate) enum Damaged {
    Missing(String),
    OtherBytes(String),
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
            Damaged::NotOpened(pair) => refuse(Reason::DecryptFailed, format!("shares: pair {pair} does not open")),
        }
    }
}

fn record_spot<'a>(wallet: &'a str, record_id: &'a RecordId, backup: &'a str) -> Spot<'a> {
    Spot { kind: SealKind::Record, wallet, record_id, backup, generation: 0, pair: "" }
}
