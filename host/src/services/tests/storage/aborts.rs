//! Aborts: of what waits, and of nothing else; and what meets a commit.

use strongroom_proto::id::{RecordId, TenantId};

use super::*;
use crate::error::Error;
use crate::services::act::commit as act_commit;
use crate::services::books::Stored;
use crate::services::commits::{self, WAIT_MS_MAX, Which};

async fn managed(host: &Host, caller: &Caller) -> Made {
    let request = creation(caller, BOTH, "b", SecretKind::Share, Storage::Managed);
    create(host, caller, request).await.unwrap();
    Made { roles: BOTH, part: caller.part_in(BOTH, "b"), backup: "b", shares: Vec::new() }
}

#[tokio::test]
async fn an_aborted_generation_is_committed_by_nobody_and_the_next_one_takes_its_place() {
    use BackupReason::{Aborted, Unspecified};
    use BackupState::{Active, Closed, Superseded};
    for self_managed in [false, true] {
        let (host, caller) = host_of_both().await;
        let other = app(&host).await;
        let made = if self_managed { reported(&host, &caller, BOTH, "b").await } else { managed(&host, &caller).await };
        put(&host, &caller, &made, 2).await;
        if self_managed {
            report(&host, &caller, &of(&made, 2)).await.unwrap();
        }
        assert_eq!(count(&host, Kind::Uncommitted), 1);
        for _ in 0..2 {
            let backup = abort(&host, &caller, "b", 2).await.unwrap();
            assert_eq!(states(&backup), [(1, Active, Unspecified), (2, Closed, Aborted)]);
            assert_eq!((backup.state(), backup.generation, backup.reason()), (Active, 1, Aborted));
        }
        let status = refusal(commit(&host, &caller, "b").await, Code::FailedPrecondition, "STATE_INVALID");
        assert!(status.message().contains("aborted"), "{status:?}");
        let asked = host.custodian.acts.load(Ordering::Relaxed);
        // After a restart, too.
        drop(other);
        let other = app(&host).await;
        let far = now_ms() + WAIT_MS_MAX;
        assert_eq!(commits::once(&other, far, Which::DueOrHalfDone, &mut 0).await.unwrap(), 1, "its row goes");
        assert_eq!((count(&host, Kind::Uncommitted), host.custodian.acts.load(Ordering::Relaxed)), (0, asked));
        // The next put has the records drop it, and the books.
        put(&host, &caller, &made, 3).await;
        report(&host, &caller, &of(&made, 3)).await.unwrap();
        assert_eq!(count(&host, Kind::Books), 0);
        let backup = commit(&host, &caller, "b").await.unwrap();
        assert_eq!(states(&backup), [(1, Superseded, Unspecified), (3, Active, Unspecified)]);
        refusal(abort(&host, &caller, "b", 2).await, Code::NotFound, "NOT_FOUND");
    }
}

#[tokio::test]
async fn what_is_in_force_or_half_committed_or_unknown_is_not_aborted() {
    let (host, caller) = host_of_both().await;
    let made = managed(&host, &caller).await;
    put(&host, &caller, &made, 2).await;
    commit(&host, &caller, "b").await.unwrap();
    put(&host, &caller, &made, 3).await;
    *host.core.refuse.lock().unwrap() = Some(strongroom_proto::v1::Reason::KmsUnavailable);
    refusal(commit(&host, &caller, "b").await, Code::Unavailable, "KMS_UNAVAILABLE");
    let before = all_rows(&host);
    for (generation, word) in [(2, "SUPERSEDED"), (3, "PENDING, and the custodian has committed it")] {
        let status = refusal(abort(&host, &caller, "b", generation).await, Code::FailedPrecondition, "STATE_INVALID");
        assert!(status.message().contains(word), "{generation} {status:?}");
    }
    refusal(abort(&host, &caller, "b", 4).await, Code::NotFound, "NOT_FOUND");
    refusal(abort(&host, &caller, "never", 3).await, Code::NotFound, "NOT_FOUND");
    bad(abort(&host, &caller, "a/b", 3).await, "backup");
    assert_eq!(all_rows(&host), before);
    assert_eq!(commit(&host, &caller, "b").await.unwrap().generation, 3, "it is finished");
    let status = refusal(abort(&host, &caller, "b", 3).await, Code::FailedPrecondition, "STATE_INVALID");
    assert!(status.message().contains("ACTIVE"), "{status:?}");
    // In one role what the host keeps is in force at once.
    let alone = creation(&caller, CLIENT, "alone", SecretKind::Share, Storage::Managed);
    create(&host, &caller, alone).await.unwrap();
    refusal(abort(&host, &caller, "alone", 1).await, Code::FailedPrecondition, "STATE_INVALID");
    let stranger = host.caller(2).await;
    let mut told = Vec::new();
    for backup in ["b", "never"] {
        let status = refusal(abort(&host, &stranger, backup, 3).await, Code::NotFound, "NOT_FOUND");
        told.push((status.message().to_owned(), status.details().to_vec()));
    }
    assert_eq!(told[0], told[1]);
}

#[tokio::test]
async fn in_one_role_the_generation_before_is_in_force_again_while_it_opens() {
    use BackupState::{Active, Closed, Superseded};
    let (host, caller) = host_of_both().await;
    let app = app(&host).await;
    let made = reported(&host, &caller, CLIENT, "b").await;
    put(&host, &caller, &made, 2).await;
    let backup = abort(&host, &caller, "b", 2).await.unwrap();
    assert_eq!((backup.state(), backup.generation), (Active, 1));
    // Put seven days ago, by the host's books: the enclave opens the one before no more.
    let tenant = TenantId::from_slice(&caller.tenant).unwrap();
    let stored = Stored::find(&app, &tenant, "w", "b").await.unwrap();
    let mut row = stored.books.row.clone();
    row.generations[0].added_ms -= strongroom_proto::limits::GRACE_MS;
    app.store.commit(vec![stored.books.replace(&row)]).await.unwrap();
    let backup = shown(&host, &caller, "b").await;
    let found: Vec<_> = backup.generations.iter().map(strongroom_proto::v1::BackupGeneration::state).collect();
    assert_eq!((backup.state(), backup.generation, found), (Closed, 0, vec![Superseded, Closed]));
    // The first one alone, given up, leaves nothing that could come into force.
    let first = self_managed(&host, &caller, CLIENT, "first").await;
    let backup = abort(&host, &caller, "first", 1).await.unwrap();
    assert_eq!((backup.state(), backup.reason(), backup.generation), (Closed, BackupReason::Aborted, 0));
    let backup = put(&host, &caller, &first, 2).await.backup.unwrap();
    assert_eq!(backup.state(), BackupState::Pending, "the next one may");
    assert_eq!(report(&host, &caller, &of(&first, 2)).await.unwrap().generation, 2);
}

#[tokio::test]
async fn an_abort_that_comes_while_the_custodian_commits_is_found() {
    let (host, caller) = host_of_both().await;
    let made = managed(&host, &caller).await;
    put(&host, &caller, &made, 2).await;
    let path = host.dir.path().join("db");
    let record = RecordId::from_slice(&made.part.record_id).unwrap();
    let key = keys::books(&TenantId::from_slice(&caller.tenant).unwrap(), &record);
    let closed = BackupReason::Aborted.into();
    let book = crate::rows::GenerationBook { generation: 2, closed, ..Default::default() };
    let row = crate::rows::BooksRow { generations: vec![book] }.encode_to_vec();
    *host.custodian.before.lock().unwrap() = Some(Box::new(move || {
        let other = rusqlite::Connection::open(path).unwrap();
        other.execute("INSERT INTO rows (key, value) VALUES (?1, ?2)", (key.bytes(), row)).unwrap();
    }));
    let status = refusal(commit(&host, &caller, "b").await, Code::FailedPrecondition, "STATE_INVALID");
    assert!(status.message().contains("aborted"), "{status:?}");
    assert_eq!(host.custodian.acts.load(Ordering::Relaxed), 3, "the custodian had agreed");
    let backup = shown(&host, &caller, "b").await;
    assert_eq!(states(&backup)[1], (2, BackupState::Closed, BackupReason::Aborted));
    assert_eq!(backup.receipts.iter().map(version).collect::<Vec<_>>(), [2, 2], "and nothing of it is stored");
}

#[tokio::test]
async fn of_an_abort_and_a_commit_that_meet_one_happens() {
    let (host, caller) = host_of_both().await;
    let other = app(&host).await;
    let made = managed(&host, &caller).await;
    let tenant = TenantId::from_slice(&caller.tenant).unwrap();
    let record = RecordId::from_slice(&made.part.record_id).unwrap();
    let wallet = keys::Name::parse("wallet", "w").unwrap();
    put(&host, &caller, &made, 2).await;
    // The commit first: what the abort read is not so any more.
    let stored = Stored::find(&other, &tenant, "w", "b").await.unwrap();
    let book = stored.open_generation(2).unwrap();
    commit(&host, &caller, "b").await.unwrap();
    let lost = stored.change(&other, crate::rows::GenerationBook { closed: 3, ..book }, Vec::new()).await;
    assert!(matches!(lost, Err(Error::Conflict(Kind::Record))));
    assert_eq!(count(&host, Kind::Books), 0);
    // At once, many times: whoever was answered with success is right.
    let (mut aborted, mut committed) = (0, 0);
    for generation in 3..23 {
        put(&host, &caller, &made, generation).await;
        let there = act_commit::commit(&other, tenant, &wallet, record);
        let late = async {
            tokio::time::sleep(Duration::from_micros(generation * 150)).await;
            abort(&host, &caller, "b", generation).await
        };
        let (there, here) = tokio::join!(there, late);
        let backup = shown(&host, &caller, "b").await;
        let state = backup.generations.iter().find(|it| it.generation == generation).unwrap().state();
        match (there, here) {
            (Ok(_), Err(refused)) => {
                assert_eq!((state, refused.code()), (BackupState::Active, Code::FailedPrecondition), "{refused:?}");
                committed += 1;
            }
            (Err(error), Ok(_)) => {
                assert_eq!(state, BackupState::Closed, "{error}");
                assert!(backup.generation < generation);
                aborted += 1;
            }
            (there, here) => panic!("{generation}: {:?} {here:?}", there.is_ok()),
        }
    }
    assert_eq!(aborted + committed, 20);
}

#[tokio::test]
async fn a_report_that_fails_and_a_commit_that_meet_leave_no_generation_in_force_that_is_not_whole() {
    let (host, caller) = host_of_both().await;
    let other = app(&host).await;
    let made = reported(&host, &caller, BOTH, "b").await;
    let tenant = TenantId::from_slice(&caller.tenant).unwrap();
    let record = RecordId::from_slice(&made.part.record_id).unwrap();
    let wallet = keys::Name::parse("wallet", "w").unwrap();
    for generation in 2..12 {
        put(&host, &caller, &made, generation).await;
        report(&host, &caller, &of(&made, generation)).await.unwrap();
        let there = act_commit::commit(&other, tenant, &wallet, record);
        let failed = ReportStoredRequest { success: false, ..of(&made, generation) };
        let here = async {
            tokio::time::sleep(Duration::from_micros(generation * 200)).await;
            report(&host, &caller, &failed).await
        };
        let (there, here) = tokio::join!(there, here);
        assert_ne!(there.is_ok(), here.is_ok(), "{generation}: {here:?}");
        let backup = shown(&host, &caller, "b").await;
        assert_eq!(backup.generation == generation, there.is_ok(), "{generation}");
    }
}
