//! Every kind of act: its honest receipt holds, and what tells it from another kind is checked.

use super::*;
use crate::intent::{self, ClientPolicy, Newcomer};
use crate::testing::{open_recovery, pairs};
use crate::view::Waiting;
use strongroom_proto::limits::GRACE_MS;
use strongroom_proto::v1::{Freshness, NewCredential, OpenAct, OpenActKind, Policy, RecordView};

const DELAY_MS: u64 = 60_000;

fn record_of(change: impl FnOnce(&mut RecordView)) -> Record {
    let mut view = record_view();
    change(&mut view);
    Prepared::of(vec![view]).role(Role::Client).unwrap().view.records()[0].clone()
}

fn delayed(record: &mut RecordView) {
    record.policy = Some(Policy { passkey: true, delay_seconds: 60, ..Policy::default() });
}

/// An act on a record, with what its event says beyond the intent.
fn case(record: Record, intent: EncodedIntent, kind: ActKind, change: impl FnOnce(&mut Receipt, &mut Event)) -> Case {
    let recipient = intent.intent.client.as_ref().unwrap().recipient.clone();
    let mut event = Event { generation: 0, ..event(kind, 5, intent.hash, recipient) };
    let mut receipt = receipt(record.id, &event, &[13; 32], Vec::new());
    change(&mut receipt, &mut event);
    let head_before = record.head;
    Case { intent, record: Some(record), release: None, receipt, event, head_before }
}

fn due_at(delay: u64) -> impl FnOnce(&mut Receipt, &mut Event) {
    move |_, e| e.not_before_ms = NOW_MS + 1 + delay
}

/// One case for each kind of act, at once and delayed.
fn cases() -> Vec<(&'static str, Case)> {
    let prepared = Prepared::of(vec![record_view()]);
    let base = prepared.base(Role::Client).unwrap();
    let record = || record_of(|_| {});
    let plain = record();
    let credential = &plain.credentials[0];
    let newcomer = Newcomer::new(NewCredential { id: b"new".to_vec(), public_key: vec![2] }, "tablet").unwrap();
    let add = intent::add_passkey(&base, &plain, &newcomer).unwrap();
    let remove = intent::remove_passkey(&base, &plain, credential).unwrap();
    let rename = intent::rename_passkey(&base, &plain, credential, "x").unwrap();
    let change = intent::change_policy(&base, &plain, ClientPolicy::PASSKEY).unwrap();
    let start = intent::start_recovery(&base, &plain, plain.active().unwrap(), ContentHash([9; 32])).unwrap();
    let delete = intent::delete_backup(&base, &plain).unwrap();
    let waiting = record_of(|r| r.open_acts = vec![open_recovery()]);
    let cancel = intent::cancel(&base, &waiting, &waiting.open_acts[0]).unwrap();
    let cancelled = waiting.open_acts[0].intent.0.to_vec();
    let put = intent::put_shares(&base, &plain, &pairs()).unwrap();
    let put = intent::with_client_message(put, b"m").unwrap();
    let put_by = GenerationRef { generation: 2, put_intent_hash: put.hash.0.to_vec() };
    let both = || record_of(|r| r.roles = vec![1, 2]);
    let pending_by = put_by.clone();
    let subject = |id: &'static [u8]| move |_: &mut Receipt, e: &mut Event| e.subject_credential_id = id.to_vec();
    let later = |id: &'static [u8]| {
        move |r: &mut Receipt, e: &mut Event| {
            subject(id)(r, e);
            due_at(DELAY_MS)(r, e);
        }
    };
    vec![
        (
            "put",
            case(record(), put.clone(), ActKind::PutShares, move |r, e| {
                (r.active, e.generation, r.sealed_hashes) = (Some(put_by), 2, vec![vec![1; 32]; 2]);
            }),
        ),
        (
            "put in two roles",
            case(both(), put, ActKind::PutShares, move |r, e| {
                (r.pending, e.generation, r.sealed_hashes) = (Some(pending_by), 2, vec![vec![1; 32]; 2]);
            }),
        ),
        ("add", case(record(), add, ActKind::AddPasskey, subject(b"new"))),
        ("remove", case(record(), remove.clone(), ActKind::RemovePasskey, subject(CREDENTIAL))),
        ("remove later", case(record_of(delayed), remove, ActKind::StartRemovePasskey, later(CREDENTIAL))),
        ("rename", case(record_of(delayed), rename, ActKind::RenamePasskey, subject(CREDENTIAL))),
        ("policy", case(record(), change.clone(), ActKind::ChangePolicy, |_, _| {})),
        ("policy later", case(record_of(delayed), change, ActKind::StartChangePolicy, due_at(DELAY_MS))),
        (
            "recovery later",
            case(record_of(delayed), start, ActKind::StartRecovery, |r, e| {
                e.generation = 1;
                due_at(DELAY_MS)(r, e);
            }),
        ),
        ("delete", case(record(), delete, ActKind::StartDelete, due_at(GRACE_MS))),
        ("cancel", case(waiting, cancel, ActKind::Cancel, move |_, e| e.cancelled_intent_hash = cancelled)),
    ]
}

#[test]
fn the_receipt_of_every_kind_of_act_holds() {
    for (name, case) in cases() {
        let verified = case.verify(|_, _| {}).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((verified.version, verified.not_before_ms), (5, case.event.not_before_ms), "{name}");
    }
}

#[test]
fn what_tells_one_kind_of_act_from_another_is_checked() {
    let changes: &[(Change, &str)] = &[
        (|_, e| e.kind = ActKind::Recover.into(), "event's kind is"),
        (|_, e| e.kind = ActKind::Commit.into(), "event's kind is"),
        (|_, e| e.generation += 1, "event's generation is"),
        (|_, e| e.recipient.push(1), "event's recipient is"),
        (|_, e| e.credential_id = b"another".to_vec(), "event's credential_id is"),
        (|_, e| e.tenant_key = vec![1; 32], "event's tenant_key is"),
        (|_, e| e.subject_credential_id.push(1), "event's subject_credential_id is"),
        (|_, e| e.cancelled_intent_hash.push(1), "event's cancelled_intent_hash is"),
        (|_, e| e.not_before_ms += 1, "event's not_before_ms is"),
        (|_, e| e.not_before_ms = NOW_MS, "event's not_before_ms is"),
        (|r, _| r.active = None, "active generation is none"),
        (|r, _| r.active.as_mut().unwrap().put_intent_hash[0] ^= 1, "receipt's active generation is"),
        (|r, _| r.active.as_mut().unwrap().generation += 1, "receipt's active generation is"),
        (
            |r, _| r.pending = Some(GenerationRef { generation: 9, put_intent_hash: vec![9; 32] }),
            "pending generation is 9",
        ),
        (|r, _| r.sealed_hashes.push(vec![1; 32]), "number of sealed_hashes is"),
        (|r, _| r.resealed_hashes.push(vec![1; 32]), "number of resealed_hashes is 1, at most 0"),
        (|r, _| r.version += 1, "receipt's version is"),
        (|r, _| r.head = vec![1; 32], "receipt's head is"),
        (|r, _| r.intent_hash[0] ^= 1, "receipt's intent_hash is"),
    ];
    for (name, case) in cases() {
        for (index, (change, expect)) in changes.iter().enumerate() {
            let error = case.verify(*change).unwrap_err().to_string();
            assert!(error.contains(expect), "{name}, case {index}: {error}");
        }
        let with_release = Sent { release: Some(b"x"), ..case.sent() };
        let error = verify(&case.signed(|_, _| {}), &verified_statement(), &with_release).unwrap_err().to_string();
        assert!(error.contains("a release came where none was asked for"), "{name}: {error}");
    }
}

#[test]
fn the_tenants_signature_frees_a_removal_and_vouches_for_freshness() {
    let (_, later) = cases().into_iter().find(|(name, _)| *name == "remove later").unwrap();
    let signature = TenantSignature { key: vec![1; 32], signature: Vec::new() };
    let verify_at = |change: Change, newest_head: bool| {
        let mut record = later.record.clone().unwrap();
        record.policy.newest_head = newest_head;
        let sent = Sent { record: Some(&record), tenant_signature: Some(&signature), ..later.sent() };
        verify(&later.signed(change), &verified_statement(), &sent)
    };
    let waits: Change = |_, e| e.tenant_key = vec![1; 32];
    assert!(verify_at(waits, false).unwrap_err().to_string().contains("event's kind is ACT_KIND_START_REMOVE_PASSKEY"));
    let freed: Change = |_, e| {
        (e.tenant_key, e.kind, e.not_before_ms) = (vec![1; 32], ActKind::RemovePasskey.into(), 0);
    };
    assert_eq!(verify_at(freed, false).unwrap().not_before_ms, 0);
    assert!(verify_at(freed, true).unwrap_err().to_string().contains("less freshness"));
    let fresh: Change = |r, e| {
        (e.tenant_key, e.kind, e.not_before_ms) = (vec![1; 32], ActKind::RemovePasskey.into(), 0);
        r.stages.as_mut().unwrap().freshness = Freshness::CallerReceipt.into();
    };
    verify_at(fresh, true).unwrap();
}

/// What waited, with the receipt that an honest enclave signs when it is carried out.
fn due_case(kind: OpenActKind) -> (Record, Receipt, Event) {
    let record = record_of(|record| {
        record.open_acts = vec![OpenAct {
            kind: kind.into(),
            generation: u64::from(kind == OpenActKind::Recovery),
            recipient: if kind == OpenActKind::Recovery { vec![32; 32] } else { Vec::new() },
            policy: record.policy.filter(|_| kind == OpenActKind::PolicyChange),
            credential_id: if kind == OpenActKind::PasskeyRemoval { b"gone".to_vec() } else { Vec::new() },
            ..open_recovery()
        }];
    });
    let open = &record.open_acts[0];
    let done = match open.waiting {
        Waiting::Recovery { .. } => ActKind::Recover,
        Waiting::PolicyChange(_) => ActKind::ChangePolicy,
        Waiting::PasskeyRemoval { .. } => ActKind::RemovePasskey,
        Waiting::Delete => ActKind::Delete,
        Waiting::EjectWindow => panic!("never carried out"),
    };
    let is_recovery = kind == OpenActKind::Recovery;
    let event = Event {
        time_ms: NOW_MS + 1500,
        generation: u64::from(is_recovery),
        credential_id: Vec::new(),
        subject_credential_id: if kind == OpenActKind::PasskeyRemoval { b"gone".to_vec() } else { Vec::new() },
        ..event(done, 5, open.intent, if is_recovery { vec![32; 32] } else { Vec::new() })
    };
    let sealed = if is_recovery { vec![ContentHash::of(b"release").0.to_vec()] } else { Vec::new() };
    let mut receipt = receipt(record.id, &event, &[13; 32], sealed);
    if kind == OpenActKind::Delete {
        receipt.active = None;
    }
    (record, receipt, event)
}

fn verify_due_of(kind: OpenActKind, change: Change) -> Result<VerifiedReceipt, Error> {
    let (record, mut receipt, mut event) = due_case(kind);
    change(&mut receipt, &mut event);
    receipt.event = event.encode_to_vec();
    if receipt.head.is_empty() {
        receipt.head = signed::next_head(&record.head, &receipt.event).0.to_vec();
    }
    let due = Due {
        role: Role::Client,
        wallet: WALLET,
        record: &record,
        open: &record.open_acts[0],
        second: None,
        release: (kind == OpenActKind::Recovery).then_some(b"release"),
    };
    verify_due(&sign_receipt(receipt.encode_to_vec()), &verified_statement(), &due)
}

#[test]
fn what_waited_is_receipted_as_it_was_started() {
    let changes: &[(Change, &str)] = &[
        (|_, e| e.kind = ActKind::StartDelete.into(), "event's kind is"),
        (|r, _| r.intent_hash[0] ^= 1, "receipt's intent_hash is"),
        (|_, e| e.intent_hash[0] ^= 1, "event's intent_hash is"),
        (|_, e| e.generation += 1, "event's generation is"),
        (|_, e| e.recipient.push(1), "event's recipient is"),
        (|_, e| e.credential_id.push(1), "event's credential_id is"),
        (|_, e| e.tenant_key.push(1), "event's tenant_key is"),
        (|_, e| e.subject_credential_id.push(1), "event's subject_credential_id is"),
        (|_, e| e.not_before_ms = 1, "event's not_before_ms is"),
        (
            |r, _| r.active = Some(GenerationRef { generation: 9, put_intent_hash: vec![9; 32] }),
            "active generation is 9",
        ),
        (|r, _| r.sealed_hashes.push(vec![1; 32]), "number of sealed_hashes is"),
        (|r, _| r.resealed_hashes = vec![vec![1; 32]; 5], "number of resealed_hashes is 5, at most"),
        (|r, e| (r.time_ms, e.time_ms) = (NOW_MS + 999, NOW_MS + 999), "before it was due, or after it expired"),
        (|r, e| (r.time_ms, e.time_ms) = (NOW_MS + 2000, NOW_MS + 2000), "before it was due, or after it expired"),
        (|r, _| r.epoch = 1, "epoch 1 of the client role is older than 2"),
        (|r, _| r.wallet.push('x'), "receipt's wallet is"),
        (|r, _| r.head = vec![1; 32], "receipt's head is"),
    ];
    for kind in [OpenActKind::Recovery, OpenActKind::PolicyChange, OpenActKind::PasskeyRemoval, OpenActKind::Delete] {
        assert_eq!(verify_due_of(kind, |_, _| {}).unwrap().version, 5, "{kind:?}");
        for (index, (change, expect)) in changes.iter().enumerate() {
            let error = verify_due_of(kind, *change).unwrap_err().to_string();
            assert!(error.contains(expect), "{kind:?}, case {index}: {error}");
        }
    }
    let error = verify_due_of(OpenActKind::Recovery, |r, _| r.sealed_hashes[0][0] ^= 1).unwrap_err().to_string();
    assert!(error.contains("hash of the release is"), "{error}");
}

#[test]
fn the_newest_of_several_receipts_is_known_by_its_version() {
    let signed = |version: u64, change: fn(&mut Receipt)| {
        let mut receipt = recovered().receipt;
        (receipt.version, receipt.head) = (version, vec![u8::try_from(version).unwrap(); 32]);
        change(&mut receipt);
        sign_receipt(receipt.encode_to_vec())
    };
    let newest = |receipts: &[SignedReceipt]| newest(receipts, &verified_statement(), Role::Client);
    assert_eq!(newest(&[]).unwrap(), None);
    let known = newest(&[signed(3, |_| {}), signed(7, |_| {}), signed(5, |_| {})]).unwrap().unwrap();
    assert_eq!((known.version, known.head, known.wallet.as_str()), (7, Head([7; 32]), WALLET));
    for (second, expect) in [
        (signed(3, |r| r.head = vec![9; 32]), "head, beside another receipt of the same version, is"),
        (signed(4, |r| r.record_id[0] ^= 1), "record_id is"),
        (signed(4, |r| r.wallet.push('x')), "wallet is"),
        (signed(4, |r| r.role = 2), "role is custodian"),
        (signed(4, |r| r.tenant[0] ^= 1), "tenant is"),
        (SignedReceipt { signature: vec![1; 64], ..signed(4, |_| {}) }, "signature is wrong"),
    ] {
        let error = newest(&[signed(3, |_| {}), second]).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}
