//! The sweep: seals again, by and by, whatever still lies under an epoch below the newest that a tenant's statement names.
//!
//! The lists of the epochs are its queue, so that it goes on after any crash where it stood. It pauses between batches, leaves to the
//! next time what another write touched meanwhile, and is not stopped by what is damaged.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{Reason, Role};
use tokio::sync::Notify;

use super::Done;
use crate::error::Error;
use crate::keys;
use crate::services::App;
use crate::services::listing::{self, Place};
use crate::services::load::StoredStatement;
use crate::services::tenant::epochs_of;
use crate::status::reason_name;
use crate::store::SCAN_ROWS_MAX;

/// Most rows of a list in one batch.
const BATCH_ROWS_MAX: usize = 16;
/// How long requests have the enclave and the store to themselves between two batches.
const PAUSE: Duration = Duration::from_millis(5);
/// How long the sweep waits before it comes back to what it could not do.
const AGAIN: Duration = Duration::from_secs(1);
/// Stands for the record itself among damaged generations.
const RECORD: u64 = 0;
/// Most damaged records that are remembered, so that each is logged once.
const DAMAGED_MAX: usize = 4096;

/// Whose records are to be looked at, and what was found damaged.
#[derive(Default)]
pub(crate) struct Sweep {
    tenants: Mutex<BTreeSet<TenantId>>,
    woken: Notify,
    damaged: Mutex<BTreeSet<(Role, [u8; 32])>>,
}

impl Sweep {
    /// Has a tenant's records looked at soon.
    pub(crate) fn wake(&self, tenant: TenantId) {
        self.put_back(BTreeSet::from([tenant]));
        self.woken.notify_one();
    }

    /// Has the records of these tenants looked at in the next round, without having that round begin.
    fn put_back(&self, tenants: BTreeSet<TenantId>) {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).extend(tenants);
    }

    /// Waits until there is something to do: at once where somebody woke the sweep, after a while where something was left.
    async fn rest(&self, left: BTreeSet<TenantId>) {
        if left.is_empty() {
            self.woken.notified().await;
        } else {
            drop(tokio::time::timeout(AGAIN, self.woken.notified()).await);
            self.put_back(left);
        }
    }

    fn next(&self) -> Option<TenantId> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).pop_first()
    }

    /// Whether this is the first time that a record was found damaged.
    fn is_news(&self, place: &Place) -> bool {
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        if damaged.len() >= DAMAGED_MAX {
            damaged.clear();
        }
        damaged.insert((place.role, place.record.0))
    }
}

/// What a sweep of one tenant came to.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Swept {
    /// Commits made.
    pub(crate) moved: usize,
    /// Records that are damaged, or of which a generation is.
    pub(crate) damaged: usize,
    /// Records that another write touched meanwhile, and those of a tenant whose turn was cut short.
    pub(crate) left: usize,
}

/// Runs until it is dropped. At start every tenant has its turn.
pub(crate) async fn run(app: Arc<App>) {
    while let Err(error) = wake_all(&app).await {
        tracing::warn!(name: "sweep cannot start yet", error = %error);
        tokio::time::sleep(AGAIN).await;
    }
    loop {
        let mut again = BTreeSet::new();
        while let Some(tenant) = app.sweep.next() {
            match turn(&app, &tenant).await {
                Ok(swept) if swept.left == 0 => {}
                Ok(_) => drop(again.insert(tenant)),
                Err(error) => {
                    let reason = reason_name(error.reason());
                    tracing::debug!(name: "sweep is interrupted", tenant = %tenant, reason);
                    again.insert(tenant);
                }
            }
        }
        app.sweep.rest(again).await;
    }
}

impl App {
    /// Has the sweep look again where a record came to an epoch that a statement has outdated meanwhile: the sweep that this
    /// statement woke may have ended before the record was there.
    pub(in crate::services) async fn came_late(&self, tenant: &TenantId, epochs: &[(Role, u64)]) {
        let statement = async { StoredStatement::read(self.store.get(keys::statement(tenant)).await?.as_deref()) };
        // What cannot be read now is read by the next sweep.
        let Ok(statement) = statement.await else { return };
        if epochs.iter().any(|(role, epoch)| statement.newest_epoch(*role).is_some_and(|newest| *epoch < newest)) {
            self.sweep.wake(*tenant);
        }
    }
}

async fn wake_all(app: &App) -> Result<(), Error> {
    let (prefix, mut after) = (keys::tenants(), None);
    loop {
        let rows = app.store.scan(prefix.clone(), after.take(), SCAN_ROWS_MAX).await?;
        for (key, _) in &rows {
            let id = keys::last_id(&prefix, key).ok_or(Error::Internal("a tenant's key does not parse"))?;
            app.sweep.wake(TenantId(id));
            after = Some(keys::tenant(&TenantId(id)));
        }
        if rows.len() < SCAN_ROWS_MAX {
            return Ok(());
        }
    }
}

/// Looks at everything of a tenant once.
pub(crate) async fn turn(app: &App, tenant: &TenantId) -> Result<Swept, Error> {
    let mut swept = Swept::default();
    let Some(row) = app.store.get(keys::statement(tenant)).await? else { return Ok(swept) };
    let statement = StoredStatement::read(Some(&row))?;
    for role in app.roles() {
        let Some(newest) = statement.newest_epoch(role) else { continue };
        for (epoch, _) in epochs_of(app, tenant, role).await? {
            if epoch < newest {
                sweep_epoch(app, &statement, (tenant, role, epoch), &mut swept).await?;
            }
        }
    }
    if swept != Swept::default() {
        let Swept { moved, damaged, left } = swept;
        tracing::info!(name: "swept", tenant = %tenant, moved, damaged, left);
    }
    Ok(swept)
}

async fn sweep_epoch(
    app: &App,
    statement: &StoredStatement,
    list: (&TenantId, Role, u64),
    swept: &mut Swept,
) -> Result<(), Error> {
    let mut after = None;
    loop {
        let page = listing::page(&*app.store, list, after.take(), BATCH_ROWS_MAX).await?;
        for place in &page.places {
            match app.reseal(place, statement).await {
                Ok(done) => note(app, place, &done, swept),
                Err(Error::Conflict(_)) => swept.left += 1,
                Err(error) if stops_all(&error) => return Err(error),
                // A row that is missing or unreadable stops itself alone.
                Err(_) => note(app, place, &Done { damaged: BTreeSet::from([RECORD]), ..Done::default() }, swept),
            }
        }
        let Some(next) = page.next else { return Ok(()) };
        after = Some(next);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether the next record would fail alike: for want of an enclave, of KMS or of the store.
fn stops_all(error: &Error) -> bool {
    matches!(
        error.reason(),
        Reason::EnclaveUnavailable
            | Reason::KmsUnavailable
            | Reason::KmsThrottled
            | Reason::StoreUnavailable
            | Reason::Overloaded
            | Reason::RateLimited
    )
}

fn note(app: &App, place: &Place, done: &Done, swept: &mut Swept) {
    swept.moved += done.moved;
    if done.damaged.is_empty() {
        return;
    }
    swept.damaged += 1;
    if app.sweep.is_news(place) {
        let generations = done.damaged.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let (tenant, role, record) = (place.tenant, place.role, place.record);
        tracing::warn!(name: "damaged, and left as it is", %tenant, ?role, %record, generations);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_over(rest: impl Future<Output = ()>) -> bool {
        tokio::select! {
            biased;
            () = rest => true,
            () = tokio::task::yield_now() => false,
        }
    }

    /// Else a sweep that cannot go on, for want of an enclave, would leave no time to those who connect one.
    #[tokio::test]
    async fn what_was_left_is_not_taken_up_again_at_once() {
        let (sweep, tenant) = (Sweep::default(), TenantId([7; 32]));
        sweep.wake(tenant);
        assert!(is_over(sweep.rest(BTreeSet::new())).await, "woken");
        for _ in 0..3 {
            assert_eq!(sweep.next(), Some(tenant));
            assert!(!is_over(sweep.rest(BTreeSet::from([tenant]))).await, "nobody woke it");
            sweep.put_back(BTreeSet::from([tenant]));
        }
        sweep.wake(tenant);
        assert!(is_over(sweep.rest(BTreeSet::from([tenant]))).await, "woken");
        assert_eq!(sweep.next(), Some(tenant), "and nothing is forgotten");
    }
}
