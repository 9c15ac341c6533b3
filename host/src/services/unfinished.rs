//! Gives up generations of which a part is missing for too long, so that none waits for ever for a report that does not come.
//!
//! The rows are the queue, as that of the commits: written when a part is missing, so that it survives a restart, any host may work on it,
//! and nobody looks through all wallets. A row whose generation has all its parts meanwhile is found stale and deleted when its time
//! comes. No row keeps back those behind it. It changes the host's books only.

use std::sync::Arc;
use std::time::Duration;

use strongroom_proto::v1::BackupReason;

use super::books::{Stored, UNFINISHED_MS_MAX};
use super::{App, begin, due};
use crate::clock::now_ms;
use crate::error::Error;
use crate::keys::{self, Uncommitted};
use crate::rows::{GenerationBook, UnfinishedRow, decode};
use crate::status::reason_name;
use crate::store::{Expect, Write};

/// How often the queue is looked at.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Most rows read at a time.
const BATCH_MAX: usize = 32;

/// Gives up what is not finished until it is dropped.
pub(crate) async fn run(app: Arc<App>) {
    let mut broken = 0;
    loop {
        if let Err(error) = once(&app, now_ms(), &mut broken).await {
            tracing::warn!(name: "unfinished generations not given up", error = %error);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Looks at the queue once, the oldest rows first, and says how many it settled. An error ends the look: the next row would fail alike.
/// `broken` is how many rows could not be settled at the look before, and becomes how many cannot now: said where it changes.
pub(super) async fn once(app: &App, now_ms: u64, broken: &mut usize) -> Result<usize, Error> {
    let (mut settled, mut left, mut after) = (0_usize, 0_usize, None);
    'look: loop {
        let rows = app.store.scan(keys::unfinished(), after.take(), BATCH_MAX).await?;
        let full = rows.len() >= BATCH_MAX;
        for (key, value) in rows {
            after = Some(keys::scanned(&keys::unfinished(), key.clone()));
            let (Some(it), Ok(row)) = (keys::parse_unfinished(&key), decode::<UnfinishedRow>(&value)) else {
                left = left.saturating_add(1);
                continue;
            };
            if it.time_ms > now_ms {
                break 'look;
            }
            let found =
                Write { key: keys::unfinished_generation(&it), expect: Expect::unchanged(Some(&value)), put: None };
            match begin(|| attempt(app, &it, &row, &found, now_ms)).await {
                Ok(()) => settled = settled.saturating_add(1),
                // Another host settles it, or the next look.
                Err(Error::Conflict(_)) => {}
                Err(error) if due::stops(&error) => return Err(error),
                Err(error) => {
                    left = left.saturating_add(1);
                    let reason = reason_name(error.reason());
                    tracing::debug!(name: "unfinished generation left", tenant = %it.tenant, record = %it.record, reason);
                }
            }
        }
        if !full {
            break;
        }
    }
    if std::mem::replace(broken, left) != left {
        tracing::error!(name: "rows of unfinished generations that cannot be settled", count = left, error = "row");
    }
    Ok(settled)
}

/// Gives up one generation, or finds that it is finished.
async fn attempt(app: &App, it: &Uncommitted, row: &UnfinishedRow, found: &Write, now_ms: u64) -> Result<(), Error> {
    let stored = match Stored::find(app, &it.tenant, &row.wallet, &row.backup).await {
        Ok(stored) => Some(stored),
        Err(Error::NotFound(_)) => None,
        Err(error) => return Err(error),
    };
    // What is missing since a later time has a row of its own.
    let is_late = |book: &GenerationBook| {
        !book.missing.is_empty() && book.missing_since_ms.saturating_add(UNFINISHED_MS_MAX) <= now_ms
    };
    let Some(stored) = stored else {
        return app.store.commit(vec![found.clone()]).await;
    };
    match stored.open_generation(it.generation) {
        Ok(book) if is_late(&book) => {
            let book = GenerationBook { closed: BackupReason::Expired.into(), ..book };
            stored.change(app, book, vec![found.clone()]).await.map(drop)
        }
        Ok(_) | Err(Error::NotFound(_) | Error::State(_)) => app.store.commit(vec![found.clone()]).await,
        Err(error) => Err(error),
    }
}
