use super::*;
use std::slice;

use crate::intent::{self, ClientPolicy, Delay, EncodedIntent, Newcomer, TenantConsent};
use crate::keys::KeyUse;
use crate::prepare::Prepared;
use crate::testing::{
    CREDENTIAL, NOW_MS, WALLET, creation, key, now, open_recovery, operational_key, pairs, record_view, tenant,
};
use prost::Message;
use strongroom_proto::id::{ContentHash, Head, RecordId};
use strongroom_proto::v1::NewCredential;

mod both;

fn newest() -> KnownReceipt {
    KnownReceipt {
        role: Role::Client,
        wallet: WALLET.to_owned(),
        record_id: RecordId([10; 32]),
        version: 4,
        head: Head([11; 32]),
    }
}

fn expected<'a>(act: ExpectedAct<'a>, newest: &'a [KnownReceipt]) -> Expected<'a> {
    Expected { tenant: tenant(), wallet: WALLET, act, statement_serial: 3, newest, now: now() }
}

/// An act on the record of these tests.
fn on(act: RecordAct<'_>) -> ExpectedAct<'_> {
    ExpectedAct::OnRecord { record_id: RecordId([10; 32]), act }
}

const KIND: OpenActKind = OpenActKind::Recovery;

/// Every act with the intent for it.
fn intents() -> Vec<(ExpectedAct<'static>, EncodedIntent)> {
    let mut view = record_view();
    view.open_acts = vec![open_recovery()];
    let prepared = Prepared::of(vec![view]);
    let base = prepared.base(Role::Client).unwrap();
    let record = &prepared.role(Role::Client).unwrap().view.records()[0];
    let (credential, open) = (&record.credentials[0], &record.open_acts[0]);
    let newcomer = Newcomer::new(NewCredential { id: b"new".to_vec(), public_key: vec![2] }, "").unwrap();
    let policy = ClientPolicy { tenant: TenantConsent::NewestHead, delay: Delay::NONE };
    let generation = record.active().unwrap();
    let put = intent::put_shares(&base, record, &pairs()).unwrap();
    vec![
        (ExpectedAct::CreateBackup { backup: "main" }, creation().0),
        (on(RecordAct::Recover), intent::recover(&base, record, 1, ContentHash([9; 32])).unwrap()),
        (on(RecordAct::Rehearse), intent::rehearse(&base, record, 1).unwrap()),
        (on(RecordAct::PutShares), intent::with_client_message(put, b"m").unwrap()),
        (
            on(RecordAct::AddPasskey { credential_id: b"new", key_hash: ContentHash::of(&[2]) }),
            intent::add_passkey(&base, record, &newcomer).unwrap(),
        ),
        (
            on(RecordAct::RemovePasskey { credential_id: CREDENTIAL }),
            intent::remove_passkey(&base, record, credential).unwrap(),
        ),
        (on(RecordAct::RenamePasskey), intent::rename_passkey(&base, record, credential, "x").unwrap()),
        (
            on(RecordAct::ChangePolicy { client: Some(policy.into()), custodian: None }),
            intent::change_policy(&base, record, policy).unwrap(),
        ),
        (
            on(RecordAct::StartRecovery),
            intent::start_recovery(&base, record, generation, ContentHash([9; 32])).unwrap(),
        ),
        (on(RecordAct::DeleteBackup), intent::delete_backup(&base, record).unwrap()),
        (
            on(RecordAct::Cancel { kind: KIND, started_by: IntentHash([31; 32]) }),
            intent::cancel(&base, record, open).unwrap(),
        ),
        (
            on(RecordAct::CarryOut { kind: KIND, started_by: IntentHash([31; 32]) }),
            intent::carry_out(&base, record, open).unwrap(),
        ),
    ]
}

#[test]
fn an_intent_is_signed_for_the_act_that_was_expected_and_for_no_other() {
    let known = newest();
    for (at, (act, intent)) in intents().iter().enumerate() {
        let is_creation = matches!(act, ExpectedAct::CreateBackup { .. });
        let known = if is_creation { &[][..] } else { slice::from_ref(&known) };
        let signature = consent(&operational_key(), &intent.bytes, &expected(*act, known)).unwrap();
        assert_eq!(signature, operational_key().sign_intent(&intent.bytes).unwrap());
        for (other, (another, _)) in intents().iter().enumerate().filter(|(other, _)| *other != at) {
            let error = consent(&operational_key(), &intent.bytes, &expected(*another, known)).unwrap_err().to_string();
            assert!(error.starts_with("the intent's action is"), "{at} for {other}: {error}");
        }
        let lines = crate::intent::shown::lines(&intent.intent);
        assert!(
            lines.contains(&("action", act.name().to_owned())) && lines.contains(&("tenant", tenant().to_string()))
        );
    }
}

#[test]
fn what_would_do_most_harm_is_compared() {
    let wrong = [
        ExpectedAct::CreateBackup { backup: "other" },
        on(RecordAct::AddPasskey { credential_id: b"other", key_hash: ContentHash::of(&[2]) }),
        on(RecordAct::AddPasskey { credential_id: b"new", key_hash: ContentHash::of(&[3]) }),
        on(RecordAct::RemovePasskey { credential_id: b"other" }),
        on(RecordAct::ChangePolicy { client: Some(ClientPolicy::PASSKEY.into()), custodian: None }),
        on(RecordAct::Cancel { kind: OpenActKind::Delete, started_by: IntentHash([31; 32]) }),
        on(RecordAct::Cancel { kind: KIND, started_by: IntentHash([30; 32]) }),
        on(RecordAct::CarryOut { kind: OpenActKind::Delete, started_by: IntentHash([31; 32]) }),
        on(RecordAct::CarryOut { kind: KIND, started_by: IntentHash([30; 32]) }),
    ];
    let known = newest();
    // The newest receipt of that record, so that nothing but the intent's own record differs.
    let elsewhere = KnownReceipt { record_id: RecordId([9; 32]), ..newest() };
    for (act, intent) in intents() {
        let ExpectedAct::OnRecord { act, .. } = act else { continue };
        let other = ExpectedAct::OnRecord { record_id: elsewhere.record_id, act };
        for known in [&[][..], slice::from_ref(&elsewhere), slice::from_ref(&known)] {
            let error = consent(&operational_key(), &intent.bytes, &expected(other, known)).unwrap_err().to_string();
            assert!(error.starts_with("the intent's record_id is"), "{act:?}: {error}");
        }
    }
    let mut creation = creation().0.intent;
    creation.client.as_mut().unwrap().record_id = vec![10; 32];
    let act = ExpectedAct::CreateBackup { backup: "main" };
    let error = consent(&operational_key(), &creation.encode_to_vec(), &expected(act, &[])).unwrap_err().to_string();
    assert!(error.starts_with("the intent's record_id is"), "{error}");
    for act in wrong {
        let (_, intent) = intents().into_iter().find(|(right, _)| right.name() == act.name()).unwrap();
        let error = consent(&operational_key(), &intent.bytes, &expected(act, slice::from_ref(&known))).unwrap_err();
        assert!(matches!(error, Error::NotExpected { .. }), "{act:?}: {error}");
    }
    for (act, intent) in intents() {
        let mut eject = intent.intent.clone();
        match &mut eject.action {
            Some(Action::Recover(action)) => action.eject = true,
            Some(Action::StartRecovery(action)) => action.eject = true,
            _ => continue,
        }
        let error =
            consent(&operational_key(), &eject.encode_to_vec(), &expected(act, slice::from_ref(&known))).unwrap_err();
        assert!(error.to_string().starts_with("the intent's eject is true"), "{act:?}: {error}");
    }
}

#[test]
fn an_intent_that_says_anything_else_is_not_signed() {
    type Change = fn(&mut Intent);
    let cases: &[(Change, &str)] = &[
        (|i| i.tenant[0] ^= 1, "intent's tenant is"),
        (|i| i.wallet.push('x'), "intent's wallet is wallet-1x, but the tenant expects wallet-1"),
        (|i| i.statement_serial = 2, "intent's statement serial is 2, but the tenant expects 3"),
        (|i| i.not_after_ms = NOW_MS, "intent's not_after is"),
        (|i| i.not_after_ms = NOW_MS + INTENT_AHEAD_MS_MAX + 1, "intent's not_after is"),
        (|i| i.action = None, "it has no action"),
        (|i| i.client.as_mut().unwrap().head[0] ^= 1, "the head of the newest receipt, version 4"),
        (|i| i.client.as_mut().unwrap().record_id[0] ^= 1, "intent's record_id is"),
        (|i| i.custodian = i.client.clone(), "newest receipt: is needed of the custodian role too"),
        (|i| i.client = None, "intent's number of roles is 0"),
        (|i| i.client.as_mut().unwrap().record_id.clear(), "intent's record_id is"),
    ];
    let known = newest();
    let (act, genuine) = intents().remove(1);
    for (index, (change, expect)) in cases.iter().enumerate() {
        let mut intent = genuine.intent.clone();
        change(&mut intent);
        let outcome = consent(&operational_key(), &intent.encode_to_vec(), &expected(act, slice::from_ref(&known)));
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains(expect), "case {index}: {error}");
    }
    let more = [genuine.bytes.as_slice(), &[0xf8, 7, 1]].concat();
    assert!(matches!(check(&more, &expected(act, &[])), Err(Error::Malformed { .. })));
    // Without `newest_head` in its policy, an act needs no receipt that the tenant knows; with one, it must be of this wallet.
    check(&genuine.bytes, &expected(act, &[])).unwrap();
    let elsewhere = KnownReceipt { wallet: "other".to_owned(), ..known };
    assert!(check(&genuine.bytes, &expected(act, slice::from_ref(&elsewhere))).is_err());
    for purpose in [KeyUse::Root, KeyUse::Standby] {
        let error = consent(&key(purpose, 1), &genuine.bytes, &expected(act, &[])).unwrap_err().to_string();
        assert!(error.contains("signs no intents"), "{error}");
    }
}

#[test]
fn what_waited_is_carried_out_only_from_a_head_that_the_tenant_knows() {
    let (act, intent) = intents().pop().unwrap();
    let error = consent(&operational_key(), &intent.bytes, &expected(act, &[])).unwrap_err().to_string();
    assert!(error.starts_with("newest receipt: is needed"), "{error}");
    let newer = KnownReceipt { version: 5, head: Head([12; 32]), ..newest() };
    let error =
        consent(&operational_key(), &intent.bytes, &expected(act, slice::from_ref(&newer))).unwrap_err().to_string();
    assert!(error.contains("the head of the newest receipt, version 5"), "{error}");
}
