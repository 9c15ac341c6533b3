//! The receipts of a commit: the custodian's and the client's, each against the put and against each other.

use strongroom_proto::id::{Head, IntentHash, RecordId};
use strongroom_proto::v1::{ActKind, Event, Receipt, Role, SignedReceipt};
use strongroom_proto::{canonical, signed};

use super::{EVENT, PART, RECEIPT_BYTES_MAX, VerifiedReceipt, array, of_roles, put_of, read_fresh, resealed};
use crate::error::{Error, expect, expect_bytes};
use crate::statement::VerifiedStatement;

/// The put that a commit brings into force, and how the records stood before.
#[derive(Clone, Debug, PartialEq)]
pub struct Committing {
    /// The wallet.
    pub wallet: String,
    /// The backup.
    pub backup: String,
    /// Its record id, the same in both roles.
    pub record_id: RecordId,
    /// The generation that waits.
    pub generation: u64,
    /// The intent that put it.
    pub put_intent: IntentHash,
    /// Version and head of each role's record, as it was last seen. A record may have moved on since.
    pub before: [(Role, u64, Head); 2],
}

/// Checks the answer to a commit: one receipt of each role, each of which says that the very put is in force, so that the two agree with
/// each other. Gives them in the order of the roles.
///
/// # Errors
/// [`Error::Malformed`], [`Error::Signature`], [`Error::EpochNotInStatement`], [`Error::EpochTooOld`], or [`Error::Mismatch`] with the
/// field.
pub fn verify_commit<'a>(
    receipts: &'a [SignedReceipt],
    statement: &VerifiedStatement,
    committing: &Committing,
) -> Result<Vec<(Role, VerifiedReceipt, &'a SignedReceipt)>, Error> {
    let found = of_roles(receipts, committing.before.map(|(role, ..)| role))?;
    let verified = found.into_iter().zip(&committing.before).map(|((role, signed), (_, version, head))| {
        let receipt = read_fresh(signed, statement, role)?;
        Ok((role, check(&receipt, committing, (*version, *head))?, signed))
    });
    verified.collect()
}

fn check(receipt: &Receipt, committing: &Committing, before: (u64, Head)) -> Result<VerifiedReceipt, Error> {
    expect(PART, "wallet", receipt.wallet.as_str(), &committing.wallet)?;
    expect_bytes(PART, "record_id", &receipt.record_id, committing.record_id)?;
    expect_bytes(PART, "intent_hash", &receipt.intent_hash, committing.put_intent)?;
    let active = receipt.active.as_ref().map(put_of).transpose()?;
    let show = |it: Option<(u64, IntentHash)>| {
        it.map_or_else(|| "none".to_owned(), |(number, put)| format!("{number} put by {put}"))
    };
    expect(PART, "active generation", show(active), show(Some((committing.generation, committing.put_intent))))?;
    expect(PART, "number of sealed_hashes", receipt.sealed_hashes.len(), 0)?;
    let resealed = resealed(receipt, false)?;
    array::<32>(PART, "identity_hash", &receipt.identity_hash)?;
    if receipt.version <= before.0 {
        return Err(Error::malformed(PART, format_args!("version {}: the commit moved nothing", receipt.version)));
    }
    if !receipt.event.is_empty() {
        check_event(receipt, committing, before)?;
    }
    let stages = receipt.stages.clone().ok_or_else(|| Error::malformed(PART, "stages are missing"))?;
    Ok(VerifiedReceipt {
        record_id: committing.record_id,
        head: Head(array(PART, "head", &receipt.head)?),
        version: receipt.version,
        generation: committing.generation,
        pending: receipt.pending.as_ref().map(put_of).transpose()?,
        not_before_ms: 0,
        epoch: receipt.epoch,
        time_ms: receipt.time_ms,
        stages,
        sealed: Vec::new(),
        resealed,
    })
}

/// The commit itself. Where the host committed before it was asked, the receipt has no event: nothing moved then.
fn check_event(receipt: &Receipt, committing: &Committing, before: (u64, Head)) -> Result<(), Error> {
    let event: Event =
        canonical::decode(&receipt.event, RECEIPT_BYTES_MAX).map_err(|error| Error::malformed(EVENT, error))?;
    expect(EVENT, "version", event.version, receipt.version)?;
    expect(EVENT, "kind", event.kind().as_str_name(), ActKind::Commit.as_str_name())?;
    expect_bytes(EVENT, "intent_hash", &event.intent_hash, committing.put_intent)?;
    expect(EVENT, "time_ms", event.time_ms, receipt.time_ms)?;
    expect(EVENT, "generation", event.generation, committing.generation)?;
    expect(EVENT, "not_before_ms", event.not_before_ms, 0)?;
    for (field, bytes) in [
        ("recipient", &event.recipient),
        ("credential_id", &event.credential_id),
        ("tenant_key", &event.tenant_key),
        ("subject_credential_id", &event.subject_credential_id),
        ("cancelled_intent_hash", &event.cancelled_intent_hash),
    ] {
        expect_bytes(EVENT, field, bytes, [])?;
    }
    if receipt.pending.is_some() {
        return Err(Error::malformed(PART, "a generation waits after the commit that took it"));
    }
    let (version, head) = before;
    if receipt.version == version.saturating_add(1) {
        expect_bytes(PART, "head", &receipt.head, signed::next_head(&head, &receipt.event))?;
    }
    Ok(())
}
