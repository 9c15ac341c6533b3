//! A backup as callers see it: from its row, and from what the host noted of its records' receipts.

use strongroom_proto::id::{RecordId, TenantId};
use strongroom_proto::v1::{Backup, BackupPart, BackupState, OpenAct, Role, SecretKind};

use crate::clock::now_ms;
use crate::error::Error;
use crate::keys::{self, Name};
use crate::rows::{BackupRow, RecordRow, decode};
use crate::services::{App, load};

/// A backup as it stands in the store.
pub(super) async fn stored(
    app: &App,
    tenant: &TenantId,
    wallet: &Name,
    id: &Name,
    row: &BackupRow,
) -> Result<Backup, Error> {
    let record_id = RecordId::from_slice(&row.record_id).ok_or(Error::Internal("a backup's row holds no record id"))?;
    let roles: Vec<Role> = row.roles.iter().filter_map(|role| Role::try_from(*role).ok()).collect();
    let keys = roles.iter().map(|role| keys::record(tenant, wallet, *role, &record_id)).collect();
    let mut records: Vec<(Role, RecordRow)> = Vec::with_capacity(roles.len());
    for (role, record) in roles.iter().zip(app.store.get_all(keys).await?) {
        if let Some(record) = record {
            records.push((*role, decode(&record)?));
        }
    }
    show(wallet, id, row, &records)
}

/// A backup from its row and the records that are stored.
pub(super) fn show(wallet: &Name, id: &Name, row: &BackupRow, records: &[(Role, RecordRow)]) -> Result<Backup, Error> {
    let generation = match records.first() {
        Some((_, record)) => load::receipt(record.receipt.as_ref())?.active.map_or(0, |active| active.generation),
        None => 0,
    };
    let notes = records.iter().flat_map(|(_, record)| &record.generations);
    let pairs = notes.filter(|note| note.generation == generation).map(|note| &note.pairs).next();
    Ok(Backup {
        wallet: wallet.as_str().to_owned(),
        backup: id.as_str().to_owned(),
        method: row.method.clone(),
        state: state(row, records).into(),
        parts: parts(row, records),
        pairs: pairs.unwrap_or(&row.pairs).clone(),
        record_id: row.record_id.clone(),
        receipts: records.iter().filter_map(|(_, record)| record.receipt.clone()).collect(),
        created_ms: row.created_ms,
        generation,
        open_acts: open_acts(records),
    })
}

/// Active when every role that the creation named has its record, closed when none of them takes an act any more.
fn state(row: &BackupRow, records: &[(Role, RecordRow)]) -> BackupState {
    let complete = row.roles.iter().all(|role| records.iter().any(|(stored, _)| *stored as i32 == *role));
    if !complete || row.roles.is_empty() {
        BackupState::Pending
    } else if records.iter().all(|(_, record)| record.closed) {
        BackupState::Closed
    } else {
        BackupState::Active
    }
}

fn parts(row: &BackupRow, records: &[(Role, RecordRow)]) -> Vec<i32> {
    let part = |role: &Role| match role {
        Role::Custodian => BackupPart::CustodianStored,
        _ if row.secret == SecretKind::Key as i32 => BackupPart::KeyStored,
        _ => BackupPart::ClientStored,
    };
    let stored = records.iter().filter(|(_, record)| !record.closed);
    let mut parts: Vec<i32> = stored.map(|(role, _)| part(role).into()).collect();
    parts.sort_unstable();
    parts
}

/// What waits, as far as receipts say: what has expired by the host's clock is not shown, and neither are the acts' parameters.
fn open_acts(records: &[(Role, RecordRow)]) -> Vec<OpenAct> {
    let now_ms = now_ms();
    let noted = records.iter().flat_map(|(_, record)| &record.open_acts).filter(|open| now_ms < open.expires_ms);
    let shown = |open: &OpenAct| OpenAct {
        kind: open.kind,
        intent_hash: open.intent_hash.clone(),
        not_before_ms: open.not_before_ms,
        ..OpenAct::default()
    };
    noted.map(shown).collect()
}
