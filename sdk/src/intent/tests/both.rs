//! Intents that name both roles, or the custodian alone.

use super::*;
use crate::testing::{custodian_view, record_view_of_both};
use crate::view::Backup;
use strongroom_proto::limits::{EJECT_WINDOW_SECONDS_MAX, EJECT_WINDOW_SECONDS_MIN};
use strongroom_proto::v1::OpenEjectWindowAction;

const TO: Recipients = Recipients { client: Some(ContentHash([9; 32])), custodian: Some(ContentHash([8; 32])) };

fn prepared() -> Prepared {
    let (mut client, mut custodian) = (record_view_of_both(), custodian_view());
    (client.highest_generation, custodian.highest_generation) = (7, 5);
    for record in [&mut client, &mut custodian] {
        record.open_acts = vec![open_recovery()];
    }
    Prepared::of_both(vec![client], vec![custodian])
}

#[test]
fn acts_on_both_roles_name_each_record_at_its_own_head() {
    let prepared = prepared();
    let backup: Backup<'_> = prepared.backups().unwrap()[0];
    let base = prepared.base_for(backup.roles()).unwrap();
    let record = backup.record(Role::Custodian).unwrap();
    let (credential, open) = (&record.credentials[0], &record.open_acts[0]);
    let newcomer = Newcomer::new(NewCredential { id: vec![1], public_key: vec![2] }, "tablet").unwrap();
    let policies = Policies { client: Some(ClientPolicy::PASSKEY), custodian: Some(CustodianPolicy::TENANT) };
    let put = put_shares(&base, backup, &pairs()).unwrap();
    let Some(Action::PutShares(action)) = &put.action else { panic!("a put") };
    assert_eq!(action.generation, 8, "above the highest of both");
    let hash = ContentHash([7; 32]);
    for (intent, recipients, messages) in [
        (with_messages(put, Some(hash), Some(hash)).unwrap(), false, true),
        (recover(&base, backup, 1, TO).unwrap(), true, false),
        (release(&base, backup, 1, TO, Purpose::Eject).unwrap(), true, false),
        (start_recovery(&base, backup, backup.common(None).unwrap(), TO).unwrap(), true, false),
        (rehearse(&base, backup, 1).unwrap(), false, false),
        (add_passkey(&base, backup, &newcomer).unwrap(), false, false),
        (remove_passkey(&base, backup, credential).unwrap(), false, false),
        (rename_passkey(&base, backup, credential, "x").unwrap(), false, false),
        (change_policy(&base, backup, policies).unwrap(), false, false),
        (delete_backup(&base, backup).unwrap(), false, false),
        (cancel(&base, backup, open).unwrap(), false, false),
        (carry_out(&base, backup, open).unwrap(), false, false),
    ] {
        let fields = strongroom_proto::intent::decode(&intent.bytes).unwrap();
        let (client, custodian) = (fields.client.unwrap(), fields.custodian.unwrap());
        assert_eq!((client.record_id, client.head), (vec![10; 32], vec![11; 32]));
        assert_eq!((custodian.record_id, custodian.head), (vec![10; 32], vec![111; 32]));
        let of = |bytes: Vec<u8>| if recipients { bytes } else { Vec::new() };
        assert_eq!((client.recipient, custodian.recipient), (of(vec![9; 32]), of(vec![8; 32])));
        assert_eq!((client.message_hash.is_empty(), custodian.message_hash.is_empty()), (!messages, !messages));
        let lines = shown::lines(&intent.intent);
        assert!(lines.contains(&("role", "client".to_owned())) && lines.contains(&("role", "custodian".to_owned())));
    }
}

#[test]
fn an_eject_window_is_of_the_custodian_alone_and_has_its_limits() {
    let prepared = prepared();
    let backup = prepared.backups().unwrap()[0];
    let base = prepared.base_for(backup.roles()).unwrap();
    assert_eq!(EjectWindow::default().seconds(), 300);
    let intent = open_eject_window(&base, backup, EjectWindow::default()).unwrap().intent;
    assert!(intent.client.is_none() && intent.custodian.is_some());
    assert_eq!(intent.action, Some(Action::OpenEjectWindow(OpenEjectWindowAction { duration_seconds: 300 })));
    assert!(shown::lines(&intent).contains(&("  open for", "300 s".to_owned())));
    for (seconds, fits) in [
        (EJECT_WINDOW_SECONDS_MIN, true),
        (EJECT_WINDOW_SECONDS_MAX, true),
        (EJECT_WINDOW_SECONDS_MIN - 1, false),
        (EJECT_WINDOW_SECONDS_MAX + 1, false),
        (0, false),
    ] {
        assert_eq!(EjectWindow::from_seconds(seconds).is_ok(), fits, "{seconds}");
    }
    let client_only = Prepared::of(vec![record_view()]);
    let backup = client_only.backups().unwrap()[0];
    assert!(open_eject_window(&base, backup, EjectWindow::default()).is_err());
}

#[test]
fn recipients_messages_and_policies_are_one_for_each_role_that_is_named() {
    let prepared = prepared();
    let backup = prepared.backups().unwrap()[0];
    let base = prepared.base_for(backup.roles()).unwrap();
    let (client, custodian) = (backup.only(Role::Client).unwrap(), backup.only(Role::Custodian).unwrap());
    let only = |recipients: Recipients, role| match role {
        Role::Client => Recipients { custodian: None, ..recipients },
        _ => Recipients { client: None, ..recipients },
    };
    recover(&base, client, 1, only(TO, Role::Client)).unwrap();
    recover(&base, custodian, 1, only(TO, Role::Custodian)).unwrap();
    for (backup, recipients) in [
        (backup, only(TO, Role::Client)),
        (backup, only(TO, Role::Custodian)),
        (backup, Recipients::default()),
        (client, TO),
        (custodian, TO),
        (client, only(TO, Role::Custodian)),
    ] {
        let error = recover(&base, backup, 1, recipients).unwrap_err().to_string();
        assert!(error.starts_with("recipients: not one for each role"), "{error}");
    }
    let put = put_shares(&base, backup, &pairs()).unwrap();
    let hash = Some(ContentHash([7; 32]));
    for (client, custodian) in [(hash, None), (None, hash), (None, None)] {
        let error = with_messages(put.clone(), client, custodian).unwrap_err().to_string();
        assert!(error.starts_with("messages: not one for each role"), "{error}");
    }
    assert!(put_shares(&base, client, &pairs()).is_err(), "a put names every role of the backup");
    let none = change_policy(&base, backup, Policies::default()).unwrap_err().to_string();
    assert!(none.starts_with("policy: none is given"), "{none}");
    let of_custodian = Policies { client: None, custodian: Some(CustodianPolicy::TENANT) };
    let named = change_policy(&base, backup, of_custodian).unwrap().intent;
    assert!(named.client.is_none() && named.custodian.is_some());
    assert!(change_policy(&base, client, of_custodian).is_err());
}

#[test]
fn policies_of_the_custodian_role_are_those_that_it_can_keep() {
    let policy = |passkey, tenant_signature, newest_head, delay_seconds| Policy {
        passkey,
        tenant_signature,
        delay_seconds,
        newest_head,
    };
    for good in
        [policy(false, true, false, 0), policy(true, false, false, 1), policy(true, true, true, DELAY_SECONDS_MAX)]
    {
        assert_eq!(Policy::from(CustodianPolicy::try_from(good).unwrap()), good);
    }
    for (bad, expect) in [
        (policy(false, false, false, 0), "needs a passkey or the tenant's signature"),
        (policy(false, false, false, 1), "needs a passkey or the tenant's signature"),
        (policy(true, false, true, 0), "the newest head needs the tenant's signature"),
        (policy(false, true, false, DELAY_SECONDS_MAX + 1), "at most 2592000"),
    ] {
        let error = CustodianPolicy::try_from(bad).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}

#[test]
fn a_creation_in_both_roles_has_one_record_id_before_anything_is_sealed() {
    let prepared = prepared();
    let base = prepared.base_for([Role::Client, Role::Custodian]).unwrap();
    let creation = Creation { custodian: Some(CustodianPolicy::PASSKEY), ..creation() };
    let (draft, record_id) = create_backup(&base, &creation).unwrap();
    assert_eq!((draft.client.clone(), draft.custodian.clone()), (Some(RolePart::default()), Some(RolePart::default())));
    let sealed = with_messages(draft, Some(ContentHash([1; 32])), Some(ContentHash([2; 32]))).unwrap();
    assert_eq!(strongroom_proto::intent::record_id(&sealed.intent), record_id);
    let Some(Action::CreateBackup(action)) = sealed.intent.action else { panic!("a creation") };
    assert!(action.client_policy.is_some() && action.custodian_policy.is_some());
}
