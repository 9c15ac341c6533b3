//! `ListRecoveryMethods`: what would work now, and why the rest would not.

use strongroom_proto::v1::{ListRecoveryMethodsRequest, RecoveryMethod, RemovePasskeyAction};

use super::both::{BOTH, CLIENT, CUSTODIAN, act_in, make};
use super::calls::*;
use super::core::epochs::DAMAGED;
use super::rotation::{app, place};
use super::*;
use crate::keys;
use crate::rows::{RecordRow, decode};
use crate::services::due;
use crate::store::{Expect, Write};

async fn methods(host: &Host, caller: &Caller) -> Vec<RecoveryMethod> {
    let list = ListRecoveryMethodsRequest { wallet: "w".to_owned() };
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    recoveries.list_recovery_methods(caller.says(list)).await.unwrap().into_inner().methods
}

/// Backup, whether it works, and the problem.
fn told(methods: &[RecoveryMethod]) -> Vec<(&str, bool, &str)> {
    methods.iter().map(|it| (it.backup.as_str(), it.works, it.problem.as_str())).collect()
}

async fn host_with_each() -> (Host, Caller) {
    let host = Host::start_in(BOTH).await;
    let caller = host.caller(1).await;
    for (roles, backup) in [(BOTH, "both"), (CLIENT, "client"), (CUSTODIAN, "custodian")] {
        make(&host, &caller, roles, backup).await;
    }
    (host, caller)
}

#[tokio::test]
async fn each_backup_is_a_method_with_what_it_takes() {
    let (host, caller) = host_with_each().await;
    let all = methods(&host, &caller).await;
    assert_eq!(told(&all), [("both", true, ""), ("client", true, ""), ("custodian", true, "")]);
    for method in &all {
        assert_eq!((method.method.as_str(), method.generation, method.pairs.len()), ("PASSKEY", 1, 2));
        assert_eq!(method.client_policy.is_some(), method.backup != "custodian");
        assert_eq!(method.custodian_policy.is_some(), method.backup != "client");
        assert_eq!(method.passkeys, 1);
    }
    host.custodian.without_passkeys.store(true, Ordering::Relaxed);
    let passkeys: Vec<u32> = methods(&host, &caller).await.iter().map(|it| it.passkeys).collect();
    assert_eq!(passkeys, [1, 1, 0], "where a policy asks for one");
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    let unknown = ListRecoveryMethodsRequest { wallet: "unknown".to_owned() };
    refused(recoveries.list_recovery_methods(caller.says(unknown)).await, Code::NotFound, "NOT_FOUND");
    let stranger = host.bare_caller(2).await;
    let foreign = ListRecoveryMethodsRequest { wallet: "w".to_owned() };
    refused(recoveries.list_recovery_methods(stranger.says(foreign)).await, Code::NotFound, "NOT_FOUND");
}

#[tokio::test]
async fn an_enclave_that_does_not_answer_is_told_and_stops_nothing_else() {
    let (mut host, caller) = host_with_each().await;
    host.custodian_enclave = None;
    host.wait(ServingStatus::NotServing).await;
    let lost = "custodian: the enclave does not answer";
    let all = methods(&host, &caller).await;
    assert_eq!(told(&all), [("both", false, lost), ("client", true, ""), ("custodian", false, lost)]);
    assert!(all[0].client_policy.is_some() && all[0].custodian_policy.is_none());
    host.enclave = None;
    host.wait(ServingStatus::NotServing).await;
    let both = methods(&host, &caller).await;
    assert!(both.iter().all(|it| !it.works && it.problem.ends_with("the enclave does not answer")), "{both:?}");
    assert!(both.iter().all(|it| it.generation == 1), "what the books know is told");
}

#[tokio::test]
async fn what_would_not_work_says_why() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    for backup in ["damaged", "deleted", "exchanged", "fine"] {
        back_up(&host, &caller, backup).await;
    }
    let app = app(&host).await;
    let key = place(&caller, "damaged").key();
    let stored = app.store.get(key.clone()).await.unwrap().unwrap();
    let mut row: RecordRow = decode(&stored).unwrap();
    row.record.as_mut().unwrap().sealed = DAMAGED.to_vec();
    let write = Write { key, expect: Expect::unchanged(Some(&stored)), put: Some(row.encode_to_vec()) };
    app.store.commit(vec![write]).await.unwrap();
    // The queue of this host or of the other one carries it out.
    send(&host, &caller, "DeleteBackup", "d", Some(on(&caller, "deleted", "d", action("DeleteBackup", &[]))))
        .await
        .unwrap();
    due::once(&app, crate::clock::now_ms() + 1).await.unwrap();
    while shown(&host, &caller, "deleted").await.state() != BackupState::Closed {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let remove = |id: &[u8]| Action::RemovePasskey(RemovePasskeyAction { credential_id: id.to_vec() });
    for (id, call, action) in [("a", "AddPasskey", action("AddPasskey", &[])), ("r1", "RemovePasskey", remove(b"c1"))] {
        send(&host, &caller, call, id, Some(on(&caller, "exchanged", id, action))).await.unwrap();
    }
    let damaged = "client: the record is missing or does not open";
    let deleted = "the backup was deleted";
    let all = methods(&host, &caller).await;
    let expect =
        [("damaged", false, damaged), ("deleted", false, deleted), ("exchanged", true, ""), ("fine", true, "")];
    assert_eq!(told(&all), expect);
    assert_eq!((all[1].generation, all[1].passkeys, all[3].passkeys), (0, 0, 1));
    // A record that is gone.
    let key = place(&caller, "fine").key();
    let stored = app.store.get(key.clone()).await.unwrap().unwrap();
    app.store.commit(vec![Write { key, expect: Expect::unchanged(Some(&stored)), put: None }]).await.unwrap();
    assert_eq!(told(&methods(&host, &caller).await)[3], ("fine", false, damaged));
    let tenant = super::rotation::tenant(&caller);
    let statement = app.store.get(keys::statement(&tenant)).await.unwrap().unwrap();
    let gone = Write { key: keys::statement(&tenant), expect: Expect::unchanged(Some(&statement)), put: None };
    app.store.commit(vec![gone]).await.unwrap();
    let all = methods(&host, &caller).await;
    assert_eq!(told(&all)[2], ("exchanged", false, "client: the tenant has no statement"));
}

#[tokio::test]
async fn a_passkey_counts_where_every_role_that_asks_has_it() {
    let host = Host::start_in(BOTH).await;
    let caller = host.caller(1).await;
    make(&host, &caller, BOTH, "b").await;
    let remove = || Action::RemovePasskey(RemovePasskeyAction { credential_id: b"c1".to_vec() });
    for (id, call, roles, action) in [
        ("add-client", "AddPasskey", CLIENT, action("AddPasskey", &[])),
        ("remove-client", "RemovePasskey", CLIENT, remove()),
    ] {
        let act = act_in(&caller, BOTH, roles, "b", id, action);
        send(&host, &caller, call, id, Some(act)).await.unwrap();
    }
    let all = methods(&host, &caller).await;
    assert_eq!(told(&all), [("b", false, "no passkey is in every role whose policy asks for one")]);
    assert_eq!(all[0].passkeys, 0);
    host.custodian.without_passkeys.store(true, Ordering::Relaxed);
    let all = methods(&host, &caller).await;
    assert_eq!((told(&all)[0], all[0].passkeys), (("b", true, ""), 1));
}
