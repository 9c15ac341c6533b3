//! What callers report: a generation comes into force when all its parts are stored, and not before.

use super::*;
use crate::services::commits::{self, WAIT_MS_MAX, Which};

/// What a test does to a report.
type Change = fn(&mut ReportStoredRequest);

fn pairs(of: &ReportStoredRequest, pairs: &[&str], success: bool) -> ReportStoredRequest {
    ReportStoredRequest { pairs: pairs.iter().map(|pair| (*pair).to_owned()).collect(), success, ..of.clone() }
}

#[tokio::test]
async fn in_two_roles_a_generation_is_committed_once_every_part_is_reported() {
    use BackupPart::{ClientStored, CustodianStored};
    use BackupReason::{Failed, Unspecified};
    use BackupState::{Active, Pending, Superseded};
    let (host, caller) = host_of_both().await;
    let app = app(&host).await;
    let made = reported(&host, &caller, BOTH, "b").await;
    let second = put(&host, &caller, &made, 2).await;
    assert_eq!(second.client_shares.len(), 2);
    let backup = second.backup.unwrap();
    assert_eq!(states(&backup), [(1, Active, Unspecified), (2, Pending, Unspecified)]);
    assert_eq!(stored(&backup, 2), [("p1", CustodianStored), ("p3", CustodianStored)]);
    assert_eq!((backup.state(), backup.generation, backup.parts.len()), (Active, 1, 2));
    assert_eq!(count(&host, Kind::Uncommitted), 0);
    let of = of(&made, 2);
    let far = now_ms() + 10 * WAIT_MS_MAX;
    let incomplete = async || {
        let before = all_rows(&host);
        let status = refusal(commit(&host, &caller, "b").await, Code::FailedPrecondition, "BACKUP_INCOMPLETE");
        assert!(status.get_error_details().error_info().unwrap().metadata.is_empty(), "{status:?}");
        assert_eq!(commits::once(&app, far, Which::Due, &mut 0).await.unwrap(), 0);
        assert_eq!(all_rows(&host), before);
    };
    incomplete().await;
    // One pair is not both of them.
    let backup = report(&host, &caller, &pairs(&of, &["p3"], true)).await.unwrap();
    let expect = [("p1", CustodianStored), ("p3", ClientStored), ("p3", CustodianStored)];
    assert_eq!(stored(&backup, 2), expect);
    incomplete().await;
    let backup = report(&host, &caller, &pairs(&of, &["p1"], false)).await.unwrap();
    assert_eq!(states(&backup)[1], (2, Pending, Failed));
    assert_eq!((backup.reason(), backup.state()), (Failed, Active));
    incomplete().await;
    // The last one queues it, once.
    for _ in 0..2 {
        let backup = report(&host, &caller, &pairs(&of, &["p1"], true)).await.unwrap();
        assert_eq!(states(&backup), [(1, Active, Unspecified), (2, Pending, Unspecified)]);
        assert_eq!(stored(&backup, 2).len(), 4);
        assert_eq!(count(&host, Kind::Uncommitted), 1);
    }
    // Between, the caller may still find that he has lost it.
    report(&host, &caller, &pairs(&of, &[], false)).await.unwrap();
    let status = refusal(commit(&host, &caller, "b").await, Code::FailedPrecondition, "BACKUP_INCOMPLETE");
    assert!(status.message().contains("failed"), "{status:?}");
    assert_eq!(commits::once(&app, far, Which::Due, &mut 0).await.unwrap(), 1, "the row alone goes");
    assert_eq!((count(&host, Kind::Uncommitted), shown(&host, &caller, "b").await.generation), (0, 1));
    report(&host, &caller, &of).await.unwrap();
    assert_eq!(commits::once(&app, far, Which::Due, &mut 0).await.unwrap(), 1);
    let backup = shown(&host, &caller, "b").await;
    assert_eq!(states(&backup), [(1, Superseded, Unspecified), (2, Active, Unspecified)]);
    assert_eq!((backup.generation, backup.parts.len(), backup.pairs[1].id.as_str()), (2, 2, "p3"));
    recover(&host, &caller, recover_request(&caller, &made, "r", 2, &second.client_shares)).await.unwrap();
}

#[tokio::test]
async fn in_one_role_the_older_generation_is_in_force_until_the_newer_one_is_reported() {
    use BackupState::{Active, Pending, Superseded};
    for roles in [CLIENT, CUSTODIAN] {
        let (host, caller) = host_of_both().await;
        let made = self_managed(&host, &caller, roles, "b").await;
        let numbers = |backup: &Backup| {
            let states = backup.generations.iter().map(|it| (it.generation, it.state())).collect::<Vec<_>>();
            (backup.state(), backup.generation, states)
        };
        assert_eq!(numbers(&shown(&host, &caller, "b").await), (Pending, 0, vec![(1, Pending)]));
        let backup = report(&host, &caller, &pairs(&of(&made, 1), &["p2"], true)).await.unwrap();
        assert_eq!(
            backup.parts.len(),
            roles.len() - usize::from(roles == CLIENT),
            "the client's part of one pair alone"
        );
        let backup = report(&host, &caller, &of(&made, 1)).await.unwrap();
        assert_eq!(numbers(&backup), (Active, 1, vec![(1, Active)]));
        let second = put(&host, &caller, &made, 2).await;
        assert_eq!(numbers(&second.backup.unwrap()), (Active, 1, vec![(1, Active), (2, Pending)]));
        let backup = report(&host, &caller, &pairs(&of(&made, 2), &["p1"], true)).await.unwrap();
        assert_eq!(numbers(&backup), (Active, 1, vec![(1, Active), (2, Pending)]));
        let backup = report(&host, &caller, &of(&made, 2)).await.unwrap();
        assert_eq!(numbers(&backup), (Active, 2, vec![(1, Superseded), (2, Active)]));
        assert_eq!(backup, shown(&host, &caller, "b").await);
        // The newer one first: then the older one's report comes too late.
        put(&host, &caller, &made, 3).await;
        put(&host, &caller, &made, 4).await;
        report(&host, &caller, &of(&made, 4)).await.unwrap();
        let late = report(&host, &caller, &of(&made, 3)).await;
        let status = refusal(late, Code::FailedPrecondition, "STATE_INVALID");
        assert!(status.message().contains("newer"), "{status:?}");
        assert_eq!(count(&host, Kind::Uncommitted), 0, "there is nothing to commit");
    }
}

#[tokio::test]
async fn reports_that_do_not_fit_change_nothing() {
    let (host, caller) = host_of_both().await;
    let made = self_managed(&host, &caller, BOTH, "b").await;
    let of = of(&made, 1);
    let before = all_rows(&host);
    let invalid: [(&str, Change); 7] = [
        ("wallet", |it| it.wallet.clear()),
        ("backup", |it| it.backup = "a/b".to_owned()),
        ("pairs", |it| it.pairs = vec!["p3".to_owned()]),
        ("pairs", |it| it.pairs = vec!["p1".to_owned(), String::new()]),
        ("pairs", |it| it.pairs = vec!["p1".to_owned(); 5]),
        ("method", |it| it.method.clear()),
        ("method", |it| it.method = "passkey".to_owned()),
    ];
    let unknown: [Change; 4] = [
        |it| it.generation = 2,
        |it| it.generation = 0,
        |it| it.backup = "c".to_owned(),
        |it| it.wallet = "v".to_owned(),
    ];
    for success in [true, false] {
        let with = |change: Change| {
            let mut request = ReportStoredRequest { success, ..of.clone() };
            change(&mut request);
            request
        };
        for (field, change) in invalid {
            bad(report(&host, &caller, &with(change)).await, field);
        }
        for change in unknown {
            refusal(report(&host, &caller, &with(change)).await, Code::NotFound, "NOT_FOUND");
        }
        let other = with(|it| it.method = "GDRIVE".to_owned());
        refusal(report(&host, &caller, &other).await, Code::PermissionDenied, "METHOD_NOT_ALLOWED");
        // Another tenant's looks unknown.
        let stranger = host.caller(if success { 2 } else { 3 }).await;
        let mut told = Vec::new();
        for backup in ["b", "never"] {
            let request = ReportStoredRequest { backup: backup.to_owned(), success, ..of.clone() };
            let status = refusal(report(&host, &stranger, &request).await, Code::NotFound, "NOT_FOUND");
            told.push((status.message().to_owned(), status.details().to_vec()));
        }
        assert_eq!(told[0], told[1]);
    }
    let of_caller = |rows: Vec<(Vec<u8>, Vec<u8>)>| {
        let kinds = [Kind::Books, Kind::Record, Kind::Uncommitted, Kind::Unfinished].map(|kind| kind as u8);
        rows.into_iter().filter(|(key, _)| kinds.contains(&key[0])).collect::<Vec<_>>()
    };
    assert_eq!(of_caller(all_rows(&host)), of_caller(before));
    assert_eq!(report(&host, &caller, &of).await.unwrap().state(), BackupState::Active);
}

#[tokio::test]
async fn where_it_is_final_a_report_is_refused_with_the_state() {
    let (host, caller) = host_of_both().await;
    let made = reported(&host, &caller, BOTH, "b").await;
    put(&host, &caller, &made, 2).await;
    report(&host, &caller, &of(&made, 2)).await.unwrap();
    commit(&host, &caller, "b").await.unwrap();
    put(&host, &caller, &made, 3).await;
    abort(&host, &caller, "b", 3).await.unwrap();
    let before = all_rows(&host);
    for (generation, success, word) in [
        (1, false, "SUPERSEDED"),
        (2, false, "ACTIVE"),
        (3, false, "CLOSED: it was aborted"),
        (3, true, "CLOSED: it was aborted"),
    ] {
        let request = ReportStoredRequest { success, ..of(&made, generation) };
        let status = refusal(report(&host, &caller, &request).await, Code::FailedPrecondition, "STATE_INVALID");
        assert!(status.message().contains(word), "{generation} {status:?}");
    }
    for generation in [1, 2] {
        report(&host, &caller, &of(&made, generation)).await.unwrap();
    }
    assert_eq!(all_rows(&host), before);
}

#[tokio::test]
async fn where_the_host_keeps_everything_there_is_nothing_to_report() {
    let (host, caller) = host_of_both().await;
    let request = creation(&caller, BOTH, "b", SecretKind::Share, Storage::Unspecified);
    let backup = create(&host, &caller, request).await.unwrap().backup.unwrap();
    assert_eq!(backup.storage(), Storage::Managed);
    let made = Made { roles: BOTH, part: caller.part_in(BOTH, "b"), backup: "b", shares: Vec::new() };
    put(&host, &caller, &made, 2).await;
    let before = all_rows(&host);
    for generation in [1, 2] {
        report(&host, &caller, &of(&made, generation)).await.unwrap();
        let failed = ReportStoredRequest { success: false, ..of(&made, generation) };
        let status = refusal(report(&host, &caller, &failed).await, Code::FailedPrecondition, "STATE_INVALID");
        assert!(status.message().contains("nothing to store"), "{status:?}");
    }
    assert_eq!(all_rows(&host), before);
    assert_eq!(commit(&host, &caller, "b").await.unwrap().generation, 2);
}

#[tokio::test]
async fn rows_of_older_releases_are_of_backups_that_the_host_keeps() {
    let (host, caller) = host_of_both().await;
    let request = creation(&caller, BOTH, "b", SecretKind::Share, Storage::Managed);
    create(&host, &caller, request).await.unwrap();
    let other = rusqlite::Connection::open(host.dir.path().join("db")).unwrap();
    let of_backup = "substr(key, 1, 1) = x'06'";
    let row: Vec<u8> =
        other.query_row(&format!("SELECT value FROM rows WHERE {of_backup}"), [], |row| row.get(0)).unwrap();
    let older = crate::rows::BackupRow { storage: 0, ..crate::rows::decode(&row).unwrap() }.encode_to_vec();
    assert_eq!(older.len() + 2, row.len());
    other.execute(&format!("UPDATE rows SET value = ?1 WHERE {of_backup}"), [older]).unwrap();
    let made = Made { roles: BOTH, part: caller.part_in(BOTH, "b"), backup: "b", shares: Vec::new() };
    let backup = shown(&host, &caller, "b").await;
    assert_eq!((backup.storage(), backup.state(), backup.parts.len()), (Storage::Managed, BackupState::Active, 2));
    assert!(put(&host, &caller, &made, 2).await.client_shares.is_empty());
    assert_eq!(commit(&host, &caller, "b").await.unwrap().generation, 2);
    recover(&host, &caller, recover_request(&caller, &made, "r", 2, &[])).await.unwrap();
}
