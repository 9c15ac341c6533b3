//! One frame to the enclave of one role: the record, the shares that the act opens, the KEKs, the consents.

use strongroom_proto::enclave::v1::{
    CarryOut, Change, Commit, Moved, PutShares, Recover, SealedRecord, SealedShare, request, response,
};
use strongroom_proto::v1::Act;

use super::{Order, Part, Work};
use crate::error::Error;
use crate::services::App;
use crate::services::epochs::Keks;
use crate::services::load::{StoredRecord, StoredStatement};

/// Asks for what an order says. Nothing is stored.
pub(super) async fn ask(
    app: &App,
    act: Option<&Act>,
    statement: &StoredStatement,
    part: &mut Part<'_>,
) -> Result<Moved, Error> {
    let Part { order, record, shares, .. } = part;
    let place = &order.place;
    if record.row.closed {
        return Err(Error::State("the backup was deleted"));
    }
    let shares = match (shares.take(), generation(order, record)?) {
        (Some(shares), _) => shares,
        (None, Some(generation)) => app.shares(place, record, generation).await?,
        (None, None) => Vec::new(),
    };
    let message = match &order.work {
        Work::PutShares { epoch, .. } => Some(statement.epochs(place.role)?.of_message(*epoch)?),
        _ => None,
    };
    let keks = app.keks_of(place, statement, record, &shares, message).await?;
    let act = act.filter(|_| order.consents).cloned();
    let body = frame(order, act, statement, &keks, record.sealed.clone(), shares);
    let known = keks.known(Some(&statement.signed));
    match app.enclave_of(place.role, statement)?.ask(body, &known).await? {
        response::Body::Moved(moved) => Ok(moved),
        _ => Err(Error::Internal("an enclave's answer to an act")),
    }
}

/// The generation that an act opens.
pub(super) fn generation(order: &Order, record: &StoredRecord) -> Result<Option<u64>, Error> {
    match &order.work {
        Work::Recover { generation, .. } => Ok(Some(*generation)),
        Work::CarryOut { kind, started_by: Some(started_by), .. } => {
            let mut waiting = record.row.open_acts.iter().filter(|open| open.kind() == *kind);
            let open = waiting.find(|open| open.intent_hash == *started_by).ok_or(Error::NotFound("recovery"))?;
            Ok(Some(open.generation))
        }
        Work::CarryOut { .. } | Work::PutShares { .. } | Work::Change { .. } | Work::Commit { .. } => Ok(None),
    }
}

fn frame(
    order: &Order,
    act: Option<Act>,
    statement: &StoredStatement,
    keks: &Keks,
    record: SealedRecord,
    shares: Vec<SealedShare>,
) -> request::Body {
    let tenant = order.place.tenant.0.to_vec();
    let (statement, (kek, other_kek)) = (Some(statement.reference()), keks.references());
    let record = Some(record);
    match &order.work {
        Work::Recover { recipient_key, .. } => {
            let recipient_key = recipient_key.clone();
            request::Body::Recover(Recover { tenant, statement, kek, act, recipient_key, record, shares, other_kek })
        }
        Work::PutShares { message, .. } => {
            let message = message.clone();
            request::Body::PutShares(PutShares { tenant, statement, kek, act, record, message, other_kek })
        }
        Work::Change { credential, .. } => {
            let credential = credential.clone();
            request::Body::Change(Change { tenant, statement, kek, act, record, credential, other_kek })
        }
        Work::CarryOut { kind, recipient_key, .. } => request::Body::CarryOut(CarryOut {
            tenant,
            statement,
            kek,
            act,
            record,
            kind: (*kind).into(),
            recipient_key: recipient_key.clone(),
            shares,
            other_kek,
        }),
        Work::Commit { receipt } => {
            let receipt = Some(receipt.clone());
            request::Body::Commit(Commit { tenant, statement, kek, receipt, record, other_kek })
        }
    }
}
