//! Only what needs no document; the table of manipulations stands in `tests/tests/audit.rs`, over exports with genuine ones.

use super::*;
use crate::testing::{signed_statement, tenant};

#[test]
fn nothing_holds_without_receipts_or_attestation() {
    let trust = Trust::aws();
    let question = Question { tenant: tenant(), trust: &trust, newest: &[] };
    let text = |export: &AuditExport| {
        let audit = verify(export, &question);
        assert!(audit.histories.is_empty());
        audit.findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(text(&AuditExport::default()), "no receipt of the export holds: there is no history");
    let foreign = Question { tenant: strongroom_proto::id::TenantId([0; 32]), ..question };
    let export = AuditExport { statements: vec![signed_statement()], ..AuditExport::default() };
    let audit = verify(&export, &foreign);
    assert!(
        audit.statements.is_empty() && audit.findings[0].to_string().starts_with("statement 1: the statement is of")
    );
}
