//! The services end to end: a whole host, gRPC clients before it and a fake enclave behind it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use prost::Message;
use strongroom_proto::limits::RECORDS_MAX;
use strongroom_proto::v1::admin_service_client::AdminServiceClient;
use strongroom_proto::v1::backup_service_client::BackupServiceClient;
use strongroom_proto::v1::passkey_service_client::PasskeyServiceClient;
use strongroom_proto::v1::recovery_service_client::RecoveryServiceClient;
use strongroom_proto::v1::tenant_service_client::TenantServiceClient;
use strongroom_proto::v1::wallet_service_client::WalletServiceClient;
use strongroom_proto::v1::{
    BackupPart, BackupState, CreateKekRequest, CreateWalletRequest, GetAttestationRequest, GetBackupRequest,
    GetStatementRequest, GetWalletRequest, ListBackupsRequest, ListTenantsRequest, ListWalletsRequest, PrepareRequest,
    PutStatementRequest, Receipt, RecoverAction, Rehearsal, RehearsalResult, RehearseAction, RehearseBackupRequest,
    RevokeApiKeyRequest, Role, SignedReceipt, intent::Action,
};
use tonic::{Code, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt;

use self::fixture::{Caller, Host, act, ciphertexts, hashes};

mod acts;
mod both;
mod calls;
mod capsules;
mod commits;
mod core;
mod damage;
mod due;
mod export;
mod fixture;
mod fleet;
mod methods;
mod recoveries;
mod rotation;
mod storage;

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<Response<T>, Status>, code: Code, reason: &str) -> Status {
    let status = result.unwrap_err();
    let found = status.get_error_details().error_info().map(|info| info.reason.clone());
    assert_eq!((status.code(), found.as_deref()), (code, Some(reason)), "{status:?}");
    status
}

fn version(signed: &SignedReceipt) -> u64 {
    Receipt::decode(signed.receipt.as_slice()).unwrap().version
}

fn get_wallet(wallet: &str) -> GetWalletRequest {
    GetWalletRequest { wallet: wallet.to_owned() }
}

#[tokio::test]
async fn a_share_is_stored_rehearsed_and_recovered() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let mut backups = BackupServiceClient::new(host.api.clone());
    let created = backups.create_backup(caller.says(caller.create_backup("r1", "w", "b"))).await.unwrap().into_inner();
    let backup = created.backup.clone().unwrap();
    assert_eq!(
        (backup.state(), backup.parts.as_slice()),
        (BackupState::Active, &[BackupPart::ClientStored as i32][..])
    );
    assert_eq!((backup.record_id.clone(), version(&created.receipts[0])), (caller.part("w", "b").record_id, 1));
    assert_eq!(created.stages, Some(core::stages()));

    let action = Action::Rehearse(RehearseAction { generation: 1 });
    let rehearse = RehearseBackupRequest {
        act: Some(act(&caller.intent("w", caller.part("w", "b"), action))),
        ..Default::default()
    };
    let rehearsed = backups.rehearse_backup(caller.says(rehearse)).await.unwrap().into_inner();
    let report = Rehearsal::decode(rehearsed.rehearsals[0].rehearsal.as_slice()).unwrap();
    assert_eq!(report.result(), RehearsalResult::Opens);

    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    for (request, expect) in [("r2", 2), ("r3", 3)] {
        let recovered = recoveries.recover(caller.says(caller.recover(request, "w", "b"))).await.unwrap().into_inner();
        assert_eq!((recovered.client_release, version(&recovered.receipts[0])), (vec![5; 1200], expect));
    }
    let get = GetBackupRequest { wallet: "w".to_owned(), backup: "b".to_owned() };
    let backup = backups.get_backup(caller.says(get)).await.unwrap().into_inner().backup.unwrap();
    assert_eq!(version(&backup.receipts[0]), 3, "the newest receipt");
    let list = ListBackupsRequest { wallet: "w".to_owned() };
    assert_eq!(backups.list_backups(caller.says(list)).await.unwrap().into_inner().backups, [backup]);
}

#[tokio::test]
async fn a_device_gets_statement_attestation_and_view_in_one_answer() {
    let mut host = Host::start().await;
    let caller = host.caller(1).await;
    let mut passkeys = PasskeyServiceClient::new(host.api.clone());
    let ask = || PrepareRequest { wallet: "w".to_owned(), nonce: vec![7; 32] };
    let prepared = passkeys.prepare(caller.says(ask())).await.unwrap().into_inner();
    assert_eq!(prepared.statement, Some(caller.statement(1)));
    assert_eq!((prepared.roles.len(), prepared.roles[0].role()), (1, Role::Client));
    assert_eq!(prepared.roles[0].view.as_ref().unwrap().signature, b"", "no record yet");
    BackupServiceClient::new(host.api.clone())
        .create_backup(caller.says(caller.create_backup("r", "w", "b")))
        .await
        .unwrap();
    let prepared = passkeys.prepare(caller.says(ask())).await.unwrap().into_inner();
    assert_eq!(prepared.roles[0].view.as_ref().unwrap().signature, [1], "the record at its version");
    assert_eq!(host.core.identities.load(Ordering::Relaxed), 1, "the attestation is kept");

    let mut tenants = TenantServiceClient::new(host.api.clone());
    let ask_fresh = |epoch| GetAttestationRequest { role: Role::Client.into(), epoch, nonce: vec![9; 64] };
    let fresh = tenants.get_attestation(caller.says(ask_fresh(0))).await.unwrap().into_inner().attestation.unwrap();
    let identity = core::identity(&caller.tenant, Role::Client, 1);
    assert_eq!((fresh.identity, fresh.document), (identity, vec![9; 64]));
    refused(tenants.get_attestation(caller.says(ask_fresh(2))).await, Code::NotFound, "NOT_FOUND");

    // An enclave that restarted is attested anew.
    host.enclave = None;
    host.wait(ServingStatus::NotServing).await;
    refused(passkeys.prepare(caller.says(ask())).await, Code::Unavailable, "ENCLAVE_UNAVAILABLE");
    let (core, fake) = core::Core::start(host.dir.path());
    host.enclave = Some(fake);
    host.wait(ServingStatus::Serving).await;
    passkeys.prepare(caller.says(ask())).await.unwrap();
    assert_eq!(core.identities.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer_and_another_is_refused() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let mut backups = BackupServiceClient::new(host.api.clone());
    let create = || caller.says(caller.create_backup("r", "w", "b"));
    let first = backups.create_backup(create()).await.unwrap().into_inner();
    assert_eq!(backups.create_backup(create()).await.unwrap().into_inner(), first);
    assert_eq!(host.core.acts.load(Ordering::Relaxed), 1, "the enclave was asked once");
    let other = caller.says(caller.create_backup("r", "w", "other"));
    refused(backups.create_backup(other).await, Code::FailedPrecondition, "REQUEST_ID_REUSED");
    let again = caller.says(caller.create_backup("r2", "w", "b"));
    refused(backups.create_backup(again).await, Code::AlreadyExists, "ALREADY_EXISTS");
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    let of_another_rpc = caller.says(caller.recover("r", "w", "b"));
    refused(recoveries.recover(of_another_rpc).await, Code::FailedPrecondition, "REQUEST_ID_REUSED");
    // Both run at once; whoever commits first answers both.
    let (mut one, mut two) = (recoveries.clone(), recoveries.clone());
    let ask = || caller.says(caller.recover("r3", "w", "b"));
    let (one, two) = tokio::join!(one.recover(ask()), two.recover(ask()));
    assert_eq!(one.unwrap().into_inner(), two.unwrap().into_inner());
    // The id is the tenant's own.
    let stranger = host.caller(2).await;
    backups.create_backup(stranger.says(stranger.create_backup("r", "w", "b"))).await.unwrap();
}

#[tokio::test]
async fn creations_at_once_in_one_wallet_take_every_place_and_no_more() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..2 * RECORDS_MAX {
        let mut backups = BackupServiceClient::new(host.api.clone());
        let request = caller.says(caller.create_backup(&format!("r{number}"), "w", &format!("b{number}")));
        calls.spawn(async move { backups.create_backup(request).await });
    }
    let (made, rest): (Vec<_>, Vec<_>) = calls.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), RECORDS_MAX, "{rest:?}");
    for result in rest {
        refused(result, Code::FailedPrecondition, "STATE_INVALID");
    }
}

#[tokio::test]
async fn a_lost_race_gives_nothing_out() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let mut backups = BackupServiceClient::new(host.api.clone());
    backups.create_backup(caller.says(caller.create_backup("r1", "w", "b"))).await.unwrap();
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    *host.core.meddle.lock().unwrap() = core::AN_ACT;
    let recover = || caller.says(caller.recover("r2", "w", "b"));
    let status = refused(recoveries.recover(recover()).await, Code::Aborted, "VERSION_CONFLICT");
    assert!(status.get_error_details().retry_info().is_some());
    let recovered = recoveries.recover(recover()).await.unwrap().into_inner();
    assert_eq!(version(&recovered.receipts[0]), 2, "the same request is carried out afterwards");
}

#[tokio::test]
async fn unknown_and_foreign_look_alike() {
    let host = Host::start().await;
    let (owner, stranger) = (host.caller(1).await, host.bare_caller(2).await);
    let put = PutStatementRequest { statement: Some(stranger.statement(1)) };
    TenantServiceClient::new(host.api.clone()).put_statement(stranger.says(put)).await.unwrap();
    let mut backups = BackupServiceClient::new(host.api.clone());
    backups.create_backup(owner.says(owner.create_backup("r", "w", "b"))).await.unwrap();
    let mut seen = Vec::new();
    for wallet in ["w", "unknown"] {
        seen.push(answers(&host, &stranger, wallet).await);
    }
    assert_eq!(seen[0], seen[1]);
    // A foreign record cannot be reached through an own wallet either.
    let mut wallets = WalletServiceClient::new(host.api.clone());
    wallets.create_wallet(stranger.says(CreateWalletRequest { wallet: "w".to_owned() })).await.unwrap();
    let mut recover = stranger.recover("r", "w", "b");
    let intent = stranger.intent("w", owner.part("w", "b"), Action::Recover(RecoverAction::default()));
    recover.act = Some(act(&intent));
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    refused(recoveries.recover(stranger.says(recover)).await, Code::NotFound, "NOT_FOUND");
    let foreign_intent = stranger.says(owner.recover("r2", "w", "b"));
    refused(recoveries.recover(foreign_intent).await, Code::InvalidArgument, "BAD_REQUEST");
    assert_eq!(host.core.acts.load(Ordering::Relaxed), 1, "no foreign act came to the enclave");
}

/// Everything that a caller learns when he asks for a wallet.
async fn answers(host: &Host, caller: &Caller, wallet: &str) -> Vec<(Code, String, Vec<u8>)> {
    let mut backups = BackupServiceClient::new(host.api.clone());
    let wallet_text = || wallet.to_owned();
    let get_backup = GetBackupRequest { wallet: wallet_text(), backup: "b".to_owned() };
    let prepare = PrepareRequest { wallet: wallet_text(), nonce: vec![0; 32] };
    let action = Action::Rehearse(RehearseAction { generation: 1 });
    let rehearse = RehearseBackupRequest {
        act: Some(act(&caller.intent(wallet, caller.part(wallet, "b"), action))),
        ..Default::default()
    };
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    let statuses = [
        WalletServiceClient::new(host.api.clone()).get_wallet(caller.says(get_wallet(wallet))).await.unwrap_err(),
        PasskeyServiceClient::new(host.api.clone()).prepare(caller.says(prepare)).await.unwrap_err(),
        backups.get_backup(caller.says(get_backup)).await.unwrap_err(),
        backups.list_backups(caller.says(ListBackupsRequest { wallet: wallet_text() })).await.unwrap_err(),
        backups.create_backup(caller.says(caller.create_backup("r", wallet, "b"))).await.unwrap_err(),
        backups.rehearse_backup(caller.says(rehearse)).await.unwrap_err(),
        recoveries.recover(caller.says(caller.recover("r", wallet, "b"))).await.unwrap_err(),
    ];
    let told = |status: Status| {
        assert_eq!(status.code(), Code::NotFound, "{status:?}");
        (status.code(), status.message().to_owned(), status.details().to_vec())
    };
    statuses.into_iter().map(told).collect()
}

#[tokio::test]
async fn statements_are_the_tenants_own_signed_and_only_newer() {
    let host = Host::start().await;
    let (caller, stranger) = (host.bare_caller(1).await, host.bare_caller(2).await);
    let mut tenants = TenantServiceClient::new(host.api.clone());
    refused(tenants.get_statement(caller.says(GetStatementRequest {})).await, Code::NotFound, "NOT_FOUND");
    let put = |statement| caller.says(PutStatementRequest { statement });
    let mut forged = caller.statement(1);
    forged.signature[0] ^= 1;
    let mut unknown_field = caller.statement(1);
    unknown_field.statement.extend_from_slice(&[0xf8, 0x7f, 1]);
    for bad in [None, Some(forged), Some(unknown_field), Some(stranger.statement(1)), Some(caller.statement(0))] {
        refused(tenants.put_statement(put(bad)).await, Code::InvalidArgument, "BAD_REQUEST");
    }
    for serial in [2, 2, 5] {
        let stored = tenants.put_statement(put(Some(caller.statement(serial)))).await.unwrap().into_inner();
        assert_eq!(stored.serial, serial);
    }
    for stale in [4, 2] {
        let result = tenants.put_statement(put(Some(caller.statement(stale)))).await;
        refused(result, Code::FailedPrecondition, "STATEMENT_STALE");
    }
    let stored = tenants.get_statement(caller.says(GetStatementRequest {})).await.unwrap().into_inner();
    assert_eq!(stored.statement, Some(caller.statement(5)));
}

#[tokio::test]
async fn wallets_are_listed_by_page_and_bounded() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let mut wallets = WalletServiceClient::new(host.api.clone());
    let create = |wallet: &str| caller.says(CreateWalletRequest { wallet: wallet.to_owned() });
    refused(wallets.create_wallet(create("w")).await, Code::AlreadyExists, "ALREADY_EXISTS");
    refused(wallets.create_wallet(create("a/b")).await, Code::InvalidArgument, "BAD_REQUEST");
    let made = wallets.create_wallet(create("")).await.unwrap().into_inner().wallet.unwrap();
    wallets.create_wallet(create("v")).await.unwrap();
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = ListWalletsRequest { page_size: 2, page_token: token };
        let page = wallets.list_wallets(caller.says(page)).await.unwrap().into_inner();
        seen.extend(page.wallets.into_iter().map(|wallet| wallet.wallet));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, [made.wallet.as_str(), "v", "w"]);
    for (page_size, page_token) in [(1001, ""), (1, "a/b")] {
        let page = ListWalletsRequest { page_size, page_token: page_token.to_owned() };
        refused(wallets.list_wallets(caller.says(page)).await, Code::InvalidArgument, "BAD_REQUEST");
    }
    let mut backups = BackupServiceClient::new(host.api.clone());
    for n in 0..16 {
        backups
            .create_backup(caller.says(caller.create_backup(&format!("r{n}"), "w", &format!("b{n}"))))
            .await
            .unwrap();
    }
    let more = caller.says(caller.create_backup("r16", "w", "b16"));
    refused(backups.create_backup(more).await, Code::FailedPrecondition, "STATE_INVALID");
}

#[tokio::test]
async fn callers_reach_only_what_is_theirs() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let mut wallets = WalletServiceClient::new(host.api.clone());
    let without_key = refused(wallets.get_wallet(get_wallet("w")).await, Code::Unauthenticated, "AUTH_FAILED");
    let operator_here = AdminServiceClient::new(host.api.clone()).list_tenants(ListTenantsRequest {}).await;
    assert_eq!(operator_here.unwrap_err().code(), Code::Unimplemented);
    let tenant_there = WalletServiceClient::new(host.admin.clone()).get_wallet(caller.says(get_wallet("w"))).await;
    assert_eq!(tenant_there.unwrap_err().code(), Code::Unimplemented);
    let mut admin = AdminServiceClient::new(host.admin.clone());
    let revoke = |key_id: &str| RevokeApiKeyRequest { key_id: key_id.to_owned() };
    refused(admin.revoke_api_key(revoke("ab")).await, Code::InvalidArgument, "BAD_REQUEST");
    refused(admin.revoke_api_key(revoke(&"ab".repeat(32))).await, Code::NotFound, "NOT_FOUND");
    wallets.get_wallet(caller.says(get_wallet("w"))).await.unwrap();
    admin.revoke_api_key(revoke(&caller.key_id)).await.unwrap();
    let revoked = wallets.get_wallet(caller.says(get_wallet("w"))).await;
    let revoked = refused(revoked, Code::Unauthenticated, "AUTH_FAILED");
    assert_eq!((revoked.message(), revoked.details()), (without_key.message(), without_key.details()));
    let listed = admin.list_tenants(ListTenantsRequest {}).await.unwrap().into_inner().tenants;
    assert_eq!((listed.len(), listed[0].tenant.as_slice()), (1, caller.tenant.as_slice()));
    let kek = |tenant: Vec<u8>, role: Role| CreateKekRequest { tenant, role: role.into() };
    refused(admin.create_kek(kek(vec![0; 32], Role::Client)).await, Code::NotFound, "NOT_FOUND");
    let custodian = kek(caller.tenant.clone(), Role::Custodian);
    refused(admin.create_kek(custodian).await, Code::FailedPrecondition, "STATE_INVALID");
    let second = kek(caller.tenant.clone(), Role::Client);
    refused(admin.create_kek(second).await, Code::AlreadyExists, "ALREADY_EXISTS");
}

#[tokio::test]
async fn acts_that_the_enclave_refuses_store_nothing() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let mut backups = BackupServiceClient::new(host.api.clone());
    let mut unproven = caller.create_backup("r", "w", "b");
    unproven.act.as_mut().unwrap().assertions.clear();
    refused(backups.create_backup(caller.says(unproven)).await, Code::PermissionDenied, "PROOF_REJECTED");
    let get = GetBackupRequest { wallet: "w".to_owned(), backup: "b".to_owned() };
    refused(backups.get_backup(caller.says(get)).await, Code::NotFound, "NOT_FOUND");
    let mut too_long = caller.create_backup("r", "w", "b");
    too_long.client_message = vec![0; strongroom_proto::limits::MESSAGE_BYTES_MAX + 1];
    refused(backups.create_backup(caller.says(too_long)).await, Code::ResourceExhausted, "SHARE_TOO_LARGE");
    let mut longest = caller.create_backup("r", "w", "b");
    longest.client_message = vec![0; strongroom_proto::limits::MESSAGE_BYTES_MAX];
    backups.create_backup(caller.says(longest)).await.unwrap();
    assert_eq!(host.core.needs.load(Ordering::Relaxed), 1, "statement and KEK are supplied once, together");
}

#[tokio::test]
async fn a_host_ends_gracefully_and_leaves_no_socket() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    host.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(20), host.ended).await.unwrap().unwrap().unwrap();
    assert!(!host.dir.path().join("admin.sock").exists() && !host.dir.path().join("relay.sock").exists());
    let refused = WalletServiceClient::new(host.api).get_wallet(caller.says(get_wallet("w"))).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
    // What stands in the store lasts.
    let store = crate::store::SqliteStore::open(&host.dir.path().join("db")).unwrap();
    let tenant = strongroom_proto::id::TenantId::from_slice(&caller.tenant).unwrap();
    let rows = crate::store::Store::scan(&store, crate::keys::wallets(&tenant), None, 9).await.unwrap();
    assert_eq!(rows.len(), 1);
}
