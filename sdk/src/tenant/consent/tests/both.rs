//! Intents that name both roles: what the tenant compares in each.

use super::*;
use crate::intent::{CustodianPolicy, EjectWindow, Policies, Purpose, Recipients};
use crate::testing::{custodian_view, record_view_of_both};

const TO: Recipients = Recipients { client: Some(ContentHash([9; 32])), custodian: Some(ContentHash([8; 32])) };
const POLICIES: Policies = Policies { client: Some(ClientPolicy::PASSKEY), custodian: Some(CustodianPolicy::TENANT) };

fn both() -> Prepared {
    Prepared::of_both(vec![record_view_of_both()], vec![custodian_view()])
}

/// The newest receipts that the tenant has, of each role.
fn known() -> [KnownReceipt; 2] {
    [newest(), KnownReceipt { role: Role::Custodian, version: 9, head: Head([111; 32]), ..newest() }]
}

fn change(policies: Policies) -> RecordAct<'static> {
    RecordAct::ChangePolicy { client: policies.of(Role::Client), custodian: policies.of(Role::Custodian) }
}

#[test]
fn ejects_windows_and_both_policies_are_signed_as_expected_and_no_other() {
    let prepared = both();
    let backup = prepared.backups().unwrap()[0];
    let base = prepared.base_for(backup.roles()).unwrap();
    let eject = intent::release(&base, backup, 1, TO, Purpose::Eject).unwrap();
    let later = intent::start_release(&base, backup, 1, TO, Purpose::Eject).unwrap();
    let window = intent::open_eject_window(&base, backup, EjectWindow::default()).unwrap();
    let policies = intent::change_policy(&base, backup, POLICIES).unwrap();
    let seconds = |duration_seconds| RecordAct::OpenEjectWindow { duration_seconds };
    for (intent, act) in [
        (&eject, RecordAct::Eject),
        (&later, RecordAct::StartEject),
        (&window, seconds(300)),
        (&policies, change(POLICIES)),
    ] {
        consent(&operational_key(), &intent.bytes, &expected(on(act), &known())).unwrap();
    }
    let client = Policies { custodian: None, ..POLICIES };
    let custodian = Policies { client: None, ..POLICIES };
    let weaker = Policies { custodian: Some(CustodianPolicy::PASSKEY), ..POLICIES };
    for (intent, act, expect) in [
        (&eject, RecordAct::Recover, "intent's eject is true, but the tenant expects false"),
        (&later, RecordAct::StartRecovery, "intent's eject is true"),
        (&eject, RecordAct::StartEject, "intent's action is recover"),
        (&window, RecordAct::Eject, "intent's action is open_eject_window"),
        (&window, seconds(299), "intent's duration in seconds is 300, but the tenant expects 299"),
        (&policies, change(client), "intent's custodian policy is the tenant's signature"),
        (&policies, change(custodian), "intent's client policy is a passkey, but the tenant expects none"),
        (&policies, change(weaker), "intent's custodian policy is"),
    ] {
        let error = consent(&operational_key(), &intent.bytes, &expected(on(act), &known())).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    let recovery = intent::recover(&base, backup, 1, TO).unwrap();
    let error = check(&recovery.bytes, &expected(on(RecordAct::Eject), &known())).unwrap_err().to_string();
    assert!(error.contains("intent's eject is false, but the tenant expects true"), "{error}");
}

#[test]
fn the_newest_head_is_known_in_every_role_that_the_intent_names() {
    let prepared = both();
    let backup = prepared.backups().unwrap()[0];
    let base = prepared.base_for(backup.roles()).unwrap();
    let intent = intent::recover(&base, backup, 1, TO).unwrap();
    let act = on(RecordAct::Recover);
    check(&intent.bytes, &expected(act, &known())).unwrap();
    check(&intent.bytes, &expected(act, &[])).unwrap();
    let [client, custodian] = known();
    let older = KnownReceipt { head: Head([1; 32]), ..custodian.clone() };
    let elsewhere = KnownReceipt { wallet: "other".to_owned(), ..custodian.clone() };
    let of_client = KnownReceipt { role: Role::Client, ..custodian.clone() };
    for (newest, expect) in [
        (vec![client.clone()], "is needed of the custodian role too"),
        (vec![custodian.clone()], "is needed of the client role too"),
        (vec![client.clone(), older], "the head of the newest receipt, version 9"),
        (vec![client.clone(), elsewhere], "intent's wallet of the newest receipt is other"),
        (vec![of_client, custodian], "intent's head is"),
    ] {
        let error = check(&intent.bytes, &expected(act, &newest)).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}
