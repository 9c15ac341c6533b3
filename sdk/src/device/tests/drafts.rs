//! Backups and puts in both roles, from draft to commit, with the tenant's backend for real.

use strongroom_proto::id::RecordId;
use strongroom_proto::v1::{GenerationState, GenerationView, RecordView, Role, SecretKind};

use super::backend::{Desk, RIGHT, Wrong};
use super::host::{Both, Fault, Tamper, both_of};
use super::*;
use crate::intent::{Creation, CustodianPolicy};

const RECORD: RecordId = RecordId([10; 32]);

fn creation(passkey: &Passkey) -> Creation {
    Creation {
        backup: "new".to_owned(),
        method: "PASSKEY".to_owned(),
        secret: SecretKind::Share,
        pairs: pairs(),
        policy: ClientPolicy::PASSKEY,
        custodian: Some(CustodianPolicy::PASSKEY),
        credential: passkey.registration(),
        label: "phone".to_owned(),
    }
}

fn shares() -> Vec<Share> {
    vec![share("b", 5), share("a", 3)]
}

async fn back_up(tamper: Tamper, fault: Option<Fault>, wrong: Wrong) -> (Result<Acted, Error>, usize) {
    let both = both_of(tamper, fault, |_, _| {}).await;
    let backend = Desk::new(&both, None, wrong);
    let calls = both.host_calls();
    let Both { device, passkey, prepared, .. } = both;
    let device = device.with_backend(backend);
    let done = device.backup(&prepared, &creation(&passkey), shares(), &mut at(&passkey)).await;
    let calls = calls.lock().unwrap().len();
    (done, calls)
}

async fn put(tamper: Tamper, fault: Option<Fault>, wrong: Wrong) -> (Result<Acted, Error>, Device, Prepared, usize) {
    let both = both_of(tamper, fault, |client, custodian| {
        // The custodian has seen a higher one, which never reached the client.
        (client.highest_generation, custodian.highest_generation) = (4, 6);
    })
    .await;
    let backend = Desk::new(&both, Some(RECORD), wrong);
    let calls = both.host_calls();
    let Both { device, passkey, prepared, .. } = both;
    let device = device.with_backend(backend);
    let done = device.put(&prepared, None, &pairs(), shares(), &mut at(&passkey)).await;
    let calls = calls.lock().unwrap().len();
    (done, device, prepared, calls)
}

#[tokio::test]
async fn a_backup_in_both_roles_is_drafted_sealed_signed_and_sent() {
    let (done, calls) = back_up(Tamper::Nothing, None, RIGHT).await;
    let done = done.unwrap();
    let roles: Vec<_> = done.receipts().map(|it| (it.role, it.receipt.version, it.receipt.generation)).collect();
    assert_eq!((roles, calls), (vec![(Role::Client, 1, 1), (Role::Custodian, 1, 1)], 1));
    let ids: Vec<_> = done.receipts().map(|it| it.receipt.record_id).collect();
    assert_eq!(ids[0], ids[1]);
}

/// The act was sent and each of these answers is refused, by the backend where it sees it first.
const BAD_ANSWERS: [(Tamper, Option<Fault>, &str); 15] = [
    (Tamper::NoReceipt, None, "it has not one receipt of the client role"),
    (Tamper::NoCustodianReceipt, None, "it has not one receipt of the custodian role"),
    (Tamper::ClientReceiptTwice, None, "it has not one receipt of the client role"),
    (Tamper::ThirdReceipt, None, "it has a receipt of a role that the act does not name"),
    (Tamper::CustodianSignedByClient, None, "the receipt's signature is wrong"),
    (Tamper::Nothing, Some(|r, _| r.role = 1), "it has not one receipt of the client role"),
    (Tamper::Nothing, Some(|r, _| r.record_id[0] ^= 1), "receipt's record_id is"),
    (Tamper::Nothing, Some(|r, _| r.intent_hash[0] ^= 1), "receipt's intent_hash is"),
    (Tamper::Nothing, Some(|_, e| e.intent_hash[0] ^= 1), "event's intent_hash is"),
    (Tamper::Nothing, Some(|_, e| e.generation += 1), "event's generation is"),
    (Tamper::Nothing, Some(|_, e| e.tenant_key.clear()), "event's tenant_key is empty"),
    (Tamper::Nothing, Some(|_, e| e.credential_id.push(1)), "event's credential_id is"),
    (Tamper::Nothing, Some(|r, _| r.sealed_hashes.truncate(1)), "number of sealed_hashes is 1, not 2"),
    (Tamper::Nothing, Some(|r, _| r.wallet.push('x')), "receipt's wallet is"),
    (Tamper::Nothing, Some(|r, _| r.epoch = 1), "epoch 1 of the custodian role is older than 2"),
];

#[tokio::test]
async fn both_receipts_of_a_backup_and_of_a_put_are_checked() {
    for (tamper, fault, expect) in BAD_ANSWERS {
        for (done, calls) in [back_up(tamper, fault, RIGHT).await, {
            let (done, _, _, calls) = put(tamper, fault, RIGHT).await;
            (done, calls)
        }] {
            let error = done.unwrap_err().to_string();
            assert!(error.contains(expect) && calls == 1, "{expect}: {error}");
        }
    }
    let generations: [(Fault, &str); 2] = [
        (|r, _| r.active = None, "active generation is none"),
        (|r, _| r.pending.as_mut().unwrap().put_intent_hash[0] ^= 1, "pending generation is 7 put by"),
    ];
    for (fault, expect) in generations {
        let error = put(Tamper::Nothing, Some(fault), RIGHT).await.0.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}

#[tokio::test]
async fn nothing_is_signed_for_a_seal_that_does_not_hold_and_nothing_sent_for_another_draft() {
    let cases: [(Wrong, &str, usize); 12] = [
        (Wrong { seal: |it| it.draft[0] ^= 1, ..RIGHT }, "custodian's seal's draft is", 0),
        (Wrong { seal: |it| it.message_hash.clear(), ..RIGHT }, "message_hash has 0 bytes", 0),
        (Wrong { seal: |it| it.epoch = 3, ..RIGHT }, "does not name epoch 3 of the custodian role", 0),
        (Wrong { seal: |it| it.epoch = 1, ..RIGHT }, "epoch 1 of the custodian role is older than 2", 0),
        // The hash of a message that the backend does not have.
        (Wrong { seal: |it| it.message_hash[0] ^= 1, ..RIGHT }, "intent's custodian's message hash is", 0),
        (Wrong { signed: |it| it.client_message.push(0), ..RIGHT }, "intent's client's message hash is", 0),
        (Wrong { signed: |it| it.intent.push(0), ..RIGHT }, "signed draft is malformed", 0),
        (Wrong { signed: |it| it.assertion = None, ..RIGHT }, "it has no assertion", 0),
        (Wrong { sent: |it| it.tenant_signature = None, ..RIGHT }, "it has no tenant signature", 1),
        (
            Wrong { sent: |it| it.tenant_signature.as_mut().unwrap().signature[0] ^= 1, ..RIGHT },
            "tenant's consent's signature is wrong",
            1,
        ),
        (Wrong { sent: |it| it.tenant_signature.as_mut().unwrap().key[0] ^= 1, ..RIGHT }, "PROOF_REJECTED", 1),
        (Wrong { sent: |it| it.receipts.truncate(1), ..RIGHT }, "it has not one receipt of the custodian role", 1),
    ];
    for (wrong, expect, sent) in cases {
        let (done, calls) = back_up(Tamper::Nothing, None, wrong).await;
        let error = done.unwrap_err().to_string();
        assert!(error.contains(expect) && calls == sent, "{expect}: {error}");
        let (done, _, _, calls) = put(Tamper::Nothing, None, wrong).await;
        let error = done.unwrap_err().to_string();
        assert!(error.contains(expect) && calls == sent, "{expect}: {error}");
    }
}

#[tokio::test]
async fn without_a_way_to_the_backend_nobody_is_asked() {
    let Both { device, passkey, prepared, .. } = both_of(Tamper::Nothing, None, |_, _| {}).await;
    let error = device.backup(&prepared, &creation(&passkey), shares(), &mut at(&passkey)).await.unwrap_err();
    assert!(matches!(error, Error::CustodianNeeded), "{error}");
    let signer = Arc::new(super::acts::Backend(crate::testing::operational_key()));
    let device = device.with_backend(signer);
    let error = device.put(&prepared, None, &pairs(), shares(), &mut at(&passkey)).await.unwrap_err();
    assert!(matches!(error, Error::CustodianNeeded), "a backend that signs and keeps no custodian shares: {error}");
}

#[tokio::test]
async fn what_both_roles_hold_is_committed_on_both_receipts() {
    let (done, device, prepared, _) = put(Tamper::Nothing, None, RIGHT).await;
    let done = done.unwrap();
    let pending: Vec<_> = done.receipts().map(|it| it.receipt.pending).collect();
    assert!(pending[0] == pending[1] && pending[0].is_some_and(|(number, _)| number == 7));
    assert_eq!(done.receipt().generation, 1, "the one before is in force until the commit");
    let committed = device.commit_put(&prepared, None, &done).await.unwrap();
    let roles: Vec<_> = committed.receipts().map(|it| (it.role, it.receipt.version, it.receipt.generation)).collect();
    assert_eq!(roles, [(Role::Client, 6, 7), (Role::Custodian, 11, 7)]);
}

#[tokio::test]
async fn a_commit_by_other_receipts_than_both_of_this_put_is_none() {
    let faults: [(Fault, &str); 3] = [
        (
            |r, e| {
                if e.kind == 4 {
                    r.active.as_mut().unwrap().put_intent_hash[0] ^= 1;
                }
            },
            "active generation is 7 put by",
        ),
        (
            |r, e| {
                if e.kind == 4 {
                    r.active.as_mut().unwrap().generation = 6;
                }
            },
            "active generation is 6 put by",
        ),
        (
            |r, e| {
                if e.kind == 4 {
                    r.record_id[0] ^= 1;
                }
            },
            "record_id is",
        ),
    ];
    for (fault, expect) in faults {
        let (done, device, prepared, _) = put(Tamper::Nothing, Some(fault), RIGHT).await;
        let error = device.commit_put(&prepared, None, &done.unwrap()).await.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}

fn pending(record: &mut RecordView, put: u8) {
    let view = GenerationView {
        generation: 2,
        state: GenerationState::Pending.into(),
        put_intent_hash: vec![put; 32],
        ..record.generations[0].clone()
    };
    record.generations.push(view);
    record.highest_generation = 2;
}

#[tokio::test]
async fn nothing_is_committed_that_does_not_wait_in_both_roles() {
    type Change = fn(&mut RecordView, &mut RecordView);
    let cases: [Change; 4] = [
        |_, _| {},
        |client, _| pending(client, 1),
        |_, custodian| pending(custodian, 1),
        |client, custodian| {
            pending(client, 1);
            pending(custodian, 2);
        },
    ];
    for change in cases {
        let both = both_of(Tamper::Nothing, None, change).await;
        let error = both.device.commit(&both.prepared, None).await.unwrap_err();
        assert_eq!((error.reason(), both.calls()), (Some("STATE_INVALID"), 0), "{error}");
    }
}

#[tokio::test]
async fn a_backup_of_the_custodian_alone_is_signed_and_sent_by_the_backend() {
    for (tamper, fault, expect) in [
        (Tamper::Nothing, None, ""),
        (Tamper::NoReceipt, None, "it has not one receipt of the custodian role"),
        (Tamper::CustodianSignedByClient, None, "signature is wrong"),
        (Tamper::Nothing, Some((|_, e| e.tenant_key.clear()) as Fault), "tenant_key is empty"),
        (Tamper::Nothing, Some(|_, e| e.credential_id = vec![1]), "credential_id is"),
        (Tamper::Nothing, Some(|r, _| r.record_id[0] ^= 1), "record_id is"),
    ] {
        let both = both_of(tamper, fault, |_, _| {}).await;
        let statement = crate::testing::verified_statement_of_both();
        let service = crate::tenant::custodian::Service::new(&both.prepared, &statement).unwrap();
        let (backup, method) = ("pw".to_owned(), "PASSWORD".to_owned());
        let alone = crate::intent::Alone { backup, method, pairs: pairs(), policy: CustodianPolicy::TENANT };
        let ready = service.create_alone(&alone, shares()).unwrap().sign(&crate::testing::operational_key()).unwrap();
        match ready.send(&both.client, &both.prepared).await {
            Ok((acted, _)) => {
                assert_eq!(acted.receipts().map(|it| it.role).collect::<Vec<_>>(), [Role::Custodian]);
                assert!(expect.is_empty());
            }
            Err(error) => assert!(!expect.is_empty() && error.to_string().contains(expect), "{error}"),
        }
    }
}

#[tokio::test]
async fn an_act_that_left_nothing_waiting_in_both_roles_is_no_put_to_commit() {
    type Change = fn(&mut RecordView, &mut RecordView);
    let cases: [(Change, bool); 4] = [
        (|_, _| {}, false),
        (|client, _| pending(client, 1), false),
        (
            |client, custodian| {
                pending(client, 1);
                pending(custodian, 2);
            },
            false,
        ),
        (
            |client, custodian| {
                pending(client, 1);
                pending(custodian, 1);
            },
            true,
        ),
    ];
    for (change, waits) in cases {
        let both = both_of(Tamper::Nothing, None, change).await;
        let credential = both.passkey.credential_id().to_vec();
        let (device, prepared) = (&both.device, &both.prepared);
        let acted = device.rename_passkey(prepared, None, &credential, "x", &mut at(&both.passkey)).await.unwrap();
        let committing = crate::receipt::Committing::of_put("wallet-1", "main", &acted);
        assert_eq!(committing.is_ok(), waits);
        assert!(waits || committing.unwrap_err().reason() == Some("STATE_INVALID"));
    }
}
