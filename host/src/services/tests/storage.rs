//! Who keeps the client's part: the host or the caller; and what is said of it.

use strongroom_proto::v1::{
    AbortBackupRequest, Backup, BackupReason, ClientCiphertext, CommitBackupRequest, CreateBackupRequest,
    CreateBackupResponse, GetClientCiphertextsRequest, Intent, PutSharesRequest, PutSharesResponse, RecoverRequest,
    RecoverResponse, ReportStoredRequest, RolePart, SecretKind, Storage, StoredShare,
};

use super::both::{BOTH, CLIENT, CUSTODIAN, all_rows};
use super::calls::shown;
use super::rotation::app;
use super::*;
use crate::clock::now_ms;
use crate::keys::{self, Kind};

mod aborts;
mod ciphertext;
mod epochs;
mod kept;
mod reports;
mod unfinished;

/// A backup that a test made: what its intents say of its record, and in which roles.
struct Made {
    roles: &'static [Role],
    part: RolePart,
    backup: &'static str,
    shares: Vec<StoredShare>,
}

/// A creation of the pairs p1 and p2.
fn creation(
    caller: &Caller,
    roles: &'static [Role],
    backup: &'static str,
    secret: SecretKind,
    storage: Storage,
) -> CreateBackupRequest {
    let mut request = caller.create_in(&format!("create-{backup}"), roles, backup);
    let mut intent = Intent::decode(request.act.as_ref().unwrap().intent.as_slice()).unwrap();
    if let Some(Action::CreateBackup(action)) = &mut intent.action {
        action.secret = secret.into();
    }
    let needed = secret == SecretKind::Key || !roles.contains(&Role::Client);
    let given = if storage == Storage::SelfManaged { hashes(&["p1", "p2"]) } else { ciphertexts(&["p1", "p2"]) };
    request.client_ciphertexts = if needed { given } else { Vec::new() };
    CreateBackupRequest { act: Some(act(&intent)), storage: storage.into(), ..request }
}

async fn create(host: &Host, caller: &Caller, request: CreateBackupRequest) -> Result<CreateBackupResponse, Status> {
    let mut backups = BackupServiceClient::new(host.api.clone());
    Ok(backups.create_backup(caller.says(request)).await?.into_inner())
}

/// A backup whose client's part the caller keeps.
async fn self_managed(host: &Host, caller: &Caller, roles: &'static [Role], backup: &'static str) -> Made {
    let request = creation(caller, roles, backup, SecretKind::Share, Storage::SelfManaged);
    let intent = Intent::decode(request.act.as_ref().unwrap().intent.as_slice()).unwrap();
    let record_id = strongroom_proto::intent::record_id(&intent).0.to_vec();
    let created = create(host, caller, request).await.unwrap();
    let part = RolePart { record_id, ..RolePart::default() };
    Made { roles, part, backup, shares: created.client_shares }
}

/// The same, with its first generation reported.
async fn reported(host: &Host, caller: &Caller, roles: &'static [Role], backup: &'static str) -> Made {
    let made = self_managed(host, caller, roles, backup).await;
    report(host, caller, &of(&made, 1)).await.unwrap();
    made
}

/// A host of both roles, whose enclaves open shares by their hashes.
async fn host_of_both() -> (Host, Caller) {
    let host = Host::start_in(BOTH).await;
    for core in [&host.core, &host.custodian] {
        core.checks_shares.store(true, Ordering::Relaxed);
    }
    let caller = host.caller(1).await;
    (host, caller)
}

fn act_on(caller: &Caller, made: &Made, nonce: &str, action: Action) -> strongroom_proto::v1::Act {
    let mut intent = caller.intent_in(made.roles, &made.part, action);
    intent.nonce = nonce.as_bytes().to_vec();
    act(&intent)
}

fn put_request(caller: &Caller, made: &Made, generation: u64) -> PutSharesRequest {
    let id = format!("put-{}-{generation}", made.backup);
    let message = |role: Role, byte: u8| vec![byte; if made.roles.contains(&role) { 1200 } else { 0 }];
    let given = if made.roles.contains(&Role::Client) { Vec::new() } else { hashes(&["p1", "p3"]) };
    PutSharesRequest {
        act: Some(act_on(caller, made, &id, calls::put(generation, &["p1", "p3"]))),
        request_id: id,
        client_message: message(Role::Client, 6),
        custodian_message: message(Role::Custodian, 8),
        client_ciphertexts: given,
        ..PutSharesRequest::default()
    }
}

async fn put(host: &Host, caller: &Caller, made: &Made, generation: u64) -> PutSharesResponse {
    let mut backups = BackupServiceClient::new(host.api.clone());
    backups.put_shares(caller.says(put_request(caller, made, generation))).await.unwrap().into_inner()
}

fn recover_request(
    caller: &Caller,
    made: &Made,
    id: &str,
    generation: u64,
    client_shares: &[StoredShare],
) -> RecoverRequest {
    let key = |role: Role| vec![0; if made.roles.contains(&role) { 1216 } else { 0 }];
    let action = Action::Recover(RecoverAction { generation, eject: false });
    RecoverRequest {
        request_id: id.to_owned(),
        act: Some(act_on(caller, made, id, action)),
        client_recipient_key: key(Role::Client),
        custodian_recipient_key: key(Role::Custodian),
        client_shares: client_shares.to_vec(),
    }
}

async fn recover(host: &Host, caller: &Caller, request: RecoverRequest) -> Result<RecoverResponse, Status> {
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    Ok(recoveries.recover(caller.says(request)).await?.into_inner())
}

/// A report that everything of a generation is stored.
fn of(made: &Made, generation: u64) -> ReportStoredRequest {
    let (wallet, backup, method) = ("w".to_owned(), made.backup.to_owned(), "PASSKEY".to_owned());
    ReportStoredRequest { wallet, backup, generation, pairs: Vec::new(), success: true, method }
}

async fn report(host: &Host, caller: &Caller, request: &ReportStoredRequest) -> Result<Backup, Status> {
    let mut backups = BackupServiceClient::new(host.api.clone());
    Ok(backups.report_stored(caller.says(request.clone())).await?.into_inner().backup.unwrap())
}

async fn abort(host: &Host, caller: &Caller, backup: &str, generation: u64) -> Result<Backup, Status> {
    let request = AbortBackupRequest { wallet: "w".to_owned(), backup: backup.to_owned(), generation };
    let mut backups = BackupServiceClient::new(host.api.clone());
    Ok(backups.abort_backup(caller.says(request)).await?.into_inner().backup.unwrap())
}

async fn commit(host: &Host, caller: &Caller, backup: &str) -> Result<Backup, Status> {
    let request = CommitBackupRequest { wallet: "w".to_owned(), backup: backup.to_owned() };
    let mut backups = BackupServiceClient::new(host.api.clone());
    Ok(backups.commit_backup(caller.says(request)).await?.into_inner().backup.unwrap())
}

/// Number, state and reason of each generation.
fn states(backup: &Backup) -> Vec<(u64, BackupState, BackupReason)> {
    backup.generations.iter().map(|it| (it.generation, it.state(), it.reason())).collect()
}

/// Pair and part of everything that is stored of a generation.
fn stored(backup: &Backup, generation: u64) -> Vec<(&str, BackupPart)> {
    let found = backup.generations.iter().find(|it| it.generation == generation).unwrap();
    found.stored.iter().map(|it| (it.pair.as_str(), it.part())).collect()
}

/// How many rows of a kind there are.
fn count(host: &Host, kind: Kind) -> usize {
    all_rows(host).iter().filter(|(key, _)| key[0] == kind as u8).count()
}

#[track_caller]
fn refusal<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, reason: &str) -> Status {
    refused(result.map(Response::new), code, reason)
}

/// Checks that a request was refused for the form of a field.
#[track_caller]
fn bad<T: std::fmt::Debug>(result: Result<T, Status>, field: &str) {
    let status = refusal(result, Code::InvalidArgument, "BAD_REQUEST");
    assert_eq!(status.get_error_details().error_info().unwrap().metadata["field"], field, "{status:?}");
}
