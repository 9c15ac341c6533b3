//! Rotation end to end: KEKs, statements, re-seals, the lists of the epochs, the sweep.

use std::sync::Arc;

use strongroom_proto::id::{RecordId, TenantId};
use strongroom_proto::v1::{
    CreateBackupRequest, Epoch, Kek, KekState, ListKeksRequest, RoleStatement, RotateKekRequest, SignedStatement,
    Statement,
};

use super::core::epochs::DAMAGED;
use super::*;
use crate::enclave::Enclave;
use crate::error::Error;
use crate::keys::{self, Name};
use crate::rows::{RecordRow, ShareRow, decode};
use crate::services::App;
use crate::services::listing::{self, Place};
use crate::services::load::{StoredRecord, StoredStatement};
use crate::services::reseal::sweep::{self, Swept};
use crate::store::{Expect, SqliteStore, Write};
use crate::testing::enclave_config_of;

/// A host of the same database and enclaves, without servers and without a sweep of its own.
pub(super) async fn app(host: &Host) -> App {
    let store = SqliteStore::open(&host.dir.path().join("db")).unwrap();
    let mut enclaves = Vec::new();
    for role in &host.roles {
        let enclave = Enclave::start(&enclave_config_of(host.dir.path(), *role, 1));
        let mut health = enclave.health();
        health.wait_for(|health| health.as_ref().is_some_and(|health| health.missing.is_empty())).await.unwrap();
        enclaves.push(enclave);
    }
    App::new(Arc::new(store), enclaves)
}

pub(super) async fn rotate(host: &Host, caller: &Caller) -> Result<u64, Status> {
    let mut admin = AdminServiceClient::new(host.admin.clone());
    let request = RotateKekRequest { tenant: caller.tenant.clone(), role: Role::Client.into() };
    Ok(admin.rotate_kek(request).await?.into_inner().epoch)
}

async fn keks(host: &Host, caller: &Caller) -> Vec<Kek> {
    let mut admin = AdminServiceClient::new(host.admin.clone());
    admin.list_keks(ListKeksRequest { tenant: caller.tenant.clone() }).await.unwrap().into_inner().keks
}

/// State, records and shares of each epoch.
pub(super) async fn standing(host: &Host, caller: &Caller) -> Vec<(KekState, u64, u64)> {
    keks(host, caller).await.iter().map(|kek| (kek.state(), kek.records, kek.shares)).collect()
}

pub(super) fn statement(caller: &Caller, serial: u64, epochs: &[u64], lowest: u64) -> SignedStatement {
    let mut statement = Statement::decode(caller.statement(serial).statement.as_slice()).unwrap();
    let epochs = epochs.iter().map(|epoch| Epoch { epoch: *epoch, ..Default::default() }).collect();
    statement.client = Some(RoleStatement { epochs, lowest_epoch: lowest, ..Default::default() });
    caller.sign(&statement)
}

/// Stores a statement past the API, so that no sweep is woken.
pub(super) async fn store_statement(app: &App, caller: &Caller, signed: &SignedStatement) {
    let key = keys::statement(&tenant(caller));
    let stored = app.store.get(key.clone()).await.unwrap();
    let expect = Expect::unchanged(stored.as_deref());
    app.store.commit(vec![Write { key, expect, put: Some(signed.encode_to_vec()) }]).await.unwrap();
}

pub(super) fn tenant(caller: &Caller) -> TenantId {
    TenantId::from_slice(&caller.tenant).unwrap()
}

pub(super) fn place(caller: &Caller, backup: &str) -> Place {
    let record = RecordId::from_slice(&caller.part("w", backup).record_id).unwrap();
    Place { tenant: tenant(caller), wallet: Name::parse("wallet", "w").unwrap(), role: Role::Client, record }
}

pub(super) async fn back_up(host: &Host, caller: &Caller, backup: &str, client_epoch: u64) -> Result<(), Status> {
    let request = CreateBackupRequest { client_epoch, ..caller.create_backup(backup, "w", backup) };
    BackupServiceClient::new(host.api.clone()).create_backup(caller.says(request)).await.map(drop)
}

pub(super) async fn recover(host: &Host, caller: &Caller, request: &str, backup: &str) -> Result<Vec<u8>, Status> {
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    Ok(recoveries.recover(caller.says(caller.recover(request, "w", backup))).await?.into_inner().client_release)
}

/// The epochs of a record and of its first generation.
async fn lies_under(app: &App, place: &Place) -> (u64, u64) {
    let record = app.record(place).await.unwrap();
    let shares = app.shares(place, &record, 1).await.unwrap();
    assert!(shares.iter().all(|share| share.epoch == record.row.generations[0].epoch));
    (record.sealed.epoch, record.row.generations[0].epoch)
}

async fn retired(host: &Host, caller: &Caller, epoch: u64) {
    let ended = async {
        while !keks(host, caller).await.iter().any(|kek| kek.epoch == epoch && kek.state() == KekState::Retired) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), ended).await.unwrap();
}

#[tokio::test]
async fn a_rotation_waits_for_its_statement_and_retires_the_epoch_before() {
    use KekState::{Current, Retired, Waiting};
    let host = Host::start().await;
    let caller = host.bare_caller(1).await;
    refused(rotate(&host, &caller).await.map(Response::new), Code::FailedPrecondition, "STATE_INVALID");
    assert_eq!(standing(&host, &caller).await, [(Waiting, 0, 0)]);
    let caller = host.caller(2).await;
    for name in ["a", "b", "c"] {
        back_up(&host, &caller, name, 0).await.unwrap();
    }
    assert_eq!(standing(&host, &caller).await, [(Current, 3, 6)]);
    assert_eq!(rotate(&host, &caller).await.unwrap(), 2);
    assert_eq!(standing(&host, &caller).await, [(Current, 3, 6), (Waiting, 0, 0)]);
    refused(rotate(&host, &caller).await.map(Response::new), Code::FailedPrecondition, "STATE_INVALID");
    back_up(&host, &caller, "d", 0).await.unwrap();
    refused(
        back_up(&host, &caller, "e", 2).await.map(Response::new),
        Code::FailedPrecondition,
        "EPOCH_NOT_IN_STATEMENT",
    );

    let mut tenants = TenantServiceClient::new(host.api.clone());
    let put = PutStatementRequest { statement: Some(statement(&caller, 2, &[1, 2], 2)) };
    tenants.put_statement(caller.says(put)).await.unwrap();
    retired(&host, &caller, 1).await;
    assert_eq!(standing(&host, &caller).await, [(Retired, 0, 0), (Current, 4, 8)]);
    let asked = host.core.acts.load(Ordering::Relaxed);
    refused(
        back_up(&host, &caller, "e", 1).await.map(Response::new),
        Code::FailedPrecondition,
        "EPOCH_NOT_IN_STATEMENT",
    );
    assert_eq!(host.core.acts.load(Ordering::Relaxed), asked, "the enclave was not asked");
    back_up(&host, &caller, "e", 2).await.unwrap();
    for name in ["a", "b", "c", "d"] {
        let share = [vec![5; 600], vec![2]].concat();
        assert_eq!(recover(&host, &caller, name.repeat(2).as_str(), name).await.unwrap(), share.repeat(2), "{name}");
    }
    assert_eq!(recover(&host, &caller, "ee", "e").await.unwrap(), vec![5; 1200]);

    let mut admin = AdminServiceClient::new(host.admin.clone());
    let create = |tenant: Vec<u8>, role: Role| CreateKekRequest { tenant, role: role.into() };
    refused(admin.create_kek(create(caller.tenant.clone(), Role::Client)).await, Code::AlreadyExists, "ALREADY_EXISTS");
    let rotate = |tenant: Vec<u8>, role: i32| RotateKekRequest { tenant, role };
    for (request, code, reason) in [
        (rotate(vec![9; 32], 1), Code::NotFound, "NOT_FOUND"),
        (rotate(vec![9; 31], 1), Code::InvalidArgument, "BAD_REQUEST"),
        (rotate(caller.tenant.clone(), 0), Code::InvalidArgument, "BAD_REQUEST"),
        (rotate(caller.tenant.clone(), 2), Code::FailedPrecondition, "STATE_INVALID"),
    ] {
        refused(admin.rotate_kek(request).await, code, reason);
    }
    refused(admin.list_keks(ListKeksRequest { tenant: vec![9; 32] }).await, Code::NotFound, "NOT_FOUND");
}

#[tokio::test]
async fn three_epochs_live_at_once_and_every_call_goes_through() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let app = app(&host).await;
    let all =
        [statement(&caller, 2, &[1, 2], 1), statement(&caller, 3, &[1, 2, 3], 1), statement(&caller, 4, &[1, 2, 3], 3)];
    for name in ["old", "mixed"] {
        back_up(&host, &caller, name, 0).await.unwrap();
    }
    assert_eq!(rotate(&host, &caller).await.unwrap(), 2);
    store_statement(&app, &caller, &all[0]).await;
    // The record alone moves: its shares stay behind.
    app.reseal_record(&place(&caller, "mixed"), &StoredStatement::read(Some(&all[0].encode_to_vec())).unwrap())
        .await
        .unwrap();
    assert_eq!(lies_under(&app, &place(&caller, "mixed")).await, (2, 1));
    back_up(&host, &caller, "middle", 0).await.unwrap();
    assert_eq!(rotate(&host, &caller).await.unwrap(), 3);
    store_statement(&app, &caller, &all[1]).await;
    back_up(&host, &caller, "new", 3).await.unwrap();
    let listed: Vec<_> = keks(&host, &caller).await.iter().map(|kek| (kek.state(), kek.records, kek.shares)).collect();
    let (retiring, current) = (KekState::Retiring, KekState::Current);
    assert_eq!(listed, [(retiring, 1, 4), (retiring, 2, 2), (current, 1, 2)]);

    // A record and its shares under two epochs, neither of which may be sealed to: a third is needed.
    store_statement(&app, &caller, &all[2]).await;
    let rehearse = Action::Rehearse(RehearseAction { generation: 1 });
    let rehearse = RehearseBackupRequest {
        act: Some(act(&caller.intent("w", caller.part("w", "mixed"), rehearse))),
        ..Default::default()
    };
    BackupServiceClient::new(host.api.clone()).rehearse_backup(caller.says(rehearse)).await.unwrap();
    assert_eq!(lies_under(&app, &place(&caller, "mixed")).await, (3, 3), "sealed again first");
    // The record moves with the act, and its shares, which the enclave hands back sealed anew.
    recover(&host, &caller, "r1", "old").await.unwrap();
    assert_eq!(lies_under(&app, &place(&caller, "old")).await, (3, 3));
    let listed: Vec<_> = keks(&host, &caller).await.iter().map(|kek| (kek.records, kek.shares)).collect();
    assert_eq!(listed, [(0, 0), (1, 2), (3, 6)], "and so do the lists of their epochs");
    recover(&host, &caller, "r1-again", "old").await.unwrap();

    // A view over three epochs seals the lowest again, and over two it does not.
    back_up(&host, &caller, "newer", 0).await.unwrap();
    let mut passkeys = PasskeyServiceClient::new(host.api.clone());
    let prepare = || PrepareRequest { wallet: "w".to_owned(), nonce: vec![7; 32] };
    let before = host.core.reseals.load(Ordering::Relaxed);
    passkeys.prepare(caller.says(prepare())).await.unwrap();
    assert_eq!(host.core.reseals.load(Ordering::Relaxed), before, "two epochs fit");
    assert_eq!(sweep::turn(&app, &tenant(&caller)).await.unwrap(), Swept { moved: 1, damaged: 0, left: 0 });
    assert_eq!(standing(&host, &caller).await[2], (KekState::Current, 5, 10));
    assert_eq!(sweep::turn(&app, &tenant(&caller)).await.unwrap(), Swept::default());
}

#[tokio::test]
async fn a_view_of_more_epochs_than_fit_seals_the_lowest_records_again() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let app = app(&host).await;
    back_up(&host, &caller, "one", 0).await.unwrap();
    back_up(&host, &caller, "uno", 0).await.unwrap();
    for (epoch, name) in [(2, "two"), (3, "three")] {
        assert_eq!(rotate(&host, &caller).await.unwrap(), epoch);
        let epochs: Vec<u64> = (1..=epoch).collect();
        store_statement(&app, &caller, &statement(&caller, epoch, &epochs, 1)).await;
        back_up(&host, &caller, name, 0).await.unwrap();
    }
    let mut passkeys = PasskeyServiceClient::new(host.api.clone());
    let prepare = PrepareRequest { wallet: "w".to_owned(), nonce: vec![7; 32] };
    let prepared = passkeys.prepare(caller.says(prepare)).await.unwrap().into_inner();
    let newest = super::core::identity(&caller.tenant, Role::Client, 3);
    assert_eq!(prepared.roles[0].attestation.as_ref().unwrap().identity, newest, "the newest epoch signs");
    for (name, expect) in [("one", (3, 1)), ("uno", (3, 1)), ("two", (2, 2)), ("three", (3, 3))] {
        assert_eq!(lies_under(&app, &place(&caller, name)).await, expect, "{name}");
    }
    assert_eq!(host.core.reseals.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn two_reseals_race_and_a_write_from_before_one_is_refused() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let (one, other) = (app(&host).await, app(&host).await);
    for name in ["a", "b", "c", "d", "e", "f"] {
        back_up(&host, &caller, name, 0).await.unwrap();
    }
    assert_eq!(rotate(&host, &caller).await.unwrap(), 2);
    let signed = statement(&caller, 2, &[1, 2], 1);
    store_statement(&one, &caller, &signed).await;
    let stored = || StoredStatement::read(Some(&signed.encode_to_vec())).unwrap();
    let before: StoredRecord = one.record(&place(&caller, "a")).await.unwrap();

    let whose = tenant(&caller);
    let swept = tokio::join!(sweep::turn(&one, &whose), sweep::turn(&other, &whose));
    let (first, second) = (swept.0.unwrap(), swept.1.unwrap());
    assert_eq!(first.moved + second.moved, 6, "each record moves once: {first:?} {second:?}");
    assert_eq!(standing(&host, &caller).await, [(KekState::Retired, 0, 0), (KekState::Current, 6, 12)]);

    // Version and head are those of before, and yet the row is not.
    let after = one.record(&place(&caller, "a")).await.unwrap();
    assert_eq!((&after.row.receipt, after.sealed.sealed[0]), (&before.row.receipt, before.sealed.sealed[0]));
    let row = RecordRow { record: Some(before.sealed.clone()), ..before.row.clone() };
    let late = listing::writes(&place(&caller, "a"), Some(&before), &row);
    assert!(matches!(one.store.commit(late).await, Err(Error::Conflict(keys::Kind::Record))));
    assert!(matches!(one.shares(&place(&caller, "a"), &before, 1).await, Err(Error::Conflict(keys::Kind::Record))));
    assert_eq!(one.reseal(&place(&caller, "a"), &stored()).await.unwrap().moved, 0);
    assert_eq!(lies_under(&one, &place(&caller, "a")).await, (2, 2));
}

#[tokio::test]
async fn a_sweep_goes_on_where_it_was_cut_off_and_the_counts_hold_at_every_step() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let app = app(&host).await;
    for number in 0..10 {
        back_up(&host, &caller, &format!("b{number}"), 0).await.unwrap();
    }
    assert_eq!(rotate(&host, &caller).await.unwrap(), 2);
    store_statement(&app, &caller, &statement(&caller, 2, &[1, 2], 2)).await;
    for stop in [1, 2, 5, 9] {
        host.core.reseals_max.store(stop, Ordering::Relaxed);
        host.core.reseals.store(usize::try_from(10 - left(&host, &caller).await).unwrap(), Ordering::Relaxed);
        let cut = sweep::turn(&app, &tenant(&caller)).await;
        assert!(matches!(cut, Err(Error::Enclave { .. })), "{cut:?}");
        let moved = stop as u64;
        let expect = [(KekState::Retiring, 10 - moved, 20 - 2 * moved), (KekState::Current, moved, 2 * moved)];
        assert_eq!(standing(&host, &caller).await, expect, "cut off after {stop}");
    }
    host.core.reseals_max.store(0, Ordering::Relaxed);
    assert_eq!(sweep::turn(&app, &tenant(&caller)).await.unwrap(), Swept { moved: 1, damaged: 0, left: 0 });
    assert_eq!(standing(&host, &caller).await, [(KekState::Retired, 0, 0), (KekState::Current, 10, 20)]);
}

async fn left(host: &Host, caller: &Caller) -> u64 {
    standing(host, caller).await[0].1
}

#[tokio::test]
async fn what_is_damaged_stays_and_stops_nothing() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let app = app(&host).await;
    for name in ["good", "broken", "half", "gone", "fine"] {
        back_up(&host, &caller, name, 0).await.unwrap();
    }
    for (backup, pair, put) in
        [("broken", "p1", Some(DAMAGED)), ("half", "p2", None), ("gone", "p1", None), ("gone", "p2", None)]
    {
        let Place { tenant, role, record, .. } = place(&caller, backup);
        let key = keys::share(&tenant, &record, role, 1, &Name::parse("pair", pair).unwrap());
        let stored = app.store.get(key.clone()).await.unwrap().unwrap();
        let row: ShareRow = decode(&stored).unwrap();
        let put = put.map(|sealed| ShareRow { sealed: sealed.to_vec(), ..row }.encode_to_vec());
        app.store.commit(vec![Write { key, expect: Expect::unchanged(Some(&stored)), put }]).await.unwrap();
    }
    assert_eq!(rotate(&host, &caller).await.unwrap(), 2);
    store_statement(&app, &caller, &statement(&caller, 2, &[1, 2], 2)).await;
    // Two move whole; of three the record moves alone.
    assert_eq!(sweep::turn(&app, &tenant(&caller)).await.unwrap(), Swept { moved: 5, damaged: 3, left: 0 });
    assert_eq!(standing(&host, &caller).await, [(KekState::Retiring, 0, 6), (KekState::Current, 5, 4)]);
    assert_eq!(sweep::turn(&app, &tenant(&caller)).await.unwrap(), Swept { moved: 0, damaged: 3, left: 0 });
    for name in ["good", "fine"] {
        recover(&host, &caller, &format!("r-{name}"), name).await.unwrap();
    }
}

pub(super) type Rows = Vec<(Vec<u8>, Vec<u8>)>;

pub(super) fn rows(db: &rusqlite::Connection) -> Rows {
    let mut all = db.prepare("SELECT key, value FROM rows").unwrap();
    all.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

pub(super) fn set_rows(db: &mut rusqlite::Connection, rows: &Rows) {
    let all = db.transaction().unwrap();
    all.execute("DELETE FROM rows", []).unwrap();
    for (key, value) in rows {
        all.execute("INSERT INTO rows (key, value) VALUES (?1, ?2)", rusqlite::params![key, value]).unwrap();
    }
    all.commit().unwrap();
}

#[tokio::test]
async fn an_act_that_a_reseal_overtakes_is_carried_out_all_the_same() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let app = app(&host).await;
    back_up(&host, &caller, "b", 0).await.unwrap();
    assert_eq!(rotate(&host, &caller).await.unwrap(), 2);
    let signed = statement(&caller, 2, &[1, 2], 1);
    store_statement(&app, &caller, &signed).await;
    let mut db = rusqlite::Connection::open(host.dir.path().join("db")).unwrap();
    let before = rows(&db);
    let stored = StoredStatement::read(Some(&signed.encode_to_vec())).unwrap();
    assert_eq!(app.reseal(&place(&caller, "b"), &stored).await.unwrap().moved, 1);
    let after = rows(&db);
    set_rows(&mut db, &before);
    assert_eq!(lies_under(&app, &place(&caller, "b")).await, (1, 1));
    // The same re-seal comes between what the host read and what it writes.
    *host.core.before.lock().unwrap() = Some(Box::new(move || set_rows(&mut db, &after)));
    let share = [vec![5; 600], vec![2]].concat();
    assert_eq!(recover(&host, &caller, "r", "b").await.unwrap(), share.repeat(2), "of the shares as they stand now");
    assert!(host.core.before.lock().unwrap().is_none());
    assert_eq!(lies_under(&app, &place(&caller, "b")).await, (2, 2));
}

#[tokio::test]
async fn a_record_that_came_late_to_an_old_epoch_is_swept_too() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    assert_eq!(rotate(&host, &caller).await.unwrap(), 2);
    let put = PutStatementRequest { statement: Some(statement(&caller, 2, &[1, 2], 1)) };
    TenantServiceClient::new(host.api.clone()).put_statement(caller.says(put)).await.unwrap();
    retired(&host, &caller, 1).await;
    back_up(&host, &caller, "late", 1).await.unwrap();
    retired(&host, &caller, 1).await;
    assert_eq!(standing(&host, &caller).await[1], (KekState::Current, 1, 2));
}
