//! The wallet's mark that its shares were ejected, and the custodian role's releases by themselves.

use strongroom_proto::v1::eject_service_client::EjectServiceClient;
use strongroom_proto::v1::{RecoverRequest, Wallet};

use super::*;
use crate::keys::{self, Name};
use crate::rows::{WalletRow, decode};

async fn wallet(host: &Host, caller: &Caller) -> Wallet {
    let mut wallets = WalletServiceClient::new(host.api.clone());
    let got = wallets.get_wallet(caller.says(get_wallet("w"))).await.unwrap().into_inner().wallet.unwrap();
    let listed = wallets.list_wallets(caller.says(ListWalletsRequest::default())).await.unwrap().into_inner().wallets;
    assert_eq!(listed, std::slice::from_ref(&got));
    got
}

fn request(caller: &Caller, roles: &[Role], id: &str, eject: bool) -> RecoverRequest {
    let recover = Action::Recover(RecoverAction { generation: 1, eject });
    let key = |role: Role| vec![0; if roles.contains(&role) { 1216 } else { 0 }];
    RecoverRequest {
        request_id: id.to_owned(),
        act: Some(act_in(caller, BOTH, roles, "b", id, recover)),
        client_recipient_key: key(Role::Client),
        custodian_recipient_key: key(Role::Custodian),
        ..RecoverRequest::default()
    }
}

#[tokio::test]
async fn an_eject_marks_its_wallet_and_nothing_takes_the_mark_away() {
    let (host, caller) = host_of_both().await;
    let mut ejects = EjectServiceClient::new(host.api.clone());
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    *host.custodian.refuse.lock().unwrap() = Some(strongroom_proto::v1::Reason::EjectNotEnabled);
    let early = ejects.eject(caller.says(request(&caller, BOTH, "early", true))).await;
    refused(early, Code::FailedPrecondition, "EJECT_NOT_ENABLED");
    recoveries.recover(caller.says(request(&caller, BOTH, "recover", false))).await.unwrap();
    assert_eq!(wallet(&host, &caller).await.ejected_ms, 0, "neither a refusal nor a recovery");
    let before = now_ms();
    ejects.eject(caller.says(request(&caller, BOTH, "eject", true))).await.unwrap();
    let marked = wallet(&host, &caller).await;
    assert!((before..=now_ms()).contains(&marked.ejected_ms), "{marked:?}");
    let newest = list(&host, &caller, 1, "").await.unwrap().0;
    assert_eq!((newest[0].eject, newest[0].state()), (true, RecoveryState::Released));
    // A creation replaces the wallet's row, and a second eject is a later one.
    super::super::both::make(&host, &caller, BOTH, "c").await;
    ejects.eject(caller.says(request(&caller, BOTH, "again", true))).await.unwrap();
    assert_eq!(wallet(&host, &caller).await, marked);
}

#[tokio::test]
async fn an_eject_that_waited_marks_its_wallet_when_it_is_released() {
    let (host, caller) = host_that_waits(0).await;
    let start = Action::StartRecovery(StartRecoveryAction { generation: 1, eject: true });
    let recovery = sent(&host, &caller, BOTH, "StartRecovery", "start", start).await;
    let shown = get(&host, &caller, &recovery).await.unwrap().into_inner();
    assert!(shown.eject && shown.state() == RecoveryState::Delayed);
    assert_eq!(wallet(&host, &caller).await.ejected_ms, 0);
    set(&host, |core| &core.clock_ms, now_ms() + HOUR_MS);
    released(&host, &caller, "r", &recovery, BOTH).await.unwrap();
    assert!(wallet(&host, &caller).await.ejected_ms > 0);
}

#[tokio::test]
async fn ejects_and_creations_at_once_lose_nothing_of_each_other() {
    let (host, caller) = host_of_both().await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..8 {
        let mut backups = BackupServiceClient::new(host.api.clone());
        let create = caller.says(caller.create_in(&format!("c{number}"), BOTH, &format!("c{number}")));
        calls.spawn(async move { backups.create_backup(create).await.map(drop) });
    }
    let mut ejects = EjectServiceClient::new(host.api.clone());
    let eject = caller.says(request(&caller, BOTH, "eject", true));
    calls.spawn(async move { ejects.eject(eject).await.map(drop) });
    for result in calls.join_all().await {
        result.unwrap();
    }
    assert!(wallet(&host, &caller).await.ejected_ms > 0);
    let app = app(&host).await;
    let (tenant, id) = (super::super::rotation::tenant(&caller), Name::parse("wallet", "w").unwrap());
    let row: WalletRow = decode(&app.store.get(keys::wallet(&tenant, &id)).await.unwrap().unwrap()).unwrap();
    assert_eq!(row.backups, 9);
}

#[tokio::test]
async fn custodian_shares_are_released_by_themselves_for_an_intent_that_names_no_other() {
    let (host, caller) = host_of_both().await;
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    for roles in [BOTH, CLIENT] {
        let refusal = recoveries.release_custodian_shares(caller.says(request(&caller, roles, "r", false))).await;
        let status = refused(refusal, Code::InvalidArgument, "BAD_REQUEST");
        let info = status.get_error_details().error_info().unwrap().clone();
        assert_eq!(info.metadata["field"], "act.intent.client");
        assert!(status.message().contains("Recover"), "{status:?}");
    }
    let eject = recoveries.release_custodian_shares(caller.says(request(&caller, CUSTODIAN, "r", true))).await;
    refused(eject, Code::InvalidArgument, "BAD_REQUEST");
    assert_eq!((asked(&host), host.custodian.acts.load(Ordering::Relaxed)), (1, 1), "the creation alone");
    let ask = || caller.says(request(&caller, CUSTODIAN, "r", false));
    let answer = recoveries.release_custodian_shares(ask()).await.unwrap().into_inner();
    assert_eq!((answer.client_release.len(), answer.custodian_release), (0, vec![7; 1200]));
    let newest = list(&host, &caller, 0, "").await.unwrap().0;
    assert_eq!((newest.len(), newest[0].roles.as_slice()), (1, &numbers(CUSTODIAN)[..]));
    // A request id of one call is no other's, and Recover releases in one role, too.
    refused(recoveries.recover(ask()).await, Code::FailedPrecondition, "REQUEST_ID_REUSED");
    recoveries.recover(caller.says(request(&caller, CUSTODIAN, "other", false))).await.unwrap();
}
