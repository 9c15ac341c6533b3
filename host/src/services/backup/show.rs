//! A backup as callers see it: from its row, what the host noted of its records' receipts, and its books.

use std::collections::BTreeSet;

use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{
    Backup, BackupGeneration, BackupReason, BackupState, OpenAct, Pair, Role, Storage, StoredPart,
};

use crate::clock::now_ms;
use crate::error::Error;
use crate::keys::Name;
use crate::rows::{BackupRow, BooksRow, RecordRow};
use crate::services::App;
use crate::services::books::Stored;
use crate::services::generations::Generations;

/// A backup as it stands in the store.
pub(in crate::services) async fn stored(
    app: &App,
    tenant: &TenantId,
    wallet: &Name,
    id: &Name,
    row: BackupRow,
) -> Result<Backup, Error> {
    Stored::read(app, tenant, wallet, id, row).await?.show(app)
}

/// A backup from its row, the records that are stored, and its books.
pub(in crate::services) fn show(
    wallet: &Name,
    id: &Name,
    row: &BackupRow,
    records: &[(Role, &RecordRow)],
    books: &BooksRow,
) -> Result<Backup, Error> {
    let all = Generations::read(row, records, books, now_ms())?;
    let generation = |number: u64| BackupGeneration {
        generation: number,
        state: all.state(number).into(),
        stored: all.stored(number),
        reason: all.reason(number).into(),
    };
    let generations: Vec<BackupGeneration> = all.numbers().into_iter().map(generation).collect();
    let in_force = all.in_force();
    let newest = generations.last();
    let shown = in_force.or(newest.map(|newest| newest.generation));
    let shown = generations.iter().find(|it| Some(it.generation) == shown);
    let pairs = shown.and_then(|shown| all.pairs(shown.generation)).unwrap_or(&row.pairs);
    let state = match in_force {
        _ if all.is_deleted() => BackupState::Closed,
        Some(_) => BackupState::Active,
        // What is superseded does not come into force again once it opens no more.
        None if newest.is_some() && generations.iter().all(|it| it.state() != BackupState::Pending) => {
            BackupState::Closed
        }
        None => BackupState::Pending,
    };
    let reason =
        if all.is_deleted() { BackupReason::Deleted } else { newest.map(BackupGeneration::reason).unwrap_or_default() };
    Ok(Backup {
        wallet: wallet.as_str().to_owned(),
        backup: id.as_str().to_owned(),
        method: row.method.clone(),
        state: state.into(),
        parts: shown.map(|shown| parts(&shown.stored, pairs)).unwrap_or_default(),
        pairs: pairs.to_vec(),
        record_id: row.record_id.clone(),
        receipts: records.iter().filter_map(|(_, record)| record.receipt.clone()).collect(),
        created_ms: row.created_ms,
        generation: in_force.unwrap_or_default(),
        open_acts: open_acts(records),
        generations,
        storage: if row.is_self_managed() { Storage::SelfManaged.into() } else { Storage::Managed.into() },
        reason: reason.into(),
    })
}

/// The kinds of parts that are stored of every pair, ascending.
fn parts(stored: &[StoredPart], pairs: &[Pair]) -> Vec<i32> {
    let kinds: BTreeSet<i32> = stored.iter().map(|it| it.part).collect();
    let of_all = |kind: &i32| pairs.iter().all(|pair| stored.iter().any(|it| it.part == *kind && it.pair == pair.id));
    kinds.into_iter().filter(of_all).collect()
}

/// What waits, as far as receipts say: what has expired by the host's clock is not shown, and neither are the acts' parameters.
fn open_acts(records: &[(Role, &RecordRow)]) -> Vec<OpenAct> {
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

#[cfg(test)]
mod tests;
