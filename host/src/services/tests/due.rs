//! Acts that wait: started, shown, cancelled, carried out when they are due, by whoever comes first.

use std::sync::Arc;

use strongroom_proto::v1::{ActResponse, OpenActKind, Receipt};

use super::calls::*;
use super::rotation::app;
use super::*;
use crate::clock::now_ms;
use crate::error::Error;
use crate::keys;
use crate::rows::{DueRow, decode};
use crate::services::{App, due};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A host, a caller with a backup `b`, and what starts waits for an hour from `now`.
async fn waiting_host() -> (Host, Caller, u64) {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    back_up(&host, &caller, "b").await;
    let now = now_ms();
    host.core.clock_ms.store(now, Ordering::Relaxed);
    host.core.delay_ms.store(HOUR_MS, Ordering::Relaxed);
    (host, caller, now)
}

/// Starts an act on a backup, and gives the hash of its intent.
async fn start(host: &Host, caller: &Caller, call: &str, backup: &str) -> Vec<u8> {
    let id = format!("start-{call}-{backup}");
    let act = on(caller, backup, &id, action(call, &[]));
    let hash = strongroom_proto::intent::hash(&act.intent).0.to_vec();
    send(host, caller, call, &id, Some(act)).await.unwrap();
    hash
}

/// When each row of the queue is tried, and how often it was.
async fn queue(app: &App) -> Vec<(u64, u32)> {
    let rows = app.store.scan(keys::dues(), None, 99).await.unwrap();
    let read =
        |(key, row): &(Vec<u8>, Vec<u8>)| (keys::parse_due(key).unwrap().time_ms, decode::<DueRow>(row).unwrap().tries);
    rows.iter().map(read).collect()
}

fn kinds(backup: &strongroom_proto::v1::Backup) -> Vec<OpenActKind> {
    backup.open_acts.iter().map(strongroom_proto::v1::OpenAct::kind).collect()
}

#[tokio::test]
async fn what_waits_is_shown_and_carried_out_when_it_is_due() {
    use OpenActKind::{Delete, PasskeyRemoval, PolicyChange, Recovery};
    let (host, caller, now) = waiting_host().await;
    let app = app(&host).await;
    usual(&host, &caller, "AddPasskey", "add").await.unwrap();
    for call in ["RemovePasskey", "ChangePolicy", "StartRecovery", "DeleteBackup"] {
        start(&host, &caller, call, "b").await;
    }
    let backup = shown(&host, &caller, "b").await;
    assert_eq!(kinds(&backup), [Recovery, PolicyChange, PasskeyRemoval, Delete]);
    for open in &backup.open_acts {
        assert_eq!((open.not_before_ms, open.intent_hash.len()), (now + HOUR_MS, 32));
        assert_eq!((open.expires_ms, open.generation), (0, 0), "no more than the kind, the intent and the time");
    }
    assert_eq!(queue(&app).await.len(), 3, "a recovery is released only when somebody asks");
    let count = asked(&host);
    assert_eq!(due::once(&app, now + HOUR_MS - 1).await.unwrap(), 0);
    assert_eq!(asked(&host), count, "not due yet");
    host.core.clock_ms.store(now + HOUR_MS, Ordering::Relaxed);
    assert_eq!(due::once(&app, now + HOUR_MS).await.unwrap(), 3);
    assert!(queue(&app).await.is_empty());
    let backup = shown(&host, &caller, "b").await;
    assert_eq!((backup.state(), backup.open_acts.len(), backup.parts.len()), (BackupState::Closed, 0, 0));
    assert_eq!((backup.generation, backup.receipts.len()), (0, 1), "the newest receipt stays");
    // Closed: nobody asks the enclave, and what happened stays readable.
    let count = asked(&host);
    for call in CALLS {
        let late = usual(&host, &caller, call, &format!("late-{call}")).await;
        refused(late.map(Response::new), Code::FailedPrecondition, "STATE_INVALID");
    }
    assert_eq!(asked(&host), count);
    let list = ListBackupsRequest { wallet: "w".to_owned() };
    let list = BackupServiceClient::new(host.api.clone()).list_backups(caller.says(list)).await.unwrap().into_inner();
    assert_eq!(list.backups, [backup]);
    let mut backups = BackupServiceClient::new(host.api.clone());
    let pages = backups.export_audit(caller.says(export::page("b", 0, ""))).await.unwrap().into_inner();
    assert_eq!(pages.page.unwrap().receipts.len(), 9);
    let tenant = strongroom_proto::id::TenantId::from_slice(&caller.tenant).unwrap();
    let record = strongroom_proto::id::RecordId::from_slice(&caller.part("w", "b").record_id).unwrap();
    let shares = app.store.scan(keys::shares(&tenant, &record, Role::Client, 1), None, 9).await.unwrap();
    assert!(shares.is_empty());
}

#[tokio::test]
async fn the_host_carries_out_by_itself_what_is_due() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    back_up(&host, &caller, "b").await;
    start(&host, &caller, "DeleteBackup", "b").await;
    let closed = async {
        while shown(&host, &caller, "b").await.state() != BackupState::Closed {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), closed).await.unwrap();
}

#[tokio::test]
async fn the_queue_outlives_its_host_and_a_lost_enclave() {
    let (mut host, caller, now) = waiting_host().await;
    back_up(&host, &caller, "c").await;
    start(&host, &caller, "ChangePolicy", "b").await;
    host.core.delay_ms.store(2 * HOUR_MS, Ordering::Relaxed);
    start(&host, &caller, "ChangePolicy", "c").await;
    host.core.clock_ms.store(now + DAY_MS, Ordering::Relaxed);
    let first = app(&host).await;
    assert_eq!(due::once(&first, now + HOUR_MS).await.unwrap(), 1);
    drop(first);
    let second = app(&host).await;
    assert_eq!(queue(&second).await, [(now + 2 * HOUR_MS, 0)]);
    host.enclave = None;
    host.wait(ServingStatus::NotServing).await;
    let lost = due::once(&second, now + DAY_MS).await;
    assert!(matches!(lost, Err(Error::EnclaveUnavailable(_))), "{lost:?}");
    assert_eq!(queue(&second).await, [(now + 2 * HOUR_MS, 0)], "as it was");
    drop(second);
    let core = Arc::clone(&host.core);
    host.enclave = Some(core::Core::serve(&core, host.dir.path()));
    host.wait(ServingStatus::Serving).await;
    let third = app(&host).await;
    assert_eq!(due::once(&third, now + DAY_MS).await.unwrap(), 1);
    assert!(queue(&third).await.is_empty());
    assert!(kinds(&shown(&host, &caller, "c").await).is_empty());
}

#[tokio::test]
async fn the_enclaves_time_decides_and_what_it_refuses_is_tried_again() {
    let (host, caller, now) = waiting_host().await;
    let app = app(&host).await;
    start(&host, &caller, "ChangePolicy", "b").await;
    // The host's clock is an hour ahead: the enclave says for how long.
    let at = now + HOUR_MS;
    assert_eq!(due::once(&app, at).await.unwrap(), 1);
    assert_eq!(queue(&app).await, [(at + HOUR_MS, 1)]);
    assert_eq!(kinds(&shown(&host, &caller, "b").await), [OpenActKind::PolicyChange]);
    // Meanwhile the policy asks for the tenant's second signature.
    host.core.clock_ms.store(now + 2 * HOUR_MS, Ordering::Relaxed);
    host.core.newest_head.store(true, Ordering::Relaxed);
    let at = at + HOUR_MS;
    assert_eq!(due::once(&app, at).await.unwrap(), 1);
    assert_eq!(queue(&app).await, [(at + HOUR_MS, 2)]);
    let mut backups = BackupServiceClient::new(host.api.clone());
    let kind = OpenActKind::PolicyChange;
    let unsigned = backups.carry_out(caller.says(carry_out("r1", "b", kind, None))).await;
    refused(unsigned, Code::PermissionDenied, "POLICY_DENIED");
    let second = Some(on(&caller, "b", "second", carry_out_action(kind)));
    let signed = || caller.says(carry_out("r2", "b", kind, second.clone()));
    let answer = backups.carry_out(signed()).await.unwrap().into_inner();
    assert_eq!(backups.carry_out(signed()).await.unwrap().into_inner(), answer);
    assert!(kinds(&shown(&host, &caller, "b").await).is_empty());
    // The row is found stale when its time comes.
    let count = asked(&host);
    assert_eq!(due::once(&app, at + HOUR_MS).await.unwrap(), 1);
    assert!(queue(&app).await.is_empty());
    assert_eq!(asked(&host), count, "the enclave was not asked");
}

#[tokio::test]
async fn what_nobody_carried_out_in_time_leaves_the_queue() {
    let (host, caller, now) = waiting_host().await;
    let app = app(&host).await;
    start(&host, &caller, "ChangePolicy", "b").await;
    host.core.newest_head.store(true, Ordering::Relaxed);
    host.core.clock_ms.store(now + HOUR_MS, Ordering::Relaxed);
    let last = now + HOUR_MS + 3 * DAY_MS;
    let mut at = now + HOUR_MS;
    let mut tries = 0;
    while at < last {
        assert_eq!(due::once(&app, at).await.unwrap(), 1);
        let [(next, _)] = queue(&app).await[..] else { panic!("{:?}", queue(&app).await) };
        assert!(next > at && next <= at + HOUR_MS);
        (at, tries) = (next, tries + 1);
    }
    assert_eq!(tries, 72);
    host.core.clock_ms.store(last, Ordering::Relaxed);
    assert_eq!(due::once(&app, last).await.unwrap(), 1);
    assert!(queue(&app).await.is_empty());
    // A later act of the same record forgets it.
    host.core.newest_head.store(false, Ordering::Relaxed);
    usual(&host, &caller, "RenamePasskey", "rename").await.unwrap();
    assert!(kinds(&shown(&host, &caller, "b").await).is_empty());
}

#[tokio::test]
async fn what_was_cancelled_is_not_carried_out() {
    let (host, caller, now) = waiting_host().await;
    let app = app(&host).await;
    let deletion = start(&host, &caller, "DeleteBackup", "b").await;
    let recovery = start(&host, &caller, "StartRecovery", "b").await;
    let cancel = async |call: &str, id: &str, hash: &[u8]| {
        send(&host, &caller, call, id, Some(on(&caller, "b", id, action(call, hash)))).await
    };
    let of_another = cancel("CancelAct", "r0", &[9; 32]).await;
    refused(of_another.map(Response::new), Code::FailedPrecondition, "STATE_INVALID");
    assert_eq!(kinds(&shown(&host, &caller, "b").await), [OpenActKind::Recovery, OpenActKind::Delete]);
    cancel("CancelAct", "r1", &deletion).await.unwrap();
    assert_eq!(kinds(&shown(&host, &caller, "b").await), [OpenActKind::Recovery]);
    cancel("CancelRecovery", "r2", &recovery).await.unwrap();
    assert!(kinds(&shown(&host, &caller, "b").await).is_empty());
    host.core.clock_ms.store(now + HOUR_MS, Ordering::Relaxed);
    let count = asked(&host);
    assert_eq!(due::once(&app, now + HOUR_MS).await.unwrap(), 1, "its row goes");
    assert!(queue(&app).await.is_empty());
    assert_eq!(asked(&host), count);
    assert_eq!(shown(&host, &caller, "b").await.state(), BackupState::Active);
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    let released = recoveries.release_recovery(caller.says(release("r3", "b", &recovery, None))).await;
    refused(released, Code::FailedPrecondition, "STATE_INVALID");
}

#[tokio::test]
async fn a_recovery_is_released_when_it_is_due_and_once() {
    let (host, caller, now) = waiting_host().await;
    let app = app(&host).await;
    let recovery = start(&host, &caller, "StartRecovery", "b").await;
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    let ask = |id: &str| caller.says(release(id, "b", &recovery, None));
    let early = refused(recoveries.release_recovery(ask("r")).await, Code::FailedPrecondition, "RECOVERY_DELAYED");
    let retry = early.get_error_details().retry_info().and_then(|info| info.retry_delay);
    assert_eq!(retry, Some(Duration::from_millis(HOUR_MS)));
    host.core.clock_ms.store(now + HOUR_MS, Ordering::Relaxed);
    assert_eq!(due::once(&app, now + HOUR_MS).await.unwrap(), 0);
    let answer = recoveries.release_recovery(ask("r")).await.unwrap().into_inner();
    assert_eq!(answer.client_release, vec![5; 1200], "both shares of the generation that was fixed");
    let receipt = Receipt::decode(answer.receipts[0].receipt.as_slice()).unwrap();
    assert_eq!(receipt.intent_hash, recovery);
    assert_eq!(recoveries.release_recovery(ask("r")).await.unwrap().into_inner(), answer);
    refused(recoveries.release_recovery(ask("again")).await, Code::FailedPrecondition, "STATE_INVALID");
    assert!(kinds(&shown(&host, &caller, "b").await).is_empty());
}

#[tokio::test]
async fn a_start_that_loses_its_race_queues_nothing() {
    let (host, caller, _) = waiting_host().await;
    let app = app(&host).await;
    *host.core.meddle.lock().unwrap() = core::AN_ACT;
    let overtaken = usual(&host, &caller, "DeleteBackup", "r").await;
    refused(overtaken.map(Response::new), Code::Aborted, "VERSION_CONFLICT");
    assert!(queue(&app).await.is_empty());
    let answer = usual(&host, &caller, "DeleteBackup", "r").await.unwrap();
    assert_eq!(ActResponse::decode(answer.as_slice()).unwrap().receipts.len(), 1);
    assert_eq!(queue(&app).await.len(), 1);
}

#[tokio::test]
async fn a_due_act_that_another_act_overtakes_stays_in_the_queue() {
    let (host, caller, now) = waiting_host().await;
    let app = app(&host).await;
    start(&host, &caller, "ChangePolicy", "b").await;
    host.core.clock_ms.store(now + HOUR_MS, Ordering::Relaxed);
    *host.core.meddle.lock().unwrap() = core::AN_ACT;
    assert_eq!(due::once(&app, now + HOUR_MS).await.unwrap(), 0);
    assert_eq!(queue(&app).await, [(now + HOUR_MS, 0)]);
    assert_eq!(due::once(&app, now + HOUR_MS).await.unwrap(), 1);
    assert!(queue(&app).await.is_empty());
}

#[tokio::test]
async fn a_passkey_that_is_removed_at_once_takes_its_waiting_removal_along() {
    use strongroom_proto::v1::RemovePasskeyAction;
    let remove = |id: &[u8]| Action::RemovePasskey(RemovePasskeyAction { credential_id: id.to_vec() });
    for (removed, left) in [(&b"c2"[..], &[][..]), (b"c1", &[OpenActKind::PasskeyRemoval])] {
        let (host, caller, now) = waiting_host().await;
        let app = app(&host).await;
        usual(&host, &caller, "AddPasskey", "add").await.unwrap();
        let waiting = on(&caller, "b", "wait", remove(b"c2"));
        send(&host, &caller, "RemovePasskey", "wait", Some(waiting)).await.unwrap();
        assert_eq!(kinds(&shown(&host, &caller, "b").await), [OpenActKind::PasskeyRemoval]);
        host.core.delay_ms.store(0, Ordering::Relaxed);
        let at_once = on(&caller, "b", "once", remove(removed));
        send(&host, &caller, "RemovePasskey", "once", Some(at_once)).await.unwrap();
        assert_eq!(kinds(&shown(&host, &caller, "b").await), left, "{removed:?}");
        // The row in the queue goes when its time comes; the enclave is asked only of what still waits.
        host.core.clock_ms.store(now + HOUR_MS, Ordering::Relaxed);
        let count = asked(&host);
        assert_eq!(due::once(&app, now + HOUR_MS).await.unwrap(), 1);
        assert_eq!((asked(&host) - count, queue(&app).await.len()), (left.len(), 0), "{removed:?}");
    }
}
