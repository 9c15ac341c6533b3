//! What is sealed under each epoch: one row for each record, and one for each of its generations.
//!
//! The rows are written in the same commit as the record, so that counting and re-sealing never look through all records, and nothing
//! is forgotten after a crash. They are the host's books and bind nobody: the record has its own word on every epoch.

use std::collections::BTreeMap;

use prost::Message;
use strongroom_proto::enclave::v1::SealedRecord;
use strongroom_proto::id::{RecordId, TenantId};
use strongroom_proto::v1::Role;

use super::load::StoredRecord;
use crate::error::Error;
use crate::keys::{self, Name};
use crate::rows::{GenerationNote, ListedRow, RecordRow, decode};
use crate::store::{Expect, SCAN_ROWS_MAX, Store, Write};

/// Where a record stands in the store.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) tenant: TenantId,
    pub(crate) wallet: Name,
    pub(crate) role: Role,
    pub(crate) record: RecordId,
}

impl Place {
    /// The key of the record's row.
    pub(crate) fn key(&self) -> keys::Key {
        keys::record(&self.tenant, &self.wallet, self.role, &self.record)
    }
}

/// Stands for the record itself where a row names a generation.
const RECORD: u64 = 0;

/// A record's row, and what its change does to the lists of its epochs. `before` is what was read; `None` for a new record.
pub(super) fn writes(place: &Place, before: Option<&StoredRecord>, after: &RecordRow) -> Vec<Write> {
    let expect = before.map_or(Expect::Nothing, |before| before.unchanged);
    let record = Write { key: place.key(), expect, put: Some(after.encode_to_vec()) };
    let gone = before.map(|before| entries(place, Some(&before.sealed), &before.row.generations)).unwrap_or_default();
    let come = entries(place, after.record.as_ref(), &after.generations);
    let is_in = |all: &[(keys::Key, Vec<u8>)], key: &keys::Key| all.iter().any(|(other, _)| other == key);
    let delist = gone.iter().filter(|(key, _)| !is_in(&come, key)).map(|(key, value)| Write {
        key: key.clone(),
        expect: Expect::unchanged(Some(value)),
        put: None,
    });
    let list = come.iter().filter(|entry| !gone.contains(entry)).map(|(key, value)| {
        let before = gone.iter().find(|(other, _)| other == key).map(|(_, before)| before.as_slice());
        Write { key: key.clone(), expect: Expect::unchanged(before), put: Some(value.clone()) }
    });
    [record].into_iter().chain(delist).chain(list).collect()
}

/// The rows that a record has in the lists.
fn entries(place: &Place, sealed: Option<&SealedRecord>, generations: &[GenerationNote]) -> Vec<(keys::Key, Vec<u8>)> {
    let Place { tenant, wallet, role, record } = place;
    let entry = |epoch: u64, generation: u64, shares: usize| {
        let value = ListedRow { wallet: wallet.as_str().to_owned(), shares: u32::try_from(shares).unwrap_or(u32::MAX) };
        (keys::listed_part(tenant, *role, epoch, record, generation), value.encode_to_vec())
    };
    let itself = sealed.into_iter().map(|sealed| entry(sealed.epoch, RECORD, 0));
    let generations = generations.iter().flat_map(|it| {
        // Of what the caller keeps each form counts: every one of them opens.
        let mut outside: BTreeMap<u64, usize> = BTreeMap::new();
        for seal in &it.seals {
            let count = outside.entry(seal.epoch).or_default();
            *count = count.saturating_add(1);
        }
        if outside.is_empty() {
            outside.insert(it.epoch, it.pairs.len());
        }
        outside.into_iter().map(|(epoch, shares)| entry(epoch, it.generation, shares)).collect::<Vec<_>>()
    });
    itself.chain(generations).collect()
}

/// A page of the records that an epoch's list names, each once, and where the next page starts.
pub(crate) struct Page {
    pub(crate) places: Vec<Place>,
    /// `None` on the last page.
    pub(crate) next: Option<keys::Key>,
}

/// Reads a page of at most `limit` rows of an epoch's list. A row that does not parse is left out: it must not keep from the sweep what
/// lies behind it, and as it still counts, its epoch does not retire.
pub(crate) async fn page(
    store: &dyn Store,
    (tenant, role, epoch): (&TenantId, Role, u64),
    after: Option<keys::Key>,
    limit: usize,
) -> Result<Page, Error> {
    let prefix = keys::listed(tenant, role, epoch);
    let rows = store.scan(prefix.clone(), after, limit).await?;
    let full = rows.len() >= limit;
    let (mut places, mut next): (Vec<Place>, _) = (Vec::new(), None);
    for (key, value) in rows {
        let parsed = parse(&prefix, &key, &value);
        next = Some(keys::scanned(&prefix, key));
        let Some((record, wallet)) = parsed else {
            tracing::error!(name: "a row of an epoch's list does not parse", tenant = %tenant, ?role, epoch, error = "row");
            continue;
        };
        if places.last().is_none_or(|last| last.record != record) {
            places.push(Place { tenant: *tenant, wallet, role, record });
        }
    }
    Ok(Page { places, next: next.filter(|_| full) })
}

/// The record that a row names, and its wallet.
fn parse(prefix: &keys::Key, key: &[u8], value: &[u8]) -> Option<(RecordId, Name)> {
    let (record, _) = keys::parse_listed(prefix, key)?;
    let row: ListedRow = decode(value).ok()?;
    Some((record, Name::parse("wallet", &row.wallet).ok()?))
}

/// How many records and shares an epoch's list names.
pub(crate) async fn count(store: &dyn Store, of: (&TenantId, Role, u64)) -> Result<(u64, u64), Error> {
    let (tenant, role, epoch) = of;
    let prefix = keys::listed(tenant, role, epoch);
    let (mut records, mut shares, mut after) = (0_u64, 0_u64, None);
    loop {
        let rows = store.scan(prefix.clone(), after.take(), SCAN_ROWS_MAX).await?;
        for (key, value) in &rows {
            let (record, generation) = keys::parse_listed(&prefix, key).ok_or(BROKEN)?;
            let row: ListedRow = decode(value)?;
            records = records.saturating_add(u64::from(generation == RECORD));
            shares = shares.saturating_add(row.shares.into());
            after = Some(keys::listed_part(tenant, role, epoch, &record, generation));
        }
        if rows.len() < SCAN_ROWS_MAX {
            return Ok((records, shares));
        }
        // A page takes milliseconds, in which nobody else has the thread.
        tokio::task::yield_now().await;
    }
}

const BROKEN: Error = Error::Internal("a row of an epoch's list does not parse");
