//! The queue of what nobody commits: rows that outlive the host, finish what was cut off, and end.

use super::*;

const HOUR_MS: u64 = 3_600_000;

#[tokio::test]
async fn the_host_commits_by_itself_what_nobody_commits() {
    let (host, caller) = host_of_both().await;
    let first = app(&host).await;
    let start = now_ms();
    put(&host, &caller, 2).await;
    // What moves the records while it waits queues nothing more.
    usual_in(&host, &caller, "RenamePasskey", "rename").await.unwrap();
    let [(2, at, 0)] = queue(&first).await[..] else { panic!("{:?}", queue(&first).await) };
    assert!((start + WAIT_MS_MAX..=now_ms() + WAIT_MS_MAX).contains(&at));
    for which in [Which::Due, Which::DueOrHalfDone] {
        assert_eq!(commits::once(&first, at - 1, which, &mut 0).await.unwrap(), 0, "an app still has time");
    }
    assert_eq!(events(&host, ActKind::Commit), 0);
    drop(first);
    // Another host, after a restart.
    let second = app(&host).await;
    assert_eq!(commits::once(&second, at, Which::Due, &mut 0).await.unwrap(), 1);
    assert_eq!(states(&shown(&host, &caller, "b").await), [(1, BackupState::Superseded), (2, BackupState::Active)]);
    assert!(queue(&second).await.is_empty());
    assert_eq!(commits::once(&second, at + HOUR_MS, Which::Due, &mut 0).await.unwrap(), 0);
}

#[tokio::test]
async fn what_was_cut_off_is_finished_at_the_next_start() {
    let (host, caller) = host_of_both().await;
    make(&host, &caller, BOTH, "waits").await;
    put(&host, &caller, 2).await;
    let act = act_in(&caller, BOTH, BOTH, "waits", "put", calls::put(2, &["p1"]));
    send(&host, &caller, "PutShares", "put-waits", Some(act)).await.unwrap();
    cut_off(&host, &caller).await;
    let app = app(&host).await;
    assert_eq!(queue(&app).await.len(), 2);
    assert_eq!(commits::once(&app, now_ms(), Which::Due, &mut 0).await.unwrap(), 0);
    assert_eq!(commits::once(&app, now_ms(), Which::DueOrHalfDone, &mut 0).await.unwrap(), 1);
    assert_eq!(states(&shown(&host, &caller, "b").await)[1], (2, BackupState::Active));
    assert_eq!(states(&shown(&host, &caller, "waits").await)[1], (2, BackupState::Pending), "its app still has time");
    assert_eq!(queue(&app).await.len(), 1);
}

#[tokio::test]
async fn a_host_that_starts_finishes_by_itself_what_was_cut_off() {
    let (host, caller) = host_of_both().await;
    put(&host, &caller, 2).await;
    cut_off(&host, &caller).await;
    let app = std::sync::Arc::new(app(&host).await);
    let running = tokio::spawn(commits::run(std::sync::Arc::clone(&app)));
    let done = async {
        while events(&host, ActKind::Commit) < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), done).await.unwrap();
    running.abort();
}

#[tokio::test]
async fn rows_of_what_waits_no_more_leave_the_queue_unasked() {
    let (host, caller) = host_of_both().await;
    let app = app(&host).await;
    put(&host, &caller, 2).await;
    put(&host, &caller, 3).await;
    assert_eq!(queue(&app).await.len(), 2);
    assert_eq!(states(&shown(&host, &caller, "b").await), [(1, BackupState::Active), (3, BackupState::Pending)]);
    commit_backup(&host, &caller, "b").await.unwrap();
    let before = (asked(&host), host.custodian.acts.load(Ordering::Relaxed), versions(&host, &caller).await);
    assert_eq!(commits::once(&app, now_ms() + WAIT_MS_MAX, Which::Due, &mut 0).await.unwrap(), 2);
    assert!(queue(&app).await.is_empty());
    let after = (asked(&host), host.custodian.acts.load(Ordering::Relaxed), versions(&host, &caller).await);
    assert_eq!(after, before);
    // A backup that is deleted in one role cannot be committed in both.
    put(&host, &caller, 4).await;
    let delete = act_in(&caller, BOTH, CUSTODIAN, "b", "delete", action("DeleteBackup", &[]));
    send(&host, &caller, "DeleteBackup", "delete", Some(delete)).await.unwrap();
    crate::services::due::once(&app, now_ms() + HOUR_MS).await.unwrap();
    let count = host.custodian.acts.load(Ordering::Relaxed);
    assert_eq!(commits::once(&app, now_ms() + WAIT_MS_MAX, Which::Due, &mut 0).await.unwrap(), 1);
    assert!(queue(&app).await.is_empty());
    assert_eq!(host.custodian.acts.load(Ordering::Relaxed), count);
    assert_eq!(shown(&host, &caller, "b").await.state(), BackupState::Pending);
}

#[tokio::test]
async fn a_refused_commit_is_tried_again_later_and_not_for_ever() {
    let (host, caller) = host_of_both().await;
    make(&host, &caller, BOTH, "other").await;
    let app = app(&host).await;
    put(&host, &caller, 2).await;
    let act = act_in(&caller, BOTH, BOTH, "other", "put", calls::put(2, &["p1"]));
    send(&host, &caller, "PutShares", "put-other", Some(act)).await.unwrap();
    let mut at = queue(&app).await[1].1;
    *host.custodian.refuse.lock().unwrap() = Some(Reason::StateInvalid);
    assert_eq!(commits::once(&app, at, Which::Due, &mut 0).await.unwrap(), 2, "the refused one keeps nothing back");
    assert_eq!(queue(&app).await, [(2, at + 1_000, 1)]);
    assert_eq!(states(&shown(&host, &caller, "other").await)[1], (2, BackupState::Active));
    let mut longest = 0;
    for tries in 1..TRIES_MAX {
        let [(2, next, found)] = queue(&app).await[..] else { panic!("{tries}") };
        assert_eq!(found, tries);
        longest = longest.max(next - at);
        at = next;
        *host.custodian.refuse.lock().unwrap() = Some(Reason::StateInvalid);
        assert_eq!(commits::once(&app, at, Which::Due, &mut 0).await.unwrap(), 1);
    }
    assert_eq!(longest, HOUR_MS);
    assert!(queue(&app).await.is_empty(), "tried often enough");
    commit_backup(&host, &caller, "b").await.unwrap();
    assert_eq!(states(&shown(&host, &caller, "b").await)[1], (2, BackupState::Active), "a call commits still");
}

#[tokio::test]
async fn a_lost_enclave_costs_no_try_and_rows_that_do_not_parse_keep_nothing_back() {
    let (mut host, caller) = host_of_both().await;
    let app = app(&host).await;
    put(&host, &caller, 2).await;
    let before = queue(&app).await;
    let at = before[0].1;
    for number in 0..40 {
        let broken = keys::scanned(&keys::uncommitted(), [keys::uncommitted().bytes(), &[number]].concat());
        app.store.commit(vec![Write::new(broken, Vec::new())]).await.unwrap();
    }
    host.custodian_enclave = None;
    host.wait(ServingStatus::NotServing).await;
    let lost = commits::once(&app, at, Which::Due, &mut 0).await;
    assert!(matches!(lost, Err(Error::InRole { role: "custodian", .. })), "{lost:?}");
    host.custodian_enclave = Some(core::Core::serve(&host.custodian, host.dir.path()));
    host.wait(ServingStatus::Serving).await;
    let done = async {
        while commits::once(&app, at, Which::Due, &mut 0).await.unwrap_or(0) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), done).await.unwrap();
    assert_eq!(events(&host, ActKind::Commit), 2);
    assert_eq!(app.store.scan(keys::uncommitted(), None, 99).await.unwrap().len(), 40, "they stay, to be looked at");
}

#[tokio::test]
async fn a_put_that_is_refused_queues_nothing() {
    let (host, caller) = host_of_both().await;
    let app = app(&host).await;
    for core in [&host.core, &host.custodian] {
        *core.refuse.lock().unwrap() = Some(Reason::PolicyDenied);
        let refusal = usual_in(&host, &caller, "PutShares", "r").await;
        refused(refusal.map(Response::new), Code::PermissionDenied, "POLICY_DENIED");
        assert!(queue(&app).await.is_empty());
    }
    make(&host, &caller, CLIENT, "client").await;
    let act = act_in(&caller, CLIENT, CLIENT, "client", "put", calls::put(2, &["p1"]));
    send(&host, &caller, "PutShares", "put", Some(act)).await.unwrap();
    assert!(queue(&app).await.is_empty(), "in one role it is in force");
}
