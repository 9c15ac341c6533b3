//! Receipts: what an enclave signs after an act, checked against the act that this device sent.
//!
//! The receipt key comes from the statement. A receipt proves what was done, not that the host kept it.

use prost::Message;
use strongroom_proto::canonical;
use strongroom_proto::id::{ContentHash, Head, RecordId};
use strongroom_proto::limits::FRAME_BYTES_MAX;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{
    ActKind, Event, GenerationRef, Receipt, Role, RolePart, SignedReceipt, Stages, TenantSignature,
};
use strongroom_proto::{intent, prefix, signed};

use crate::error::{Error, array, expect, expect_bytes};
use crate::intent::EncodedIntent;
use crate::role::role_name;
use crate::statement::VerifiedStatement;
use crate::view::Record;

mod rehearsal;

pub use rehearsal::{VerifiedRehearsal, verify_rehearsal};

const PART: &str = "receipt";
const EVENT: &str = "receipt's event";

/// An act as it was sent, and what it started from.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// The role whose receipt this is.
    pub role: Role,
    /// The intent.
    pub intent: &'a EncodedIntent,
    /// The record as the view showed it; `None` for a creation.
    pub record: Option<&'a Record>,
    /// The credential whose assertion was sent.
    pub credential_id: &'a [u8],
    /// The tenant's signature that was sent.
    pub tenant_signature: Option<&'a TenantSignature>,
    /// The sealed bytes that came back; `None` where the act seals shares into the store.
    pub release: Option<&'a [u8]>,
}

/// A receipt that holds for the act that was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedReceipt {
    /// The record.
    pub record_id: RecordId,
    /// Its head after the act.
    pub head: Head,
    /// Its version after the act.
    pub version: u64,
    /// The epoch that signed, and that a release was sealed under.
    pub epoch: u64,
    /// The enclave's time of the act, in milliseconds.
    pub time_ms: u64,
    /// Who must be trusted, and how fresh the answer is.
    pub stages: Stages,
}

/// Checks a receipt.
///
/// # Errors
/// [`Error::Signature`], [`Error::Malformed`], [`Error::EpochNotInStatement`], or [`Error::Mismatch`] with the field.
pub fn verify(
    signed: &SignedReceipt,
    statement: &VerifiedStatement,
    sent: &Sent<'_>,
) -> Result<VerifiedReceipt, Error> {
    let receipt: Receipt =
        canonical::decode(&signed.receipt, FRAME_BYTES_MAX).map_err(|error| Error::malformed(PART, error))?;
    expect(PART, "role", role_name(receipt.role()), role_name(sent.role))?;
    let keys = statement.epoch(sent.role, receipt.epoch)?;
    signed::verify(prefix::RECEIPT, &signed.receipt, &keys.receipt_key, &signed.signature)
        .map_err(|_| Error::Signature { part: PART })?;

    let sent_intent = &sent.intent.intent;
    let (record_id, head_before, version_before) = starting_point(sent)?;
    expect_bytes(PART, "tenant", &receipt.tenant, statement.tenant())?;
    expect(PART, "wallet", receipt.wallet.as_str(), &sent_intent.wallet)?;
    expect_bytes(PART, "record_id", &receipt.record_id, record_id)?;
    expect_bytes(PART, "intent_hash", &receipt.intent_hash, sent.intent.hash)?;
    expect(PART, "version", receipt.version, version_before.saturating_add(1))?;
    expect_bytes(PART, "head", &receipt.head, signed::next_head(&head_before, &receipt.event))?;
    // Which release of the enclave answered may change between the view and the act, so the identity is named here, not fixed.
    array::<32>(PART, "identity_hash", &receipt.identity_hash)?;
    if receipt.time_ms > sent_intent.not_after_ms {
        return Err(Error::malformed(PART, "the act took place after the intent's not_after"));
    }
    check_event(&receipt, sent)?;
    check_generations(&receipt, sent)?;
    check_sealed(&receipt, sent)?;
    Ok(VerifiedReceipt {
        record_id,
        head: Head(array(PART, "head", &receipt.head)?),
        version: receipt.version,
        epoch: receipt.epoch,
        time_ms: receipt.time_ms,
        stages: receipt.stages.ok_or_else(|| Error::malformed(PART, "stages are missing"))?,
    })
}

/// Record, head and version that the act started from. A creation starts from the record id.
fn starting_point(sent: &Sent<'_>) -> Result<(RecordId, Head, u64), Error> {
    match (&sent.intent.intent.action, sent.record) {
        (Some(Action::CreateBackup(_)), None) => {
            let id = intent::record_id(&sent.intent.intent);
            Ok((id, Head(id.0), 0))
        }
        (Some(Action::Recover(_)), Some(record)) => Ok((record.id, record.head, record.version)),
        _ => Err(Error::malformed("act", "its action gives no receipt, or it has the wrong record")),
    }
}

fn check_event(receipt: &Receipt, sent: &Sent<'_>) -> Result<(), Error> {
    let event: Event =
        canonical::decode(&receipt.event, FRAME_BYTES_MAX).map_err(|error| Error::malformed(EVENT, error))?;
    let (kind, generation) = kind_and_generation(sent)?;
    let part = part(sent);
    expect(EVENT, "version", event.version, receipt.version)?;
    expect(EVENT, "kind", event.kind().as_str_name(), kind.as_str_name())?;
    expect_bytes(EVENT, "intent_hash", &event.intent_hash, sent.intent.hash)?;
    expect(EVENT, "time_ms", event.time_ms, receipt.time_ms)?;
    expect(EVENT, "generation", event.generation, generation)?;
    expect_bytes(EVENT, "recipient", &event.recipient, part.map_or(&[][..], |part| &part.recipient))?;
    expect_bytes(EVENT, "credential_id", &event.credential_id, sent.credential_id)?;
    let tenant_key = sent.tenant_signature.map_or(&[][..], |signature| &signature.key);
    expect_bytes(EVENT, "tenant_key", &event.tenant_key, tenant_key)?;
    if event.statement_serial < sent.intent.intent.statement_serial {
        let needed = sent.intent.intent.statement_serial;
        return Err(Error::StatementTooOld { found: event.statement_serial, needed });
    }
    Ok(())
}

/// A creation in one role is in force at once; one in both waits for the other's receipt. A release moves no generation.
fn check_generations(receipt: &Receipt, sent: &Sent<'_>) -> Result<(), Error> {
    let (_, generation) = kind_and_generation(sent)?;
    let (active, pending) = if let Some(record) = sent.record {
        let reference = |generation: &crate::view::Generation| GenerationRef {
            generation: generation.number,
            put_intent_hash: generation.put_intent.0.to_vec(),
        };
        (record.active().map(reference), record.pending().map(reference))
    } else {
        let put = Some(GenerationRef { generation, put_intent_hash: sent.intent.hash.0.to_vec() });
        let both_roles = sent.intent.intent.client.is_some() && sent.intent.intent.custodian.is_some();
        if both_roles && receipt.active.is_none() { (None, put) } else { (put, None) }
    };
    let show = |reference: &Option<GenerationRef>| {
        reference.as_ref().map_or_else(
            || "none".to_owned(),
            |reference| format!("{} put by {}", reference.generation, hex::encode(&reference.put_intent_hash)),
        )
    };
    expect(PART, "active generation", show(&receipt.active), show(&active))?;
    expect(PART, "pending generation", show(&receipt.pending), show(&pending))
}

fn check_sealed(receipt: &Receipt, sent: &Sent<'_>) -> Result<(), Error> {
    for hash in &receipt.sealed_hashes {
        array::<32>(PART, "an entry of sealed_hashes", hash)?;
    }
    let expected = match (&sent.intent.intent.action, sent.release) {
        (Some(Action::CreateBackup(action)), None) => action.pairs.len(),
        (Some(Action::Recover(_)), Some(release)) => {
            let found = receipt.sealed_hashes.first().map(Vec::as_slice).unwrap_or_default();
            expect_bytes(PART, "hash of the release", found, ContentHash::of(release))?;
            1
        }
        _ => return Err(Error::malformed("act", "a release came where none was asked for, or none where one was")),
    };
    expect(PART, "number of sealed_hashes", receipt.sealed_hashes.len(), expected)
}

fn kind_and_generation(sent: &Sent<'_>) -> Result<(ActKind, u64), Error> {
    match &sent.intent.intent.action {
        Some(Action::CreateBackup(action)) => Ok((ActKind::CreateBackup, action.generation)),
        Some(Action::Recover(action)) => Ok((ActKind::Recover, action.generation)),
        _ => Err(Error::malformed("act", "its action gives no receipt")),
    }
}

fn part<'a>(sent: &Sent<'a>) -> Option<&'a RolePart> {
    intent::part(&sent.intent.intent, sent.role)
}

/// The one receipt of a role in an answer.
///
/// # Errors
/// [`Error::Malformed`] where there is none, or more than one.
pub fn of_role(receipts: &[SignedReceipt], role: Role) -> Result<&SignedReceipt, Error> {
    let mut found = receipts.iter().filter(|signed| {
        // Only to sort them; `verify` decodes strictly.
        Receipt::decode(signed.receipt.as_slice()).is_ok_and(|receipt| receipt.role() == role)
    });
    match (found.next(), found.next()) {
        (Some(receipt), None) => Ok(receipt),
        _ => Err(Error::malformed("answer", format_args!("it has not one receipt of the {} role", role_name(role)))),
    }
}

#[cfg(test)]
mod tests;
