//! Rows that are damaged or missing: what stands beside them goes on.

use super::rotation::{app, back_up, place, recover, rotate, statement, store_statement, tenant};
use super::*;
use crate::keys::{self, Key};
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
