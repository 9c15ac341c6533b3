//! Rows that are damaged or missing: what stands beside them goes on.

use strongroom_proto::v1::{BackupReason, ListPasskeysRequest, WalletView};

use super::core::epochs::DAMAGED;
use super::rotation::{app, back_up, place, recover, rotate, statement, store_statement, tenant};
use super::*;
use crate::clock::now_ms;
use crate::keys::{self, Key};
use crate::rows::{DueRow, RecordRow, decode};
use crate::services::reseal::sweep::{self, Swept};
use crate::services::{App, due};
use crate::store::{Expect, Write};

/// No protobuf: a length that is longer than what follows.
const NO_MESSAGE: &[u8] = &[0x0a, 0x7f];

/// Puts something else in the place of a row, or takes it away.
async fn spoil(app: &App, key: Key, put: Option<&[u8]>) {
    let stored = app.store.get(key.clone()).await.unwrap();
    let write = Write { key, expect: Expect::unchanged(stored.as_deref()), put: put.map(<[u8]>::to_vec) };
    app.store.commit(vec![write]).await.unwrap();
}

#[tokio::test]
async fn the_sweep_goes_past_rows_that_do_not_parse_or_are_missing() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let app = app(&host).await;
    let whole = ["a", "c", "e", "g"];
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        back_up(&host, &caller, name, 0).await.unwrap();
    }
    spoil(&app, place(&caller, "b").key(), Some(NO_MESSAGE)).await;
    spoil(&app, place(&caller, "d").key(), None).await;
    assert_eq!(rotate(&host, &caller).await.unwrap(), 2);
    store_statement(&app, &caller, &statement(&caller, 2, &[1, 2], 1)).await;
    // In the list itself: a row that is none, before all others, and one whose wallet is none.
    let listed = keys::listed(&tenant(&caller), Role::Client, 1);
    let none = keys::scanned(&listed, [listed.bytes(), &[0]].concat());
    spoil(&app, none.clone(), Some(b"")).await;
    let no_wallet = keys::listed_part(&tenant(&caller), Role::Client, 1, &place(&caller, "f").record, 0);
    let of_generation = keys::listed_part(&tenant(&caller), Role::Client, 1, &place(&caller, "f").record, 1);
    for key in [no_wallet, of_generation] {
        spoil(&app, key, Some(NO_MESSAGE)).await;
    }
    let swept = sweep::turn(&app, &tenant(&caller)).await.unwrap();
    assert_eq!(swept, Swept { moved: whole.len(), damaged: 2, left: 0 });
    assert_eq!(sweep::turn(&app, &tenant(&caller)).await.unwrap(), Swept { moved: 0, damaged: 2, left: 0 });
    for name in whole {
        assert_eq!(app.record(&place(&caller, name)).await.unwrap().sealed.epoch, 2, "{name}");
        recover(&host, &caller, &format!("r-{name}"), name).await.unwrap();
    }
}

/// Puts other sealed bytes into a backup's record, and gives those of before.
async fn reseal_as(app: &App, caller: &Caller, backup: &str, sealed: &[u8]) -> Vec<u8> {
    let key = place(caller, backup).key();
    let mut row: RecordRow = decode(&app.store.get(key.clone()).await.unwrap().unwrap()).unwrap();
    let before = std::mem::replace(&mut row.record.as_mut().unwrap().sealed, sealed.to_vec());
    spoil(app, key, Some(&row.encode_to_vec())).await;
    before
}

/// A place in the queue before an act, and not before an hour is over: the host itself does not come to it.
fn before(due: keys::Due, number: usize) -> keys::Due {
    keys::Due { time_ms: due.time_ms - 1_000 + number as u64, ..due }
}

/// A host whose queue has an act that is due by the clock of its enclave, and `count` rows that come before it, made of its key and row.
async fn crowded(count: usize, make: impl Fn(keys::Due, DueRow, usize) -> Write) -> (Host, Caller, App) {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let app = app(&host).await;
    back_up(&host, &caller, "b", 0).await.unwrap();
    host.core.delay_ms.store(3_600_000, Ordering::Relaxed);
    host.core.clock_ms.store(now_ms(), Ordering::Relaxed);
    calls::usual(&host, &caller, "DeleteBackup", "delete").await.unwrap();
    let (key, row) = app.store.scan(keys::dues(), None, 9).await.unwrap().remove(0);
    let (good, row) = (keys::parse_due(&key).unwrap(), decode::<DueRow>(&row).unwrap());
    for number in 0..count {
        let write = make(good, row.clone(), number);
        app.store.commit(vec![write]).await.unwrap();
    }
    host.core.clock_ms.fetch_add(3_600_000, Ordering::Relaxed);
    (host, caller, app)
}

async fn closed(host: &Host, caller: &Caller, backup: &str) -> bool {
    calls::shown(host, caller, backup).await.state() == BackupState::Closed
}

#[tokio::test]
async fn rows_of_the_queue_that_do_not_parse_keep_nothing_back() {
    let make = |due: keys::Due, row: DueRow, number: usize| {
        let due = before(due, number);
        match number % 2 {
            0 => Write::new(keys::due(&due), NO_MESSAGE.to_vec()),
            _ => {
                Write::new(keys::scanned(&keys::dues(), [keys::due(&due).bytes(), &[0]].concat()), row.encode_to_vec())
            }
        }
    };
    let (host, caller, app) = crowded(100, make).await;
    assert_eq!(due::once(&app, host.core.now_ms()).await.unwrap(), 1);
    assert!(closed(&host, &caller, "b").await);
    assert_eq!(app.store.scan(keys::dues(), None, 999).await.unwrap().len(), 100, "they stay, to be looked at");
}

#[tokio::test]
async fn acts_that_conflict_for_ever_keep_nothing_back_and_are_tried_again_later() {
    /// More than are read at a time.
    const BAD: usize = 40;
    let (host, caller, app) = crowded(0, |_, _, _| panic!("none")).await;
    // A deletion takes its record off the epoch's list, where it does not stand: whatever it does is refused by the store.
    let listed = keys::listed_part(&tenant(&caller), Role::Client, 1, &place(&caller, "b").record, 1);
    spoil(&app, listed, None).await;
    let (key, row) = app.store.scan(keys::dues(), None, 9).await.unwrap().remove(0);
    let bad = keys::parse_due(&key).unwrap();
    for number in 0..BAD {
        app.store.commit(vec![Write::new(keys::due(&before(bad, number)), row.clone())]).await.unwrap();
    }
    back_up(&host, &caller, "good", 0).await.unwrap();
    host.core.delay_ms.store(0, Ordering::Relaxed);
    let act = calls::on(&caller, "good", "go", calls::action("DeleteBackup", &[]));
    calls::send(&host, &caller, "DeleteBackup", "go", Some(act)).await.unwrap();
    let at = host.core.now_ms();
    assert_eq!(due::once(&app, at).await.unwrap(), 1, "the good one, behind all others");
    assert!(closed(&host, &caller, "good").await && !closed(&host, &caller, "b").await);
    // Overtaken twice, each waits. They are one act, of which only one row can wait for the same millisecond.
    let mut last = at;
    for _ in 0..=2 * BAD {
        last += 1;
        due::once(&app, last).await.unwrap();
    }
    let asked = calls::asked(&host);
    assert_eq!(due::once(&app, last).await.unwrap(), 0);
    assert_eq!(calls::asked(&host), asked, "nothing is due");
    let rows = app.store.scan(keys::dues(), None, 999).await.unwrap();
    let waits = rows.iter().map(|(key, row)| (keys::parse_due(key).unwrap().time_ms, decode::<DueRow>(row).unwrap()));
    let waits: Vec<_> = waits.map(|(time, row)| (time >= at + 1_000, row.tries)).collect();
    assert_eq!(waits, vec![(true, 1); BAD + 1]);
}

/// The backups in the view that a device gets, which has its nonce, and in the list of the passkeys.
async fn viewed(host: &Host, caller: &Caller) -> Result<Vec<String>, Status> {
    let mut passkeys = PasskeyServiceClient::new(host.api.clone());
    let prepare = PrepareRequest { wallet: "w".to_owned(), nonce: vec![7; 32] };
    let prepared = passkeys.prepare(caller.says(prepare)).await?.into_inner();
    let view = WalletView::decode(prepared.roles[0].view.as_ref().unwrap().view.as_slice()).unwrap();
    assert_eq!(view.nonce, [7; 32]);
    let mut backups: Vec<String> = view.records.into_iter().map(|record| record.backup).collect();
    backups.sort();
    let list = ListPasskeysRequest { wallet: "w".to_owned() };
    let listed = passkeys.list_passkeys(caller.says(list)).await?.into_inner().passkeys;
    assert_eq!(listed.into_iter().map(|it| it.backup).collect::<Vec<_>>(), backups);
    Ok(backups)
}

#[tokio::test]
async fn a_view_leaves_out_what_does_not_open_and_shows_the_rest() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let app = app(&host).await;
    for name in ["a", "b", "c", "d"] {
        back_up(&host, &caller, name, 0).await.unwrap();
    }
    let before = reseal_as(&app, &caller, "b", DAMAGED).await;
    let refused_views = || host.core.refused_views.load(Ordering::Relaxed);
    assert_eq!(viewed(&host, &caller).await.unwrap(), ["a", "c", "d"]);
    assert_eq!(refused_views(), 2, "the view, and the record alone");
    let reason = async |backup: &str| calls::shown(&host, &caller, backup).await.reason();
    assert_eq!((reason("b").await, reason("a").await), (BackupReason::Suspect, BackupReason::Unspecified));
    assert_eq!(viewed(&host, &caller).await.unwrap(), ["a", "c", "d"]);
    assert_eq!(refused_views(), 2, "remembered");
    // A second one, and one that is no row of its own.
    reseal_as(&app, &caller, "c", DAMAGED).await;
    spoil(&app, place(&caller, "d").key(), Some(NO_MESSAGE)).await;
    assert_eq!(viewed(&host, &caller).await.unwrap(), ["a"]);
    assert_eq!(refused_views(), 4);
    // What was brought back is shown at once.
    reseal_as(&app, &caller, "b", &before).await;
    assert_eq!(viewed(&host, &caller).await.unwrap(), ["a", "b"]);
    assert_eq!((reason("b").await, reason("c").await), (BackupReason::Unspecified, BackupReason::Suspect));
    reseal_as(&app, &caller, "a", DAMAGED).await;
    reseal_as(&app, &caller, "b", DAMAGED).await;
    assert!(viewed(&host, &caller).await.unwrap().is_empty(), "an empty view is signed, too");
}

#[tokio::test]
async fn another_records_bytes_stand_for_no_record() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let app = app(&host).await;
    for name in ["a", "b"] {
        back_up(&host, &caller, name, 0).await.unwrap();
    }
    let other = app.store.get(place(&caller, "a").key()).await.unwrap();
    spoil(&app, place(&caller, "b").key(), other.as_deref()).await;
    assert_eq!(viewed(&host, &caller).await.unwrap(), ["a"]);
}

#[tokio::test]
async fn a_damaged_record_of_an_old_epoch_keeps_no_view_from_being_made() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let app = app(&host).await;
    for name in ["bad", "old"] {
        back_up(&host, &caller, name, 0).await.unwrap();
    }
    reseal_as(&app, &caller, "bad", DAMAGED).await;
    for (epoch, name) in [(2, "two"), (3, "three")] {
        assert_eq!(rotate(&host, &caller).await.unwrap(), epoch);
        let epochs: Vec<u64> = (1..=epoch).collect();
        store_statement(&app, &caller, &statement(&caller, epoch, &epochs, 1)).await;
        back_up(&host, &caller, name, 0).await.unwrap();
    }
    assert_eq!(viewed(&host, &caller).await.unwrap(), ["old", "three", "two"]);
}

#[tokio::test]
async fn what_is_no_records_fault_is_told_and_nothing_is_left_out() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let app = app(&host).await;
    back_up(&host, &caller, "a", 0).await.unwrap();
    assert_eq!(rotate(&host, &caller).await.unwrap(), 2);
    store_statement(&app, &caller, &statement(&caller, 2, &[1, 2], 1)).await;
    // The KEK of the record is gone: the host has read it, another one has not.
    let fresh = rotation::app(&host).await;
    spoil(&app, keys::kek(&tenant(&caller), Role::Client, 1), None).await;
    let message = PrepareRequest { wallet: "w".to_owned(), nonce: vec![7; 32] };
    let missing = crate::services::passkey::prepare(&fresh, tenant(&caller), &message).await;
    assert!(matches!(missing, Err(crate::error::Error::NotFound("epoch"))), "{missing:?}");
}
