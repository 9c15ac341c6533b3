//! The receipts of an export, one by one: form, signer, and what receipt and event say of each other. A receipt whose signature does not
//! hold is left out of the history.

use strongroom_proto::id::{Head, RecordId, TenantId};
use strongroom_proto::v1::{ActKind, Event, GenerationRef, Receipt, Role, SignedReceipt};
use strongroom_proto::{canonical, prefix, signed};

use super::epochs::AttestedEpoch;
use super::{Finding, Spot};
use crate::receipt::RECEIPT_BYTES_MAX;
use crate::statement::VerifiedStatement;
use strongroom_attestation::Time;

/// Who may have signed a receipt.
#[derive(Clone, Copy)]
pub(super) struct Signers<'a> {
    pub(super) tenant: TenantId,
    pub(super) statements: &'a [VerifiedStatement],
    pub(super) epochs: &'a [AttestedEpoch],
}

/// A receipt that its epoch signed.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) at: Spot,
    pub(super) role: Role,
    pub(super) wallet: String,
    pub(super) record_id: RecordId,
    pub(super) version: u64,
    pub(super) head: Head,
    pub(super) active: Option<GenerationRef>,
    pub(super) pending: Option<GenerationRef>,
    /// `None`: nothing moved.
    pub(super) moved: Option<Moved>,
}

/// The event of a receipt.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    pub(super) kind: ActKind,
    pub(super) time_ms: u64,
    /// As it was encoded, for the next head.
    pub(super) bytes: Vec<u8>,
}

/// The receipts whose signatures hold, in their order.
pub(super) fn read(
    list: &[SignedReceipt],
    signers: &Signers<'_>,
    spot: fn(usize) -> Spot,
    findings: &mut Vec<Finding>,
) -> Vec<Signed> {
    let read = |(place, signed)| match read_one(signed, signers, spot(place), findings) {
        Ok(receipt) => Some(receipt),
        Err(finding) => {
            findings.push(finding);
            None
        }
    };
    (1..).zip(list).filter_map(read).collect()
}

fn read_one(
    signed: &SignedReceipt,
    signers: &Signers<'_>,
    at: Spot,
    findings: &mut Vec<Finding>,
) -> Result<Signed, Finding> {
    let malformed = |at, problem: String| Finding::Malformed { at, problem };
    let receipt: Receipt = canonical::decode(&signed.receipt, RECEIPT_BYTES_MAX)
        .map_err(|error| malformed(at, format!("no receipt: {error}")))?;
    let at = Spot { role: receipt.role(), version: receipt.version, ..at };
    check_signer(signed, &receipt, signers, at, findings)?;
    let id = |bytes: &[u8], what: &str| -> Result<[u8; 32], Finding> {
        bytes.try_into().map_err(|_| malformed(at, format!("its {what} is not 32 bytes")))
    };
    let (record_id, head) = (RecordId(id(&receipt.record_id, "record_id")?), Head(id(&receipt.head, "head")?));
    let moved = if receipt.event.is_empty() { None } else { Some(read_event(&receipt, signers, at, findings)?) };
    Ok(Signed {
        at,
        role: receipt.role(),
        wallet: receipt.wallet,
        record_id,
        version: receipt.version,
        head,
        active: receipt.active,
        pending: receipt.pending,
        moved,
    })
}

/// The receipt key that a statement names for the epoch signed it, and a document vouches for the identity that it names.
fn check_signer(
    signed: &SignedReceipt,
    receipt: &Receipt,
    signers: &Signers<'_>,
    at: Spot,
    findings: &mut Vec<Finding>,
) -> Result<(), Finding> {
    let (role, epoch) = (receipt.role(), receipt.epoch);
    let keys = signers.statements.iter().rev().find_map(|statement| statement.epoch(role, epoch).ok());
    let keys = keys.ok_or(Finding::UnknownEpoch { at, epoch })?;
    signed::verify(prefix::RECEIPT, &signed.receipt, &keys.receipt_key, &signed.signature)
        .map_err(|_| Finding::Signature { at })?;
    if receipt.tenant != signers.tenant.0 {
        let (found, expected) = (hex::encode(&receipt.tenant), signers.tenant.to_string());
        return Err(Finding::Field { at, field: "tenant", found, expected });
    }
    let vouched = |it: &AttestedEpoch| it.role == role && it.epoch == epoch && it.identity.0 == *receipt.identity_hash;
    if !signers.epochs.iter().any(vouched) {
        findings.push(Finding::NotAttested { at, epoch, identity: hex::encode(&receipt.identity_hash) });
    }
    Ok(())
}

/// What the event says must be what the receipt says, and what a statement allowed.
fn read_event(
    receipt: &Receipt,
    signers: &Signers<'_>,
    at: Spot,
    findings: &mut Vec<Finding>,
) -> Result<Moved, Finding> {
    let event: Event = canonical::decode(&receipt.event, RECEIPT_BYTES_MAX)
        .map_err(|error| Finding::Malformed { at, problem: format!("its event: {error}") })?;
    let kind = event.kind();
    let mut same = |field, found: String, expected: String| {
        if found != expected {
            findings.push(Finding::Field { at, field, found, expected });
        }
    };
    same("the event's version", event.version.to_string(), receipt.version.to_string());
    same("the event's intent", hex::encode(&event.intent_hash), hex::encode(&receipt.intent_hash));
    same("the event's time", event.time_ms.to_string(), receipt.time_ms.to_string());
    if kind == ActKind::Unspecified {
        return Err(Finding::Malformed { at, problem: "its event is of no known kind".to_owned() });
    }
    if matches!(kind, ActKind::CreateBackup | ActKind::PutShares) {
        let put = GenerationRef { generation: event.generation, put_intent_hash: event.intent_hash.clone() };
        let show = |it: Option<&GenerationRef>| {
            it.map_or_else(
                || "none".to_owned(),
                |it| format!("{} by {}", it.generation, hex::encode(&it.put_intent_hash)),
            )
        };
        let named = receipt.pending.as_ref().or(receipt.active.as_ref());
        same("the generation that it put", show(named), show(Some(&put)));
    }
    check_statement(&event, signers, at, findings);
    Ok(Moved { kind, time_ms: event.time_ms, bytes: receipt.event.clone() })
}

/// The statement in force, and the tenant's key, where it signed: in force then by that statement.
fn check_statement(event: &Event, signers: &Signers<'_>, at: Spot, findings: &mut Vec<Finding>) {
    let serial = event.statement_serial;
    let Some(statement) = signers.statements.iter().find(|statement| statement.serial() == serial) else {
        let known: Vec<String> = signers.statements.iter().map(|it| it.serial().to_string()).collect();
        let expected = format!("one of the export's, {}", known.join(", "));
        findings.push(Finding::Field { at, field: "the statement in force", found: serial.to_string(), expected });
        return;
    };
    if !event.tenant_key.is_empty() && !statement.is_operational(&event.tenant_key, Time::from_unix_ms(event.time_ms)) {
        let expected = format!("an operational key of statement {serial} that was in force");
        findings.push(Finding::Field {
            at,
            field: "the tenant's key",
            found: hex::encode(&event.tenant_key),
            expected,
        });
    }
}
