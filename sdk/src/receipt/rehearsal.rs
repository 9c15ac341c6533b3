//! Rehearsals: an enclave's word that shares open, without releasing them.

use strongroom_proto::limits::FRAME_BYTES_MAX;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{Rehearsal, RehearsalResult, SignedRehearsal, Stages};
use strongroom_proto::{canonical, prefix, signed};

use super::Sent;
use crate::error::{Error, expect, expect_bytes};
use crate::role::role_name;
use crate::statement::VerifiedStatement;

const PART: &str = "rehearsal";

/// A rehearsal that holds for the act that was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedRehearsal {
    /// Whether every share of the generation opened. `false`: the consents hold, and a share is missing or does not open.
    pub opens: bool,
    /// The enclave's time, in milliseconds.
    pub time_ms: u64,
    /// Who must be trusted, and how fresh the answer is.
    pub stages: Stages,
}

/// Checks a rehearsal.
///
/// # Errors
/// [`Error::Signature`], [`Error::Malformed`], [`Error::EpochNotInStatement`], [`Error::EpochTooOld`], or [`Error::Mismatch`] with the
/// field.
pub fn verify_rehearsal(
    signed: &SignedRehearsal,
    statement: &VerifiedStatement,
    sent: &Sent<'_>,
) -> Result<VerifiedRehearsal, Error> {
    let (Some(Action::Rehearse(action)), Some(record)) = (&sent.intent.intent.action, sent.record) else {
        return Err(Error::malformed("act", "it is no rehearsal of a record"));
    };
    let rehearsal: Rehearsal =
        canonical::decode(&signed.rehearsal, FRAME_BYTES_MAX).map_err(|error| Error::malformed(PART, error))?;
    expect(PART, "role", role_name(rehearsal.role()), role_name(sent.role))?;
    let keys = statement.epoch(sent.role, rehearsal.epoch)?;
    signed::verify(prefix::REHEARSAL, &signed.rehearsal, &keys.receipt_key, &signed.signature)
        .map_err(|_| Error::Signature { part: PART })?;
    statement.require_in_force(sent.role, rehearsal.epoch)?;
    expect_bytes(PART, "tenant", &rehearsal.tenant, statement.tenant())?;
    expect(PART, "wallet", rehearsal.wallet.as_str(), &sent.intent.intent.wallet)?;
    expect_bytes(PART, "record_id", &rehearsal.record_id, record.id)?;
    expect_bytes(PART, "head", &rehearsal.head, record.head)?;
    expect(PART, "generation", rehearsal.generation, action.generation)?;
    expect_bytes(PART, "intent_hash", &rehearsal.intent_hash, sent.intent.hash)?;
    if rehearsal.time_ms > sent.intent.intent.not_after_ms {
        return Err(Error::malformed(PART, "it took place after the intent's not_after"));
    }
    let opens = match rehearsal.result() {
        RehearsalResult::Opens => true,
        RehearsalResult::Damaged => false,
        RehearsalResult::Unspecified => return Err(Error::malformed(PART, "its result is unknown")),
    };
    let stages = rehearsal.stages.ok_or_else(|| Error::malformed(PART, "stages are missing"))?;
    Ok(VerifiedRehearsal { opens, time_ms: rehearsal.time_ms, stages })
}
