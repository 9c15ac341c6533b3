//! Commits: the custodian's receipt and the client's, each against the put and against the other.

use super::*;
use crate::testing::{sign_receipt_as, verified_statement_of_both};

const PUT: IntentHash = IntentHash([61; 32]);
const RECORD: RecordId = RecordId([10; 32]);
const BEFORE: [(Role, u64, Head); 2] = [(Role::Client, 5, Head([51; 32])), (Role::Custodian, 10, Head([52; 32]))];

fn committing() -> Committing {
    let (wallet, backup) = (WALLET.to_owned(), "main".to_owned());
    Committing { wallet, backup, record_id: RECORD, generation: 2, put_intent: PUT, before: BEFORE }
}

/// The commit of a role, changed before it is signed.
fn commit(role: Role, change: Change) -> SignedReceipt {
    let (_, version, head) = BEFORE.into_iter().find(|(it, ..)| *it == role).unwrap();
    let mut event = Event {
        version: version + 1,
        kind: ActKind::Commit.into(),
        intent_hash: PUT.0.to_vec(),
        time_ms: NOW_MS + 1,
        generation: 2,
        statement_serial: 3,
        ..Event::default()
    };
    let mut receipt = Receipt { role: role.into(), ..receipt(RECORD, &event, &PUT.0, Vec::new()) };
    receipt.active.as_mut().unwrap().generation = 2;
    change(&mut receipt, &mut event);
    if receipt.event.is_empty() {
        receipt.event = event.encode_to_vec();
    }
    if receipt.head.is_empty() {
        receipt.head = signed::next_head(&head, &receipt.event).0.to_vec();
    }
    if receipt.event == [0] {
        receipt.event.clear();
    }
    sign_receipt_as(role, receipt.encode_to_vec())
}

fn verify_of(receipts: &[SignedReceipt]) -> Result<Vec<u64>, Error> {
    let verified = verify_commit(receipts, &verified_statement_of_both(), &committing())?;
    Ok(verified.into_iter().map(|(_, receipt, _)| receipt.version).collect())
}

#[test]
fn a_commit_is_in_force_where_both_roles_say_so_of_the_same_put() {
    let good = |role| commit(role, |_, _| {});
    // The host answers in the order of the commits.
    assert_eq!(verify_of(&[good(Role::Custodian), good(Role::Client)]).unwrap(), [6, 11]);
    // In force already, when the host was asked: nothing moved, and the record may have moved on since.
    let stands = |role| commit(role, |r, _| (r.event, r.head, r.version) = (vec![0], vec![9; 32], r.version + 3));
    assert_eq!(verify_of(&[stands(Role::Custodian), good(Role::Client)]).unwrap(), [6, 14]);
    // A newer put waits by now.
    let newer: Change = |r, _| {
        (r.event, r.head, r.version) = (vec![0], vec![9; 32], r.version + 3);
        r.pending = Some(GenerationRef { generation: 3, put_intent_hash: vec![3; 32] });
    };
    verify_of(&[good(Role::Custodian), commit(Role::Client, newer)]).unwrap();
}

#[test]
fn each_field_of_a_commit_is_checked_in_both_roles() {
    let cases: [(Change, &str); 28] = [
        (|r, _| r.tenant[0] ^= 1, "receipt's tenant is"),
        (|r, _| r.wallet.push('x'), "receipt's wallet is"),
        (|r, _| r.record_id[0] ^= 1, "receipt's record_id is"),
        (|r, _| r.intent_hash[0] ^= 1, "receipt's intent_hash is"),
        (|r, _| r.active = None, "active generation is none"),
        (|r, _| r.active.as_mut().unwrap().generation = 1, "active generation is 1 put by"),
        (|r, _| r.active.as_mut().unwrap().put_intent_hash[0] ^= 1, "active generation is 2 put by"),
        (|r, _| r.active.as_mut().unwrap().put_intent_hash.clear(), "put_intent_hash has 0 bytes"),
        (|r, _| r.pending = r.active.clone(), "a generation waits after the commit that took it"),
        (|r, _| r.sealed_hashes = vec![vec![1; 32]], "number of sealed_hashes is 1, not 0"),
        (|r, _| r.resealed_hashes = vec![vec![1; 32]], "number of resealed_hashes is 1, at most 0"),
        (|r, _| r.identity_hash.clear(), "identity_hash has 0 bytes"),
        (|r, e| (r.version, e.version) = (5, 5), "receipt"),
        (|r, _| r.head = vec![1; 32], "receipt's head is"),
        (|r, _| r.epoch = 1, "is older than 2"),
        (|r, _| r.epoch = 3, "does not name epoch 3"),
        (|r, _| r.stages = None, "stages are missing"),
        (|r, _| r.event = vec![0xff], "event is malformed"),
        (|_, e| e.version += 1, "event's version is"),
        (|_, e| e.kind = ActKind::PutShares.into(), "event's kind is ACT_KIND_PUT_SHARES"),
        (|_, e| e.intent_hash[0] ^= 1, "event's intent_hash is"),
        (|_, e| e.time_ms += 1, "event's time_ms is"),
        (|_, e| e.generation = 3, "event's generation is 3"),
        (|_, e| e.recipient = vec![1; 32], "event's recipient is"),
        (|_, e| e.credential_id = vec![1], "event's credential_id is"),
        (|_, e| e.tenant_key = vec![1; 32], "event's tenant_key is"),
        (|_, e| e.subject_credential_id = vec![1], "event's subject_credential_id is"),
        (|_, e| e.not_before_ms = 1, "event's not_before_ms is"),
    ];
    for role in [Role::Client, Role::Custodian] {
        let other = if role == Role::Client { Role::Custodian } else { Role::Client };
        for (index, (change, expect)) in cases.iter().enumerate() {
            let error = verify_of(&[commit(other, |_, _| {}), commit(role, *change)]).unwrap_err().to_string();
            assert!(error.contains(expect), "{role:?}, case {index}: {error}");
        }
        // A receipt from before the commit, whatever it says.
        let old: Change = |r, _| (r.event, r.head, r.version) = (vec![0], vec![9; 32], r.version - 1);
        let error = verify_of(&[commit(other, |_, _| {}), commit(role, old)]).unwrap_err().to_string();
        assert!(error.contains("the commit moved nothing"), "{error}");
    }
}

#[test]
fn a_commit_has_one_receipt_of_each_role() {
    let good = |role| commit(role, |_, _| {});
    let (client, custodian) = (good(Role::Client), good(Role::Custodian));
    let as_custodian = commit(Role::Client, |r, _| r.role = 2);
    let forged = SignedReceipt { signature: client.signature.clone(), ..custodian.clone() };
    for (receipts, expect) in [
        (vec![], "it has not one receipt of the client role"),
        (vec![client.clone()], "it has not one receipt of the custodian role"),
        (vec![custodian.clone()], "it has not one receipt of the client role"),
        (vec![client.clone(), client.clone()], "it has not one receipt of the client role"),
        (vec![client.clone(), custodian.clone(), custodian], "it has not one receipt of the custodian role"),
        (vec![client.clone(), as_custodian], "the receipt's signature is wrong"),
        (vec![client, forged], "the receipt's signature is wrong"),
    ] {
        let error = verify_of(&receipts).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}

#[test]
fn the_newest_receipts_of_both_roles_are_about_one_record() {
    let of = |role, change| commit(role, change);
    let statement = verified_statement_of_both();
    let known = |receipts: &[SignedReceipt]| newest_of_roles(receipts, &statement);
    let both = known(&[of(Role::Custodian, |_, _| {}), of(Role::Client, |_, _| {})]).unwrap();
    assert_eq!(
        both.iter().map(|it| (it.role, it.version)).collect::<Vec<_>>(),
        [(Role::Client, 6), (Role::Custodian, 11)]
    );
    assert!(known(&[]).unwrap().is_empty());
    let other_record: Change = |r, _| r.record_id[0] ^= 1;
    let other_wallet: Change = |r, _| r.wallet.push('x');
    for (receipt, expect) in [
        (of(Role::Custodian, other_record), "record_id is"),
        (of(Role::Custodian, other_wallet), "wallet is"),
        (SignedReceipt::default(), "of no known role"),
        (sign_receipt_as(Role::Client, of(Role::Custodian, |_, _| {}).receipt), "signature is wrong"),
    ] {
        let error = known(&[of(Role::Client, |_, _| {}), receipt]).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}
