//! Intents inside the enclave: decoded, compared with their only encoding, and checked against tenant, statement and time.

use alloc::format;

use strongroom_proto::id::{ContentHash, Head, IntentHash, RecordId, TenantId};
use strongroom_proto::limits::INTENT_AHEAD_MS_MAX;
use strongroom_proto::names::is_id;
use strongroom_proto::v1::{Act, Intent, Reason, RolePart};

use crate::platform::EnclaveTime;
use crate::refusal::{Refusal, bad, refuse};
use crate::role::RoleKind;
use crate::statement::VerifiedStatement;

/// An intent that is well formed, meant for this tenant and role, and in time. Nobody has consented to it yet.
#[derive(Debug)]
pub(crate) struct CheckedIntent {
    pub(crate) hash: IntentHash,
    pub(crate) body: Intent,
    /// What it says to this role.
    pub(crate) part: CheckedPart,
}

/// A role's part, as typed values.
#[derive(Debug)]
pub(crate) struct CheckedPart {
    /// Record and head that the act starts from; `None` in a creation.
    pub(crate) subject: Option<(RecordId, Head)>,
    pub(crate) message_hash: Option<ContentHash>,
    pub(crate) recipient: Option<ContentHash>,
}

/// Checks all that does not depend on the action.
pub(crate) fn check<R: RoleKind>(
    act: &Act,
    tenant: &TenantId,
    statement: &VerifiedStatement,
    now: EnclaveTime,
) -> Result<CheckedIntent, Refusal> {
    let body = strongroom_proto::intent::decode(&act.intent).map_err(|error| bad(format!("intent: {error}")))?;
    if statement.tenant != *tenant {
        return Err(bad("statement: of another tenant"));
    }
    if body.tenant != tenant.0 {
        return Err(bad("intent.tenant: another tenant"));
    }
    if !is_id(&body.wallet) {
        return Err(bad("intent.wallet: not 1 to 64 bytes of [A-Za-z0-9._-]"));
    }
    if body.nonce.len() != 32 {
        return Err(bad("intent.nonce: not 32 bytes"));
    }
    check_serial(body.statement_serial, statement.body.serial)?;
    check_time(body.not_after_ms, now)?;
    for part in [&body.client, &body.custodian].into_iter().flatten() {
        check_part(part)?;
    }
    let part =
        R::part(&body).ok_or_else(|| bad(format!("intent: does not name the {} role", R::ROLE.as_str_name())))?;
    let part = check_part(part)?;
    Ok(CheckedIntent { hash: strongroom_proto::intent::hash(&act.intent), part, body })
}

fn check_serial(intent: u64, statement: u64) -> Result<(), Refusal> {
    if intent == 0 {
        return Err(bad("intent.statement_serial: 0"));
    }
    if intent > statement {
        return Err(refuse(
            Reason::StatementStale,
            format!("the intent was made under statement {intent}, and the host gave statement {statement}"),
        ));
    }
    Ok(())
}

fn check_time(not_after_ms: u64, now: EnclaveTime) -> Result<(), Refusal> {
    if not_after_ms <= now.0 {
        return Err(refuse(
            Reason::IntentExpired,
            format!("intent.not_after_ms: {} ms ago", now.0.abs_diff(not_after_ms)),
        ));
    }
    let ahead = not_after_ms.abs_diff(now.0);
    if ahead > INTENT_AHEAD_MS_MAX {
        return Err(bad(format!(
            "intent.not_after_ms: {ahead} ms ahead of the enclave's time, at most {INTENT_AHEAD_MS_MAX}"
        )));
    }
    Ok(())
}

fn check_part(part: &RolePart) -> Result<CheckedPart, Refusal> {
    let subject = match (part.record_id.is_empty(), part.head.is_empty()) {
        (true, true) => None,
        (false, false) => {
            let record_id = RecordId::from_slice(&part.record_id);
            let head = Head::from_slice(&part.head);
            Some(record_id.zip(head).ok_or_else(|| bad("intent.record_id, intent.head: not 32 bytes"))?)
        }
        _ => return Err(bad("intent.record_id, intent.head: one without the other")),
    };
    Ok(CheckedPart {
        subject,
        message_hash: optional_hash(&part.message_hash, "intent.message_hash")?,
        recipient: optional_hash(&part.recipient, "intent.recipient")?,
    })
}

fn optional_hash(bytes: &[u8], field: &str) -> Result<Option<ContentHash>, Refusal> {
    if bytes.is_empty() {
        return Ok(None);
    }
    ContentHash::from_slice(bytes).map(Some).ok_or_else(|| bad(format!("{field}: not 32 bytes")))
}
