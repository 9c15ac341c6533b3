//! How every act ends: the record moves by one version, is sealed under the epoch in force, and a receipt is signed.

use alloc::vec::Vec;

use strongroom_proto::enclave::v1::{Moved, SealedShare};
use strongroom_proto::id::{ContentHash, IntentHash};
use strongroom_proto::v1::{ActKind, Event};

use super::Scene;
use crate::consent::{self, Consents};
use crate::platform::Platform;
use crate::receipt::{self, Done};
use crate::record::Record;
use crate::refusal::Refusal;
use crate::role::RoleKind;

/// What an act did, for its event and its receipt.
#[derive(Debug, Default)]
pub(super) struct Deed {
    pub(super) kind: ActKind,
    pub(super) generation: u64,
    pub(super) recipient: Vec<u8>,
    pub(super) credential_id: Vec<u8>,
    /// Of what starts to wait.
    pub(super) not_before_ms: u64,
    /// Hash of the intent that started what is cancelled.
    pub(super) cancelled: Vec<u8>,
    /// New ones.
    pub(super) shares: Vec<SealedShare>,
    /// Sealed to its recipient.
    pub(super) release: Vec<u8>,
    /// Of a release: shares of a lower epoch, sealed anew.
    pub(super) resealed: Vec<SealedShare>,
}

/// Moves the record and signs. Nothing is sealed under an epoch that the statement does not name so.
pub(super) fn finish<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    mut record: Record,
    intent: IntentHash,
    consents: Consents,
    deed: Deed,
) -> Result<Moved, Refusal> {
    let statement = scene.statement()?;
    statement.check_sealing::<R, _>(scene.kek)?;
    let stages = consent::stages(consents.freshness);
    let event = record.advance(Event {
        version: 0,
        kind: deed.kind.into(),
        intent_hash: intent.0.to_vec(),
        time_ms: scene.now.0,
        generation: deed.generation,
        recipient: deed.recipient,
        credential_id: consents.credential_id,
        tenant_key: consents.tenant_key,
        statement_serial: statement.body.serial,
        subject_credential_id: deed.credential_id,
        not_before_ms: deed.not_before_ms,
        cancelled_intent_hash: deed.cancelled,
    });
    let released = Some(deed.release.as_slice()).filter(|release| !release.is_empty());
    let sealed = deed.shares.iter().map(|share| share.sealed.as_slice()).chain(released);
    let sealed = sealed.map(ContentHash::of).collect();
    let resealed = deed.resealed.iter().map(|share| ContentHash::of(&share.sealed)).collect();
    let done = Done { event, intent: &intent, sealed, resealed, time: scene.now, stages };
    let receipt = receipt::sign(scene.kek, &record, done);
    Ok(Moved {
        record: Some(record.seal(scene.platform, scene.kek)?),
        shares: [deed.shares, deed.resealed].concat(),
        receipt: Some(receipt),
        generations: record.generation_numbers(),
        release: deed.release,
    })
}
