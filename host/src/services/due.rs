//! Carries out policy changes, passkey removals and deletions when they are due by the host's clock; the enclave decides by its own.
//!
//! The rows are the queue, so that it survives a restart and any host may work on it. One act at a time. Recoveries are released only
//! when somebody asks, because they take a recipient's key. A row whose act was cancelled or carried out otherwise is found stale and
//! deleted when its time comes. No row keeps back those behind it: one that does not parse stays where it is, one that fails is tried
//! again later.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost::Message;
use strongroom_proto::v1::{OpenActKind, Reason};

use super::App;
use super::act::carry_out;
use super::listing::Place;
use crate::clock::now_ms;
use crate::error::Error;
use crate::keys::{self, Due, Name};
use crate::rows::{DueRow, decode};
use crate::status::reason_name;
use crate::store::{Expect, Write};

/// How often the queue is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest pause where enclave or store do not answer.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// Most rows read at a time.
const BATCH_MAX: usize = 32;
/// Most rows remembered whose act another write overtook.
const OVERTAKEN_MAX: usize = 4096;
/// Shortest and longest wait before an act is tried again, in milliseconds.
const AGAIN_MS: std::ops::RangeInclusive<u64> = 1_000..=3_600_000;

/// What one look at the queue leaves for the next.
#[derive(Default)]
pub(crate) struct Queue {
    /// Rows whose act another write overtook at the last look, by their keys.
    overtaken: Mutex<BTreeSet<Vec<u8>>>,
    /// How many rows did not parse at the last look.
    broken: Mutex<usize>,
}

impl Queue {
    /// Whether an act that was overtaken was so at the last look, too: then it may be so for ever, as where a row that it goes with is
    /// gone.
    fn overtaken_again(&self, key: &[u8]) -> bool {
        let mut overtaken = self.overtaken.lock().unwrap_or_else(PoisonError::into_inner);
        if overtaken.remove(key) {
            return true;
        }
        if overtaken.len() >= OVERTAKEN_MAX {
            overtaken.clear();
        }
        overtaken.insert(key.to_vec());
        false
    }

    /// Says how many rows do not parse, where they are not as many as before.
    fn note_broken(&self, count: usize) {
        let before = std::mem::replace(&mut *self.broken.lock().unwrap_or_else(PoisonError::into_inner), count);
        if count != before {
            tracing::error!(name: "due acts' rows that do not parse", count, error = "row");
        }
    }
}

/// Carries out what is due until it is dropped.
pub(crate) async fn run(app: Arc<App>) {
    let mut pause = LOOK_EVERY;
    loop {
        pause = match once(&app, now_ms()).await {
            Ok(_) => LOOK_EVERY,
            Err(error) => {
                tracing::warn!(name: "due acts not carried out", error = %error);
                pause.saturating_mul(2).min(PAUSE_MAX)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Tries everything that is due at `now_ms`, the oldest first, and says how many rows it settled. An error ends the look: the next act
/// would fail alike.
pub(super) async fn once(app: &App, now_ms: u64) -> Result<usize, Error> {
    let (mut settled, mut broken, mut after) = (0_usize, 0_usize, None);
    'look: loop {
        let rows = app.store.scan(keys::dues(), after.take(), BATCH_MAX).await?;
        let full = rows.len() >= BATCH_MAX;
        for (key, value) in rows {
            after = Some(keys::scanned(&keys::dues(), key.clone()));
            let (Some(due), Ok(row)) = (keys::parse_due(&key), decode::<DueRow>(&value)) else {
                broken = broken.saturating_add(1);
                continue;
            };
            if due.time_ms > now_ms {
                break 'look;
            }
            let found = Write { key: keys::due(&due), expect: Expect::unchanged(Some(&value)), put: None };
            if attempt(app, &due, row, found, now_ms).await? {
                settled = settled.saturating_add(1);
            }
        }
        if !full {
            break;
        }
    }
    app.due.note_broken(broken);
    Ok(settled)
}

/// Tries one act, and says whether its row was settled; it was not where somebody else changed record or row meanwhile.
async fn attempt(app: &App, due: &Due, row: DueRow, found: Write, now_ms: u64) -> Result<bool, Error> {
    let error = match carry_out(app, due, &row).await {
        Ok(more) => {
            let writes = [found.clone()].into_iter().chain(more.into_iter().flatten()).collect();
            match app.store.commit(writes).await {
                Ok(()) => return Ok(true),
                Err(Error::Conflict(_)) if !app.due.overtaken_again(found.key.bytes()) => return Ok(false),
                Err(error) => error,
            }
        }
        Err(error) => error,
    };
    if stops(&error) {
        return Err(error);
    }
    let reason = reason_name(error.reason());
    tracing::info!(name: "due act refused", tenant = %due.tenant, role = ?due.role, record = %due.record, reason);
    match app.store.commit([found].into_iter().chain(again(due, row, &error, now_ms)).collect()).await {
        Ok(()) => Ok(true),
        Err(Error::Conflict(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the enclave did, as rows; `None` where the act waits no more.
async fn carry_out(app: &App, due: &Due, row: &DueRow) -> Result<Option<Vec<Write>>, Error> {
    let kind = OpenActKind::try_from(due.kind).map_err(|_| Error::Internal("a due act of an unknown kind"))?;
    let wallet = Name::parse("wallet", &row.wallet)?;
    let place = Place { tenant: due.tenant, wallet, role: due.role, record: due.record };
    Ok(carry_out::due(app, place, kind, &due.intent).await?.map(|outcome| outcome.writes))
}

/// Whether an error says nothing of the act itself.
pub(super) fn stops(error: &Error) -> bool {
    matches!(error, Error::EnclaveUnavailable(_) | Error::StoreUnavailable(_) | Error::Overloaded(_))
}

/// When it is tried again: when it is due by the enclave's time, or after a growing wait; never where it has expired. What asks for the
/// tenant's second signature (`POLICY_DENIED`) so waits until the tenant calls, or until it expires.
fn again(due: &Due, row: DueRow, error: &Error, now_ms: u64) -> Option<Write> {
    let wait_ms = match error {
        Error::Enclave { reason: Reason::RecoveryDelayed, retry_after_ms, .. } => {
            u64::from(*retry_after_ms).max(*AGAIN_MS.start())
        }
        _ if now_ms >= row.expires_ms => return None,
        Error::Enclave { reason: Reason::PolicyDenied, .. } => *AGAIN_MS.end(),
        _ => AGAIN_MS.start().saturating_mul(1 << row.tries.min(16)).min(*AGAIN_MS.end()),
    };
    let later = Due { time_ms: now_ms.saturating_add(wait_ms), ..*due };
    let row = DueRow { tries: row.tries.saturating_add(1), ..row };
    Some(Write::new(keys::due(&later), row.encode_to_vec()))
}
