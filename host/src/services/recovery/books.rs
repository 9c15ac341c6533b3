//! The recoveries of a wallet as the host's books have them.

use prost::Message;
use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{
    CompleteRecoveryRequest, CompleteRecoveryResponse, GetRecoveryRequest, GetRecoveryResponse, ListRecoveriesRequest,
    ListRecoveriesResponse, Recovery, RecoveryState,
};

use crate::error::Error;
use crate::keys::{self, Kind, Name};
use crate::rows::{RecoveryPlaceRow, RecoveryRow, decode};
use crate::services::recoveries::show::{self, Ask};
use crate::services::{App, check};
use crate::store::{Expect, Write};

/// Recoveries on a page where the request says nothing.
const PAGE_SIZE_DEFAULT: u32 = 100;
/// Most recoveries on a page.
const PAGE_SIZE_MAX: u32 = 200;

pub(super) async fn get(
    app: &App,
    tenant: TenantId,
    message: &GetRecoveryRequest,
) -> Result<GetRecoveryResponse, Error> {
    let wallet = Name::parse("wallet", &message.wallet)?;
    let recovery = check::hash("recovery", &message.recovery)?;
    let (_, row) = show::stored(app, &tenant, &wallet, &recovery).await?;
    Ok(GetRecoveryResponse { recovery: Some(one(app, &tenant, &wallet, recovery, row, Ask::Enclaves).await?) })
}

/// Notes the caller's word. Where two differ, the first one stands.
pub(super) async fn complete(
    app: &App,
    tenant: TenantId,
    message: &CompleteRecoveryRequest,
) -> Result<CompleteRecoveryResponse, Error> {
    let wallet = Name::parse("wallet", &message.wallet)?;
    let recovery = check::hash("recovery", &message.recovery)?;
    let reported = if message.success { RecoveryState::Completed } else { RecoveryState::Failed };
    // Ends: each conflict says that the recovery moved, and from what a caller reports it moves no more.
    loop {
        let (stored, row) = show::stored(app, &tenant, &wallet, &recovery).await?;
        let mut shown = one(app, &tenant, &wallet, recovery, row.clone(), Ask::Nobody).await?;
        match shown.state() {
            state if state == reported => return Ok(CompleteRecoveryResponse { recovery: Some(shown) }),
            RecoveryState::Released => {}
            other => return Err(Error::State(show::told(other))),
        }
        let put = Some(RecoveryRow { reported: reported.into(), ..row }.encode_to_vec());
        let key = keys::recovery(&tenant, &wallet, &recovery);
        match app.store.commit(vec![Write { key, expect: Expect::unchanged(Some(&stored)), put }]).await {
            Err(Error::Conflict(Kind::Recovery)) => {}
            result => {
                shown.set_state(reported);
                return result.map(|()| CompleteRecoveryResponse { recovery: Some(shown) });
            }
        }
    }
}

pub(super) async fn list(
    app: &App,
    tenant: TenantId,
    message: &ListRecoveriesRequest,
) -> Result<ListRecoveriesResponse, Error> {
    let wallet = Name::parse("wallet", &message.wallet)?;
    let size = match message.page_size {
        0 => PAGE_SIZE_DEFAULT,
        size if size <= PAGE_SIZE_MAX => size,
        _ => return Err(Error::bad("page_size", format!("0 to {PAGE_SIZE_MAX}"))),
    };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let after = match message.page_token.as_str() {
        "" => None,
        token => {
            let ordinal = token.parse().map_err(|_| Error::bad("page_token", "of the answer before"))?;
            Some(keys::recovery_place(&tenant, &wallet, ordinal))
        }
    };
    app.store.get(keys::wallet(&tenant, &wallet)).await?.ok_or(Error::NotFound("wallet"))?;
    let prefix = keys::recovery_places(&tenant, &wallet);
    // One more than the page tells whether there is a next one.
    let mut places = app.store.scan(prefix.clone(), after, size.saturating_add(1)).await?;
    let more = places.len() > size;
    places.truncate(size);
    let last = places.last().filter(|_| more).and_then(|(key, _)| keys::parse_recovery_place(&prefix, key));
    let mut ids: Vec<[u8; 32]> = Vec::with_capacity(places.len());
    for (_, place) in &places {
        let place: RecoveryPlaceRow = decode(place)?;
        ids.push(place.recovery.try_into().map_err(|_| Error::Internal("a recovery's place names no recovery"))?);
    }
    let found = app.store.get_all(ids.iter().map(|id| keys::recovery(&tenant, &wallet, id)).collect()).await?;
    let mut rows = Vec::with_capacity(ids.len());
    for (id, row) in ids.into_iter().zip(found) {
        // One that made room for a newer one since its place was read is no longer there.
        if let Some(row) = row {
            rows.push((id, decode(&row)?));
        }
    }
    let recoveries = show::shown(app, &tenant, &wallet, rows, Ask::Enclaves).await?;
    Ok(ListRecoveriesResponse { recoveries, next_page_token: last.map(|it| it.to_string()).unwrap_or_default() })
}

async fn one(
    app: &App,
    tenant: &TenantId,
    wallet: &Name,
    recovery: [u8; 32],
    row: RecoveryRow,
    ask: Ask,
) -> Result<Recovery, Error> {
    let mut shown = show::shown(app, tenant, wallet, vec![(recovery, row)], ask).await?;
    shown.pop().ok_or(Error::Internal("a recovery that is not shown"))
}
