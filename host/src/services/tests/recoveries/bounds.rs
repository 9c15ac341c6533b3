//! How many recoveries are kept, and what a damaged or crowded book does to a release: nothing.

use strongroom_proto::id::TenantId;

use super::*;
use crate::keys::{self, Name};
use crate::rows::{RecoveryPart, RecoveryPlaceRow, RecoveryRow};
use crate::services::App;
use crate::services::recoveries::RECOVERIES_MAX;
use crate::store::{Expect, Write};

fn ids(caller: &Caller) -> (TenantId, Name) {
    (TenantId::from_slice(&caller.tenant).unwrap(), Name::parse("wallet", "w").unwrap())
}

/// Writes recoveries with these ordinals, each in a state of its own.
async fn fill(
    app: &App,
    caller: &Caller,
    ordinals: std::ops::RangeInclusive<u64>,
    state: impl Fn(u64) -> RecoveryPart,
) {
    let (tenant, wallet) = ids(caller);
    let mut writes = Vec::new();
    for ordinal in ordinals {
        let id = hash_of(ordinal);
        let row = RecoveryRow { backup: "b".to_owned(), parts: vec![state(ordinal)], ..RecoveryRow::default() };
        let place = RecoveryPlaceRow { recovery: id.to_vec() };
        writes.push(Write::new(keys::recovery(&tenant, &wallet, &id), row.encode_to_vec()));
        writes.push(Write::new(keys::recovery_place(&tenant, &wallet, ordinal), place.encode_to_vec()));
        if writes.len() >= 60 {
            app.store.commit(std::mem::take(&mut writes)).await.unwrap();
        }
    }
    app.store.commit(writes).await.unwrap();
}

fn hash_of(ordinal: u64) -> [u8; 32] {
    strongroom_proto::id::sha256(&[&ordinal.to_be_bytes()])
}

fn over() -> RecoveryPart {
    RecoveryPart { role: 1, state: RecoveryState::Released.into(), ..RecoveryPart::default() }
}

fn waiting(expires_ms: u64) -> RecoveryPart {
    RecoveryPart { role: 1, state: RecoveryState::Delayed.into(), expires_ms, ..RecoveryPart::default() }
}

async fn all(app: &App, caller: &Caller) -> (u64, u64) {
    let (tenant, wallet) = ids(caller);
    let mut counts = Vec::new();
    for prefix in [keys::recoveries(&tenant, &wallet), keys::recovery_places(&tenant, &wallet)] {
        let rows = app.store.scan(prefix.clone(), None, 1024).await.unwrap();
        let after = rows.last().map(|(key, _)| keys::scanned(&prefix, key.clone()));
        let rest = if rows.len() < 1024 { 0 } else { app.store.scan(prefix, after, 1024).await.unwrap().len() };
        counts.push((rows.len() + rest) as u64);
    }
    (counts[0], counts[1])
}

#[tokio::test]
async fn the_oldest_that_ended_make_room_and_none_that_waits() {
    let (host, caller) = host_of_both().await;
    let app = app(&host).await;
    let state = |ordinal| match ordinal {
        1 => waiting(u64::MAX),
        3 => waiting(1),
        _ => over(),
    };
    fill(&app, &caller, 1..=RECOVERIES_MAX - 1, state).await;
    let expect = |count: u64| (count, count);
    let recover = async |id: &str| sent(&host, &caller, BOTH, "Recover", id, action("Recover", &[])).await;
    recover("r1").await;
    assert_eq!(all(&app, &caller).await, expect(RECOVERIES_MAX), "room for one more");
    let there = async |ordinal: u64| get(&host, &caller, &hash_of(ordinal)).await.is_ok();
    // The first waits and stays, beyond the limit; from then on each new one takes the place of the oldest that ended.
    recover("r2").await;
    assert_eq!((all(&app, &caller).await, there(1).await), (expect(RECOVERIES_MAX + 1), true));
    recover("r3").await;
    assert_eq!((there(1).await, there(2).await, there(3).await), (true, false, true));
    recover("r4").await;
    assert_eq!((there(1).await, there(3).await, there(4).await), (true, false, true), "what expired waits no more");
    assert_eq!(all(&app, &caller).await, expect(RECOVERIES_MAX + 1));
    // Once it has ended it goes.
    let (tenant, wallet) = ids(&caller);
    let key = keys::recovery(&tenant, &wallet, &hash_of(1));
    let stored = app.store.get(key.clone()).await.unwrap();
    let row = RecoveryRow { parts: vec![over()], ..RecoveryRow::default() };
    let write = Write { key, expect: Expect::unchanged(stored.as_deref()), put: Some(row.encode_to_vec()) };
    app.store.commit(vec![write]).await.unwrap();
    recover("r5").await;
    assert_eq!((all(&app, &caller).await, there(1).await), (expect(RECOVERIES_MAX), false));
}

#[tokio::test]
async fn recoveries_of_several_backups_at_once_each_have_a_place() {
    let (host, caller) = host_of_both().await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..12 {
        let backup = format!("b{number}");
        super::super::both::make(&host, &caller, BOTH, &backup).await;
        let act = act_in(&caller, BOTH, BOTH, &backup, "n", action("Recover", &[]));
        let request = strongroom_proto::v1::RecoverRequest {
            request_id: backup,
            act: Some(act),
            client_recipient_key: vec![0; 1216],
            custodian_recipient_key: vec![0; 1216],
            ..Default::default()
        };
        let (mut recoveries, request) = (RecoveryServiceClient::new(host.api.clone()), caller.says(request));
        calls.spawn(async move { recoveries.recover(request).await.map(drop) });
    }
    for result in calls.join_all().await {
        result.unwrap();
    }
    assert_eq!(all(&app(&host).await, &caller).await, (12, 12));
    let mut backups: Vec<String> =
        list(&host, &caller, 0, "").await.unwrap().0.into_iter().map(|it| it.backup).collect();
    backups.sort();
    backups.dedup();
    assert_eq!(backups.len(), 12);
}

#[tokio::test]
async fn damaged_and_lying_books_keep_nothing_from_being_released() {
    let (tenant_wallet, write) =
        (ids, |key, stored: Option<&[u8]>, put: Option<Vec<u8>>| Write { key, expect: Expect::unchanged(stored), put });
    let lie = RecoveryPart { role: 1, state: RecoveryState::Denied.into(), ..RecoveryPart::default() };
    let lie = RecoveryRow { backup: "x".to_owned(), parts: vec![lie], ..RecoveryRow::default() }.encode_to_vec();
    for (what, put) in [("gone", None), ("damaged", Some(vec![0xff; 9])), ("a lie", Some(lie))] {
        let (host, caller) = host_that_waits(0).await;
        let recovery = start(&host, &caller, BOTH).await;
        let app = app(&host).await;
        let (tenant, wallet) = tenant_wallet(&caller);
        let key = keys::recovery(&tenant, &wallet, recovery.as_slice().try_into().unwrap());
        let stored = app.store.get(key.clone()).await.unwrap();
        app.store.commit(vec![write(key, stored.as_deref(), put)]).await.unwrap();
        set(&host, |core| &core.clock_ms, now_ms() + HOUR_MS);
        released(&host, &caller, "r", &recovery, BOTH).await.unwrap();
        let shown = get(&host, &caller, &recovery).await.unwrap().into_inner();
        assert_eq!((shown.state(), shown.roles), (RecoveryState::Released, numbers(BOTH)), "{what}");
    }
}

#[tokio::test]
async fn what_the_books_do_not_know_is_cancelled_all_the_same() {
    let (host, caller) = host_that_waits(0).await;
    let recovery = start(&host, &caller, BOTH).await;
    let app = app(&host).await;
    let (tenant, wallet) = ids(&caller);
    let key = keys::recovery(&tenant, &wallet, recovery.as_slice().try_into().unwrap());
    let stored = app.store.get(key.clone()).await.unwrap();
    app.store.commit(vec![Write { key, expect: Expect::unchanged(stored.as_deref()), put: None }]).await.unwrap();
    cancel(&host, &caller, &recovery, BOTH, false).await;
    refused(get(&host, &caller, &recovery).await, Code::NotFound, "NOT_FOUND");
    let late = released(&host, &caller, "r", &recovery, BOTH).await.map(Response::new);
    refused(late, Code::NotFound, "NOT_FOUND");
}
