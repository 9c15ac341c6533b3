//! The receipt of a release that reached its recipient by other hands than those which asked for it: an MPC server, which gets the
//! custodian's release from the tenant's backend.

use strongroom_proto::id::{ContentHash, Head, RecordId};
use strongroom_proto::intent as form;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{ActKind, Event, Role, SignedReceipt};
use strongroom_proto::{canonical, signed};

use super::{EVENT, PART, RECEIPT_BYTES_MAX, array, read_fresh, resealed};
use crate::error::{Error, expect, expect_bytes};
use crate::intent::EncodedIntent;
use crate::statement::{EpochKeys, VerifiedStatement};

/// What a recipient waits for.
#[derive(Clone, Copy, Debug)]
pub struct Awaited<'a> {
    /// The role that releases.
    pub role: Role,
    /// The wallet.
    pub wallet: &'a str,
    /// The record, as the receipt of its creation names it.
    pub record_id: RecordId,
    /// The recipient's own hash.
    pub recipient: ContentHash,
}

/// Checks that a receipt vouches for these sealed bytes, as the release that the intent asks for and to this recipient. Gives the
/// generation and the keys of the epoch that it was sealed under.
///
/// # Errors
/// [`Error::Signature`], [`Error::Malformed`], [`Error::EpochNotInStatement`], [`Error::EpochTooOld`], or [`Error::Mismatch`] with the
/// field.
pub fn verify_delivery(
    signed: &SignedReceipt,
    statement: &VerifiedStatement,
    intent: &EncodedIntent,
    release: &[u8],
    awaited: &Awaited<'_>,
) -> Result<(u64, EpochKeys), Error> {
    const INTENT: &str = "intent";
    let fields = &intent.intent;
    expect_bytes(INTENT, "tenant", &fields.tenant, statement.tenant())?;
    expect(INTENT, "wallet", fields.wallet.as_str(), awaited.wallet)?;
    let part = form::part(fields, awaited.role)
        .ok_or_else(|| Error::malformed(INTENT, "it does not name the role that releases"))?;
    expect_bytes(INTENT, "record_id", &part.record_id, awaited.record_id)?;
    expect_bytes(INTENT, "recipient", &part.recipient, awaited.recipient)?;
    let (generation, eject, at_once) = match &fields.action {
        Some(Action::Recover(it)) => (it.generation, it.eject, true),
        Some(Action::StartRecovery(it)) => (it.generation, it.eject, false),
        _ => return Err(Error::malformed(INTENT, "it asks for no release")),
    };
    let kind = if eject { ActKind::Eject } else { ActKind::Recover };

    let receipt = read_fresh(signed, statement, awaited.role)?;
    expect(PART, "wallet", receipt.wallet.as_str(), awaited.wallet)?;
    expect_bytes(PART, "record_id", &receipt.record_id, awaited.record_id)?;
    expect_bytes(PART, "intent_hash", &receipt.intent_hash, intent.hash)?;
    expect(PART, "number of sealed_hashes", receipt.sealed_hashes.len(), 1)?;
    resealed(&receipt, true)?;
    let sealed = receipt.sealed_hashes.first().map(Vec::as_slice).unwrap_or_default();
    expect_bytes(PART, "hash of the release", sealed, ContentHash::of(release))?;
    let event: Event =
        canonical::decode(&receipt.event, RECEIPT_BYTES_MAX).map_err(|error| Error::malformed(EVENT, error))?;
    expect(EVENT, "version", event.version, receipt.version)?;
    expect(EVENT, "kind", event.kind().as_str_name(), kind.as_str_name())?;
    expect_bytes(EVENT, "intent_hash", &event.intent_hash, intent.hash)?;
    expect(EVENT, "time_ms", event.time_ms, receipt.time_ms)?;
    expect(EVENT, "generation", event.generation, generation)?;
    expect_bytes(EVENT, "recipient", &event.recipient, awaited.recipient)?;
    if at_once {
        // A release that waited starts from a head that only its release knows; this one starts from the one that was signed.
        let head = Head(array(INTENT, "head", &part.head)?);
        expect_bytes(PART, "head", &receipt.head, signed::next_head(&head, &receipt.event))?;
        if receipt.time_ms > fields.not_after_ms {
            return Err(Error::malformed(PART, "the act took place after the intent's not_after"));
        }
    }
    Ok((generation, statement.epoch(awaited.role, receipt.epoch)?))
}
