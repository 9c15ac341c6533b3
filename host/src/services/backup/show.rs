//! A backup as callers see it: from its row, and from what the host noted of its records' receipts.

use std::collections::BTreeSet;

use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{
    Backup, BackupGeneration, BackupPart, BackupState, GenerationState, OpenAct, Pair, Role, SecretKind, StoredPart,
};

use crate::clock::now_ms;
use crate::error::Error;
use crate::keys::{self, Name};
use crate::rows::{BackupRow, RecordRow, decode};
use crate::services::{App, load};

/// A backup as it stands in the store.
pub(in crate::services) async fn stored(
    app: &App,
    tenant: &TenantId,
    wallet: &Name,
    id: &Name,
    row: &BackupRow,
) -> Result<Backup, Error> {
    let record_id = row.record_id()?;
    let roles: Vec<Role> = row.roles().collect();
    let keys = roles.iter().map(|role| keys::record(tenant, wallet, *role, &record_id)).collect();
    let mut records: Vec<(Role, RecordRow)> = Vec::with_capacity(roles.len());
    for (role, record) in roles.iter().zip(app.store.get_all(keys).await?) {
        if let Some(record) = record {
            records.push((*role, decode(&record)?));
        }
    }
    show(wallet, id, row, &records.iter().map(|(role, record)| (*role, record)).collect::<Vec<_>>())
}

/// A backup from its row and the records that are stored.
pub(super) fn show(wallet: &Name, id: &Name, row: &BackupRow, records: &[(Role, &RecordRow)]) -> Result<Backup, Error> {
    let standings =
        records.iter().map(|(role, record)| Standing::read(*role, record)).collect::<Result<Vec<_>, _>>()?;
    let complete = row.roles().all(|role| standings.iter().any(|it| it.role == role)) && !standings.is_empty();
    let numbers: BTreeSet<u64> = standings.iter().flat_map(Standing::numbers).collect();
    let generation = |number: u64| BackupGeneration {
        generation: number,
        state: state_of(&standings, complete, number).into(),
        stored: stored_parts(row, &standings, number),
        ..BackupGeneration::default()
    };
    let generations: Vec<BackupGeneration> = numbers.into_iter().map(generation).collect();
    let newest = |state: BackupState| generations.iter().rev().find(|it| it.state() == state);
    // Between the two halves of a commit no generation is the active one of both roles, and the one before opens in both.
    let in_force = newest(BackupState::Active).or_else(|| newest(BackupState::Superseded));
    let shown = in_force.or_else(|| generations.last());
    let pairs = shown.and_then(|shown| standings.iter().find_map(|it| it.pairs(shown.generation)));
    Ok(Backup {
        wallet: wallet.as_str().to_owned(),
        backup: id.as_str().to_owned(),
        method: row.method.clone(),
        state: match in_force {
            _ if complete && records.iter().all(|(_, record)| record.closed) => BackupState::Closed.into(),
            Some(_) => BackupState::Active.into(),
            None => BackupState::Pending.into(),
        },
        parts: shown.map(|shown| parts(&shown.stored)).unwrap_or_default(),
        pairs: pairs.unwrap_or(&row.pairs).to_vec(),
        record_id: row.record_id.clone(),
        receipts: records.iter().filter_map(|(_, record)| record.receipt.clone()).collect(),
        created_ms: row.created_ms,
        generation: in_force.map_or(0, |it| it.generation),
        open_acts: open_acts(records),
        generations,
        ..Backup::default()
    })
}

/// One role's record, and the generations that its newest receipt names.
struct Standing<'a> {
    role: Role,
    record: &'a RecordRow,
    active: u64,
    pending: u64,
}

impl<'a> Standing<'a> {
    fn read(role: Role, record: &'a RecordRow) -> Result<Self, Error> {
        let receipt = load::receipt(record.receipt.as_ref())?;
        let number = |named: Option<strongroom_proto::v1::GenerationRef>| named.map_or(0, |named| named.generation);
        Ok(Self { role, record, active: number(receipt.active), pending: number(receipt.pending) })
    }

    fn numbers(&self) -> impl Iterator<Item = u64> {
        self.record.generations.iter().map(|note| note.generation)
    }

    /// Where a generation stands in the role; `None` where the record does not name it.
    fn state(&self, number: u64) -> Option<GenerationState> {
        self.pairs(number)?;
        Some(match number {
            active if active == self.active => GenerationState::Active,
            pending if pending == self.pending => GenerationState::Pending,
            _ => GenerationState::Former,
        })
    }

    fn pairs(&self, number: u64) -> Option<&'a [Pair]> {
        let note = self.record.generations.iter().find(|note| note.generation == number)?;
        Some(&note.pairs)
    }
}

/// Where a generation stands over all roles.
fn state_of(standings: &[Standing<'_>], complete: bool, number: u64) -> BackupState {
    let in_all = |holds: fn(GenerationState) -> bool| {
        complete && standings.iter().all(|standing| standing.state(number).is_some_and(holds))
    };
    if in_all(|state| state == GenerationState::Active) {
        BackupState::Active
    } else if in_all(|state| matches!(state, GenerationState::Active | GenerationState::Former)) {
        BackupState::Superseded
    } else {
        BackupState::Pending
    }
}

/// The parts that are stored of a generation, in order of pair and part.
fn stored_parts(row: &BackupRow, standings: &[Standing<'_>], number: u64) -> Vec<StoredPart> {
    let part = |role: Role| match role {
        Role::Custodian => BackupPart::CustodianStored,
        _ if row.secret == SecretKind::Key as i32 => BackupPart::KeyStored,
        _ => BackupPart::ClientStored,
    };
    let of = |standing: &Standing<'_>| -> Vec<StoredPart> {
        let pairs = standing.pairs(number).unwrap_or_default();
        pairs.iter().map(|pair| StoredPart { pair: pair.id.clone(), part: part(standing.role).into() }).collect()
    };
    let mut parts: Vec<StoredPart> = standings.iter().flat_map(of).collect();
    parts.sort_by(|a, b| (&a.pair, a.part).cmp(&(&b.pair, b.part)));
    parts
}

/// The kinds of parts that are stored, ascending.
fn parts(stored: &[StoredPart]) -> Vec<i32> {
    stored.iter().map(|it| it.part).collect::<BTreeSet<i32>>().into_iter().collect()
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
