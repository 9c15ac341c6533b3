//! The history of each role: versions without gap or repeat, each head from the one before, up to the receipts from elsewhere.

use strongroom_proto::id::Head;
use strongroom_proto::signed::next_head;
use strongroom_proto::v1::{ActKind, Role};

use super::receipts::{Moved, Signed};
use super::{Finding, History, Step};

/// Follows the receipts of every role.
pub(super) fn follow(known: &[Signed], newest: &[Signed], findings: &mut Vec<Finding>) -> Vec<History> {
    let Some(first) = known.first() else { return Vec::new() };
    for receipt in known.iter().chain(newest) {
        check_same_record(first, receipt, findings);
    }
    check_roles_in_order(known, findings);
    let same = |it: &&Signed| it.record_id == first.record_id && it.wallet == first.wallet;
    let histories = [Role::Client, Role::Custodian].into_iter().filter_map(|role| {
        let of_role = |list: &[Signed]| -> Vec<Signed> {
            list.iter().filter(same).filter(|it| it.role == role).cloned().collect()
        };
        let (known, newest) = (of_role(known), of_role(newest));
        if known.is_empty() {
            // A receipt from elsewhere shows a role that the export is silent about.
            findings.extend(newest.iter().map(|it| Finding::Prefix { at: it.at, has: 0 }));
            return None;
        }
        Some(follow_role(role, &known, &newest, findings))
    });
    histories.collect()
}

fn check_same_record(first: &Signed, receipt: &Signed, findings: &mut Vec<Finding>) {
    let mut same = |field, found: String, expected: String| {
        if found != expected {
            findings.push(Finding::Field { at: receipt.at, field, found, expected });
        }
    };
    same("wallet", receipt.wallet.clone(), first.wallet.clone());
    same("record_id", receipt.record_id.to_string(), first.record_id.to_string());
}

fn check_roles_in_order(known: &[Signed], findings: &mut Vec<Finding>) {
    for (before, after) in known.iter().zip(known.iter().skip(1)) {
        let is_before = |it: &Signed| (i32::from(it.role), it.version);
        if is_before(after) < is_before(before) {
            findings.push(Finding::Order { at: after.at, before: before.version });
        }
    }
}

/// The moves of a role by version, each once; then what was only stated, and what came from elsewhere, is held against them.
fn follow_role(role: Role, known: &[Signed], newest: &[Signed], findings: &mut Vec<Finding>) -> History {
    let moves = moves_of(role, known, findings);
    check_heads(role, &moves, findings);
    let stated = known.iter().filter(|it| it.moved.is_none());
    for receipt in stated.chain(newest) {
        compare(role, &moves, receipt, findings);
    }
    let last = moves.last().map(|(receipt, _)| (receipt.version, receipt.head));
    let first = known.first();
    History {
        role,
        wallet: first.map(|it| it.wallet.clone()).unwrap_or_default(),
        record_id: first.map_or(strongroom_proto::id::RecordId([0; 32]), |it| it.record_id),
        acts: moves
            .iter()
            .map(|(receipt, moved)| Step { version: receipt.version, kind: moved.kind, time_ms: moved.time_ms })
            .collect(),
        head: last.map_or(Head([0; 32]), |(_, head)| head),
        confirmed: newest
            .iter()
            .filter(|it| moves.iter().any(|(known, _)| known.version == it.version && known.head == it.head))
            .map(|it| it.version)
            .max(),
    }
}

fn moves_of<'a>(role: Role, known: &'a [Signed], findings: &mut Vec<Finding>) -> Vec<(&'a Signed, &'a Moved)> {
    let mut all: Vec<_> = known.iter().filter_map(|it| it.moved.as_ref().map(|moved| (it, moved))).collect();
    all.sort_by_key(|(receipt, _)| receipt.version);
    let mut moves: Vec<(&Signed, &Moved)> = Vec::new();
    for (receipt, moved) in all {
        match moves.last() {
            Some((before, _)) if before.version == receipt.version => {
                findings.push(if before.head == receipt.head {
                    Finding::Repeat { at: receipt.at }
                } else {
                    Finding::Fork { role, version: receipt.version, heads: [before.head, receipt.head] }
                });
            }
            _ => moves.push((receipt, moved)),
        }
    }
    moves
}

/// Each head follows from the one before and the event. After a gap the chain goes on from the receipt's own head.
fn check_heads(role: Role, moves: &[(&Signed, &Moved)], findings: &mut Vec<Finding>) {
    let mut before: Option<&Signed> = None;
    for (receipt, moved) in moves {
        let expected_version = before.map_or(0, |it| it.version).saturating_add(1);
        let head_before = before.map_or(Head(receipt.record_id.0), |it| it.head);
        if receipt.version > expected_version {
            findings.push(Finding::Gap { role, from: expected_version, to: receipt.version.saturating_sub(1) });
        } else {
            let expected = next_head(&head_before, &moved.bytes);
            if receipt.head != expected {
                findings.push(Finding::Head { at: receipt.at, found: receipt.head, expected });
            }
            check_kind(before, receipt, moved, findings);
        }
        before = Some(receipt);
    }
}

/// The first act is the creation, and no other is; generations move only by the acts that move them.
fn check_kind(before: Option<&Signed>, receipt: &Signed, moved: &Moved, findings: &mut Vec<Finding>) {
    let at = receipt.at;
    let mut wrong = |field, found: String, expected: &str| {
        findings.push(Finding::Field { at, field, found, expected: expected.to_owned() });
    };
    let is_creation = moved.kind == ActKind::CreateBackup;
    if is_creation != before.is_none() {
        wrong("the kind of act", moved.kind.as_str_name().to_owned(), "a creation at version 1 and nowhere else");
    }
    let moves_generations =
        matches!(moved.kind, ActKind::CreateBackup | ActKind::PutShares | ActKind::Commit | ActKind::Delete);
    if let Some(before) = before.filter(|_| !moves_generations)
        && (&before.active, &before.pending) != (&receipt.active, &receipt.pending)
    {
        wrong(
            "the active or pending generation",
            "another than before".to_owned(),
            "moved only by puts, commits and deletes",
        );
    }
}

/// A receipt that moved nothing, or one from elsewhere, against the history.
fn compare(role: Role, moves: &[(&Signed, &Moved)], receipt: &Signed, findings: &mut Vec<Finding>) {
    let has = moves.last().map_or(0, |(last, _)| last.version);
    if receipt.version > has {
        findings.push(Finding::Prefix { at: receipt.at, has });
        return;
    }
    if let Some((known, _)) = moves.iter().find(|(known, _)| known.version == receipt.version)
        && known.head != receipt.head
    {
        findings.push(Finding::Fork { role, version: receipt.version, heads: [known.head, receipt.head] });
    }
}
