//! Rows that are damaged or missing: what stands beside them goes on.

use strongroom_proto::v1::{ListPasskeysRequest, WalletView};

use super::core::epochs::DAMAGED;
use super::rotation::{app, back_up, place, recover, rotate, statement, store_statement, tenant};
use super::*;
use crate::keys::{self, Key};
use crate::rows::{RecordRow, decode};
use crate::services::App;
use crate::services::reseal::sweep::{self, Swept};
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
