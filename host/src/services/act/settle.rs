//! From what the enclave did to the rows that the host keeps of it: record, shares, event, and what waits.

use prost::Message;
use strongroom_proto::enclave::v1::Moved;
use strongroom_proto::limits::{DELETE_DUE_MS_MAX, DUE_MS_MAX};
use strongroom_proto::v1::{ActKind, Event, OpenAct, OpenActKind, Receipt, SignedReceipt};

use super::call::waits_by_itself;
use super::{Order, Outcome, Part, Work};
use crate::error::Error;
use crate::keys::{self, Due};
use crate::rows::{DueRow, GenerationNote, RecordRow, decode};
use crate::services::listing::Place;
use crate::services::{App, brought, listing, load};
use crate::store::Write;

pub(super) mod put;
mod shares;

/// The rows of an act. The part's record is as the enclave was given it, and so what must still stand there.
pub(super) async fn settle(app: &App, part: &Part<'_>, mut moved: Moved) -> Result<Outcome, Error> {
    let (order, before) = (part.order, &part.record);
    let receipt = load::receipt(moved.receipt.as_ref())?;
    let signed = about(order, &moved, &receipt)?.clone();
    let event: Event = decode(&receipt.event)?;
    let mut row = before.row.clone();
    row.receipt = Some(signed.clone());
    row.record.clone_from(&moved.record);
    row.closed = event.kind() == ActKind::Delete;
    let started = note_open_acts(&mut row, order, &event, receipt.time_ms);
    let dropped = note_generations(&mut row, order, receipt.version, &moved);
    let shares = shares::settle(app, part, &mut row, std::mem::take(&mut moved.shares)).await?;

    let place = &order.place;
    let event = keys::event(&place.tenant, &place.record, place.role, receipt.version);
    // The record first, so that another write to it is the conflict that is named.
    let mut writes = listing::writes(place, Some(before), &row);
    writes.push(Write::new(event, signed.encode_to_vec()));
    writes.extend(shares.writes);
    writes.extend(shares::dropped(app, place, &row, &dropped).await?);
    writes.extend(started.map(|open| due(&order.place, &open)).transpose()?.flatten());
    let (place, handed) = (place.clone(), shares.handed);
    Ok(Outcome { place, receipt, signed, release: moved.release, handed, row, writes })
}

/// What an enclave answered, if it is about this record.
pub(super) fn about<'a>(order: &Order, moved: &'a Moved, receipt: &Receipt) -> Result<&'a SignedReceipt, Error> {
    let same = moved.record.as_ref().is_some_and(|record| record.record_id == order.place.record.0);
    match &moved.receipt {
        Some(signed) if same && receipt.record_id == order.place.record.0 => Ok(signed),
        _ => Err(Error::Internal("the enclave answered for another record")),
    }
}

/// Notes which generations the record names, and gives those that it names no more.
fn note_generations(row: &mut RecordRow, order: &Order, put_version: u64, moved: &Moved) -> Vec<GenerationNote> {
    if let (Work::PutShares { generation, pairs, ciphertexts, .. }, Some(share)) = (&order.work, moved.shares.first()) {
        let seals = if row.outside { moved.shares.iter().map(brought::seal).collect() } else { Vec::new() };
        row.generations.push(GenerationNote {
            generation: *generation,
            pairs: pairs.clone(),
            epoch: share.epoch,
            put_version,
            seals,
            ciphertexts: *ciphertexts,
        });
    }
    let all = std::mem::take(&mut row.generations);
    let (kept, dropped) = all.into_iter().partition(|note| moved.generations.contains(&note.generation));
    row.generations = kept;
    dropped
}

/// Notes what waits after an event: one more, or what was carried out, cancelled or closed no longer. Gives the one that started.
fn note_open_acts(row: &mut RecordRow, order: &Order, event: &Event, now_ms: u64) -> Option<OpenAct> {
    let cancelled = match &order.work {
        Work::Change { cancels: Some(cancelled), .. } => cancelled.as_slice(),
        _ => &[],
    };
    row.open_acts.retain(|open| {
        // A credential that went takes along the removal of it that waited.
        let gone = event.kind() == ActKind::RemovePasskey
            && open.kind() == OpenActKind::PasskeyRemoval
            && open.credential_id == event.subject_credential_id;
        let done = gone || open.intent_hash == event.intent_hash || open.intent_hash == cancelled;
        !row.closed && !done && now_ms < open.expires_ms
    });
    let started = started(order, event)?;
    row.open_acts.push(started.clone());
    row.open_acts.sort_by_key(|open| open.kind);
    Some(started)
}

/// What waits from an event on, or is open from then on.
fn started(order: &Order, event: &Event) -> Option<OpenAct> {
    let (kind, due_ms) = match event.kind() {
        ActKind::OpenEjectWindow => (OpenActKind::EjectWindow, window_ms(order)),
        ActKind::StartRecovery | ActKind::StartEject => (OpenActKind::Recovery, DUE_MS_MAX),
        ActKind::StartChangePolicy => (OpenActKind::PolicyChange, DUE_MS_MAX),
        ActKind::StartRemovePasskey => (OpenActKind::PasskeyRemoval, DUE_MS_MAX),
        ActKind::StartDelete => (OpenActKind::Delete, DELETE_DUE_MS_MAX),
        _ => return None,
    };
    Some(OpenAct {
        kind: kind.into(),
        intent_hash: event.intent_hash.clone(),
        not_before_ms: event.not_before_ms,
        expires_ms: event.not_before_ms.saturating_add(due_ms),
        generation: event.generation,
        credential_id: event.subject_credential_id.clone(),
        ..OpenAct::default()
    })
}

fn window_ms(order: &Order) -> u64 {
    match order.work {
        Work::Change { window_ms, .. } => window_ms,
        _ => 0,
    }
}

/// The row that lets this host, or another, carry out what waits when it is due; none for a recovery or an eject window.
pub(in crate::services) fn due(place: &Place, open: &OpenAct) -> Result<Option<Write>, Error> {
    if !waits_by_itself(open.kind()) {
        return Ok(None);
    }
    let intent = open.intent_hash.as_slice().try_into();
    let key = Due {
        time_ms: open.not_before_ms,
        tenant: place.tenant,
        record: place.record,
        role: place.role,
        kind: open.kind,
        intent: intent.map_err(|_| Error::Internal("the enclave named a malformed intent hash"))?,
    };
    let row = DueRow { wallet: place.wallet.as_str().to_owned(), expires_ms: open.expires_ms, tries: 0 };
    Ok(Some(Write::new(keys::due(&key), row.encode_to_vec())))
}
