//! The commit of a generation that waits in both roles: the custodian first, each on the other's receipt.
//!
//! Two steps and two commits of the store, so that what stops between them leaves a state from which the same two steps go on: a role in
//! which the generation is in force already answers a receipt that moves nothing, and nothing of it is stored.

use strongroom_proto::id::{RecordId, TenantId};
use strongroom_proto::v1::{Role, SignedReceipt};

use super::{Order, Part, Work, ask, settle};
use crate::error::Error;
use crate::keys::{self, Name};
use crate::rows::decode;
use crate::services::books::Books;
use crate::services::listing::Place;
use crate::services::load::{self, StoredRecord, StoredStatement};
use crate::services::{App, begin, roles};
use crate::store::Write;

const NOTHING: Error = Error::State("nothing waits for a commit, and nothing was committed");

/// Commits in both roles, and gives the custodian's receipt and the client's.
///
/// # Errors
/// `STATE_INVALID` where nothing waits and nothing was committed.
pub(in crate::services) async fn commit(
    app: &App,
    tenant: TenantId,
    wallet: &Name,
    record: RecordId,
) -> Result<[SignedReceipt; 2], Error> {
    let place = |role| Place { tenant, wallet: wallet.clone(), role, record };
    let put = put_receipt(app, &place(Role::Client)).await?;
    let custodian = step(app, place(Role::Custodian), put).await?;
    let client = step(app, place(Role::Client), custodian.clone()).await?;
    Ok([custodian, client])
}

/// The client's receipt that names the generation as the one that waits. While it does the newest receipt says so, whatever act it is of;
/// afterwards it is the put's.
async fn put_receipt(app: &App, place: &Place) -> Result<SignedReceipt, Error> {
    let row = app.record(place).await?.row;
    if row.closed {
        return Err(Error::State("the backup was deleted"));
    }
    let newest = load::receipt(row.receipt.as_ref())?;
    if let (Some(_), Some(signed)) = (&newest.pending, row.receipt) {
        return Ok(signed);
    }
    let active = newest.active.map_or(0, |active| active.generation);
    let note = row.generations.iter().find(|note| note.generation == active).ok_or(NOTHING)?;
    let event = keys::event(&place.tenant, &place.record, place.role, note.put_version);
    let put: SignedReceipt = decode(&app.store.get(event).await?.ok_or(NOTHING)?)?;
    let waited = load::receipt(Some(&put))?.pending.is_some_and(|pending| pending.generation == active);
    if waited { Ok(put) } else { Err(NOTHING) }
}

/// One role's commit. It takes no consents that an act which comes between could overtake.
async fn step(app: &App, place: Place, receipt: SignedReceipt) -> Result<SignedReceipt, Error> {
    let role = place.role;
    let order = Order { place, consents: false, work: Work::Commit { receipt } };
    let of_role = |error: Error| match error {
        // It is the client's part that is missing, by the books of the backup.
        Error::Incomplete(_) => error,
        error => error.in_role(roles::name(role)),
    };
    begin(|| attempt(app, &order)).await.map_err(of_role)
}

async fn attempt(app: &App, order: &Order) -> Result<SignedReceipt, Error> {
    let Place { tenant, record, .. } = &order.place;
    let keys = vec![keys::statement(tenant), order.place.key(), keys::books(tenant, record)];
    let rows = app.store.get_all(keys).await?;
    let [statement, row, books] = rows.as_slice() else { return Err(Error::Internal("rows are missing")) };
    let books = Books::read(tenant, record, books.as_deref())?;
    let mut part = Part { order, record: StoredRecord::read(row.as_deref())?, shares: None, brought: Vec::new() };
    let guard = guard(order, &part.record, &books)?;
    let statement = StoredStatement::read(statement.as_deref())?;
    let moved = ask::ask(app, None, &statement, &mut part).await?;
    let receipt = load::receipt(moved.receipt.as_ref())?;
    if receipt.event.is_empty() {
        return settle::about(order, &moved, &receipt).cloned();
    }
    let outcome = settle::settle(app, &part, moved).await?;
    app.store.commit(outcome.writes.into_iter().chain(guard).collect()).await?;
    Ok(outcome.signed)
}

/// What the books must say still when the custodian commits a generation: that all its parts are stored, and that nobody gave it up. What
/// the custodian has committed is finished, whatever they say.
fn guard(order: &Order, record: &StoredRecord, books: &Books) -> Result<Option<Write>, Error> {
    let Work::Commit { receipt } = &order.work else { return Ok(None) };
    if order.place.role != Role::Custodian {
        return Ok(None);
    }
    let waits = load::receipt(record.row.receipt.as_ref())?.pending;
    let put = load::receipt(Some(receipt))?;
    match waits.filter(|waits| put.pending.is_some_and(|put| put.generation == waits.generation)) {
        Some(waits) => books.check_commit(waits.generation).map(|()| Some(books.guard())),
        None => Ok(None),
    }
}
