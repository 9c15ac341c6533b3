//! Calls that both roles have part in: everything of both is stored, or nothing.

use strongroom_proto::v1::{
    ActResponse, CreateBackupResponse, Intent, OpenActKind, PutSharesResponse, RecoverResponse, ReleaseRecoveryRequest,
    TenantSignature,
};

use super::calls::*;
use super::rotation::{Rows, app, rows};
use super::*;

mod epochs;
mod missing;
mod waiting;

pub(super) const CLIENT: &[Role] = &[Role::Client];
pub(super) const CUSTODIAN: &[Role] = &[Role::Custodian];
pub(super) const BOTH: &[Role] = &[Role::Client, Role::Custodian];

/// A host of both roles, and a caller with a backup `b` of both.
pub(super) async fn host_of_both() -> (Host, Caller) {
    let host = Host::start_in(BOTH).await;
    let caller = host.caller(1).await;
    make(&host, &caller, BOTH, "b").await;
    (host, caller)
}

/// A backup in these roles.
pub(super) async fn make(host: &Host, caller: &Caller, roles: &[Role], backup: &str) -> CreateBackupResponse {
    let request = caller.create_in(&format!("create-{backup}"), roles, backup);
    BackupServiceClient::new(host.api.clone()).create_backup(caller.says(request)).await.unwrap().into_inner()
}

/// An act that names these roles, on a backup that was made in those.
pub(super) fn act_in(
    caller: &Caller,
    made: &[Role],
    named: &[Role],
    backup: &str,
    nonce: &str,
    action: Action,
) -> strongroom_proto::v1::Act {
    let mut intent = caller.intent_in(named, &caller.part_in(made, backup), action);
    intent.nonce = nonce.as_bytes().to_vec();
    act(&intent)
}

/// Sends the usual act of a call on the backup `b` of both roles.
pub(super) async fn usual_in(host: &Host, caller: &Caller, call: &str, id: &str) -> Result<Vec<u8>, Status> {
    send(host, caller, call, id, Some(act_in(caller, BOTH, BOTH, "b", id, action(call, &[0; 32])))).await
}

/// Every row but those that the host's clock moves.
pub(super) fn all_rows(host: &Host) -> Rows {
    rows(&rusqlite::Connection::open(host.dir.path().join("db")).unwrap())
}

fn roles_of(receipts: &[SignedReceipt]) -> Vec<Role> {
    receipts.iter().map(|signed| Receipt::decode(signed.receipt.as_slice()).unwrap().role()).collect()
}

/// The message, and the role that the details name.
fn told(status: &Status) -> (String, Option<String>) {
    let info = status.get_error_details().error_info().unwrap().clone();
    (status.message().to_owned(), info.metadata.get("role").cloned())
}

#[tokio::test]
async fn a_backup_of_both_roles_is_made_rehearsed_put_and_recovered() {
    let host = Host::start_in(BOTH).await;
    let caller = host.caller(1).await;
    let created = make(&host, &caller, BOTH, "b").await;
    let backup = created.backup.unwrap();
    let parts = [BackupPart::ClientStored as i32, BackupPart::CustodianStored as i32];
    assert_eq!((backup.state(), backup.generation, backup.parts.as_slice()), (BackupState::Active, 1, &parts[..]));
    assert_eq!((roles_of(&created.receipts), roles_of(&backup.receipts)), (BOTH.to_vec(), BOTH.to_vec()));
    assert_eq!(backup.record_id, caller.part_in(BOTH, "b").record_id);

    let rehearse = act_in(&caller, BOTH, BOTH, "b", "n", Action::Rehearse(RehearseAction { generation: 1 }));
    let mut backups = BackupServiceClient::new(host.api.clone());
    let rehearse = caller.says(RehearseBackupRequest { act: Some(rehearse), ..Default::default() });
    let rehearsed = backups.rehearse_backup(rehearse).await.unwrap().into_inner();
    assert_eq!((rehearsed.rehearsals.len(), rehearsed.stages), (2, Some(core::stages())));

    let answer = usual_in(&host, &caller, "Recover", "recover").await.unwrap();
    let released = RecoverResponse::decode(answer.as_slice()).unwrap();
    assert_eq!((released.client_release, released.custodian_release), (vec![5; 1200], vec![7; 1200]));
    assert_eq!(roles_of(&released.receipts), BOTH);
    let answer = usual_in(&host, &caller, "PutShares", "put").await.unwrap();
    let put = PutSharesResponse::decode(answer.as_slice()).unwrap();
    assert_eq!(roles_of(&put.receipts), BOTH);
    let backup = put.backup.unwrap();
    assert_eq!(backup, shown(&host, &caller, "b").await);
    assert_eq!((backup.state(), backup.generation), (BackupState::Active, 1), "what was put waits");
    let states: Vec<_> = backup.generations.iter().map(|it| (it.generation, it.state(), it.stored.len())).collect();
    assert_eq!(states, [(1, BackupState::Active, 4), (2, BackupState::Pending, 4)]);
    let answer = usual_in(&host, &caller, "AddPasskey", "add").await.unwrap();
    assert_eq!(roles_of(&ActResponse::decode(answer.as_slice()).unwrap().receipts), BOTH);
}

#[tokio::test]
async fn one_role_of_a_backup_can_be_asked_alone() {
    let (host, caller) = host_of_both().await;
    for (number, role) in BOTH.iter().enumerate() {
        let id = format!("r{number}");
        let act = act_in(&caller, BOTH, &[*role], "b", &id, action("Recover", &[]));
        let answer = send(&host, &caller, "Recover", &id, Some(act)).await.unwrap();
        let released = RecoverResponse::decode(answer.as_slice()).unwrap();
        assert_eq!(roles_of(&released.receipts), [*role]);
        let lens = (released.client_release.len(), released.custodian_release.len());
        assert_eq!(lens, if *role == Role::Client { (1200, 0) } else { (0, 1200) });
        let versions: Vec<u64> = shown(&host, &caller, "b").await.receipts.iter().map(version).collect();
        assert_eq!(versions, if number == 0 { [2, 1] } else { [2, 2] });
    }
}

#[tokio::test]
async fn a_method_without_a_passkey_has_the_custodian_role_alone_beside_others() {
    let host = Host::start_in(BOTH).await;
    let caller = host.caller(1).await;
    let mut request = caller.create_in("r", CUSTODIAN, "drive");
    let mut intent = Intent::decode(request.act.as_ref().unwrap().intent.as_slice()).unwrap();
    let Some(Action::CreateBackup(action)) = &mut intent.action else { panic!() };
    action.method = "GDRIVE".to_owned();
    let signature = Some(TenantSignature { key: vec![1; 32], signature: vec![2; 64] });
    let by_the_tenant =
        strongroom_proto::v1::Act { assertions: Vec::new(), tenant_signature: signature, ..act(&intent) };
    request.act = Some(by_the_tenant);
    let mut backups = BackupServiceClient::new(host.api.clone());
    let created = backups.create_backup(caller.says(request)).await.unwrap().into_inner();
    let backup = created.backup.unwrap();
    assert_eq!((backup.method.as_str(), backup.state()), ("GDRIVE", BackupState::Active));
    assert_eq!(backup.parts, [BackupPart::ClientStored as i32, BackupPart::CustodianStored as i32]);
    assert_eq!(roles_of(&created.receipts), CUSTODIAN);
    make(&host, &caller, BOTH, "both").await;
    make(&host, &caller, CLIENT, "client").await;
    let list = backups.list_backups(caller.says(ListBackupsRequest { wallet: "w".to_owned() })).await.unwrap();
    let parts: Vec<usize> = list.into_inner().backups.iter().map(|backup| backup.parts.len()).collect();
    assert_eq!(parts, [2, 1, 2], "both, client, drive");
    // A generation that is put in one role is in force at once, and the one before opens.
    let put = act_in(&caller, CLIENT, CLIENT, "client", "put", calls::put(2, &["p1"]));
    send(&host, &caller, "PutShares", "put", Some(put)).await.unwrap();
    let backup = shown(&host, &caller, "client").await;
    let states: Vec<_> = backup.generations.iter().map(|it| (it.generation, it.state())).collect();
    assert_eq!(states, [(1, BackupState::Superseded), (2, BackupState::Active)]);
}

#[tokio::test]
async fn what_one_role_refuses_is_stored_of_neither() {
    for call in CALLS.iter().filter(|call| !call.starts_with("Cancel") && **call != "RemovePasskey") {
        let (host, caller) = host_of_both().await;
        let before = all_rows(&host);
        for (core, role) in [(&host.core, "client"), (&host.custodian, "custodian")] {
            *core.refuse.lock().unwrap() = Some(strongroom_proto::v1::Reason::PolicyDenied);
            let refusal = usual_in(&host, &caller, call, "r").await;
            let status = refused(refusal.map(Response::new), Code::PermissionDenied, "POLICY_DENIED");
            assert_eq!(told(&status), (format!("{role}: refused by the fake"), Some(role.to_owned())), "{call}");
            assert_eq!(all_rows(&host), before, "{call} {role}");
        }
        // The request was not answered: the same one is carried out.
        usual_in(&host, &caller, call, "r").await.unwrap();
        let versions: Vec<u64> = shown(&host, &caller, "b").await.receipts.iter().map(version).collect();
        assert_eq!(versions, [2, 2], "{call}");
    }
}

#[tokio::test]
async fn a_creation_that_one_role_refuses_leaves_nothing() {
    let host = Host::start_in(BOTH).await;
    let caller = host.caller(1).await;
    let before = all_rows(&host);
    let mut backups = BackupServiceClient::new(host.api.clone());
    for (core, role) in [(&host.core, "client"), (&host.custodian, "custodian")] {
        *core.refuse.lock().unwrap() = Some(strongroom_proto::v1::Reason::ProofRejected);
        let refusal = backups.create_backup(caller.says(caller.create_in("r", BOTH, "b"))).await;
        let status = refused(refusal, Code::PermissionDenied, "PROOF_REJECTED");
        assert_eq!(told(&status).1.as_deref(), Some(role));
        assert_eq!(all_rows(&host), before, "{role}");
    }
    backups.create_backup(caller.says(caller.create_in("r", BOTH, "b"))).await.unwrap();
}

#[tokio::test]
async fn an_enclave_that_does_not_answer_leaves_nothing_in_the_other_role() {
    let (mut host, caller) = host_of_both().await;
    let before = all_rows(&host);
    host.custodian_enclave = None;
    host.wait(ServingStatus::NotServing).await;
    let lost = usual_in(&host, &caller, "Recover", "r").await;
    let status = refused(lost.map(Response::new), Code::Unavailable, "ENCLAVE_UNAVAILABLE");
    assert_eq!(told(&status).1.as_deref(), Some("custodian"));
    assert_eq!(all_rows(&host), before);
    // What needs the client alone goes on.
    let alone = act_in(&caller, BOTH, CLIENT, "b", "alone", action("Recover", &[]));
    send(&host, &caller, "Recover", "alone", Some(alone)).await.unwrap();
    host.custodian_enclave = Some(core::Core::serve(&host.custodian, host.dir.path()));
    host.wait(ServingStatus::Serving).await;
    usual_in(&host, &caller, "Recover", "r").await.unwrap();
    host.enclave = None;
    host.wait(ServingStatus::NotServing).await;
}

#[tokio::test]
async fn an_act_that_overtakes_one_role_refuses_both_and_a_reseal_neither() {
    for call in ["Recover", "PutShares", "RenamePasskey", "DeleteBackup"] {
        let (host, caller) = host_of_both().await;
        for (number, core) in [&host.core, &host.custodian].into_iter().enumerate() {
            *core.meddle.lock().unwrap() = core::AN_ACT;
            let id = format!("r{number}");
            let overtaken = usual_in(&host, &caller, call, &id).await;
            refused(overtaken.map(Response::new), Code::Aborted, "VERSION_CONFLICT");
            let versions: Vec<u64> = shown(&host, &caller, "b").await.receipts.iter().map(version).collect();
            assert_eq!(versions, [1, 1], "{call}: nothing of either role stands in the store");
        }
        *host.core.meddle.lock().unwrap() = core::A_RESEAL;
        *host.custodian.meddle.lock().unwrap() = core::A_RESEAL;
        usual_in(&host, &caller, call, "r").await.unwrap();
        let versions: Vec<u64> = shown(&host, &caller, "b").await.receipts.iter().map(version).collect();
        assert_eq!(versions, [2, 2], "{call}: begun anew");
    }
}

#[tokio::test]
async fn roles_that_a_backup_was_not_made_in_are_not_found_and_nobody_is_asked() {
    let (host, caller) = host_of_both().await;
    for (roles, backup) in [(CLIENT, "client"), (CUSTODIAN, "custodian")] {
        make(&host, &caller, roles, backup).await;
    }
    let before = (all_rows(&host), asked(&host), host.custodian.acts.load(Ordering::Relaxed));
    let mut backups = BackupServiceClient::new(host.api.clone());
    for (made, named, backup, role) in [
        (CLIENT, BOTH, "client", Some("custodian")),
        (CLIENT, CUSTODIAN, "client", None),
        (CUSTODIAN, BOTH, "custodian", Some("client")),
        (CUSTODIAN, CLIENT, "custodian", None),
        (BOTH, BOTH, "never", Some("client")),
        (BOTH, CUSTODIAN, "never", None),
    ] {
        for call in CALLS {
            let act = act_in(&caller, made, named, backup, "n", action(call, &[0; 32]));
            let unknown = send(&host, &caller, call, "r", Some(act)).await;
            let status = refused(unknown.map(Response::new), Code::NotFound, "NOT_FOUND");
            assert_eq!(told(&status).1.as_deref(), role, "{call} {backup}");
        }
        let rehearse = act_in(&caller, made, named, backup, "n", Action::Rehearse(RehearseAction { generation: 1 }));
        let unknown = backups
            .rehearse_backup(caller.says(RehearseBackupRequest { act: Some(rehearse), ..Default::default() }))
            .await;
        assert_eq!(told(&refused(unknown, Code::NotFound, "NOT_FOUND")).1.as_deref(), role, "{backup}");
    }
    assert_eq!((all_rows(&host), asked(&host), host.custodian.acts.load(Ordering::Relaxed)), before);
}

#[tokio::test]
async fn another_tenants_backup_of_both_roles_looks_unknown() {
    let (host, owner) = host_of_both().await;
    let stranger = host.caller(2).await;
    let before = (all_rows(&host), asked(&host), host.custodian.acts.load(Ordering::Relaxed));
    for roles in [BOTH, CUSTODIAN] {
        for call in CALLS {
            let mut seen = Vec::new();
            for part in [owner.part_in(BOTH, "b"), stranger.part_in(BOTH, "b")] {
                let act = act(&stranger.intent_in(roles, &part, action(call, &[0; 32])));
                let answer = send(&host, &stranger, call, "r", Some(act)).await;
                let status = refused(answer.map(Response::new), Code::NotFound, "NOT_FOUND");
                let info = status.get_error_details().error_info().unwrap().clone();
                seen.push((status.message().to_owned(), info.reason, info.metadata));
            }
            assert_eq!(seen[0], seen[1], "{call} {roles:?}");
        }
    }
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    let mut seen = Vec::new();
    for backup in ["b", "never"] {
        let custodian_recipient_key = vec![0; 1216];
        let request = ReleaseRecoveryRequest { custodian_recipient_key, ..release("r", backup, &[0; 32], None) };
        let status = recoveries.release_recovery(stranger.says(request)).await;
        let status = refused(status, Code::NotFound, "NOT_FOUND");
        seen.push((status.message().to_owned(), status.details().to_vec()));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!((all_rows(&host), asked(&host), host.custodian.acts.load(Ordering::Relaxed)), before);
}

#[tokio::test]
async fn the_same_request_of_both_roles_gets_the_same_answer() {
    let host = Host::start_in(BOTH).await;
    let caller = host.caller(1).await;
    let mut backups = BackupServiceClient::new(host.api.clone());
    let create = || caller.says(caller.create_in("r", BOTH, "b"));
    let first = backups.create_backup(create()).await.unwrap().into_inner();
    assert_eq!(backups.create_backup(create()).await.unwrap().into_inner(), first);
    let alone = caller.says(caller.create_in("r", CLIENT, "b"));
    refused(backups.create_backup(alone).await, Code::FailedPrecondition, "REQUEST_ID_REUSED");
    for call in ["Recover", "PutShares", "RenamePasskey"] {
        let answer = usual_in(&host, &caller, call, call).await.unwrap();
        let before = (all_rows(&host), asked(&host), host.custodian.acts.load(Ordering::Relaxed));
        assert_eq!(usual_in(&host, &caller, call, call).await.unwrap(), answer, "{call}");
        let alone = act_in(&caller, BOTH, CLIENT, "b", call, action(call, &[]));
        let reused = send(&host, &caller, call, call, Some(alone)).await;
        refused(reused.map(Response::new), Code::FailedPrecondition, "REQUEST_ID_REUSED");
        assert_eq!((all_rows(&host), asked(&host), host.custodian.acts.load(Ordering::Relaxed)), before, "{call}");
    }
    // Both run at once; whoever commits first answers both.
    let ask = || usual_in(&host, &caller, "Recover", "twice");
    let (one, two) = tokio::join!(ask(), ask());
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(version(&shown(&host, &caller, "b").await.receipts[1]), 5);
}

#[tokio::test]
async fn fields_of_a_role_are_there_exactly_where_the_intent_names_it() {
    let (host, caller) = host_of_both().await;
    let before = (all_rows(&host), asked(&host), host.custodian.acts.load(Ordering::Relaxed));
    let mut backups = BackupServiceClient::new(host.api.clone());
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    let invalid = |status: Status, field: &str| {
        let status = refused(Err::<Response<()>, _>(status), Code::InvalidArgument, "BAD_REQUEST");
        assert_eq!(status.get_error_details().error_info().unwrap().metadata["field"], field);
    };
    // Lengths of the messages, the epochs, and the field that is wrong.
    for (roles, client, custodian, epochs, field) in [
        (CLIENT, 1200, 1200, (0, 0), "custodian_message"),
        (CLIENT, 1200, 1, (0, 0), "custodian_message"),
        (CLIENT, 0, 1200, (0, 0), "client_message"),
        (CLIENT, 1200, 0, (0, 1), "custodian_epoch"),
        (CUSTODIAN, 1200, 1200, (0, 0), "client_message"),
        (CUSTODIAN, 0, 1120, (0, 0), "custodian_message"),
        (CUSTODIAN, 0, 1200, (1, 0), "client_epoch"),
        (BOTH, 1200, 0, (0, 0), "custodian_message"),
        (BOTH, 0, 1200, (0, 0), "client_message"),
    ] {
        let (client_message, custodian_message) = (vec![5; client], vec![7; custodian]);
        let (client_epoch, custodian_epoch) = epochs;
        let create = strongroom_proto::v1::CreateBackupRequest {
            client_message: client_message.clone(),
            custodian_message: custodian_message.clone(),
            client_epoch,
            custodian_epoch,
            ..caller.create_in("r", roles, "new")
        };
        invalid(backups.create_backup(caller.says(create)).await.unwrap_err(), field);
        let act = Some(act_in(&caller, BOTH, roles, "b", "r", action("PutShares", &[])));
        let request_id = "r".to_owned();
        let put = strongroom_proto::v1::PutSharesRequest {
            request_id,
            act,
            client_message,
            client_epoch,
            custodian_message,
            custodian_epoch,
            ..Default::default()
        };
        invalid(backups.put_shares(caller.says(put)).await.unwrap_err(), field);
    }
    for (roles, client, custodian, field) in [
        (CLIENT, 1216, 1216, "custodian_recipient_key"),
        (CLIENT, 1216, 1, "custodian_recipient_key"),
        (CLIENT, 0, 1216, "client_recipient_key"),
        (CUSTODIAN, 1216, 1216, "client_recipient_key"),
        (CUSTODIAN, 0, 1217, "custodian_recipient_key"),
        (BOTH, 1216, 0, "custodian_recipient_key"),
        (BOTH, 1215, 1216, "client_recipient_key"),
    ] {
        let request = strongroom_proto::v1::RecoverRequest {
            request_id: "r".to_owned(),
            act: Some(act_in(&caller, BOTH, roles, "b", "r", action("Recover", &[]))),
            client_recipient_key: vec![0; client],
            custodian_recipient_key: vec![0; custodian],
            ..Default::default()
        };
        invalid(recoveries.recover(caller.says(request)).await.unwrap_err(), field);
    }
    // One act is about one record.
    let mut intent = caller.intent_in(BOTH, &caller.part_in(BOTH, "b"), action("RenamePasskey", &[]));
    intent.custodian = Some(caller.part_in(BOTH, "other"));
    let crossed = send(&host, &caller, "RenamePasskey", "r", Some(act(&intent))).await;
    invalid(crossed.unwrap_err(), "act.intent.custodian.record_id");
    assert_eq!((all_rows(&host), asked(&host), host.custodian.acts.load(Ordering::Relaxed)), before);
}
