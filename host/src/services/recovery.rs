//! `RecoveryService`: releases of shares.

use prost::Message;
use strongroom_proto::enclave::v1::{Moved, Recover, request, response};
use strongroom_proto::id::TenantId;
use strongroom_proto::limits::CHANNEL_KEY_BYTES;
use strongroom_proto::v1::recovery_service_server::RecoveryService;
use strongroom_proto::v1::{ActRequest, ActResponse, ReleaseRecoveryRequest};
use strongroom_proto::v1::{RecoverRequest, RecoverResponse, Role, intent::Action};
use tonic::{Request, Response, Status};

use super::check::CheckedAct;
use super::listing::{self, Place};
use super::load::{self, StoredRecord, StoredStatement};
use super::replies::{self, Found, Ticket};
use super::{App, check, service};
use crate::error::Error;
use crate::keys::{self, Name};
use crate::rows::RecordRow;
use crate::store::Write;

const ROLE: Role = Role::Client;

service! {
    /// The service.
    Recoveries
}

#[tonic::async_trait]
impl RecoveryService for Recoveries {
    async fn recover(&self, request: Request<RecoverRequest>) -> Result<Response<RecoverResponse>, Status> {
        let work = |tenant, message| async move { recover(&self.0, tenant, message).await };
        self.0.call("Recover", request, work).await
    }

    async fn start_recovery(&self, _: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        Err(Status::unimplemented("StartRecovery comes with the next commits"))
    }

    async fn release_recovery(&self, _: Request<ReleaseRecoveryRequest>) -> Result<Response<RecoverResponse>, Status> {
        Err(Status::unimplemented("ReleaseRecovery comes with the next commits"))
    }

    async fn cancel_recovery(&self, _: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        Err(Status::unimplemented("CancelRecovery comes with the next commits"))
    }
}

async fn recover(app: &App, tenant: TenantId, message: RecoverRequest) -> Result<RecoverResponse, Error> {
    let request_id = Name::parse("request_id", &message.request_id)?;
    check::exactly("client_recipient_key", message.client_recipient_key.len(), CHANNEL_KEY_BYTES)?;
    let request_sha256 = replies::request_hash("Recover", &message);
    let checked = check::act(&tenant, message.act)?;
    let Some(Action::Recover(action)) = &checked.intent.action else {
        return Err(Error::bad("act.intent.action", "must be recover"));
    };
    let generation = action.generation;
    let record_id = check::record_id(&checked.intent, ROLE)?;
    let place = Place { tenant, wallet: checked.wallet.clone(), role: ROLE, record: record_id };
    let keys = vec![Ticket::key(&tenant, &request_id), keys::statement(&tenant), place.key()];
    let rows = app.store.get_all(keys).await?;
    let [reply, statement, record] = rows.as_slice() else { return Err(Error::Internal("rows are missing")) };
    let ticket = match replies::find(&tenant, &request_id, request_sha256, reply.as_deref())? {
        Found::Reply(reply) => return Ok(reply),
        Found::Fresh(ticket) => ticket,
    };
    let record = StoredRecord::read(record.as_deref())?;
    let statement = StoredStatement::read(statement.as_deref())?;
    let recipient_key = message.client_recipient_key;
    let answer = ask(app, &place, checked, &record, statement, generation, recipient_key).await?;
    let receipt = load::receipt(answer.receipt.as_ref())?;
    let stored = answer.record.as_ref().is_some_and(|record| record.record_id == record_id.0);
    if !stored || receipt.record_id != record_id.0 {
        return Err(Error::Internal("the enclave answered for another record"));
    }
    let signed = answer.receipt.unwrap_or_default();
    let row = RecordRow { record: answer.record, receipt: Some(signed.clone()), ..record.row.clone() };
    let mut writes = listing::writes(&place, Some(&record), &row);
    writes.push(Write::new(keys::event(&tenant, &record_id, ROLE, receipt.version), signed.encode_to_vec()));
    let response = RecoverResponse { client_release: answer.release, receipts: vec![signed], stages: receipt.stages };
    replies::commit(&*app.store, &ticket, response, writes).await
}

async fn ask(
    app: &App,
    place: &Place,
    checked: CheckedAct,
    record: &StoredRecord,
    statement: StoredStatement,
    generation: u64,
    recipient_key: Vec<u8>,
) -> Result<Moved, Error> {
    let shares = app.shares(place, record, generation).await?;
    let keks = app.keks_of(place, &statement, record, &shares, None).await?;
    let (kek, other_kek) = keks.references();
    let body = Recover {
        tenant: place.tenant.0.to_vec(),
        statement: Some(statement.reference()),
        kek,
        act: Some(checked.act),
        recipient_key,
        record: Some(record.sealed.clone()),
        shares,
        other_kek,
    };
    match app.enclave(ROLE)?.ask(request::Body::Recover(body), &keks.known(Some(statement.signed))).await? {
        response::Body::Moved(moved) => Ok(moved),
        _ => Err(Error::Internal("an enclave's answer to Recover")),
    }
}
