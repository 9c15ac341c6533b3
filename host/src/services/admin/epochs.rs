//! A tenant's KEKs: the first one, the next ones, and what lies under each.

use prost::Message;
use strongroom_proto::enclave::v1::{CreateKek, request, response};
use strongroom_proto::id::TenantId;
use strongroom_proto::limits::{EPOCHS_MAX, WRAPPED_KEK_BYTES_MAX};
use strongroom_proto::v1::{
    CreateKekRequest, CreateKekResponse, Kek, KekState, ListKeksRequest, ListKeksResponse, Role, RotateKekRequest,
    RotateKekResponse,
};

use super::known_tenant;
use crate::clock::now_ms;
use crate::enclave::Known;
use crate::error::Error;
use crate::keys::{self, Kind};
use crate::rows::KekRow;
use crate::services::load::StoredStatement;
use crate::services::roles::ROLES;
use crate::services::tenant::{epochs_of, newest_epoch};
use crate::services::{App, check, listing};
use crate::store::Write;

/// Epochs are counted from here.
const FIRST_EPOCH: u64 = 1;

pub(super) async fn create(app: &App, message: CreateKekRequest) -> Result<CreateKekResponse, Error> {
    let tenant = known_tenant(app, &message.tenant).await?;
    let role = check::role("role", message.role)?;
    app.enclave(role)?;
    if newest_epoch(app, &tenant, role).await?.is_some() {
        return Err(Error::AlreadyExists("KEK"));
    }
    make(app, &tenant, role, FIRST_EPOCH).await?;
    Ok(CreateKekResponse { epoch: FIRST_EPOCH })
}

/// Makes the next epoch's KEK. One that waits for its statement is enough: else a tenant would sign for epochs that nobody used.
pub(super) async fn rotate(app: &App, message: RotateKekRequest) -> Result<RotateKekResponse, Error> {
    let tenant = known_tenant(app, &message.tenant).await?;
    let role = check::role("role", message.role)?;
    app.enclave(role)?;
    let newest = newest_epoch(app, &tenant, role).await?.ok_or(Error::State("the tenant has no KEK in this role"))?;
    let statement = app.store.get(keys::statement(&tenant)).await?;
    let statement = statement.map(|row| StoredStatement::read(Some(&row))).transpose()?;
    let named = statement.and_then(|statement| statement.newest_epoch(role));
    if named != Some(newest) {
        return Err(Error::State("the newest epoch waits for its statement"));
    }
    let epoch = newest.saturating_add(1);
    // A statement has no room for more.
    if usize::try_from(epoch).is_ok_and(|epoch| epoch > EPOCHS_MAX) {
        return Err(Error::State("the tenant has 64 epochs in this role"));
    }
    make(app, &tenant, role, epoch).await?;
    Ok(RotateKekResponse { epoch })
}

async fn make(app: &App, tenant: &TenantId, role: Role, epoch: u64) -> Result<(), Error> {
    let body = request::Body::CreateKek(CreateKek { tenant: tenant.0.to_vec(), epoch });
    let response::Body::KekCreated(created) = app.enclave(role)?.ask(body, &Known::default()).await? else {
        return Err(Error::Internal("an enclave's answer to CreateKek"));
    };
    if created.epoch != epoch || !(1..=WRAPPED_KEK_BYTES_MAX).contains(&created.wrapped.len()) {
        return Err(Error::Internal("the enclave made another KEK"));
    }
    let row = KekRow { wrapped: created.wrapped, created_ms: now_ms() };
    match app.store.commit(vec![Write::new(keys::kek(tenant, role, epoch), row.encode_to_vec())]).await {
        Err(Error::Conflict(Kind::Kek)) => Err(Error::AlreadyExists("KEK")),
        result => result,
    }
}

pub(super) async fn list(app: &App, message: ListKeksRequest) -> Result<ListKeksResponse, Error> {
    let tenant = known_tenant(app, &message.tenant).await?;
    let statement = app.store.get(keys::statement(&tenant)).await?;
    let statement = statement.map(|row| StoredStatement::read(Some(&row))).transpose()?;
    let mut keks = Vec::new();
    for role in ROLES {
        let named = statement.as_ref().and_then(|statement| statement.newest_epoch(role));
        for (epoch, row) in epochs_of(app, &tenant, role).await? {
            let (records, shares) = listing::count(&*app.store, (&tenant, role, epoch)).await?;
            let state = state(epoch, named, records.saturating_add(shares) > 0);
            keks.push(Kek {
                role: role.into(),
                epoch,
                state: state.into(),
                created_ms: row.created_ms,
                records,
                shares,
            });
        }
    }
    Ok(ListKeksResponse { keks })
}

/// Where an epoch stands, by the newest that the statement names.
fn state(epoch: u64, named: Option<u64>, lists: bool) -> KekState {
    match named {
        Some(named) if epoch == named => KekState::Current,
        Some(named) if epoch < named && lists => KekState::Retiring,
        Some(named) if epoch < named => KekState::Retired,
        _ => KekState::Waiting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_stands_where_statement_and_list_say() {
        for (epoch, named, lists, expect) in [
            (1, None, false, KekState::Waiting),
            (1, None, true, KekState::Waiting),
            (3, Some(2), false, KekState::Waiting),
            (2, Some(2), false, KekState::Current),
            (2, Some(2), true, KekState::Current),
            (1, Some(2), true, KekState::Retiring),
            (1, Some(2), false, KekState::Retired),
        ] {
            assert_eq!(state(epoch, named, lists), expect, "{epoch} {named:?} {lists}");
        }
    }
}
