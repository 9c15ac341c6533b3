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

/// A receipt as it would be after its signature was checked: an act of one role, on the head before it.
fn moved(role: Role, version: u64, before: Head, kind: ActKind, generations: [Option<u64>; 2]) -> receipts::Signed {
    let bytes = vec![u8::try_from(version).unwrap(); 3];
    let reference =
        |number: u64| strongroom_proto::v1::GenerationRef { generation: number, put_intent_hash: vec![1; 32] };
    let [active, pending] = generations.map(|number| number.map(reference));
    receipts::Signed {
        at: Spot { role, version, ..Spot::of_export(usize::try_from(version).unwrap()) },
        role,
        wallet: "w".to_owned(),
        record_id: RECORD,
        version,
        head: strongroom_proto::signed::next_head(&before, &bytes),
        active,
        pending,
        moved: Some(receipts::Moved { kind, time_ms: version, bytes }),
    }
}

const RECORD: RecordId = RecordId([10; 32]);

/// A creation, a put and its commit, in one role.
fn history(role: Role) -> Vec<receipts::Signed> {
    let one = moved(role, 1, Head(RECORD.0), ActKind::CreateBackup, [Some(1), None]);
    let two = moved(role, 2, one.head, ActKind::PutShares, [Some(1), Some(2)]);
    let three = moved(role, 3, two.head, ActKind::Commit, [Some(2), None]);
    vec![one, two, three]
}

#[test]
fn each_role_has_a_chain_of_its_own() {
    type Change = fn(&mut Vec<receipts::Signed>);
    let follow = |change: Change, newest: &[receipts::Signed]| {
        let mut known = [history(Role::Client), history(Role::Custodian)].concat();
        change(&mut known);
        let mut findings = Vec::new();
        let histories = chain::follow(&known, newest, &mut findings);
        let texts: Vec<String> = findings.iter().map(ToString::to_string).collect();
        (histories.iter().map(|it| (it.role, it.acts.len(), it.confirmed)).collect::<Vec<_>>(), texts)
    };
    let newest = &history(Role::Custodian)[2..];
    let (histories, findings) = follow(|_| {}, newest);
    assert_eq!(findings, Vec::<String>::new());
    assert_eq!(histories, [(Role::Client, 3, None), (Role::Custodian, 3, Some(3))]);
    let cases: [(Change, &str); 7] = [
        (|it| _ = it.remove(4), "custodian"),
        (|it| _ = it.remove(1), "client"),
        (|it| it.truncate(3), "custodian"),
        (|it| it[4].head = Head([9; 32]), "custodian"),
        (|it| it.swap(2, 3), ""),
        (|it| it[3].record_id = RecordId([9; 32]), "record_id"),
        (|it| it[3].role = Role::Client, "the custodian role: version 1 is missing"),
    ];
    for (index, (change, expect)) in cases.into_iter().enumerate() {
        let (_, findings) = follow(change, newest);
        assert!(findings.iter().any(|it| it.contains(expect)), "case {index}: {findings:?}");
    }
}
