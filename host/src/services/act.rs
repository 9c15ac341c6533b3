//! Acts on an existing record, one path for all of them: the form, the reply that may be stored, the rows, one frame to the enclave,
//! one commit, the answer.
//!
//! It decides nothing: whether the consents hold and what the act does says the enclave. A commit replaces the record's row only where
//! the same bytes stand there that the enclave was given.

use prost::Message;
use strongroom_proto::enclave::v1::{
    CarryOut, Change, Moved, PutShares, Recover, SealedRecord, SealedShare, request, response,
};
use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{
    Act, ActRequest, ActResponse, NewCredential, OpenActKind, Pair, Receipt, RecoverResponse, SignedReceipt,
    intent::Action,
};

use super::epochs::Keks;
use super::listing::Place;
use super::load::{StoredRecord, StoredStatement};
use super::replies::{self, Found, Ticket};
use super::{App, BEGIN_MAX, check, is_overtaken};
use crate::error::Error;
use crate::keys::{self, Kind, Name};
use crate::rows::{BackupRow, RecordRow, decode};
use crate::store::Write;

mod call;
pub(super) mod carry_out;
mod settle;

pub(super) use call::Call;

/// What is asked of the enclave: an act on one record.
pub(super) struct Order {
    pub(super) place: Place,
    /// The consents; none where they were given before.
    pub(super) act: Option<Act>,
    pub(super) work: Work,
}

/// What the kinds of acts differ in.
pub(super) enum Work {
    Recover { generation: u64, recipient_key: Vec<u8> },
    PutShares { generation: u64, pairs: Vec<Pair>, message: Vec<u8>, epoch: u64 },
    Change { credential: Option<NewCredential>, cancels: Option<Vec<u8>> },
    CarryOut { kind: OpenActKind, recipient_key: Vec<u8>, started_by: Option<Vec<u8>> },
}

/// An order with the id under which its answer is kept.
pub(super) struct Asked {
    pub(super) request_id: Name,
    pub(super) request_sha256: [u8; 32],
    pub(super) order: Order,
}

/// What the enclave did, and the rows that must stand before anybody hears of it.
pub(super) struct Outcome {
    pub(super) receipt: Receipt,
    pub(super) signed: SignedReceipt,
    pub(super) release: Vec<u8>,
    pub(super) row: RecordRow,
    /// Its backup's id and row, where shares were put.
    pub(super) backup: Option<(Name, BackupRow)>,
    pub(super) writes: Vec<Write>,
}

/// Carries out an act whose intent says everything.
pub(super) async fn plain(app: &App, tenant: TenantId, call: Call, message: ActRequest) -> Result<ActResponse, Error> {
    let request_sha256 = replies::request_hash(call.rpc(), &message);
    change(app, tenant, call, request_sha256, &message.request_id, message.act, None).await
}

/// As [`plain`], with the credential that the act may bring.
pub(super) async fn change(
    app: &App,
    tenant: TenantId,
    call: Call,
    request_sha256: [u8; 32],
    request_id: &str,
    act: Option<Act>,
    credential: Option<NewCredential>,
) -> Result<ActResponse, Error> {
    let request_id = Name::parse("request_id", request_id)?;
    let checked = check::act(&tenant, call, act)?;
    let cancels = match &checked.intent.action {
        Some(Action::Cancel(cancel)) => Some(cancel.intent_hash.clone()),
        _ => None,
    };
    let order = checked.order(tenant, Work::Change { credential, cancels })?;
    run(app, &Asked { request_id, request_sha256, order }, |outcome| Ok(receipts(outcome))).await
}

/// Carries out an act, or finds its answer. An act that another one overtook is refused: its intent names a head that has moved. One that
/// only a re-seal overtook, which moves no head, is begun anew.
pub(super) async fn run<R: Message + Default>(
    app: &App,
    asked: &Asked,
    answer: impl Fn(&Outcome) -> Result<R, Error>,
) -> Result<R, Error> {
    let place = &asked.order.place;
    let mut begun = 0;
    let mut overtaken: Option<Option<SignedReceipt>> = None;
    loop {
        let all = vec![Ticket::key(&place.tenant, &asked.request_id), keys::statement(&place.tenant), place.key()];
        let rows = app.store.get_all(all).await?;
        let [reply, statement, record] = rows.as_slice() else { return Err(Error::Internal("rows are missing")) };
        let found = replies::find(&place.tenant, &asked.request_id, asked.request_sha256, reply.as_deref())?;
        let ticket = match found {
            Found::Reply(reply) => return Ok(reply),
            Found::Fresh(ticket) => ticket,
        };
        let record = StoredRecord::read(record.as_deref())?;
        if overtaken.is_some_and(|receipt| receipt != record.row.receipt) {
            return Err(Error::Conflict(Kind::Record));
        }
        overtaken = Some(record.row.receipt.clone());
        let statement = StoredStatement::read(statement.as_deref())?;
        begun += 1;
        match answered(app, asked, &ticket, statement, &record, &answer).await {
            Err(error) if is_overtaken(&error) && begun < BEGIN_MAX => {}
            result => return result,
        }
    }
}

async fn answered<R: Message + Default>(
    app: &App,
    asked: &Asked,
    ticket: &Ticket,
    statement: StoredStatement,
    record: &StoredRecord,
    answer: impl Fn(&Outcome) -> Result<R, Error>,
) -> Result<R, Error> {
    let outcome = carry_out(app, &asked.order, statement, record).await?;
    let response = answer(&outcome)?;
    replies::commit(&*app.store, ticket, response, outcome.writes).await
}

/// The answer of an act that releases nothing.
pub(super) fn receipts(outcome: &Outcome) -> ActResponse {
    ActResponse { receipts: vec![outcome.signed.clone()], stages: outcome.receipt.stages.clone() }
}

/// The answer of a release.
pub(super) fn release(outcome: &Outcome) -> RecoverResponse {
    RecoverResponse {
        client_release: outcome.release.clone(),
        receipts: vec![outcome.signed.clone()],
        stages: outcome.receipt.stages.clone(),
    }
}

/// One frame to the enclave, and what is to be stored of its answer.
async fn carry_out(
    app: &App,
    order: &Order,
    statement: StoredStatement,
    record: &StoredRecord,
) -> Result<Outcome, Error> {
    let place = &order.place;
    if record.row.closed {
        return Err(Error::State("the backup was deleted"));
    }
    let shares = match generation(order, record)? {
        Some(generation) => app.shares(place, record, generation).await?,
        None => Vec::new(),
    };
    let (message, backup) = match &order.work {
        Work::PutShares { epoch, .. } => {
            let message = statement.epochs(place.role)?.of_message(*epoch)?;
            (Some(message), Some(backup(app, place, record).await?))
        }
        _ => (None, None),
    };
    let keks = app.keks_of(place, &statement, record, &shares, message).await?;
    let body = frame(order, &statement, &keks, record.sealed.clone(), shares);
    let known = keks.known(Some(statement.signed));
    match app.enclave(place.role)?.ask(body, &known).await? {
        response::Body::Moved(moved) => settle::settle(app, order, record, backup, moved).await,
        _ => Err(Error::Internal("an enclave's answer to an act")),
    }
}

/// The generation that an act opens.
fn generation(order: &Order, record: &StoredRecord) -> Result<Option<u64>, Error> {
    match &order.work {
        Work::Recover { generation, .. } => Ok(Some(*generation)),
        Work::CarryOut { kind, started_by: Some(started_by), .. } => {
            let mut waiting = record.row.open_acts.iter().filter(|open| open.kind() == *kind);
            let open = waiting.find(|open| open.intent_hash == *started_by).ok_or(Error::NotFound("recovery"))?;
            Ok(Some(open.generation))
        }
        Work::CarryOut { .. } | Work::PutShares { .. } | Work::Change { .. } => Ok(None),
    }
}

/// The backup that a record is of.
async fn backup(app: &App, place: &Place, record: &StoredRecord) -> Result<(Name, BackupRow), Error> {
    let id = Name::parse("backup", &record.sealed.backup)?;
    let row = app.store.get(keys::backup(&place.tenant, &place.wallet, &id)).await?;
    Ok((id, decode(&row.ok_or(Error::Internal("a record without its backup"))?)?))
}

fn frame(
    order: &Order,
    statement: &StoredStatement,
    keks: &Keks,
    record: SealedRecord,
    shares: Vec<SealedShare>,
) -> request::Body {
    let tenant = order.place.tenant.0.to_vec();
    let (statement, (kek, other_kek)) = (Some(statement.reference()), keks.references());
    let (act, record) = (order.act.clone(), Some(record));
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
    }
}

/// What an enclave answered, if it is about this record.
fn about<'a>(order: &Order, moved: &'a Moved, receipt: &Receipt) -> Result<&'a SignedReceipt, Error> {
    let same = moved.record.as_ref().is_some_and(|record| record.record_id == order.place.record.0);
    match &moved.receipt {
        Some(signed) if same && receipt.record_id == order.place.record.0 => Ok(signed),
        _ => Err(Error::Internal("the enclave answered for another record")),
    }
}
