//! Commits of generations that wait in both roles: asked for, cut off, raced, and done by the host itself.

use strongroom_proto::id::{RecordId, TenantId};
use strongroom_proto::v1::{ActKind, Backup, CommitBackupRequest, CommitBackupResponse, Event, OpenActKind, Reason};

use super::both::{BOTH, CLIENT, CUSTODIAN, act_in, all_rows, host_of_both, make, usual_in};
use super::calls::*;
use super::rotation::app;
use super::*;
use crate::clock::now_ms;
use crate::error::Error;
use crate::keys;
use crate::rows::{UncommittedRow, decode};
use crate::services::App;
use crate::services::commits::{self, TRIES_MAX, WAIT_MS_MAX, Which};
use crate::store::Write;

mod queue;

async fn commit_backup(host: &Host, caller: &Caller, backup: &str) -> Result<CommitBackupResponse, Status> {
    let request = CommitBackupRequest { wallet: "w".to_owned(), backup: backup.to_owned() };
    let mut backups = BackupServiceClient::new(host.api.clone());
    Ok(backups.commit_backup(caller.says(request)).await?.into_inner())
}

/// Puts a generation in both roles of backup `b`.
async fn put(host: &Host, caller: &Caller, generation: u64) {
    let id = format!("put-{generation}");
    let act = act_in(caller, BOTH, BOTH, "b", &id, calls::put(generation, &["p1", "p3"]));
    send(host, caller, "PutShares", &id, Some(act)).await.unwrap();
}

fn receipt(signed: &SignedReceipt) -> Receipt {
    Receipt::decode(signed.receipt.as_slice()).unwrap()
}

/// What a receipt's act was; `None` where nothing moved.
fn kind(signed: &SignedReceipt) -> Option<ActKind> {
    let event = receipt(signed).event;
    (!event.is_empty()).then(|| Event::decode(event.as_slice()).unwrap().kind())
}

/// Number and state of each generation.
fn states(backup: &Backup) -> Vec<(u64, BackupState)> {
    backup.generations.iter().map(|it| (it.generation, it.state())).collect()
}

/// The newest versions of both roles.
async fn versions(host: &Host, caller: &Caller) -> Vec<u64> {
    shown(host, caller, "b").await.receipts.iter().map(version).collect()
}

/// How many receipts of a kind are stored of both roles.
fn events(host: &Host, wanted: ActKind) -> usize {
    let rows = all_rows(host).into_iter().filter(|(key, _)| key[0] == keys::Kind::Event as u8);
    rows.filter(|(_, row)| kind(&SignedReceipt::decode(row.as_slice()).unwrap()) == Some(wanted)).count()
}

/// The queue: generation, time and tries of each row.
async fn queue(app: &App) -> Vec<(u64, u64, u32)> {
    let rows = app.store.scan(keys::uncommitted(), None, 99).await.unwrap();
    let read = |(key, row): &(Vec<u8>, Vec<u8>)| {
        let it = keys::parse_uncommitted(key).unwrap();
        (it.generation, it.time_ms, decode::<UncommittedRow>(row).unwrap().tries)
    };
    rows.iter().map(read).collect()
}

/// Has the client refuse its half of a commit, as if the host had been killed between the two.
async fn cut_off(host: &Host, caller: &Caller) {
    *host.core.refuse.lock().unwrap() = Some(Reason::KmsUnavailable);
    let cut = commit_backup(host, caller, "b").await;
    let status = refused(cut.map(Response::new), Code::Unavailable, "KMS_UNAVAILABLE");
    assert_eq!(status.get_error_details().error_info().unwrap().metadata["role"], "client");
}

#[tokio::test]
async fn what_was_put_in_both_roles_comes_into_force_with_its_commit() {
    let (host, caller) = host_of_both().await;
    put(&host, &caller, 2).await;
    let waiting = shown(&host, &caller, "b").await;
    assert_eq!(states(&waiting), [(1, BackupState::Active), (2, BackupState::Pending)]);
    let committed = commit_backup(&host, &caller, "b").await.unwrap();
    let of: Vec<_> = committed.receipts.iter().map(|signed| (receipt(signed).role(), kind(signed))).collect();
    let commit = Some(ActKind::Commit);
    assert_eq!(of, [(Role::Custodian, commit), (Role::Client, commit)], "the custodian's, then the client's");
    assert_eq!(committed.stages, Some(core::stages()));
    let backup = committed.backup.unwrap();
    assert_eq!(states(&backup), [(1, BackupState::Superseded), (2, BackupState::Active)]);
    let pairs: Vec<&str> = backup.pairs.iter().map(|pair| pair.id.as_str()).collect();
    assert_eq!((backup.state(), backup.generation, pairs.as_slice()), (BackupState::Active, 2, &["p1", "p3"][..]));
    assert_eq!(backup, shown(&host, &caller, "b").await);
    // Both generations open in both roles.
    for generation in [1, 2] {
        let id = format!("recover-{generation}");
        let action = Action::Recover(RecoverAction { generation, eject: false });
        let answer = send(&host, &caller, "Recover", &id, Some(act_in(&caller, BOTH, BOTH, "b", &id, action))).await;
        let answer = strongroom_proto::v1::RecoverResponse::decode(answer.unwrap().as_slice()).unwrap();
        assert!(!answer.client_release.is_empty() && !answer.custodian_release.is_empty(), "{generation}");
    }
    // The next one takes the first one's place, and its shares.
    put(&host, &caller, 5).await;
    commit_backup(&host, &caller, "b").await.unwrap();
    let backup = shown(&host, &caller, "b").await;
    assert_eq!(states(&backup), [(2, BackupState::Superseded), (5, BackupState::Active)]);
    let shares = all_rows(&host).into_iter().filter(|(key, _)| key[0] == keys::Kind::Share as u8).count();
    assert_eq!(shares, 8, "two pairs of two generations in two roles");
}

#[tokio::test]
async fn a_commit_that_is_asked_for_again_moves_nothing() {
    let (host, caller) = host_of_both().await;
    put(&host, &caller, 2).await;
    let first = commit_backup(&host, &caller, "b").await.unwrap();
    for act in [None, Some("RenamePasskey"), Some("Recover")] {
        if let Some(call) = act {
            usual_in(&host, &caller, call, call).await.unwrap();
        }
        let before = all_rows(&host);
        let again = commit_backup(&host, &caller, "b").await.unwrap();
        assert_eq!(all_rows(&host), before, "{act:?}");
        assert_eq!(again.receipts.iter().map(kind).collect::<Vec<_>>(), [None, None], "{act:?}");
        for (signed, first) in again.receipts.iter().zip(&first.receipts) {
            let (now, then) = (receipt(signed), receipt(first));
            assert_eq!((now.role, now.active, now.pending), (then.role, then.active, None), "{act:?}");
        }
        assert_eq!(states(&again.backup.unwrap()), [(1, BackupState::Superseded), (2, BackupState::Active)]);
    }
}

#[tokio::test]
async fn where_nothing_waits_and_nothing_was_committed_a_commit_is_refused() {
    let (host, caller) = host_of_both().await;
    for (roles, backup) in [(CLIENT, "client"), (CUSTODIAN, "custodian")] {
        make(&host, &caller, roles, backup).await;
        let act = act_in(&caller, roles, roles, backup, "put", calls::put(2, &["p1"]));
        send(&host, &caller, "PutShares", &format!("put-{backup}"), Some(act)).await.unwrap();
    }
    let stranger = host.caller(2).await;
    make(&host, &caller, BOTH, "deleted").await;
    let act = act_in(&caller, BOTH, BOTH, "deleted", "put", calls::put(2, &["p1"]));
    send(&host, &caller, "PutShares", "put", Some(act)).await.unwrap();
    let act = act_in(&caller, BOTH, BOTH, "deleted", "delete", action("DeleteBackup", &[]));
    send(&host, &caller, "DeleteBackup", "delete", Some(act)).await.unwrap();
    let carry = BackupServiceClient::new(host.api.clone())
        .carry_out(caller.says(carry_out("carry", "deleted", OpenActKind::Delete, None)))
        .await;
    // The host's own queue may have been faster, in one role or in both.
    drop(carry);
    let closed = async {
        while shown(&host, &caller, "deleted").await.state() != BackupState::Closed {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), closed).await.unwrap();
    let before = (all_rows(&host), asked(&host), host.custodian.acts.load(Ordering::Relaxed));
    for (backup, word) in
        [("b", "nothing waits"), ("client", "one role"), ("custodian", "one role"), ("deleted", "deleted")]
    {
        let refusal = commit_backup(&host, &caller, backup).await;
        let status = refused(refusal.map(Response::new), Code::FailedPrecondition, "STATE_INVALID");
        assert!(status.message().contains(word), "{backup}: {}", status.message());
    }
    let told = async |backup: &str| {
        let unknown = commit_backup(&host, &stranger, backup).await;
        let status = refused(unknown.map(Response::new), Code::NotFound, "NOT_FOUND");
        (status.message().to_owned(), status.details().to_vec())
    };
    assert_eq!(told("b").await, told("never").await, "another tenant's looks unknown");
    let mut backups = BackupServiceClient::new(host.api.clone());
    for (wallet, backup, field) in [("", "b", "wallet"), ("w", "a/b", "backup")] {
        let request = CommitBackupRequest { wallet: wallet.to_owned(), backup: backup.to_owned() };
        let status = refused(backups.commit_backup(caller.says(request)).await, Code::InvalidArgument, "BAD_REQUEST");
        assert_eq!(status.get_error_details().error_info().unwrap().metadata["field"], field);
    }
    assert_eq!(
        (all_rows(&host), asked(&host), host.custodian.acts.load(Ordering::Relaxed)),
        before,
        "nobody was asked"
    );
}

#[tokio::test]
async fn a_commit_that_was_cut_off_is_finished_by_the_next_call() {
    for later in [None, Some("RenamePasskey")] {
        let (host, caller) = host_of_both().await;
        put(&host, &caller, 2).await;
        // What moves the client after the put does not hide what waits.
        if let Some(call) = later {
            usual_in(&host, &caller, call, call).await.unwrap();
        }
        cut_off(&host, &caller).await;
        assert_eq!(events(&host, ActKind::Commit), 1, "the custodian's");
        let half = shown(&host, &caller, "b").await;
        assert_eq!(states(&half), [(1, BackupState::Superseded), (2, BackupState::Pending)]);
        assert_eq!((half.state(), half.generation), (BackupState::Active, 1), "the one before opens in both roles");
        if later.is_some() {
            usual_in(&host, &caller, "RenamePasskey", "between").await.unwrap();
        }
        let committed = commit_backup(&host, &caller, "b").await.unwrap();
        assert_eq!(committed.receipts.iter().map(kind).collect::<Vec<_>>(), [None, Some(ActKind::Commit)]);
        assert_eq!(events(&host, ActKind::Commit), 2);
        assert_eq!(states(&committed.backup.unwrap()), [(1, BackupState::Superseded), (2, BackupState::Active)]);
    }
}

#[tokio::test]
async fn a_refusal_of_the_custodian_leaves_everything_as_it_was() {
    let (host, caller) = host_of_both().await;
    put(&host, &caller, 2).await;
    let before = all_rows(&host);
    *host.custodian.refuse.lock().unwrap() = Some(Reason::StateInvalid);
    let refusal = commit_backup(&host, &caller, "b").await;
    let status = refused(refusal.map(Response::new), Code::FailedPrecondition, "STATE_INVALID");
    assert_eq!(status.get_error_details().error_info().unwrap().metadata["role"], "custodian");
    assert_eq!(all_rows(&host), before);
}

#[tokio::test]
async fn of_commits_at_once_each_role_makes_one() {
    let (host, caller) = host_of_both().await;
    let other = app(&host).await;
    let tenant = TenantId::from_slice(&caller.tenant).unwrap();
    let record = RecordId::from_slice(&caller.part_in(BOTH, "b").record_id).unwrap();
    let wallet = keys::Name::parse("wallet", "w").unwrap();
    for generation in [2, 3, 4] {
        put(&host, &caller, generation).await;
        let there = || crate::services::act::commit::commit(&other, tenant, &wallet, record);
        let here = || commit_backup(&host, &caller, "b");
        let (one, two, three, four) = tokio::join!(here(), there(), here(), there());
        for receipts in [one.unwrap().receipts, two.unwrap().into(), three.unwrap().receipts, four.unwrap().into()] {
            let active = receipts.iter().map(|signed| receipt(signed).active.unwrap().generation);
            assert_eq!(active.collect::<Vec<_>>(), [generation, generation]);
        }
        let commits = usize::try_from(generation - 1).unwrap() * 2;
        assert_eq!(events(&host, ActKind::Commit), commits, "none twice");
    }
    assert_eq!(versions(&host, &caller).await, [7, 7]);
}

#[tokio::test]
async fn an_act_or_a_reseal_that_comes_between_delays_a_commit_and_refuses_none() {
    for meddle in [core::AN_ACT, core::A_RESEAL] {
        let (host, caller) = host_of_both().await;
        put(&host, &caller, 2).await;
        *host.custodian.meddle.lock().unwrap() = meddle;
        *host.core.meddle.lock().unwrap() = core::A_RESEAL;
        commit_backup(&host, &caller, "b").await.unwrap();
        assert_eq!(events(&host, ActKind::Commit), 2);
    }
}
