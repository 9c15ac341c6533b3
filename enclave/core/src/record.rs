//! Records: opened from what the host stored, moved by one version, sealed again.

pub(crate) mod generations;
pub(crate) mod open_acts;
pub(crate) mod shares;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use prost::Message;
use strongroom_proto::canonical;
use strongroom_proto::enclave::v1::{Record as Content, SealedRecord};
use strongroom_proto::id::{Head, RecordId};
use strongroom_proto::names::is_id;
use strongroom_proto::seal::SealKind;
use strongroom_proto::signed;
use strongroom_proto::v1::{Event, Policy, Reason};

use crate::kek::Kek;
use crate::keks::Keks;
use crate::platform::{Platform, Unavailable};
use crate::refusal::{Refusal, bad, refuse};
use crate::seal::{self, Spot};
use crate::suite::Suite;

/// Longest sealed record in bytes: 16 credentials with the largest keys, the generations, and what waits.
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
    pub(crate) fn open<S: Suite>(keks: Keks<'_, S>, sealed: &SealedRecord) -> Result<Self, Refusal> {
        if !is_id(&sealed.wallet) || !is_id(&sealed.backup) {
            return Err(bad("record.wallet, record.backup: not 1 to 64 bytes of [A-Za-z0-9._-]"));
        }
        let epoch = sealed.epoch;
        let kek = keks.of(epoch).ok_or_else(|| bad(format!("record.epoch: {epoch}, and no KEK beside it is of it")))?;
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
        let parts = content.generations.iter().flat_map(|generation| &generation.parts);
        if content.record_id != record_id.0 || !parts.into_iter().all(shares::is_sound) {
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
    pub(crate) fn seal<P: Platform>(&self, platform: &P, kek: &Kek<P::Suite>) -> Result<SealedRecord, Unavailable> {
        Ok(SealedRecord {
            wallet: self.wallet.clone(),
            record_id: self.id.0.to_vec(),
            backup: self.backup.clone(),
            epoch: kek.context.epoch,
            sealed: seal::seal(platform, kek, &self.spot(), &self.content.encode_to_vec())?,
        })
    }

    /// The policy that acts on the record keep.
    pub(crate) fn policy(&self) -> Result<Policy, Refusal> {
        self.content.policy.ok_or_else(|| refuse(Reason::DecryptFailed, "record: has no policy"))
    }

    fn spot(&self) -> Spot<'_> {
        record_spot(&self.wallet, &self.id, &self.backup)
    }
}

fn record_spot<'a>(wallet: &'a str, record_id: &'a RecordId, backup: &'a str) -> Spot<'a> {
    Spot { kind: SealKind::Record, wallet, record_id, backup, generation: 0, pair: "" }
}
