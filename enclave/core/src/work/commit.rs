//! `Commit`: the pending generation becomes the active one, on the other role's receipt.
//!
//! It needs no prompt: what it brings about was signed for at the put, and the receipt proves that the other role has the same
//! generation of the same put. Matching by number alone would let two devices' puts be committed crosswise. The custodian commits first,
//! on the client's receipt of the put; so at every moment some generation opens in both roles (the core's tests check every order).

use strongroom_proto::canonical;
use strongroom_proto::enclave::v1::{Commit, Moved};
use strongroom_proto::id::IntentHash;
use strongroom_proto::v1::{ActKind, Freshness, GenerationRef, Reason, Receipt, SignedReceipt};
use strongroom_proto::{prefix, signed};

use super::moved::{Deed, finish};
use super::{Scene, subject};
use crate::consent::{self, Consents};
use crate::platform::Platform;
use crate::receipt::{self, Done};
use crate::record::Record;
use crate::refusal::{Refusal, bad, refuse};
use crate::role::RoleKind;

/// Longest encoded receipt in bytes.
const RECEIPT_BYTES_MAX: usize = 8 * 1024;

pub(super) fn run<P: Platform, R: RoleKind>(scene: &Scene<'_, P>, request: &Commit) -> Result<Moved, Refusal> {
    let mut record = subject::open_record(scene, request.record.as_ref())?;
    let signed = request.receipt.as_ref().ok_or_else(|| bad("receipt: missing"))?;
    let receipt = read_receipt::<P, R>(scene, &record, signed)?;
    let committed = R::committed(&receipt)
        .ok_or_else(|| refuse(Reason::StateInvalid, "receipt: names no generation that this role could commit"))?;
    let intent = IntentHash::from_slice(&committed.put_intent_hash)
        .ok_or_else(|| bad("receipt: a put-intent hash is not 32 bytes"))?;
    if is(&record, record.content.active, committed) {
        return Ok(in_force(scene, request, &record, intent));
    }
    if !is(&record, record.content.pending, committed) {
        return Err(refuse(
            Reason::StateInvalid,
            "receipt: names another generation, or another put of it, than the one that is pending here",
        ));
    }
    let kept = R::kept(record.reference(record.content.active), &receipt).filter(|kept| record.opens(kept));
    let kept = kept.ok_or_else(|| {
        refuse(
            Reason::StateInvalid,
            "receipt: the generation that is active in the other role does not open in this one",
        )
    })?;
    record.commit(kept.generation, scene.now);
    let deed = Deed { kind: ActKind::Commit, generation: committed.generation, ..Deed::default() };
    finish::<P, R>(scene, record, intent, Consents::none(), deed)
}

/// Whether the record's generation `number` is the one that a receipt names: same number, same put.
fn is(record: &Record, number: u64, named: &GenerationRef) -> bool {
    record.reference(number).is_some_and(|known| known == *named)
}

/// The other role's receipt about the same record, signed by a receipt key that the statement names for it.
fn read_receipt<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    record: &Record,
    signed: &SignedReceipt,
) -> Result<Receipt, Refusal> {
    let receipt: Receipt = canonical::decode(&signed.receipt, RECEIPT_BYTES_MAX)
        .map_err(|error| bad(alloc::format!("receipt: {error}")))?;
    let rejected = |why| Err(refuse(Reason::ProofRejected, why));
    let (role, named) = R::counterpart(&scene.statement()?.body);
    let Some(named) = named else { return rejected("receipt: the statement does not name the other role") };
    let Some(epoch) = named.epochs.iter().find(|epoch| epoch.epoch == receipt.epoch) else {
        return rejected("receipt.epoch: not in the statement");
    };
    if epoch.epoch < named.lowest_epoch {
        return rejected("receipt.epoch: below the statement's lowest_epoch");
    }
    if signed::verify(prefix::RECEIPT, &signed.receipt, &epoch.receipt_key, &signed.signature).is_err() {
        return rejected("receipt.signature: not by the receipt key that the statement names");
    }
    let same = receipt.role() == role
        && receipt.tenant == scene.tenant.0
        && receipt.wallet == record.wallet
        && receipt.record_id == record.id.0;
    if same { Ok(receipt) } else { rejected("receipt: of another tenant, wallet, record or role") }
}

/// The act is in force already: a receipt of how the record stands, which moves nothing.
fn in_force<P: Platform>(scene: &Scene<'_, P>, request: &Commit, record: &Record, intent: IntentHash) -> Moved {
    let stages = consent::stages(Freshness::None);
    let (event, sealed, resealed) = Default::default();
    let done = Done { event, intent: &intent, sealed, resealed, time: scene.now, stages };
    Moved {
        record: request.record.clone(),
        receipt: Some(receipt::sign(scene.kek, record, done)),
        generations: record.generation_numbers(),
        ..Moved::default()
    }
}
