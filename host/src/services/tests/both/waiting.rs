//! What waits in both roles: carried out in each by itself, released in both or in none.

use super::*;
use crate::keys;
use crate::services::due;

const HOUR_MS: u64 = 3_600_000;

/// A host of both roles with a backup `b`, where what starts waits for an hour by both enclaves' clocks.
async fn waiting_host() -> (Host, Caller, u64) {
    let (host, caller) = host_of_both().await;
    let now = crate::clock::now_ms();
    for core in [&host.core, &host.custodian] {
        core.clock_ms.store(now, Ordering::Relaxed);
        core.delay_ms.store(HOUR_MS, Ordering::Relaxed);
    }
    (host, caller, now)
}

async fn start(host: &Host, caller: &Caller, call: &str, roles: &[Role]) -> Vec<u8> {
    let id = format!("start-{call}");
    let act = act_in(caller, BOTH, roles, "b", &id, action(call, &[]));
    let hash = strongroom_proto::intent::hash(&act.intent).0.to_vec();
    send(host, caller, call, &id, Some(act)).await.unwrap();
    hash
}

async fn due_roles(app: &crate::services::App) -> Vec<Role> {
    let rows = app.store.scan(keys::dues(), None, 99).await.unwrap();
    rows.iter().map(|(key, _)| keys::parse_due(key).unwrap().role).collect()
}

#[tokio::test]
async fn what_is_due_in_both_roles_is_carried_out_in_each_by_itself() {
    let (host, caller, now) = waiting_host().await;
    let app = app(&host).await;
    start(&host, &caller, "DeleteBackup", BOTH).await;
    assert_eq!(due_roles(&app).await, BOTH);
    assert_eq!(shown(&host, &caller, "b").await.open_acts.len(), 2);
    // The custodian's clock is behind: there it waits on.
    host.core.clock_ms.store(now + HOUR_MS, Ordering::Relaxed);
    assert_eq!(due::once(&app, now + HOUR_MS).await.unwrap(), 2);
    assert_eq!(due_roles(&app).await, CUSTODIAN);
    let backup = shown(&host, &caller, "b").await;
    assert_eq!((backup.state(), backup.generation), (BackupState::Pending, 0), "nothing opens in both roles");
    assert_eq!(backup.parts, [BackupPart::CustodianStored as i32]);
    host.custodian.clock_ms.store(now + HOUR_MS, Ordering::Relaxed);
    assert_eq!(due::once(&app, now + 2 * HOUR_MS).await.unwrap(), 1);
    let backup = shown(&host, &caller, "b").await;
    assert_eq!((backup.state(), backup.parts.len(), backup.generations.len()), (BackupState::Closed, 0, 0));
    assert_eq!(roles_of(&backup.receipts), BOTH);
}

#[tokio::test]
async fn a_caller_carries_out_what_is_due_wherever_it_waits() {
    let (host, caller, now) = waiting_host().await;
    let mut backups = BackupServiceClient::new(host.api.clone());
    let kind = OpenActKind::PolicyChange;
    let mut ask = async |id: &str, act| backups.carry_out(caller.says(carry_out(id, "b", kind, act))).await;
    refused(ask("r0", None).await, Code::FailedPrecondition, "STATE_INVALID");
    start(&host, &caller, "ChangePolicy", BOTH).await;
    host.core.clock_ms.store(now + HOUR_MS, Ordering::Relaxed);
    let before = all_rows(&host);
    let early = refused(ask("r1", None).await, Code::FailedPrecondition, "RECOVERY_DELAYED");
    assert_eq!(told(&early).1.as_deref(), Some("custodian"));
    assert_eq!(all_rows(&host), before, "in none");
    // Who signs a second time names the roles.
    let of = |roles: &[Role]| Some(act_in(&caller, BOTH, roles, "b", "second", carry_out_action(kind)));
    assert_eq!(roles_of(&ask("r2", of(CLIENT)).await.unwrap().into_inner().receipts), CLIENT);
    host.custodian.clock_ms.store(now + HOUR_MS, Ordering::Relaxed);
    refused(ask("r3", of(BOTH)).await, Code::FailedPrecondition, "STATE_INVALID");
    assert_eq!(roles_of(&ask("r1", None).await.unwrap().into_inner().receipts), CUSTODIAN, "where it waits");
    refused(ask("r4", None).await, Code::FailedPrecondition, "STATE_INVALID");
}

#[tokio::test]
async fn a_recovery_of_both_roles_is_released_in_both_or_in_none() {
    let (host, caller, now) = waiting_host().await;
    let recovery = start(&host, &caller, "StartRecovery", BOTH).await;
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    let with = |id: &str, client: usize, custodian: usize| ReleaseRecoveryRequest {
        client_recipient_key: vec![0; client],
        custodian_recipient_key: vec![0; custodian],
        ..release(id, "b", &recovery, None)
    };
    let mut ask = async |request| recoveries.release_recovery(caller.says(request)).await;
    host.core.clock_ms.store(now + HOUR_MS, Ordering::Relaxed);
    let before = all_rows(&host);
    let early = refused(ask(with("r", 1216, 1216)).await, Code::FailedPrecondition, "RECOVERY_DELAYED");
    assert_eq!(told(&early).1.as_deref(), Some("custodian"));
    host.custodian.clock_ms.store(now + HOUR_MS, Ordering::Relaxed);
    for (client, custodian, field) in [
        (1216, 0, "custodian_recipient_key"),
        (0, 1216, "client_recipient_key"),
        (0, 0, "client_recipient_key"),
        (1216, 1215, "custodian_recipient_key"),
        (1217, 1216, "client_recipient_key"),
    ] {
        let status = refused(ask(with("r", client, custodian)).await, Code::InvalidArgument, "BAD_REQUEST");
        assert_eq!(status.get_error_details().error_info().unwrap().metadata["field"], field);
    }
    let unknown = ReleaseRecoveryRequest { recovery: vec![9; 32], ..with("r", 1216, 1216) };
    refused(ask(unknown).await, Code::NotFound, "NOT_FOUND");
    assert_eq!(all_rows(&host), before);
    let answer = ask(with("r", 1216, 1216)).await.unwrap().into_inner();
    assert_eq!(
        (answer.client_release.as_slice(), answer.custodian_release.as_slice()),
        (&[5; 1200][..], &[7; 1200][..])
    );
    assert_eq!(roles_of(&answer.receipts), BOTH);
    assert_eq!(ask(with("r", 1216, 1216)).await.unwrap().into_inner(), answer);
    refused(ask(with("again", 1216, 1216)).await, Code::FailedPrecondition, "STATE_INVALID");
}

#[tokio::test]
async fn a_recovery_that_one_role_cancelled_is_released_in_the_other() {
    let (host, caller, now) = waiting_host().await;
    let recovery = start(&host, &caller, "StartRecovery", BOTH).await;
    let cancel = act_in(&caller, BOTH, CLIENT, "b", "cancel", action("CancelRecovery", &recovery));
    send(&host, &caller, "CancelRecovery", "cancel", Some(cancel)).await.unwrap();
    host.custodian.clock_ms.store(now + HOUR_MS, Ordering::Relaxed);
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    let both = ReleaseRecoveryRequest { custodian_recipient_key: vec![0; 1216], ..release("r", "b", &recovery, None) };
    let status = recoveries.release_recovery(caller.says(both.clone())).await;
    let status = refused(status, Code::InvalidArgument, "BAD_REQUEST");
    assert_eq!(status.get_error_details().error_info().unwrap().metadata["field"], "client_recipient_key");
    let alone = ReleaseRecoveryRequest { client_recipient_key: Vec::new(), ..both };
    let answer = recoveries.release_recovery(caller.says(alone)).await.unwrap().into_inner();
    assert_eq!((answer.client_release.len(), answer.custodian_release.len()), (0, 1200));
}

#[tokio::test]
async fn a_second_signature_goes_to_the_roles_that_it_names_and_the_release_to_both() {
    let (host, caller, now) = waiting_host().await;
    let recovery = start(&host, &caller, "StartRecovery", BOTH).await;
    for core in [&host.core, &host.custodian] {
        core.clock_ms.store(now + HOUR_MS, Ordering::Relaxed);
    }
    host.core.newest_head.store(true, Ordering::Relaxed);
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    let mut ask = async |id: &str, named: &[Role]| {
        let second = act_in(&caller, BOTH, named, "b", id, carry_out_action(OpenActKind::Recovery));
        let act = (!named.is_empty()).then_some(second);
        let request =
            ReleaseRecoveryRequest { custodian_recipient_key: vec![0; 1216], ..release(id, "b", &recovery, act) };
        recoveries.release_recovery(caller.says(request)).await
    };
    for named in [&[][..], CUSTODIAN] {
        let unsigned = refused(ask("r", named).await, Code::PermissionDenied, "POLICY_DENIED");
        assert_eq!(told(&unsigned).1.as_deref(), Some("client"), "{named:?}");
    }
    assert_eq!(roles_of(&ask("r", CLIENT).await.unwrap().into_inner().receipts), BOTH);
}

#[tokio::test]
async fn a_recovery_is_released_where_it_waits_and_not_another_one() {
    let (host, caller, now) = waiting_host().await;
    let of_client = start(&host, &caller, "StartRecovery", CLIENT).await;
    let other = act_in(&caller, BOTH, CUSTODIAN, "b", "other", action("StartRecovery", &[]));
    send(&host, &caller, "StartRecovery", "other", Some(other)).await.unwrap();
    for core in [&host.core, &host.custodian] {
        core.clock_ms.store(now + HOUR_MS, Ordering::Relaxed);
    }
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    let answer = recoveries.release_recovery(caller.says(release("r", "b", &of_client, None))).await.unwrap();
    assert_eq!(roles_of(&answer.into_inner().receipts), CLIENT);
    let backup = shown(&host, &caller, "b").await;
    assert_eq!(backup.open_acts.len(), 1, "the custodian's waits on");
}
