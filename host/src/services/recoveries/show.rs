//! A recovery as callers see it: from its row, and where it waits from its record and, once it is due, from the enclave's view of it.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{Recovery, RecoveryState, Role, WalletView};

use super::{role, waits};
use crate::clock::now_ms;
use crate::error::Error;
use crate::keys::{self, Name};
use crate::rows::{BackupRow, RecordRow, RecoveryPart, RecoveryRow, decode};
use crate::services::App;
use crate::services::passkey::view;

/// What the enclaves say of the wallet, where somebody asked them.
type Views = BTreeMap<Role, WalletView>;

/// Whether the enclaves are asked of what is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::services) enum Ask {
    Enclaves,
    Nobody,
}

/// The stored recovery.
///
/// # Errors
/// `NOT_FOUND` where the books have none of it.
pub(in crate::services) async fn stored(
    app: &App,
    tenant: &TenantId,
    wallet: &Name,
    recovery: &[u8; 32],
) -> Result<(Vec<u8>, RecoveryRow), Error> {
    let row = app.store.get(keys::recovery(tenant, wallet, recovery)).await?.ok_or(Error::NotFound("recovery"))?;
    let decoded = decode(&row)?;
    Ok((row, decoded))
}

/// Recoveries of a wallet, in the order of their rows.
pub(in crate::services) async fn shown(
    app: &App,
    tenant: &TenantId,
    wallet: &Name,
    rows: Vec<([u8; 32], RecoveryRow)>,
    ask: Ask,
) -> Result<Vec<Recovery>, Error> {
    let backups = backups(app, tenant, wallet, &rows).await?;
    let closed = closed(app, tenant, wallet, &rows, &backups).await?;
    let now_ms = now_ms();
    let due = |row: &RecoveryRow, part: &RecoveryPart| {
        waits(part) && (part.not_before_ms..part.expires_ms).contains(&now_ms) && !closed.contains(&place(row, part))
    };
    let roles: BTreeSet<Role> =
        rows.iter().flat_map(|(_, row)| row.parts.iter().filter(|part| due(row, part)).map(role)).collect();
    let views = if ask == Ask::Enclaves { views(app, tenant, wallet, roles).await } else { Views::new() };
    let show = |(recovery, row): ([u8; 32], RecoveryRow)| {
        let backup = backups.get(&row.backup);
        let stands = |part: &RecoveryPart| {
            let is_closed = closed.contains(&place(&row, part));
            standing(part, is_closed, moment(part, backup, views.get(&role(part)), now_ms))
        };
        let parts: Vec<(RecoveryPart, Standing)> = row.parts.iter().map(|part| (*part, stands(part))).collect();
        let method = backup.map(|backup| backup.method.clone()).unwrap_or_default();
        show(wallet, recovery, method, &row, &parts)
    };
    Ok(rows.into_iter().map(show).collect())
}

/// The state's name, for a refusal.
pub(in crate::services) fn told(state: RecoveryState) -> &'static str {
    match state {
        RecoveryState::Unspecified => "the recovery is in no known state",
        RecoveryState::Requested => "the recovery is REQUESTED",
        RecoveryState::Delayed => "the recovery is DELAYED",
        RecoveryState::AwaitingApproval => "the recovery is AWAITING_APPROVAL",
        RecoveryState::Released => "the recovery is RELEASED",
        RecoveryState::Completed => "the recovery is COMPLETED",
        RecoveryState::Denied => "the recovery is DENIED",
        RecoveryState::Cancelled => "the recovery is CANCELLED",
        RecoveryState::Failed => "the recovery is FAILED",
        RecoveryState::Expired => "the recovery is EXPIRED",
    }
}

/// Why a recovery that waits in no record is not released. The books only say it better: whether it waits says the record.
pub(in crate::services) async fn why_not(
    app: &App,
    tenant: &TenantId,
    wallet: &Name,
    backup: &Name,
    recovery: &[u8; 32],
) -> Error {
    let unknown = Error::NotFound("recovery");
    let Ok((_, row)) = stored(app, tenant, wallet, recovery).await else { return unknown };
    if row.backup != backup.as_str() {
        return unknown;
    }
    let shown = shown(app, tenant, wallet, vec![(*recovery, row)], Ask::Nobody).await;
    match shown.ok().and_then(|shown| shown.first().map(Recovery::state)) {
        // The books and the record differ: nobody knows more than that nothing waits.
        None | Some(RecoveryState::Delayed | RecoveryState::Unspecified) => unknown,
        Some(RecoveryState::Denied) => Error::RecoveryDenied,
        Some(state) => Error::State(told(state)),
    }
}

fn place(row: &RecoveryRow, part: &RecoveryPart) -> (String, Role) {
    (row.backup.clone(), role(part))
}

/// The backups of these recoveries. One that is missing or does not parse leaves its method unknown.
async fn backups(
    app: &App,
    tenant: &TenantId,
    wallet: &Name,
    rows: &[([u8; 32], RecoveryRow)],
) -> Result<BTreeMap<String, BackupRow>, Error> {
    let ids: BTreeSet<&str> = rows.iter().map(|(_, row)| row.backup.as_str()).collect();
    let ids: Vec<Name> = ids.into_iter().filter_map(|id| Name::parse("backup", id).ok()).collect();
    let found = app.store.get_all(ids.iter().map(|id| keys::backup(tenant, wallet, id)).collect()).await?;
    let read = |(id, row): (&Name, Option<Vec<u8>>)| Some((id.as_str().to_owned(), decode(&row?).ok()?));
    Ok(ids.iter().zip(found).filter_map(read).collect())
}

/// In which backups' records a recovery should wait, and the record was deleted.
async fn closed(
    app: &App,
    tenant: &TenantId,
    wallet: &Name,
    rows: &[([u8; 32], RecoveryRow)],
    backups: &BTreeMap<String, BackupRow>,
) -> Result<BTreeSet<(String, Role)>, Error> {
    let waiting = rows.iter().flat_map(|(_, row)| row.parts.iter().filter(|part| waits(part)).map(|it| place(row, it)));
    let (mut places, mut keys) = (Vec::new(), Vec::new());
    for (backup, role) in waiting.collect::<BTreeSet<_>>() {
        if let Some(Ok(record)) = backups.get(&backup).map(BackupRow::record_id) {
            keys.push(keys::record(tenant, wallet, role, &record));
            places.push((backup, role));
        }
    }
    let found = app.store.get_all(keys).await?;
    let is_closed = |row: Option<Vec<u8>>| row.is_some_and(|row| decode::<RecordRow>(&row).is_ok_and(|it| it.closed));
    Ok(places.into_iter().zip(found).filter_map(|(place, row)| is_closed(row).then_some(place)).collect())
}

/// The views of these roles, as far as their enclaves answer.
async fn views(app: &App, tenant: &TenantId, wallet: &Name, roles: BTreeSet<Role>) -> Views {
    let mut views = Views::new();
    for role in roles {
        if let Ok(view) = view::read(app, tenant, wallet, role).await {
            views.insert(role, view);
        }
    }
    views
}

/// When a part is looked at, and whether its policy asks for the newest head.
#[derive(Clone, Copy)]
struct Moment {
    now_ms: u64,
    newest_head: bool,
}

/// By the enclave's time where it was asked, else by the host's clock.
fn moment(part: &RecoveryPart, backup: Option<&BackupRow>, view: Option<&WalletView>, now_ms: u64) -> Moment {
    let (Some(view), true) = (view, waits(part)) else { return Moment { now_ms, newest_head: false } };
    let record = backup.map(|backup| backup.record_id.as_slice()).unwrap_or_default();
    let policy = view.records.iter().find(|it| it.record_id == record).and_then(|it| it.policy);
    Moment { now_ms: view.time_ms, newest_head: policy.is_some_and(|policy| policy.newest_head) }
}

/// How a recovery stands in one role.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    /// Its time has not come.
    Waits,
    Due,
    /// Due, and the tenant must sign for the newest head.
    DueForApproval,
    Expired,
    Released,
    Cancelled,
    Denied,
    Unknown,
}

fn standing(part: &RecoveryPart, closed: bool, moment: Moment) -> Standing {
    match part.state() {
        RecoveryState::Delayed if closed => Standing::Cancelled,
        RecoveryState::Delayed if moment.now_ms >= part.expires_ms => Standing::Expired,
        RecoveryState::Delayed if moment.now_ms < part.not_before_ms => Standing::Waits,
        RecoveryState::Delayed if moment.newest_head => Standing::DueForApproval,
        RecoveryState::Delayed => Standing::Due,
        RecoveryState::Released => Standing::Released,
        RecoveryState::Cancelled => Standing::Cancelled,
        RecoveryState::Denied => Standing::Denied,
        _ => Standing::Unknown,
    }
}

/// How it stands over all roles, and in which of them: where it was released, else where it waits, else where it expired, else where it
/// was cancelled. A role that is not due keeps the other one back, since both release or none does.
fn overall(parts: &[(RecoveryPart, Standing)]) -> (RecoveryState, Vec<RecoveryPart>) {
    use Standing::{Cancelled, Denied, Due, DueForApproval, Expired, Released, Waits};
    let waiting = &[Waits, Due, DueForApproval][..];
    let table = [
        (&[Released][..], RecoveryState::Released, &[Released][..]),
        (&[Waits], RecoveryState::Delayed, waiting),
        (&[DueForApproval], RecoveryState::AwaitingApproval, waiting),
        (&[Due], RecoveryState::Delayed, waiting),
        (&[Expired], RecoveryState::Expired, &[Expired]),
        (&[Cancelled], RecoveryState::Cancelled, &[Cancelled, Denied]),
        (&[Denied], RecoveryState::Denied, &[Denied]),
    ];
    let has = |standings: &[Standing]| parts.iter().any(|(_, standing)| standings.contains(standing));
    let found = table.iter().find(|(first, _, _)| has(first));
    let (state, named) = found.map_or((RecoveryState::Unspecified, &[][..]), |(_, state, named)| (*state, *named));
    (state, parts.iter().filter(|(_, standing)| named.contains(standing)).map(|(part, _)| *part).collect())
}

fn show(
    wallet: &Name,
    recovery: [u8; 32],
    method: String,
    row: &RecoveryRow,
    parts: &[(RecoveryPart, Standing)],
) -> Recovery {
    let (state, parts) = overall(parts);
    let latest = |time: fn(&RecoveryPart) -> u64| parts.iter().map(time).max().unwrap_or_default();
    Recovery {
        recovery: recovery.to_vec(),
        wallet: wallet.as_str().to_owned(),
        backup: row.backup.clone(),
        method,
        generation: row.generation,
        state: if row.reported == 0 { state.into() } else { row.reported },
        roles: parts.iter().map(|part| part.role).collect(),
        eject: row.eject,
        created_ms: row.created_ms,
        not_before_ms: latest(|part| part.not_before_ms),
        expires_ms: parts.iter().map(|part| part.expires_ms).min().unwrap_or_default(),
        released_ms: latest(|part| part.released_ms),
    }
}

#[cfg(test)]
mod tests;
