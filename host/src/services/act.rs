//! Acts on an existing record, one path for all of them: the form, the reply that may be stored, the rows, one frame to the enclave of
//! each role that the act names, one commit, the answer.
//!
//! It decides nothing: whether the consents hold and what the act does says each enclave for itself. What one of two roles refuses is
//! stored of neither. A commit replaces a record's row only where the same bytes stand there that the enclave was given.

use prost::Message;
use strongroom_proto::enclave::v1::SealedShare;
use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{
    Act, ActRequest, ActResponse, NewCredential, OpenActKind, Pair, Receipt, SignedReceipt, StoredShare, intent::Action,
};

use super::brought::Brought;
use super::listing::Place;
use super::load::{self, StoredRecord, StoredStatement};
use super::replies::{self, Found, Ticket};
use super::roles::{self, at_once};
use super::{App, BEGIN_MAX, brought, is_overtaken, recoveries};
use crate::error::Error;
use crate::keys::{self, Key, Kind, Name};
use crate::rows::{BackupRow, BooksRow, RecordRow, SealNote};
use crate::store::{Row, Write};

pub(super) mod answer;
mod ask;
mod call;
pub(super) mod carry_out;
pub(super) mod commit;
pub(super) mod settle;

pub(super) use call::Call;

/// What is asked of one role's enclave: an act on one record.
pub(super) struct Order {
    pub(super) place: Place,
    /// The consents name this role, and go along.
    pub(super) consents: bool,
    pub(super) work: Work,
}

/// What the kinds of acts differ in.
pub(super) enum Work {
    Recover {
        generation: u64,
        recipient_key: Vec<u8>,
    },
    PutShares {
        generation: u64,
        pairs: Vec<Pair>,
        message: Vec<u8>,
        epoch: u64,
        /// What the device encrypted itself comes and goes with this role's record.
        ciphertexts: bool,
    },
    Change {
        credential: Option<NewCredential>,
        cancels: Option<Vec<u8>>,
        /// Of an eject window: for how long it is open.
        window_ms: u64,
    },
    CarryOut {
        kind: OpenActKind,
        recipient_key: Vec<u8>,
        started_by: Option<Vec<u8>>,
    },
    /// On the other role's receipt.
    Commit {
        receipt: SignedReceipt,
    },
}

/// The orders of one call, with the id under which its answer is kept.
pub(super) struct Asked {
    pub(super) tenant: TenantId,
    pub(super) request_id: Name,
    pub(super) request_sha256: [u8; 32],
    /// The consents; none where they were given before.
    pub(super) act: Option<Act>,
    /// One for each role, in the order of the roles.
    pub(super) orders: Vec<Order>,
    pub(super) brought: Brought,
}

/// An order with the record that it is about, as it stands.
struct Part<'a> {
    order: &'a Order,
    record: StoredRecord,
    /// Those that the act opens, where they were read with the record.
    shares: Option<Vec<SealedShare>>,
    /// Those of them that the caller brought.
    brought: Vec<SealNote>,
}

/// What one role's enclave did, and the rows that must stand before anybody hears of it.
pub(super) struct Outcome {
    pub(super) place: Place,
    pub(super) receipt: Receipt,
    pub(super) signed: SignedReceipt,
    pub(super) release: Vec<u8>,
    /// Sealed shares that the caller keeps, for him.
    pub(super) handed: Vec<StoredShare>,
    pub(super) row: RecordRow,
    pub(super) writes: Vec<Write>,
}

/// What a call did in all its roles.
pub(super) struct Done {
    pub(super) outcomes: Vec<Outcome>,
    /// The backup, where shares were put.
    pub(super) backup: Option<PutBackup>,
}

/// The backup that shares are put into.
pub(super) struct PutBackup {
    pub(super) id: Name,
    pub(super) row: BackupRow,
    /// As they are afterwards.
    pub(super) books: BooksRow,
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
    let checked = app.checked_act(&tenant, call, act)?;
    let cancels = match &checked.intent.action {
        Some(Action::Cancel(cancel)) => Some(cancel.intent_hash.clone()),
        _ => None,
    };
    let window_ms = match &checked.intent.action {
        Some(Action::OpenEjectWindow(window)) => u64::from(window.duration_seconds).saturating_mul(1000),
        _ => 0,
    };
    let work = |_| Work::Change { credential: credential.clone(), cancels: cancels.clone(), window_ms };
    let orders = checked.orders(tenant, work)?;
    let brought = Brought::default();
    run(app, &Asked { tenant, request_id, request_sha256, act: Some(checked.act), orders, brought }, |done| {
        Ok(answer::receipts(done))
    })
    .await
}

/// Carries out an act, or finds its answer. An act that another one overtook is refused: its intent names a head that has moved. One that
/// only a re-seal overtook, which moves no head, is begun anew.
pub(super) async fn run<R: Message + Default>(
    app: &App,
    asked: &Asked,
    answer: impl Fn(&Done) -> Result<R, Error>,
) -> Result<R, Error> {
    let mut begun = 0;
    let mut overtaken: Option<Vec<Option<SignedReceipt>>> = None;
    loop {
        let (rows, shares) = app.store.get_all_with(asked.keys(), asked.shares()).await?;
        let [reply, statement, records @ ..] = rows.as_slice() else { return Err(Error::Internal("rows are missing")) };
        let found = replies::find(&asked.tenant, &asked.request_id, asked.request_sha256, reply.as_deref())?;
        let ticket = match found {
            Found::Reply(reply) => return Ok(reply),
            Found::Fresh(ticket) => ticket,
        };
        let mut parts = asked.parts(records, shares)?;
        let receipts = parts.iter().map(|part| &part.record.row.receipt);
        if overtaken.is_some_and(|before| !receipts.eq(&before)) {
            return Err(Error::Conflict(Kind::Record));
        }
        let statement = StoredStatement::read(statement.as_deref())?;
        begun += 1;
        match answered(app, asked, &ticket, &statement, &mut parts, &answer).await {
            Err(error) if is_overtaken(&error) && begun < BEGIN_MAX => {
                overtaken = Some(parts.into_iter().map(|part| part.record.row.receipt).collect());
            }
            result => return result,
        }
    }
}

impl Asked {
    /// The rows that say how things stand: the reply, the statement and the records.
    fn keys(&self) -> Vec<Key> {
        let first = [Ticket::key(&self.tenant, &self.request_id), keys::statement(&self.tenant)];
        first.into_iter().chain(self.orders.iter().map(|order| order.place.key())).collect()
    }

    /// Where the shares are that the orders open, as far as the intent says so: none, or one place for each order.
    fn shares(&self) -> Vec<Key> {
        let places = self.orders.iter().filter_map(|order| match order.work {
            Work::Recover { generation, .. } => Some(load::share_prefix(&order.place, generation)),
            _ => None,
        });
        places.collect()
    }

    /// The orders with their records; of what waited only those in whose records it does.
    fn parts(&self, records: &[Option<Vec<u8>>], shares: Vec<Vec<Row>>) -> Result<Vec<Part<'_>>, Error> {
        let mut shares = shares.into_iter();
        let mut parts = Vec::with_capacity(records.len());
        for (order, row) in self.orders.iter().zip(records) {
            let part = part(order, row.as_deref(), shares.next());
            let of_both = |error: Error| error.in_role(roles::name(order.place.role));
            parts.push(if self.orders.len() > 1 { part.map_err(of_both)? } else { part? });
        }
        let mut parts = carry_out::where_it_waits(parts)?;
        self.bring(&mut parts)?;
        Ok(parts)
    }

    /// Gives the parts whose shares the caller keeps what the call brought of them.
    fn bring(&self, parts: &mut [Part<'_>]) -> Result<(), Error> {
        brought::check_needed(&self.brought.shares, parts.iter().map(|part| &part.record))?;
        for part in parts.iter_mut().filter(|part| part.record.row.outside && !part.record.row.closed) {
            let Some(generation) = ask::generation(part.order, &part.record)? else { continue };
            let shares = brought::sealed(&part.record, generation, &self.brought.shares)?;
            part.brought = shares.iter().map(brought::seal).collect();
            part.shares = Some(shares);
        }
        Ok(())
    }
}

fn part<'a>(order: &'a Order, row: Option<&[u8]>, shares: Option<Vec<Row>>) -> Result<Part<'a>, Error> {
    let record = StoredRecord::read(row)?;
    let shares = match (&order.work, shares) {
        (Work::Recover { generation, .. }, Some(rows)) => Some(load::shares(&order.place, *generation, rows)?),
        _ => None,
    };
    Ok(Part { order, record, shares, brought: Vec::new() })
}

async fn answered<R: Message + Default>(
    app: &App,
    asked: &Asked,
    ticket: &Ticket,
    statement: &StoredStatement,
    parts: &mut [Part<'_>],
    answer: impl Fn(&Done) -> Result<R, Error>,
) -> Result<R, Error> {
    let put = match parts {
        [Part { order: Order { work: Work::PutShares { .. }, place, .. }, record, .. }, ..] => {
            Some(settle::put::Target::find(app, place, record, &asked.brought.ciphertexts).await?)
        }
        _ => None,
    };
    let act = asked.act.as_ref();
    let outcomes = at_once(parts, |part| part.order.place.role, |part| carry_out(app, act, statement, part)).await?;
    let mut done = Done { outcomes, backup: None };
    let mut writes: Vec<Write> = Vec::new();
    if let Some(put) = put {
        let (backup, more) = put.settle(asked, &done.outcomes)?;
        (done.backup, writes) = (Some(backup), more);
    }
    // The records first, so that another write to one is the conflict that is named.
    writes.splice(0..0, done.outcomes.iter_mut().flat_map(|outcome| std::mem::take(&mut outcome.writes)));
    match recoveries::Step::of(&done)? {
        None => replies::commit(&*app.store, ticket, answer(&done)?, writes).await,
        Some(step) => step.commit(app, ticket, || answer(&done), writes).await,
    }
}

/// One frame to the enclave, and what is to be stored of its answer.
async fn carry_out(
    app: &App,
    act: Option<&Act>,
    statement: &StoredStatement,
    part: &mut Part<'_>,
) -> Result<Outcome, Error> {
    let moved = ask::ask(app, act, statement, part).await?;
    settle::settle(app, part, moved).await
}
