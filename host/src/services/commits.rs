//! Commits what was put in both roles and waits for a `CommitBackup` that nobody sends, and finishes commits that were cut off.
//!
//! The rows are the queue, as that of the acts that are due: written with the put, so that it survives a restart, any host may work on it,
//! and nobody looks through all wallets. A row whose generation was committed or replaced meanwhile is found stale and deleted when its
//! time comes. No row keeps back those behind it.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use strongroom_proto::v1::{GenerationRef, Role};

use super::act::commit;
use super::books::Books;
use super::listing::Place;
use super::load;
use super::{App, due};
use crate::clock::now_ms;
use crate::error::Error;
use crate::keys::{self, Name, Uncommitted};
use crate::rows::{RecordRow, UncommittedRow, decode};
use crate::status::reason_name;
use crate::store::{Expect, Write};

/// How long a put waits for its `CommitBackup` before the host commits it: an app that still runs has called by then.
pub(super) const WAIT_MS_MAX: u64 = 3 * 60 * 1000;
/// How often the queue is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Longest pause where an enclave or the store do not answer.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// Most rows read at a time.
const BATCH_MAX: usize = 32;
/// Shortest and longest wait before a commit is tried again, in milliseconds.
const AGAIN_MS: std::ops::RangeInclusive<u64> = 1_000..=3_600_000;
/// Most times that a commit is tried, about four days of them: afterwards only a call commits.
pub(super) const TRIES_MAX: u32 = 100;

/// The row that has a generation committed which waits in both roles.
pub(super) fn waiting(place: &Place, generation: u64) -> Write {
    let time_ms = now_ms().saturating_add(WAIT_MS_MAX);
    let key = Uncommitted { time_ms, tenant: place.tenant, record: place.record, generation };
    let row = UncommittedRow { wallet: place.wallet.as_str().to_owned(), tries: 0 };
    Write::new(keys::uncommitted_generation(&key), row.encode_to_vec())
}

/// Which generations are to be committed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Which {
    /// Those whose time has come.
    Due,
    /// Those, too, that one of the roles has committed already: what was cut off is finished at once.
    DueOrHalfDone,
}

/// Commits what waits until it is dropped.
pub(crate) async fn run(app: Arc<App>) {
    let (mut pause, mut which, mut broken) = (LOOK_EVERY, Which::DueOrHalfDone, 0);
    loop {
        pause = match once(&app, now_ms(), which, &mut broken).await {
            Ok(_) => {
                which = Which::Due;
                LOOK_EVERY
            }
            Err(error) => {
                tracing::warn!(name: "generations not committed", error = %error);
                pause.saturating_mul(2).min(PAUSE_MAX)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Looks at the queue once, the oldest rows first, and says how many it settled. An error ends the look: the next commit would fail alike.
/// `broken` is how many rows did not parse at the look before, and becomes how many do not now: said where it changes.
pub(super) async fn once(app: &App, now_ms: u64, which: Which, broken: &mut usize) -> Result<usize, Error> {
    let (mut settled, mut unread, mut after) = (0_usize, 0_usize, None);
    'look: loop {
        let rows = app.store.scan(keys::uncommitted(), after.take(), BATCH_MAX).await?;
        let full = rows.len() >= BATCH_MAX;
        for (key, value) in rows {
            after = Some(keys::scanned(&keys::uncommitted(), key.clone()));
            let (Some(it), Ok(row)) = (keys::parse_uncommitted(&key), decode::<UncommittedRow>(&value)) else {
                unread = unread.saturating_add(1);
                continue;
            };
            if it.time_ms > now_ms && which == Which::Due {
                break 'look;
            }
            let found =
                Write { key: keys::uncommitted_generation(&it), expect: Expect::unchanged(Some(&value)), put: None };
            if attempt(app, &it, row, found, now_ms).await? {
                settled = settled.saturating_add(1);
            }
        }
        if !full {
            break;
        }
    }
    if std::mem::replace(broken, unread) != unread {
        tracing::error!(name: "rows of generations to commit that do not parse", count = unread, error = "row");
    }
    Ok(settled)
}

/// Where a generation stands.
#[derive(Debug, Eq, PartialEq)]
enum Standing {
    /// In both roles it waits.
    Waits,
    /// The custodian has committed it, and the client has not.
    HalfDone,
    /// It waits no more: committed, replaced or deleted.
    Over,
}

/// Tries one generation, and says whether its row was settled.
async fn attempt(app: &App, it: &Uncommitted, row: UncommittedRow, found: Write, now_ms: u64) -> Result<bool, Error> {
    let result = match standing(app, it, &row).await {
        Ok(Standing::Waits) if it.time_ms > now_ms => return Ok(false),
        Ok(Standing::Waits | Standing::HalfDone) => {
            let wallet = Name::parse("wallet", &row.wallet)?;
            commit::commit(app, it.tenant, &wallet, it.record).await.map(drop)
        }
        Ok(Standing::Over) => Ok(()),
        Err(error) => Err(error),
    };
    let again = match result {
        Ok(()) => None,
        Err(error) if due::stops(error.cause()) => return Err(error),
        Err(error) => {
            let (reason, tries) = (reason_name(error.reason()), row.tries);
            tracing::warn!(name: "commit refused", tenant = %it.tenant, record = %it.record, reason, tries);
            again(it, row, now_ms)
        }
    };
    match app.store.commit([found].into_iter().chain(again).collect()).await {
        Ok(()) => Ok(true),
        // Another host has settled it.
        Err(Error::Conflict(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where a generation stands by the receipts of both roles.
async fn standing(app: &App, it: &Uncommitted, row: &UncommittedRow) -> Result<Standing, Error> {
    let wallet = Name::parse("wallet", &row.wallet)?;
    let place = |role| Place { tenant: it.tenant, wallet: wallet.clone(), role, record: it.record };
    let keys = [place(Role::Client).key(), place(Role::Custodian).key(), keys::books(&it.tenant, &it.record)];
    let rows = app.store.get_all(keys.into()).await?;
    let [Some(client), Some(custodian), books] = rows.as_slice() else { return Ok(Standing::Over) };
    let books = Books::read(&it.tenant, &it.record, books.as_deref())?;
    let (client, custodian): (RecordRow, RecordRow) = (decode(client)?, decode(custodian)?);
    // Deleted in one of the roles, nothing opens in both any more.
    if client.closed || custodian.closed {
        return Ok(Standing::Over);
    }
    let (client, custodian) = (load::receipt(client.receipt.as_ref())?, load::receipt(custodian.receipt.as_ref())?);
    let is = |named: Option<GenerationRef>| named.is_some_and(|named| named.generation == it.generation);
    Ok(match (is(client.pending), is(custodian.active)) {
        (false, _) => Standing::Over,
        (true, true) => Standing::HalfDone,
        // Given up, or not whole: then the report of its last part queues it anew.
        (true, false) if books.check_commit(it.generation).is_err() => Standing::Over,
        (true, false) => Standing::Waits,
    })
}

/// When it is tried again: after a growing wait, and not without end.
fn again(it: &Uncommitted, row: UncommittedRow, now_ms: u64) -> Option<Write> {
    let wait_ms = AGAIN_MS.start().saturating_mul(1 << row.tries.min(16)).min(*AGAIN_MS.end());
    let later = Uncommitted { time_ms: now_ms.saturating_add(wait_ms), ..*it };
    let row = UncommittedRow { tries: row.tries.saturating_add(1), ..row };
    let write = || Write::new(keys::uncommitted_generation(&later), row.encode_to_vec());
    (row.tries < TRIES_MAX).then(write)
}
