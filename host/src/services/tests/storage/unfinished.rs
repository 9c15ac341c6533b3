//! Generations of which a part is missing for too long.

use strongroom_proto::id::TenantId;

use super::*;
use crate::keys::Uncommitted;
use crate::services::App;
use crate::services::books::{Stored, UNFINISHED_MS_MAX};
use crate::services::unfinished::once;
use crate::store::Write;

/// The queue: generation and time of each row.
async fn queue(app: &App) -> Vec<(u64, u64)> {
    let rows = app.store.scan(keys::unfinished(), None, 99).await.unwrap();
    let read =
        |(key, _): &(Vec<u8>, Vec<u8>)| keys::parse_unfinished(key).map(|it| (it.generation, it.time_ms)).unwrap();
    rows.iter().map(read).collect()
}

#[tokio::test]
async fn what_is_not_reported_in_a_day_is_given_up() {
    use BackupReason::{Expired, Unspecified};
    use BackupState::{Active, Closed};
    for roles in [CLIENT, CUSTODIAN, BOTH] {
        let (host, caller) = host_of_both().await;
        let first = app(&host).await;
        let start = now_ms();
        let made = self_managed(&host, &caller, roles, "b").await;
        let [(1, at)] = queue(&first).await[..] else { panic!("{:?}", queue(&first).await) };
        assert!((start + UNFINISHED_MS_MAX..=now_ms() + UNFINISHED_MS_MAX).contains(&at));
        report(&host, &caller, &of(&made, 1)).await.unwrap();
        put(&host, &caller, &made, 2).await;
        let second = queue(&first).await[1].1;
        assert_eq!(once(&first, at - 1, &mut 0).await.unwrap(), 0, "it has a day");
        drop(first);
        // Another host, after a restart. The first one is finished, and its row goes.
        let app = app(&host).await;
        assert_eq!(once(&app, second, &mut 0).await.unwrap(), 2);
        assert!(queue(&app).await.is_empty());
        let backup = shown(&host, &caller, "b").await;
        assert_eq!(states(&backup), [(1, Active, Unspecified), (2, Closed, Expired)]);
        assert_eq!((backup.state(), backup.generation, backup.reason()), (Active, 1, Expired));
        let status = refusal(report(&host, &caller, &of(&made, 2)).await, Code::FailedPrecondition, "STATE_INVALID");
        assert!(status.message().contains("missing for too long"), "{status:?}");
        refusal(abort(&host, &caller, "b", 2).await, Code::FailedPrecondition, "STATE_INVALID");
        if roles == BOTH {
            refusal(commit(&host, &caller, "b").await, Code::FailedPrecondition, "STATE_INVALID");
        }
        put(&host, &caller, &made, 3).await;
        report(&host, &caller, &of(&made, 3)).await.unwrap();
        if roles == BOTH {
            commit(&host, &caller, "b").await.unwrap();
        }
        assert_eq!(shown(&host, &caller, "b").await.generation, 3);
    }
}

#[tokio::test]
async fn the_first_generation_given_up_closes_the_backup() {
    let (host, caller) = host_of_both().await;
    let app = app(&host).await;
    self_managed(&host, &caller, BOTH, "b").await;
    assert_eq!(once(&app, now_ms() + UNFINISHED_MS_MAX, &mut 0).await.unwrap(), 1);
    let backup = shown(&host, &caller, "b").await;
    assert_eq!((backup.state(), backup.reason()), (BackupState::Closed, BackupReason::Expired));
    assert_eq!(backup.generation, 0);
}

#[tokio::test]
async fn a_part_that_was_stored_and_then_failed_has_its_own_day() {
    let (host, caller) = host_of_both().await;
    let app = app(&host).await;
    let made = reported(&host, &caller, BOTH, "b").await;
    put(&host, &caller, &made, 2).await;
    report(&host, &caller, &of(&made, 2)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let failed = ReportStoredRequest { success: false, ..of(&made, 2) };
    report(&host, &caller, &failed).await.unwrap();
    let rows = queue(&app).await;
    let [(1, _), (2, first), (2, second)] = rows[..] else { panic!("{rows:?}") };
    assert!(first < second);
    assert_eq!(once(&app, first, &mut 0).await.unwrap(), 2);
    assert_eq!(states(&shown(&host, &caller, "b").await)[1].2, BackupReason::Failed, "its day is not over");
    assert_eq!(once(&app, second, &mut 0).await.unwrap(), 1);
    assert_eq!(states(&shown(&host, &caller, "b").await)[1].2, BackupReason::Expired);
}

#[tokio::test]
async fn rows_that_are_stale_or_broken_keep_nothing_back() {
    let (host, caller) = host_of_both().await;
    let app = app(&host).await;
    for number in 0..40 {
        let broken = keys::scanned(&keys::unfinished(), [keys::unfinished().bytes(), &[number]].concat());
        app.store.commit(vec![Write::new(broken, Vec::new())]).await.unwrap();
    }
    let tenant = TenantId::from_slice(&caller.tenant).unwrap();
    let nobodys = |wallet: &str, backup: &str| {
        let row = crate::rows::UnfinishedRow { wallet: wallet.to_owned(), backup: backup.to_owned() };
        let record = strongroom_proto::id::RecordId([u8::try_from(wallet.len()).unwrap(); 32]);
        let key = Uncommitted { time_ms: 1, tenant, record, generation: 1 };
        Write::new(keys::unfinished_generation(&key), row.encode_to_vec())
    };
    app.store.commit(vec![nobodys("", "b"), nobodys("gone", "b")]).await.unwrap();
    let made = self_managed(&host, &caller, BOTH, "b").await;
    // One of another record: how long a part is missing say the books.
    app.store.commit(vec![nobodys("w", "b")]).await.unwrap();
    // A record that does not decode.
    let broken = self_managed(&host, &caller, CLIENT, "broken").await;
    let record = strongroom_proto::id::RecordId::from_slice(&broken.part.record_id).unwrap();
    let wallet = keys::Name::parse("wallet", "w").unwrap();
    let key = keys::record(&tenant, &wallet, Role::Client, &record);
    let before = app.store.get(key.clone()).await.unwrap();
    let expect = crate::store::Expect::unchanged(before.as_deref());
    app.store.commit(vec![Write { key, expect, put: Some(vec![0xff]) }]).await.unwrap();
    let mut left = 0;
    assert_eq!(once(&app, now_ms() + UNFINISHED_MS_MAX, &mut left).await.unwrap(), 3);
    assert_eq!(left, 42, "40 that do not parse, one without a wallet, and one whose record is broken");
    let stored = Stored::find(&app, &tenant, "w", "b").await.unwrap();
    assert_eq!(stored.books.row.generations[0].closed, i32::from(BackupReason::Expired));
    assert_eq!(made.shares.len(), 2);
    assert_eq!(once(&app, now_ms() + UNFINISHED_MS_MAX, &mut left).await.unwrap(), 0);
}

#[tokio::test]
async fn a_deletion_leaves_nothing_to_report_or_to_give_up() {
    let (host, caller) = host_of_both().await;
    let app = app(&host).await;
    let made = self_managed(&host, &caller, CLIENT, "b").await;
    let delete = act_on(&caller, &made, "d", Action::DeleteBackup(strongroom_proto::v1::DeleteBackupAction {}));
    calls::send(&host, &caller, "DeleteBackup", "d", Some(delete)).await.unwrap();
    // The host's own queue may be as fast.
    drop(crate::services::due::once(&app, now_ms() + 1000).await);
    let closed = async {
        while shown(&host, &caller, "b").await.reason() != BackupReason::Deleted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), closed).await.unwrap();
    assert_eq!((count(&host, Kind::Books), count(&host, Kind::Unfinished)), (0, 1));
    for refused in [report(&host, &caller, &of(&made, 1)).await, abort(&host, &caller, "b", 1).await] {
        let status = refusal(refused, Code::FailedPrecondition, "STATE_INVALID");
        assert!(status.message().contains("deleted"), "{status:?}");
    }
    let request = recover_request(&caller, &made, "r", 1, &made.shares);
    refusal(recover(&host, &caller, request).await, Code::FailedPrecondition, "STATE_INVALID");
    assert_eq!(once(&app, now_ms() + UNFINISHED_MS_MAX, &mut 0).await.unwrap(), 1);
    assert_eq!(count(&host, Kind::Unfinished), 0);
}
