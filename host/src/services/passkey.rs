//! `PasskeyService`: what a device needs before it prompts its user, and the passkeys of its wallet.

use strongroom_proto::enclave::v1::{GetView, SealedRecord, request, response};
use strongroom_proto::id::{RecordId, TenantId};
use strongroom_proto::limits::RECORDS_MAX;
use strongroom_proto::v1::passkey_service_server::PasskeyService;
use strongroom_proto::v1::{ActRequest, ActResponse, AddPasskeyRequest, ListPasskeysRequest, ListPasskeysResponse};
use strongroom_proto::v1::{PrepareRequest, PrepareResponse, Role, RolePreparation, SignedView};
use tonic::{Request, Response, Status};

use super::act::{self, Call};
use super::listing::Place;
use super::load::{StoredRecord, StoredStatement};
use super::{App, begin, check, replies, service};
use crate::enclave::Enclave;
use crate::error::Error;
use crate::keys::{self, Kind, Name};

/// Most readings of a wallet's records for one view: every one but the last seals the lowest of them again.
const VIEW_READS_MAX: usize = 4;

mod list;

service! {
    /// The service.
    Passkeys
}

#[tonic::async_trait]
impl PasskeyService for Passkeys {
    async fn prepare(&self, request: Request<PrepareRequest>) -> Result<Response<PrepareResponse>, Status> {
        let work = |tenant, message| async move { begin(|| prepare(&self.0, tenant, &message)).await };
        self.0.call("Prepare", request, work).await
    }

    async fn add_passkey(&self, request: Request<AddPasskeyRequest>) -> Result<Response<ActResponse>, Status> {
        let work = |tenant, message| async move { add(&self.0, tenant, message).await };
        self.0.call("AddPasskey", request, work).await
    }

    async fn remove_passkey(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.0.plain_act(Call::RemovePasskey, request).await
    }

    async fn rename_passkey(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.0.plain_act(Call::RenamePasskey, request).await
    }

    async fn list_passkeys(
        &self,
        request: Request<ListPasskeysRequest>,
    ) -> Result<Response<ListPasskeysResponse>, Status> {
        let work = |tenant, message| async move { begin(|| list::list(&self.0, tenant, &message)).await };
        self.0.call("ListPasskeys", request, work).await
    }
}

async fn add(app: &App, tenant: TenantId, message: AddPasskeyRequest) -> Result<ActResponse, Error> {
    check::credential(Some(message.credential.as_ref().ok_or_else(|| Error::bad("credential", "required"))?))?;
    let call = Call::AddPasskey;
    let request_sha256 = replies::request_hash(call.rpc(), &message);
    let AddPasskeyRequest { request_id, act, credential } = message;
    act::change(app, tenant, call, request_sha256, &request_id, act, credential).await
}

async fn prepare(app: &App, tenant: TenantId, message: &PrepareRequest) -> Result<PrepareResponse, Error> {
    let wallet = Name::parse("wallet", &message.wallet)?;
    check::exactly("nonce", message.nonce.len(), 32)?;
    let rows = app.store.get_all(vec![keys::wallet(&tenant, &wallet), keys::statement(&tenant)]).await?;
    let [Some(_), statement] = rows.as_slice() else { return Err(Error::NotFound("wallet")) };
    let statement = StoredStatement::read(statement.as_deref())?;
    let mut roles = Vec::with_capacity(app.enclaves.len());
    for enclave in &app.enclaves {
        let Some(epoch) = statement.newest_epoch(enclave.role()) else { continue };
        roles.push(role(app, enclave, &tenant, &wallet, &statement, epoch, message.nonce.clone()).await?);
    }
    Ok(PrepareResponse { statement: Some(statement.signed), roles })
}

async fn role(
    app: &App,
    enclave: &Enclave,
    tenant: &TenantId,
    wallet: &Name,
    statement: &StoredStatement,
    epoch: u64,
    nonce: Vec<u8>,
) -> Result<RolePreparation, Error> {
    let kek = app.kek(tenant, enclave.role(), epoch).await?;
    let attestation = app.attestations.get(enclave, tenant, &kek).await?;
    let view = view(app, enclave, tenant, wallet, statement, epoch, nonce).await?;
    Ok(RolePreparation { role: enclave.role().into(), attestation: Some(attestation), view: Some(view) })
}

/// The records of a wallet as the enclave sees them, signed under an epoch.
async fn view(
    app: &App,
    enclave: &Enclave,
    tenant: &TenantId,
    wallet: &Name,
    statement: &StoredStatement,
    epoch: u64,
    nonce: Vec<u8>,
) -> Result<SignedView, Error> {
    let records = viewable(app, enclave.role(), tenant, wallet, statement, epoch).await?;
    let opens: Vec<u64> = [epoch].into_iter().chain(records.iter().map(|record| record.epoch)).collect();
    let keks = app.keks(tenant, enclave.role(), statement, &opens).await?;
    let (kek, other_kek) = keks.references();
    let tenant = tenant.0.to_vec();
    let body = GetView { tenant, kek, wallet: wallet.as_str().to_owned(), nonce, records, other_kek };
    match enclave.ask(request::Body::GetView(body), &keks.known(None)).await? {
        response::Body::View(view) => view.view.ok_or(Error::Internal("a view is missing")),
        _ => Err(Error::Internal("an enclave's answer to GetView")),
    }
}

/// The records of a wallet, under at most one epoch beside the newest: where they lie under more, the lowest are sealed again first.
async fn viewable(
    app: &App,
    role: Role,
    tenant: &TenantId,
    wallet: &Name,
    statement: &StoredStatement,
    newest: u64,
) -> Result<Vec<SealedRecord>, Error> {
    let prefix = keys::records(tenant, wallet, role);
    for _ in 0..VIEW_READS_MAX {
        let rows = app.store.scan(prefix.clone(), None, RECORDS_MAX).await?;
        let sealed = |(_, row): (Vec<u8>, Vec<u8>)| StoredRecord::read(Some(&row)).map(|record| record.sealed);
        let records = rows.into_iter().map(sealed).collect::<Result<Vec<_>, Error>>()?;
        let others = records.iter().map(|record| record.epoch).filter(|epoch| *epoch != newest);
        let Some(stays) = others.max() else { return Ok(records) };
        let low: Vec<&SealedRecord> = records.iter().filter(|record| record.epoch < stays).collect();
        if low.is_empty() {
            return Ok(records);
        }
        for record in low {
            let record = RecordId::from_slice(&record.record_id).ok_or(Error::Internal("a record without its id"))?;
            let place = Place { tenant: *tenant, wallet: wallet.clone(), role, record };
            match app.reseal_record(&place, statement).await {
                // Another write came first: what it wrote is read next.
                Ok(()) | Err(Error::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Err(Error::Conflict(Kind::Record))
}
