//! Acts that name both roles of a backup: by one assertion, on both receipts.

use strongroom_proto::intent as wire;
use strongroom_proto::v1::{
    Act, ActRequest, AddPasskeyRequest, CredentialView, Intent, OpenAct, OpenActKind, Policy, RecordView,
    RecoverRequest, Role,
};

use prost::Message;

use super::acts::{Backend, second_passkey};
use super::host::{Both, Fault, Tamper, both_of};
use super::*;
use crate::intent::{CustodianPolicy, Newcomer, Policies};
use crate::seal::{MpcKey, MpcRecipient, RecipientKey};
use crate::testing::{NOW_MS, mpc_key, open_recovery, operational_key, verified_statement_of_both};

type Change = fn(&mut RecordView, &mut RecordView);

fn mpc() -> MpcRecipient {
    MpcRecipient::listed(mpc_key().public_key(), &verified_statement_of_both()).unwrap()
}

fn intent(act: Option<Act>) -> Intent {
    wire::decode(&act.unwrap().intent).unwrap()
}

fn roles(intent: &Intent) -> (bool, bool) {
    (intent.client.is_some(), intent.custodian.is_some())
}

async fn recover(tamper: Tamper, fault: Option<Fault>) -> (Result<Recovered, Error>, usize) {
    let both = both_of(tamper, fault, |_, _| {}).await;
    let custodian = mpc();
    let recovery = Recovery { custodian: Some(&custodian), ..Recovery::default() };
    let done = both.device.recover_with(&both.prepared, &recovery, &mut at(&both.passkey)).await;
    (done, both.calls())
}

#[tokio::test]
async fn one_assertion_releases_both_shares_each_to_its_own_recipient() {
    let both = both_of(Tamper::Nothing, None, |_, _| {}).await;
    let custodian = mpc();
    let recovery = Recovery { custodian: Some(&custodian), ..Recovery::default() };
    let done = both.device.recover_with(&both.prepared, &recovery, &mut at(&both.passkey)).await.unwrap();
    assert_eq!((done.shares.len(), done.generation, done.acted.receipts().count()), (2, 1, 2));
    let request = RecoverRequest::decode(both.host_calls().lock().unwrap()[0].as_slice()).unwrap();
    let sent = intent(request.act.clone());
    assert_eq!((roles(&sent), request.act.unwrap().assertions.len()), ((true, true), 1));
    assert_eq!(request.custodian_recipient_key, mpc_key().public_key());
    let part = sent.custodian.unwrap();
    assert_eq!((part.head, part.recipient), (vec![111; 32], mpc_key().hash().0.to_vec()));

    let delivery = done.custodian.unwrap();
    let statement = verified_statement_of_both();
    let record_id = both.prepared.backups().unwrap()[0].id();
    let opened = mpc_key().open(&delivery, &statement, "wallet-1", record_id, &pairs()).unwrap();
    let lengths = |shares: &[Share]| shares.iter().map(|it| it.bytes.expose().len()).collect::<Vec<_>>();
    assert_eq!((lengths(&done.shares), lengths(&opened)), (vec![3, 5], vec![4, 6]));
    assert!(MpcKey::generate().unwrap().open(&delivery, &statement, "wallet-1", record_id, &pairs()).is_err());

    // The client role alone, of the same backup.
    let alone = both.device.recover(&both.prepared, None, &mut at(&both.passkey)).await.unwrap();
    assert!(alone.custodian.is_none() && alone.acted.receipts().count() == 1);
    let request = RecoverRequest::decode(both.host_calls().lock().unwrap()[1].as_slice()).unwrap();
    assert_eq!((roles(&intent(request.act)), request.custodian_recipient_key.len()), ((true, false), 0));
}

#[tokio::test]
async fn a_recovery_of_both_needs_both_receipts_and_both_releases_as_receipted() {
    let cases: [(Tamper, Option<Fault>, &str); 15] = [
        (Tamper::NoReceipt, None, "it has not one receipt of the client role"),
        (Tamper::NoCustodianReceipt, None, "it has not one receipt of the custodian role"),
        (Tamper::ClientReceiptTwice, None, "it has not one receipt of the client role"),
        (Tamper::ThirdReceipt, None, "a receipt of a role that the act does not name"),
        (Tamper::CustodianSignedByClient, None, "the receipt's signature is wrong"),
        (Tamper::CustodianRelease, None, "receipt's hash of the release is"),
        (Tamper::ReleasesSwapped, None, "receipt's hash of the release is"),
        (Tamper::Nothing, Some(|r, _| r.role = 1), "it has not one receipt of the client role"),
        (Tamper::Nothing, Some(|r, _| r.record_id[0] ^= 1), "receipt's record_id is"),
        (Tamper::Nothing, Some(|r, _| r.intent_hash[0] ^= 1), "receipt's intent_hash is"),
        (Tamper::Nothing, Some(|_, e| e.generation = 2), "event's generation is 2, not 1"),
        (Tamper::Nothing, Some(|_, e| e.recipient[0] ^= 1), "event's recipient is"),
        (Tamper::Nothing, Some(|r, _| r.head = vec![1; 32]), "receipt's head is"),
        (Tamper::Nothing, Some(|r, _| r.version = 5), "receipt's version is 5, not 10"),
        (Tamper::Nothing, Some(|r, _| r.sealed_hashes.clear()), "receipt's hash of the release is"),
    ];
    assert!(recover(Tamper::Nothing, None).await.0.is_ok());
    for (tamper, fault, expect) in cases {
        let (done, calls) = recover(tamper, fault).await;
        let error = done.unwrap_err().to_string();
        assert!(error.contains(expect) && calls == 1, "{expect}: {error}");
    }
    // What nobody asked for is not taken.
    let both = both_of(Tamper::UnaskedRelease, None, |_, _| {}).await;
    let error = both.device.recover(&both.prepared, None, &mut at(&both.passkey)).await.unwrap_err().to_string();
    assert!(error.contains("a release of a role that the act does not name"), "{error}");
}

#[tokio::test]
async fn an_mpc_server_that_no_statement_lists_gets_nothing() {
    let stranger = MpcKey::generate().unwrap();
    let refused = MpcRecipient::listed(stranger.public_key(), &verified_statement_of_both()).unwrap_err();
    assert_eq!(refused.reason(), Some("RECIPIENT_NOT_ALLOWED"), "{refused}");
    assert!(MpcRecipient::listed(&stranger.public_key()[1..], &verified_statement_of_both()).is_err());

    // Listed once, and no longer.
    let mut both = both_of(Tamper::Nothing, None, |_, _| {}).await;
    let custodian = mpc();
    both.prepared.without_mpc_recipients();
    let recovery = Recovery { custodian: Some(&custodian), ..Recovery::default() };
    let error = both.device.recover_with(&both.prepared, &recovery, &mut at(&both.passkey)).await.unwrap_err();
    assert_eq!((error.reason(), both.calls()), (Some("RECIPIENT_NOT_ALLOWED"), 0), "{error}");
}

#[tokio::test]
async fn a_rehearsal_opens_where_both_roles_say_so() {
    let rehearse = async |tamper| {
        let both = both_of(tamper, None, |_, _| {}).await;
        both.device.rehearse(&both.prepared, None, &mut at(&both.passkey)).await
    };
    assert!(rehearse(Tamper::Nothing).await.unwrap().opens);
    assert!(!rehearse(Tamper::CustodianDamaged).await.unwrap().opens);
    for (tamper, expect) in [
        (Tamper::NoReceipt, "number of rehearsals is 0, not 2"),
        (Tamper::NoCustodianReceipt, "number of rehearsals is 1, not 2"),
        (Tamper::ClientReceiptTwice, "it has not one rehearsal of each role"),
    ] {
        let error = rehearse(tamper).await.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}

/// Does every act on a backup of both roles, one by one; says which roles each intent named and what each came to.
async fn every_act(tamper: Tamper) -> Vec<(&'static str, Result<Acted, Error>, (bool, bool))> {
    let mut done = Vec::new();
    for name in ["remove", "rename", "policies", "custodian's policy", "delete", "cancel", "add"] {
        let both = both_of(tamper, None, |client, custodian| {
            for record in [client, custodian] {
                second_passkey(record);
                record.open_acts = vec![open_recovery()];
            }
        })
        .await;
        let Both { device, passkey, prepared, .. } = &both;
        let mut user = at(passkey);
        let custodian = Some(CustodianPolicy::PASSKEY);
        let acted = match name {
            "remove" => device.remove_passkey(prepared, None, b"second", Pace::AsThePolicySays, &mut user).await,
            "rename" => device.rename_passkey(prepared, None, b"second", "x", &mut user).await,
            "policies" => {
                let policies = Policies { client: Some(ClientPolicy::PASSKEY), custodian };
                device.change_policy(prepared, None, policies, &mut user).await
            }
            "custodian's policy" => {
                device.change_policy(prepared, None, Policies { client: None, custodian }, &mut user).await
            }
            "delete" => device.delete(prepared, None, &mut user).await,
            "cancel" => device.cancel(prepared, None, OpenActKind::Recovery, &mut user).await,
            _ => {
                let tablet = Passkey::create("wallet.example").unwrap();
                let newcomer = Newcomer::new(tablet.registration(), "tablet").unwrap();
                let addition = device.begin_adding(prepared, None, &newcomer, &mut user).await.unwrap();
                device.finish_adding(prepared, &addition, &tablet.registration(), &mut at(&tablet)).await
            }
        };
        let calls = both.host_calls();
        let call = calls.lock().unwrap()[0].clone();
        let act = match name {
            "add" => AddPasskeyRequest::decode(call.as_slice()).unwrap().act,
            _ => ActRequest::decode(call.as_slice()).unwrap().act,
        };
        done.push((name, acted, roles(&intent(act))));
    }
    done
}

#[tokio::test]
async fn every_act_names_both_roles_and_is_done_on_both_receipts() {
    for (name, acted, named) in every_act(Tamper::Nothing).await {
        let expect = if name == "custodian's policy" { (false, true) } else { (true, true) };
        let acted = acted.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(named, expect, "{name}");
        assert_eq!(acted.receipts().count(), usize::from(expect.0) + usize::from(expect.1), "{name}");
    }
    for tamper in [Tamper::NoCustodianReceipt, Tamper::ThirdReceipt, Tamper::CustodianSignedByClient] {
        for (name, acted, _) in every_act(tamper).await.into_iter().filter(|(name, ..)| *name != "custodian's policy") {
            assert!(acted.is_err(), "{name} {tamper:?}");
        }
    }
}

#[tokio::test]
async fn an_addition_that_reached_one_role_is_finished_in_the_other() {
    let tablet = Passkey::create("wallet.example").unwrap();
    let own = tablet.registration();
    let both = both_of(Tamper::Nothing, None, |client, _| {
        let first = client.credentials[0].clone();
        let key_hash = strongroom_proto::id::ContentHash::of(&own.public_key).0.to_vec();
        client.credentials.push(CredentialView { id: own.id.clone(), key_hash, ..first });
    })
    .await;
    let Both { device, passkey, prepared, .. } = &both;
    // Until then no passkey is removed, not even the one that both roles list.
    for credential in [own.id.as_slice(), passkey.credential_id()] {
        let removed = device.remove_passkey(prepared, None, credential, Pace::AsThePolicySays, &mut at(passkey)).await;
        assert!(removed.unwrap_err().to_string().contains("the roles' records list different passkeys"));
    }
    // By the one that both roles list; the other cannot sign for both.
    let stray = device.delete(prepared, None, &mut at(&tablet)).await.unwrap_err();
    assert!(matches!(stray, Error::WrongPasskey { .. }), "{stray}");
    let newcomer = Newcomer::new(own.clone(), "tablet").unwrap();
    let addition = device.begin_adding(prepared, None, &newcomer, &mut at(passkey)).await.unwrap();
    let done = device.finish_adding(prepared, &addition, &own, &mut at(&tablet)).await.unwrap();
    assert_eq!(done.receipts().map(|it| it.role).collect::<Vec<_>>(), [Role::Custodian]);
    let calls = both.host_calls();
    let request = AddPasskeyRequest::decode(calls.lock().unwrap()[0].as_slice()).unwrap();
    assert_eq!(roles(&intent(request.act)), (false, true));
}

fn delayed(client: u32, custodian: u32, newest_head: bool) -> impl Fn(&mut RecordView, &mut RecordView) {
    move |one, other| {
        let of = |delay_seconds, newest_head| Policy {
            passkey: true,
            tenant_signature: newest_head,
            delay_seconds,
            newest_head,
        };
        (one.policy, other.policy) = (Some(of(client, false)), Some(of(custodian, newest_head)));
    }
}

#[tokio::test]
async fn a_delayed_recovery_of_both_is_started_and_released_to_the_recipients_that_were_fixed() {
    let (key, custodian) = (RecipientKey::generate().unwrap(), mpc());
    let recovery = Recovery { custodian: Some(&custodian), ..Recovery::default() };
    let both = both_of(Tamper::Nothing, None, delayed(1, 2, true)).await;
    let device = both.device.with_backend(Arc::new(Backend(operational_key())));
    let user = &mut at(&both.passkey);
    let (acted, intent) = device.start_recovery_with(&both.prepared, &recovery, &key, user).await.unwrap();
    let due: Vec<_> = acted.receipts().map(|it| it.receipt.not_before_ms - NOW_MS - 1).collect();
    assert_eq!(due, [1000, 2000]);

    let start = intent.hash.0.to_vec();
    let waits = |one: &mut RecordView, other: &mut RecordView| {
        delayed(1, 2, true)(one, other);
        for (record, recipient) in [(one, key.hash()), (other, custodian.hash())] {
            let open = open_recovery();
            let (recipient, intent_hash) = (recipient.0.to_vec(), start.clone());
            record.open_acts = vec![OpenAct { not_before_ms: NOW_MS - 1, recipient, intent_hash, ..open }];
        }
    };
    let faults: [(Tamper, Option<Fault>, &str); 6] = [
        (Tamper::Nothing, None, ""),
        (Tamper::NoCustodianReceipt, None, "it has not one receipt of the custodian role"),
        (Tamper::ReleasesSwapped, None, "hash of the release is"),
        (Tamper::CustodianSignedByClient, None, "signature is wrong"),
        (Tamper::Nothing, Some(|r, _| r.intent_hash[0] ^= 1), "intent_hash is"),
        (Tamper::Nothing, Some(|_, e| e.recipient[0] ^= 1), "recipient is"),
    ];
    for (tamper, fault, expect) in faults {
        let both = both_of(tamper, fault, waits).await;
        let device = both.device.with_backend(Arc::new(Backend(operational_key())));
        let (to, started) = (Some(&custodian), Some(&intent));
        let released = device.release_recovery_with(&both.prepared, None, &key, to, started).await;
        if expect.is_empty() {
            let delivery = released.unwrap().custodian.unwrap();
            let (statement, id) = (verified_statement_of_both(), both.prepared.backups().unwrap()[0].id());
            assert_eq!(mpc_key().open(&delivery, &statement, "wallet-1", id, &pairs()).unwrap().len(), 2);
        } else {
            let error = released.unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
    }
    let both = both_of(Tamper::Nothing, None, waits).await;
    let alone = both.device.release_recovery(&both.prepared, None, &key).await.unwrap_err();
    assert_eq!((alone.reason(), both.calls()), (Some("RECIPIENT_NOT_ALLOWED"), 0), "{alone}");
}

#[tokio::test]
async fn what_either_role_would_refuse_is_refused_before_anybody_is_asked() {
    let custodian = mpc();
    let key = RecipientKey::generate().unwrap();
    let recovery = Recovery { custodian: Some(&custodian), ..Recovery::default() };
    let due = |delay: (u32, u32)| both_of(Tamper::Nothing, None, delayed(delay.0, delay.1, false));
    for (delay, recover, start) in [
        ((0, 1), "RECOVERY_DELAYED", "STATE_INVALID"),
        ((1, 0), "RECOVERY_DELAYED", "STATE_INVALID"),
        ((0, 0), "", "STATE_INVALID"),
        ((1, 1), "RECOVERY_DELAYED", ""),
    ] {
        let both = due(delay).await;
        let done = both.device.recover_with(&both.prepared, &recovery, &mut at(&both.passkey)).await;
        assert_eq!(done.err().and_then(|it| it.reason().map(str::to_owned)).unwrap_or_default(), recover, "{delay:?}");
        let user = &mut at(&both.passkey);
        let done = both.device.start_recovery_with(&both.prepared, &recovery, &key, user).await;
        assert_eq!(done.err().and_then(|it| it.reason().map(str::to_owned)).unwrap_or_default(), start, "{delay:?}");
    }
    let cases: [(Change, &str); 5] = [
        (|_, it| it.generations[0].put_intent_hash = vec![99; 32], "NO_VALID_BACKUP"),
        (|_, it| (it.generations[0].generation, it.highest_generation) = (2, 2), "view is malformed: generation 1"),
        (|_, it| it.backup = "other".to_owned(), "view's backup is other, not main"),
        (|_, it| it.rp_id = "other.example".to_owned(), "view's relying party is other.example"),
        (|_, it| it.roles = vec![2], "view's list of roles is custodian, not client, custodian"),
    ];
    for (change, expect) in cases {
        let both = both_of(Tamper::Nothing, None, change).await;
        let done = both.device.recover_with(&both.prepared, &recovery, &mut at(&both.passkey)).await;
        let error = done.unwrap_err().to_string();
        assert!(error.contains(expect) && both.calls() == 0, "{expect}: {error}");
    }
}

#[tokio::test]
async fn what_waits_is_carried_out_wherever_it_does_and_is_due_everywhere() {
    let change = |not_before_ms, start: u8| OpenAct {
        kind: OpenActKind::PolicyChange.into(),
        intent_hash: vec![start; 32],
        not_before_ms,
        generation: 0,
        recipient: Vec::new(),
        policy: Some(Policy { passkey: true, ..Policy::default() }),
        ..open_recovery()
    };
    let carry = async |tamper, one: Option<OpenAct>, other: Option<OpenAct>| {
        let both = both_of(tamper, None, |client, custodian| {
            (client.open_acts, custodian.open_acts) = (Vec::from_iter(one), Vec::from_iter(other));
        })
        .await;
        let done = both.device.carry_out(&both.prepared, None, OpenActKind::PolicyChange).await;
        let roles = |done: Acted| done.receipts().map(|it| it.role).collect::<Vec<_>>();
        (done.map(roles), both.calls())
    };
    let (due, later) = (NOW_MS - 1, NOW_MS + 1000);
    for (one, other, expect) in [
        (Some(change(due, 1)), Some(change(due, 1)), vec![Role::Client, Role::Custodian]),
        (Some(change(due, 1)), Some(change(due, 2)), vec![Role::Client, Role::Custodian]),
        (Some(change(due, 1)), None, vec![Role::Client]),
        (None, Some(change(due, 1)), vec![Role::Custodian]),
    ] {
        assert_eq!(carry(Tamper::Nothing, one, other).await.0.unwrap(), expect);
    }
    for (one, other, expect) in [
        (None, None, "STATE_INVALID"),
        (Some(change(later, 1)), Some(change(due, 1)), "RECOVERY_DELAYED"),
        (Some(change(due, 1)), Some(change(later, 1)), "RECOVERY_DELAYED"),
        (Some(change(due, 1)), Some(change(later, 2)), "RECOVERY_DELAYED"),
    ] {
        let (done, calls) = carry(Tamper::Nothing, one, other).await;
        assert_eq!((done.unwrap_err().reason(), calls), (Some(expect), 0));
    }
    for tamper in [Tamper::NoCustodianReceipt, Tamper::ThirdReceipt, Tamper::CustodianSignedByClient] {
        let (done, calls) = carry(tamper, Some(change(due, 1)), Some(change(due, 1))).await;
        assert!(done.is_err() && calls == 1, "{tamper:?}");
    }
}
