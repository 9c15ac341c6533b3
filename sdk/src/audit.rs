//! Audit: the history of one backup, checked offline from what the host exported.
//!
//! Everything rests on the tenant's signatures, the root of attestation, and the receipts' own; nothing is believed of the host, and
//! nothing is asked of it. A tail that the host dropped is unseen without a receipt from that tail: whoever has one gives it as `newest`.

use strongroom_proto::id::{Head, RecordId, TenantId};
use strongroom_proto::v1::{ActKind, AuditExport, Role, SignedReceipt};

use crate::statement::VerifiedStatement;
use crate::trust::Trust;

mod chain;
mod epochs;
mod finding;
mod merge;
mod receipts;
mod statements;

pub use finding::{Finding, Spot};
pub use merge::Merge;

/// What an auditor brings besides the export.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// The root of attestation.
    pub trust: &'a Trust,
    /// Receipts from elsewhere, such as the user's or the tenant's own: the history must lead up to them.
    pub newest: &'a [SignedReceipt],
}

/// The outcome of an audit. It holds where there are no findings.
#[derive(Debug)]
pub struct Audit {
    /// What is wrong, in the order in which it was found.
    pub findings: Vec<Finding>,
    /// The history of each role, as far as it can be followed.
    pub histories: Vec<History>,
    /// Serials of the statements that hold, ascending.
    pub statements: Vec<u64>,
}

/// What the receipts of one role say.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// The role.
    pub role: Role,
    /// The wallet.
    pub wallet: String,
    /// The record.
    pub record_id: RecordId,
    /// Every act, in the order of versions.
    pub acts: Vec<Step>,
    /// The head after the last of them.
    pub head: Head,
    /// Up to which version a receipt from elsewhere shows that nothing is missing; `None` without one.
    pub confirmed: Option<u64>,
}

/// One act of a history.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Step {
    /// The version that it led to.
    pub version: u64,
    /// What was done.
    pub kind: ActKind,
    /// The enclave's time, in milliseconds.
    pub time_ms: u64,
}

/// Checks an export.
#[must_use]
pub fn verify(export: &AuditExport, question: &Question<'_>) -> Audit {
    let mut findings = Vec::new();
    let statements = statements::read(&export.statements, question.tenant, &mut findings);
    let epochs = epochs::read(&export.attestations, &statements, question.trust, &mut findings);
    let signers = receipts::Signers { tenant: question.tenant, statements: &statements, epochs: &epochs };
    let known = receipts::read(&export.receipts, &signers, Spot::of_export, &mut findings);
    let newest = receipts::read(question.newest, &signers, Spot::of_newest, &mut findings);
    if known.is_empty() {
        findings.push(Finding::Empty);
    }
    let histories = chain::follow(&known, &newest, &mut findings);
    Audit { findings, histories, statements: statements.iter().map(VerifiedStatement::serial).collect() }
}

#[cfg(test)]
mod tests;
