//! Receipts: what an enclave signs after an act, checked against the act that this device sent, or against what waited.
//!
//! The receipt key comes from the statement. A receipt proves what was done, not that the host kept it.

use prost::Message;
use strongroom_proto::canonical;
use strongroom_proto::id::{ContentHash, Head, IntentHash, RecordId};
use strongroom_proto::limits::PAIRS_MAX;
use strongroom_proto::v1::{Event, GenerationRef, Receipt, Role, SignedReceipt, Stages, TenantSignature};
use strongroom_proto::{prefix, signed};

use crate::error::{Error, array, expect, expect_bytes};
use crate::intent::EncodedIntent;
use crate::role::role_name;
use crate::statement::VerifiedStatement;
use crate::view::{OpenAct, Record};

mod commit;
mod delivery;
mod expected;
mod known;
mod rehearsal;

pub use commit::{Committing, verify_commit};
pub use delivery::{Awaited, verify_delivery};
use expected::{Expected, Sealed};
pub use known::{KnownReceipt, newest, newest_of_roles};
pub use rehearsal::{VerifiedRehearsal, verify_rehearsal};

/// Longest encoded receipt in bytes.
pub const RECEIPT_BYTES_MAX: usize = 8 * 1024;

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
    /// The credential whose assertion was sent; where there are two, the one that is in the record already.
    pub credential_id: &'a [u8],
    /// The tenant's signature that was sent.
    pub tenant_signature: Option<&'a TenantSignature>,
    /// The sealed bytes that came back; `None` where the act releases nothing.
    pub release: Option<&'a [u8]>,
}

/// What waited and was carried out, and what it started from.
#[derive(Clone, Copy, Debug)]
pub struct Due<'a> {
    /// The role whose receipt this is.
    pub role: Role,
    /// The wallet.
    pub wallet: &'a str,
    /// The record as the view showed it, with what waits.
    pub record: &'a Record,
    /// What waited in it.
    pub open: &'a OpenAct,
    /// The tenant's second intent with its signature, where one was sent.
    pub second: Option<(&'a EncodedIntent, &'a TenantSignature)>,
    /// The sealed bytes that came back; `None` where the act releases nothing.
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
    /// The active generation after the act; 0 where there is none.
    pub generation: u64,
    /// The generation that waits for its commit after the act, and the intent that put it.
    pub pending: Option<(u64, IntentHash)>,
    /// Where the act waits: when it is due, by the enclave's time in milliseconds. 0 where it is done.
    pub not_before_ms: u64,
    /// The epoch that signed, and that a release was sealed under.
    pub epoch: u64,
    /// The enclave's time of the act, in milliseconds.
    pub time_ms: u64,
    /// Who must be trusted, and how fresh the answer is.
    pub stages: Stages,
    /// SHA-256 of each sealed byte string that the act made: stored shares in the order of their pairs, or the one release.
    pub sealed: Vec<ContentHash>,
    /// Of a release: SHA-256 of each sealed share that it sealed anew, in the order of their pairs. Whoever keeps the sealed shares takes
    /// no others in the place of what he brought.
    pub resealed: Vec<ContentHash>,
}

/// Checks the receipt of an act that was sent.
///
/// # Errors
/// [`Error::Signature`], [`Error::Malformed`], [`Error::EpochNotInStatement`], [`Error::EpochTooOld`], or [`Error::Mismatch`] with the
/// field.
pub fn verify(
    signed: &SignedReceipt,
    statement: &VerifiedStatement,
    sent: &Sent<'_>,
) -> Result<VerifiedReceipt, Error> {
    check(read_fresh(signed, statement, sent.role)?, &Expected::of_sent(sent)?)
}

/// Checks the receipt of what waited and was carried out.
///
/// # Errors
/// As [`verify`].
pub fn verify_due(
    signed: &SignedReceipt,
    statement: &VerifiedStatement,
    due: &Due<'_>,
) -> Result<VerifiedReceipt, Error> {
    let receipt = read_fresh(signed, statement, due.role)?;
    let window = due.open.not_before.unix_ms()..due.open.expires.unix_ms();
    if !window.contains(&receipt.time_ms) {
        return Err(Error::malformed(PART, "what waited was carried out before it was due, or after it expired"));
    }
    check(receipt, &Expected::of_due(due)?)
}

/// A receipt of an act that just took place: an epoch that the tenant gave up signs no such thing, whoever holds its key by now.
fn read_fresh(signed: &SignedReceipt, statement: &VerifiedStatement, role: Role) -> Result<Receipt, Error> {
    let receipt = read(signed, statement, role)?;
    statement.require_in_force(role, receipt.epoch)?;
    Ok(receipt)
}

/// A receipt in its one encoding, signed by a receipt key that the statement names for the role.
pub(crate) fn read(signed: &SignedReceipt, statement: &VerifiedStatement, role: Role) -> Result<Receipt, Error> {
    let receipt: Receipt =
        canonical::decode(&signed.receipt, RECEIPT_BYTES_MAX).map_err(|error| Error::malformed(PART, error))?;
    expect(PART, "role", role_name(receipt.role()), role_name(role))?;
    let keys = statement.epoch(role, receipt.epoch)?;
    signed::verify(prefix::RECEIPT, &signed.receipt, &keys.receipt_key, &signed.signature)
        .map_err(|_| Error::Signature { part: PART })?;
    expect_bytes(PART, "tenant", &receipt.tenant, statement.tenant())?;
    Ok(receipt)
}

fn check(receipt: Receipt, expected: &Expected<'_>) -> Result<VerifiedReceipt, Error> {
    expect(PART, "wallet", receipt.wallet.as_str(), expected.wallet)?;
    expect_bytes(PART, "record_id", &receipt.record_id, expected.record_id)?;
    expect_bytes(PART, "intent_hash", &receipt.intent_hash, expected.intent)?;
    expect(PART, "version", receipt.version, expected.version_before.saturating_add(1))?;
    expect_bytes(PART, "head", &receipt.head, signed::next_head(&expected.head_before, &receipt.event))?;
    // Which release of the enclave answered may change between the view and the act, so the identity is named here, not fixed.
    array::<32>(PART, "identity_hash", &receipt.identity_hash)?;
    if expected.not_after_ms.is_some_and(|not_after_ms| receipt.time_ms > not_after_ms) {
        return Err(Error::malformed(PART, "the act took place after the intent's not_after"));
    }
    let event: Event =
        canonical::decode(&receipt.event, RECEIPT_BYTES_MAX).map_err(|error| Error::malformed(EVENT, error))?;
    check_event(&event, &receipt, expected)?;
    expect(PART, "active generation", show(receipt.active.as_ref()), show(expected.active.as_ref()))?;
    expect(PART, "pending generation", show(receipt.pending.as_ref()), show(expected.pending.as_ref()))?;
    check_sealed(&receipt, expected.sealed)?;
    let resealed = resealed(&receipt, matches!(expected.sealed, Sealed::Release(_)))?;
    let stages = receipt.stages.ok_or_else(|| Error::malformed(PART, "stages are missing"))?;
    if stages.freshness() < expected.freshness {
        return Err(Error::malformed(
            PART,
            "it claims less freshness than the tenant's signature over the newest head",
        ));
    }
    Ok(VerifiedReceipt {
        record_id: expected.record_id,
        head: Head(array(PART, "head", &receipt.head)?),
        version: receipt.version,
        generation: receipt.active.map_or(0, |active| active.generation),
        pending: receipt.pending.as_ref().map(put_of).transpose()?,
        not_before_ms: event.not_before_ms,
        epoch: receipt.epoch,
        time_ms: receipt.time_ms,
        stages,
        sealed: hashes(&receipt.sealed_hashes)?,
        resealed,
    })
}

fn check_event(event: &Event, receipt: &Receipt, expected: &Expected<'_>) -> Result<(), Error> {
    expect(EVENT, "version", event.version, receipt.version)?;
    expect(EVENT, "kind", event.kind().as_str_name(), expected.kind.as_str_name())?;
    expect_bytes(EVENT, "intent_hash", &event.intent_hash, expected.intent)?;
    expect(EVENT, "time_ms", event.time_ms, receipt.time_ms)?;
    expect(EVENT, "generation", event.generation, expected.generation)?;
    expect_bytes(EVENT, "recipient", &event.recipient, expected.recipient)?;
    expect_bytes(EVENT, "credential_id", &event.credential_id, expected.credential_id)?;
    expect_bytes(EVENT, "tenant_key", &event.tenant_key, expected.tenant_key)?;
    expect_bytes(EVENT, "subject_credential_id", &event.subject_credential_id, expected.subject_credential_id)?;
    expect_bytes(EVENT, "cancelled_intent_hash", &event.cancelled_intent_hash, expected.cancelled)?;
    let not_before_ms = expected.delay_ms.map_or(0, |delay| event.time_ms.saturating_add(delay));
    expect(EVENT, "not_before_ms", event.not_before_ms, not_before_ms)?;
    let needed = expected.statement_serial;
    if event.statement_serial < needed {
        return Err(Error::StatementTooOld { found: event.statement_serial, needed });
    }
    Ok(())
}

fn put_of(reference: &GenerationRef) -> Result<(u64, IntentHash), Error> {
    Ok((reference.generation, IntentHash(array(PART, "put_intent_hash", &reference.put_intent_hash)?)))
}

fn show(reference: Option<&GenerationRef>) -> String {
    reference.map_or_else(
        || "none".to_owned(),
        |reference| format!("{} put by {}", reference.generation, hex::encode(&reference.put_intent_hash)),
    )
}

fn check_sealed(receipt: &Receipt, expected: Sealed) -> Result<(), Error> {
    for hash in &receipt.sealed_hashes {
        array::<32>(PART, "an entry of sealed_hashes", hash)?;
    }
    let count = match expected {
        Sealed::Shares(count) => count,
        Sealed::Release(hash) => {
            let found = receipt.sealed_hashes.first().map(Vec::as_slice).unwrap_or_default();
            expect_bytes(PART, "hash of the release", found, hash)?;
            1
        }
    };
    expect(PART, "number of sealed_hashes", receipt.sealed_hashes.len(), count)
}

fn hashes(list: &[Vec<u8>]) -> Result<Vec<ContentHash>, Error> {
    list.iter().map(|hash| array(PART, "an entry of sealed_hashes", hash).map(ContentHash)).collect()
}

/// The shares that a release sealed anew; no other act does.
fn resealed(receipt: &Receipt, releases: bool) -> Result<Vec<ContentHash>, Error> {
    let (found, most) = (receipt.resealed_hashes.len(), if releases { PAIRS_MAX } else { 0 });
    if found > most {
        return Err(Error::malformed(PART, format_args!("number of resealed_hashes is {found}, at most {most}")));
    }
    let hash = |hash: &Vec<u8>| array(PART, "an entry of resealed_hashes", hash).map(ContentHash);
    receipt.resealed_hashes.iter().map(hash).collect()
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

/// The receipts of an answer, one for each of these roles, in their order, and none of another role.
///
/// # Errors
/// [`Error::Malformed`] where one is missing, there twice, or there without being asked for.
pub fn of_roles(
    receipts: &[SignedReceipt],
    roles: impl IntoIterator<Item = Role>,
) -> Result<Vec<(Role, &SignedReceipt)>, Error> {
    let found = roles.into_iter().map(|role| of_role(receipts, role).map(|signed| (role, signed)));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    if found.len() == receipts.len() {
        return Ok(found);
    }
    Err(Error::malformed("answer", "it has a receipt of a role that the act does not name"))
}

#[cfg(test)]
mod tests;
