//! Acts on an existing record: what is refused before the enclave is asked, what is answered again, what races leave behind.

use strongroom_proto::id::{RecordId, TenantId};
use strongroom_proto::v1::{
    Act, AddPasskeyRequest, Intent, NewCredential, OpenActKind, PutSharesRequest, ReleaseRecoveryRequest,
};

use super::calls::*;
use super::*;
use crate::keys::{self, Name};
use crate::store::{SqliteStore, Store};

fn invalid<T: std::fmt::Debug>(result: Result<T, Status>, field: &str) {
    let status = refused(result.map(Response::new), Code::InvalidArgument, "BAD_REQUEST");
    assert_eq!(status.get_error_details().error_info().unwrap().metadata["field"], field);
}

#[tokio::test]
async fn each_act_moves_its_record_once_and_is_answered_again() {
    for call in CALLS {
        let host = Host::start().await;
        let caller = host.caller(1).await;
        back_up(&host, &caller, "b").await;
        let mut started_by = vec![0; 32];
        let before = match call {
            "RemovePasskey" => Some("AddPasskey"),
            "CancelAct" => Some("DeleteBackup"),
            "CancelRecovery" => Some("StartRecovery"),
            _ => None,
        };
        if let Some(before) = before {
            host.core.delay_ms.store(3_600_000, Ordering::Relaxed);
            let first = on(&caller, "b", "first", action(before, &[]));
            started_by = strongroom_proto::intent::hash(&first.intent).0.to_vec();
            send(&host, &caller, before, "first", Some(first)).await.unwrap();
            host.core.delay_ms.store(0, Ordering::Relaxed);
        }
        let act = on(&caller, "b", "r", action(call, &started_by));
        let count = asked(&host);
        let answer = send(&host, &caller, call, "r", Some(act.clone())).await.unwrap();
        assert_eq!(send(&host, &caller, call, "r", Some(act)).await.unwrap(), answer, "{call}");
        assert_eq!(asked(&host), count + 1, "{call}: the enclave was asked once");
        let newest = shown(&host, &caller, "b").await.receipts;
        assert_eq!(version(&newest[0]), if before.is_some() { 3 } else { 2 }, "{call}");
        let other = on(&caller, "b", "other", action(call, &started_by));
        let reused = send(&host, &caller, call, "r", Some(other)).await;
        refused(reused.map(Response::new), Code::FailedPrecondition, "REQUEST_ID_REUSED");
        assert_eq!(asked(&host), count + 1, "{call}");
    }
}

#[tokio::test]
async fn malformed_acts_are_named_before_the_enclave_is_asked() {
    let host = Host::start().await;
    let (caller, stranger) = (host.caller(1).await, host.caller(2).await);
    back_up(&host, &caller, "b").await;
    let count = asked(&host);
    for (number, call) in CALLS.iter().enumerate() {
        let good = || on(&caller, "b", call, action(call, &[0; 32]));
        let intent = |change: &dyn Fn(&mut Intent)| {
            let mut intent = Intent::decode(good().intent.as_slice()).unwrap();
            change(&mut intent);
            Some(act(&intent))
        };
        let send = async |id: &str, act: Option<Act>| send(&host, &caller, call, id, act).await;
        for id in ["", "a/b", &"r".repeat(65)] {
            invalid(send(id, Some(good())).await, "request_id");
        }
        invalid(send("r", None).await, "act");
        for (other, name) in CALLS.iter().enumerate().filter(|(other, _)| *other != number) {
            let wrong = on(&caller, "b", "wrong", action(CALLS[other], &[0; 32]));
            invalid(send("r", Some(wrong)).await, "act.intent.action");
            assert_ne!(name, call);
        }
        invalid(send("r", intent(&|intent| intent.action = None)).await, "act.intent.action");
        invalid(send("r", intent(&|intent| intent.tenant.clone_from(&stranger.tenant))).await, "act.intent.tenant");
        invalid(send("r", intent(&|intent| intent.wallet = "w/w".to_owned())).await, "act.intent.wallet");
        invalid(send("r", intent(&|intent| intent.client = None)).await, "act.intent.client");
        let short = |intent: &mut Intent| intent.client.as_mut().unwrap().record_id.truncate(31);
        invalid(send("r", intent(&short)).await, "act.intent.client.record_id");
        let both = |intent: &mut Intent| intent.custodian.clone_from(&intent.client);
        let both = send("r", intent(&both)).await;
        refused(both.map(Response::new), Code::FailedPrecondition, "STATE_INVALID");
    }
    let mut passkeys = PasskeyServiceClient::new(host.api.clone());
    let long = NewCredential { id: vec![0; 1024], public_key: Vec::new() };
    for (credential, field) in [(None, "credential"), (Some(long), "credential.id")] {
        let act = Some(on(&caller, "b", "r", action("AddPasskey", &[])));
        let request = AddPasskeyRequest { request_id: "r".to_owned(), act, credential };
        invalid(passkeys.add_passkey(caller.says(request)).await, field);
    }
    let mut backups = BackupServiceClient::new(host.api.clone());
    let pairs = "act.intent.put_shares.pairs";
    for (len, action, field) in [
        (1120, put(2, &["p1"]), "client_message"),
        (1200, put(2, &[]), pairs),
        (1200, put(2, &["a", "b", "c", "d", "e"]), pairs),
        (1200, put(2, &["a/b"]), pairs),
    ] {
        let act = Some(on(&caller, "b", "r", action));
        let client_message = vec![0; len];
        let request = PutSharesRequest { request_id: "r".to_owned(), act, client_message, ..Default::default() };
        invalid(backups.put_shares(caller.says(request)).await, field);
    }
    assert_eq!(asked(&host), count, "the enclave heard of none of them");
}

#[tokio::test]
async fn what_is_carried_out_is_named_as_it_should_be() {
    use OpenActKind::{Delete, PolicyChange, Recovery, Unspecified};
    let host = Host::start().await;
    let caller = host.caller(1).await;
    for backup in ["b", "other"] {
        back_up(&host, &caller, backup).await;
    }
    let count = asked(&host);
    let mut backups = BackupServiceClient::new(host.api.clone());
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    let second = |backup: &str, kind| Some(on(&caller, backup, "second", carry_out_action(kind)));
    for (request, field) in [
        (carry_out("", "b", Delete, None), "request_id"),
        (carry_out("r", "b/c", Delete, None), "backup"),
        (carry_out("r", "b", Unspecified, None), "kind"),
        (carry_out("r", "b", Recovery, None), "kind"),
        (carry_out("r", "b", Delete, second("b", Recovery)), "act.intent.action"),
        (carry_out("r", "b", Delete, Some(on(&caller, "b", "n", action("Recover", &[])))), "act.intent.action"),
        (carry_out("r", "b", Delete, second("b", PolicyChange)), "act.intent.carry_out.kind"),
        (carry_out("r", "b", Delete, second("other", Delete)), "act.intent.client.record_id"),
    ] {
        invalid(backups.carry_out(caller.says(request)).await, field);
    }
    for (request, field) in [
        (release("", "b", &[0; 32], None), "request_id"),
        (release("r", "b", &[0; 31], None), "recovery"),
        (
            ReleaseRecoveryRequest { client_recipient_key: vec![0; 1215], ..release("r", "b", &[0; 32], None) },
            "client_recipient_key",
        ),
        (ReleaseRecoveryRequest { wallet: String::new(), ..release("r", "b", &[0; 32], None) }, "wallet"),
        (release("r", "b", &[0; 32], second("b", Delete)), "act.intent.action"),
        (release("r", "b", &[0; 32], second("other", Recovery)), "act.intent.client.record_id"),
    ] {
        invalid(recoveries.release_recovery(caller.says(request)).await, field);
    }
    assert_eq!(asked(&host), count);
    let nothing = recoveries.release_recovery(caller.says(release("r", "b", &[0; 32], None))).await;
    refused(nothing, Code::NotFound, "NOT_FOUND");
    let nothing = backups.carry_out(caller.says(carry_out("r", "b", Delete, None))).await;
    refused(nothing, Code::FailedPrecondition, "STATE_INVALID");
}

#[tokio::test]
async fn acts_on_unknown_and_on_foreign_records_look_alike() {
    let host = Host::start().await;
    let (owner, stranger) = (host.caller(1).await, host.caller(2).await);
    back_up(&host, &owner, "b").await;
    let count = asked(&host);
    let told = |result: Result<Vec<u8>, Status>| {
        let status = refused(result.map(Response::new), Code::NotFound, "NOT_FOUND");
        (status.message().to_owned(), status.details().to_vec())
    };
    for call in CALLS {
        let mut seen = Vec::new();
        for part in [owner.part("w", "b"), stranger.part("w", "never")] {
            let intent = stranger.intent("w", part, action(call, &[0; 32]));
            seen.push(told(send(&host, &stranger, call, "r", Some(act(&intent))).await));
        }
        assert_eq!(seen[0], seen[1], "{call}");
    }
    let mut seen = Vec::new();
    for backup in ["b", "never"] {
        let mut backups = BackupServiceClient::new(host.api.clone());
        let mut recoveries = RecoveryServiceClient::new(host.api.clone());
        let carry = backups.carry_out(stranger.says(carry_out("r", backup, OpenActKind::Delete, None))).await;
        let release = recoveries.release_recovery(stranger.says(release("r", backup, &[0; 32], None))).await;
        let export = export::page(backup, 0, "");
        let export = backups.export_audit(stranger.says(export)).await;
        seen.push([
            told(carry.map(|answer| answer.into_inner().encode_to_vec())),
            told(release.map(|answer| answer.into_inner().encode_to_vec())),
            told(export.map(|answer| answer.into_inner().encode_to_vec())),
        ]);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(asked(&host), count, "the enclave heard of none of them");
}

#[tokio::test]
async fn of_two_acts_one_is_refused_and_a_reseal_between_refuses_none() {
    for call in CALLS.iter().filter(|call| !call.starts_with("Cancel") && **call != "RemovePasskey") {
        let host = Host::start().await;
        let caller = host.caller(1).await;
        back_up(&host, &caller, "b").await;
        let count = asked(&host);
        *host.core.meddle.lock().unwrap() = core::AN_ACT;
        let overtaken = usual(&host, &caller, call, "r").await;
        let status = refused(overtaken.map(Response::new), Code::Aborted, "VERSION_CONFLICT");
        assert!(status.get_error_details().retry_info().is_some());
        assert_eq!(asked(&host), count + 1, "{call}: no second try");
        assert_eq!(version(&shown(&host, &caller, "b").await.receipts[0]), 1, "{call}: nothing stands in the store");
        // Version and head stay as they were: the same consents hold.
        *host.core.meddle.lock().unwrap() = core::A_RESEAL;
        usual(&host, &caller, call, "r").await.unwrap();
        assert_eq!(asked(&host), count + 3, "{call}: begun anew");
        assert_eq!(version(&shown(&host, &caller, "b").await.receipts[0]), 2, "{call}");
    }
}

/// The generations and pairs of the shares that are stored of a backup.
async fn stored_shares(host: &Host, caller: &Caller, backup: &str) -> Vec<String> {
    let store = SqliteStore::open(&host.dir.path().join("db")).unwrap();
    let tenant = TenantId::from_slice(&caller.tenant).unwrap();
    let record = RecordId::from_slice(&caller.part("w", backup).record_id).unwrap();
    let mut all = Vec::new();
    for generation in 0..9 {
        let prefix = keys::shares(&tenant, &record, Role::Client, generation);
        for (key, _) in store.scan(prefix.clone(), None, 9).await.unwrap() {
            let pair: Name = keys::last_name(&prefix, &key).unwrap();
            all.push(format!("{generation}{}", pair.as_str()));
        }
    }
    all
}

#[tokio::test]
async fn shares_of_generations_that_the_record_names_no_more_are_gone() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    back_up(&host, &caller, "b").await;
    back_up(&host, &caller, "other").await;
    let put = async |generation, pairs: &[&str]| {
        let id = format!("put-{generation}");
        let act = on(&caller, "b", &id, calls::put(generation, pairs));
        send(&host, &caller, "PutShares", &id, Some(act)).await
    };
    put(2, &["p1", "p2", "p3"]).await.unwrap();
    assert_eq!(stored_shares(&host, &caller, "b").await, ["1p1", "1p2", "2p1", "2p2", "2p3"]);
    put(5, &["p1"]).await.unwrap();
    assert_eq!(stored_shares(&host, &caller, "b").await, ["2p1", "2p2", "2p3", "5p1"]);
    refused(put(5, &["p2"]).await.map(Response::new), Code::FailedPrecondition, "REQUEST_ID_REUSED");
    let lower = on(&caller, "b", "lower", calls::put(4, &["p1"]));
    let lower = send(&host, &caller, "PutShares", "lower", Some(lower)).await;
    refused(lower.map(Response::new), Code::FailedPrecondition, "STATE_INVALID");
    put(7, &["p9"]).await.unwrap();
    assert_eq!(stored_shares(&host, &caller, "b").await, ["5p1", "7p9"]);
    assert_eq!(stored_shares(&host, &caller, "other").await, ["1p1", "1p2"], "of no other record");
    let backup = shown(&host, &caller, "b").await;
    let pairs: Vec<&str> = backup.pairs.iter().map(|pair| pair.id.as_str()).collect();
    assert_eq!((backup.generation, pairs.as_slice(), backup.state()), (7, &["p9"][..], BackupState::Active));
    // What was dropped does not come back with an act that names it.
    let gone = on(&caller, "b", "gone", Action::Recover(RecoverAction { generation: 2, eject: false }));
    let answer = send(&host, &caller, "Recover", "gone", Some(gone)).await.unwrap();
    let answer = strongroom_proto::v1::RecoverResponse::decode(answer.as_slice()).unwrap();
    assert!(answer.client_release.is_empty(), "the enclave was given no share");
}

#[tokio::test]
async fn passkeys_are_listed_by_backup_and_in_the_order_of_their_coming() {
    use strongroom_proto::v1::ListPasskeysRequest;
    let host = Host::start().await;
    let (caller, stranger) = (host.caller(1).await, host.caller(2).await);
    for backup in ["b", "a"] {
        back_up(&host, &caller, backup).await;
    }
    usual(&host, &caller, "AddPasskey", "r").await.unwrap();
    let mut passkeys = PasskeyServiceClient::new(host.api.clone());
    let ask = |wallet: &str| ListPasskeysRequest { wallet: wallet.to_owned() };
    let listed = passkeys.list_passkeys(caller.says(ask("w"))).await.unwrap().into_inner().passkeys;
    let listed: Vec<(&str, &[u8])> =
        listed.iter().map(|it| (it.backup.as_str(), it.credential.as_ref().unwrap().id.as_slice())).collect();
    assert_eq!(listed, [("a", &b"c1"[..]), ("b", b"c1"), ("b", b"c2")]);
    assert!(passkeys.list_passkeys(stranger.says(ask("w"))).await.unwrap().into_inner().passkeys.is_empty());
    refused(passkeys.list_passkeys(caller.says(ask("unknown"))).await, Code::NotFound, "NOT_FOUND");
    refused(passkeys.list_passkeys(caller.says(ask("a/b"))).await, Code::InvalidArgument, "BAD_REQUEST");
}
