//! The acts on an existing record as a table: what each call sends, so that every refusal is tried on all of them.

use prost::Message;
use strongroom_proto::v1::{
    Act, ActRequest, AddPasskeyAction, AddPasskeyRequest, CancelAction, CarryOutAction, CarryOutRequest,
    ChangePolicyAction, DeleteBackupAction, Intent, NewCredential, OpenActKind, Pair, PutSharesAction,
    PutSharesRequest, RecoverAction, RecoverRequest, ReleaseRecoveryRequest, RemovePasskeyAction, RenamePasskeyAction,
    StartRecoveryAction, intent::Action,
};

use super::*;

/// The calls that take an act.
pub(super) const CALLS: [&str; 10] = [
    "PutShares",
    "ChangePolicy",
    "DeleteBackup",
    "CancelAct",
    "AddPasskey",
    "RemovePasskey",
    "RenamePasskey",
    "Recover",
    "StartRecovery",
    "CancelRecovery",
];

/// An action that the call takes. `started_by` is what a cancelling names.
pub(super) fn action(call: &str, started_by: &[u8]) -> Action {
    let cancel =
        |kind: OpenActKind| Action::Cancel(CancelAction { kind: kind.into(), intent_hash: started_by.to_vec() });
    match call {
        "PutShares" => put(2, &["p1", "p3"]),
        "ChangePolicy" => Action::ChangePolicy(ChangePolicyAction::default()),
        "DeleteBackup" => Action::DeleteBackup(DeleteBackupAction {}),
        "CancelAct" => cancel(OpenActKind::Delete),
        "AddPasskey" => Action::AddPasskey(AddPasskeyAction::default()),
        "RemovePasskey" => Action::RemovePasskey(RemovePasskeyAction { credential_id: b"c1".to_vec() }),
        "RenamePasskey" => Action::RenamePasskey(RenamePasskeyAction::default()),
        "Recover" => Action::Recover(RecoverAction { generation: 1, eject: false }),
        "StartRecovery" => Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false }),
        "CancelRecovery" => cancel(OpenActKind::Recovery),
        other => panic!("{other}"),
    }
}

pub(super) fn put(generation: u64, pairs: &[&str]) -> Action {
    let pairs = pairs.iter().map(|id| Pair { id: (*id).to_owned(), curve: 1 }).collect();
    Action::PutShares(PutSharesAction { generation, pairs })
}

pub(super) fn carry_out_action(kind: OpenActKind) -> Action {
    Action::CarryOut(CarryOutAction { kind: kind.into(), intent_hash: vec![0; 32] })
}

/// The act of a caller on the record of his backup, in an intent of its own.
pub(super) fn on(caller: &Caller, backup: &str, nonce: &str, action: Action) -> Act {
    let mut intent = caller.intent("w", caller.part("w", backup), action);
    intent.nonce = nonce.as_bytes().to_vec();
    act(&intent)
}

/// Sends an act, and gives the encoded answer.
pub(super) async fn send(
    host: &Host,
    caller: &Caller,
    call: &str,
    id: &str,
    act: Option<Act>,
) -> Result<Vec<u8>, Status> {
    let mut backups = BackupServiceClient::new(host.api.clone());
    let mut passkeys = PasskeyServiceClient::new(host.api.clone());
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    let request_id = id.to_owned();
    let named = act.as_ref().and_then(|act| Intent::decode(act.intent.as_slice()).ok());
    // What belongs to a role is there where the intent names it.
    let of_client = named.as_ref().is_none_or(|intent| intent.client.is_some());
    let of_custodian = named.as_ref().is_some_and(|intent| intent.custodian.is_some());
    let put = named.as_ref().and_then(|intent| match &intent.action {
        Some(Action::PutShares(put)) if intent.client.is_none() => Some(put),
        _ => None,
    });
    let ids = put.map(|put| put.pairs.iter().map(|pair| pair.id.clone()).collect::<Vec<_>>()).unwrap_or_default();
    let bytes = |there: bool, byte: u8, len: usize| vec![byte; if there { len } else { 0 }];
    let plain = ActRequest { request_id: request_id.clone(), act: act.clone() };
    let answer = match call {
        "PutShares" => {
            let request = PutSharesRequest {
                request_id,
                act,
                client_message: bytes(of_client, 6, 1200),
                custodian_message: bytes(of_custodian, 8, 1200),
                client_ciphertexts: fixture::ciphertexts(&ids),
                ..Default::default()
            };
            return backups.put_shares(caller.says(request)).await.map(|answer| answer.into_inner().encode_to_vec());
        }
        "Recover" => {
            let client_recipient_key = bytes(of_client, 0, 1216);
            let custodian_recipient_key = bytes(of_custodian, 0, 1216);
            let request =
                RecoverRequest { request_id, act, client_recipient_key, custodian_recipient_key, ..Default::default() };
            return recoveries.recover(caller.says(request)).await.map(|answer| answer.into_inner().encode_to_vec());
        }
        "AddPasskey" => {
            let credential = Some(NewCredential { id: b"c2".to_vec(), public_key: vec![1] });
            passkeys.add_passkey(caller.says(AddPasskeyRequest { request_id, act, credential })).await
        }
        "ChangePolicy" => backups.change_policy(caller.says(plain)).await,
        "DeleteBackup" => backups.delete_backup(caller.says(plain)).await,
        "CancelAct" => backups.cancel_act(caller.says(plain)).await,
        "RemovePasskey" => passkeys.remove_passkey(caller.says(plain)).await,
        "RenamePasskey" => passkeys.rename_passkey(caller.says(plain)).await,
        "StartRecovery" => recoveries.start_recovery(caller.says(plain)).await,
        "CancelRecovery" => recoveries.cancel_recovery(caller.says(plain)).await,
        other => panic!("{other}"),
    };
    answer.map(|answer| answer.into_inner().encode_to_vec())
}

/// Sends the usual act of a call on the caller's backup `b`.
pub(super) async fn usual(host: &Host, caller: &Caller, call: &str, id: &str) -> Result<Vec<u8>, Status> {
    send(host, caller, call, id, Some(on(caller, "b", id, action(call, &[0; 32])))).await
}

pub(super) fn carry_out(id: &str, backup: &str, kind: OpenActKind, act: Option<Act>) -> CarryOutRequest {
    let (request_id, wallet, backup) = (id.to_owned(), "w".to_owned(), backup.to_owned());
    CarryOutRequest { request_id, wallet, backup, kind: kind.into(), act }
}

pub(super) fn release(id: &str, backup: &str, recovery: &[u8], act: Option<Act>) -> ReleaseRecoveryRequest {
    ReleaseRecoveryRequest {
        request_id: id.to_owned(),
        wallet: "w".to_owned(),
        backup: backup.to_owned(),
        recovery: recovery.to_vec(),
        client_recipient_key: vec![0; 1216],
        act,
        ..Default::default()
    }
}

/// A backup of the caller.
pub(super) async fn back_up(host: &Host, caller: &Caller, backup: &str) {
    let request = caller.create_backup(&format!("create-{backup}"), "w", backup);
    BackupServiceClient::new(host.api.clone()).create_backup(caller.says(request)).await.unwrap();
}

/// A backup as the host shows it.
pub(super) async fn shown(host: &Host, caller: &Caller, backup: &str) -> strongroom_proto::v1::Backup {
    let get = GetBackupRequest { wallet: "w".to_owned(), backup: backup.to_owned() };
    let answer = BackupServiceClient::new(host.api.clone()).get_backup(caller.says(get)).await.unwrap();
    answer.into_inner().backup.unwrap()
}

pub(super) fn asked(host: &Host) -> usize {
    host.core.acts.load(Ordering::Relaxed)
}
