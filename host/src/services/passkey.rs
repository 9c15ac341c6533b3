//! `PasskeyService`: what a device needs before it prompts its user, and the passkeys of its wallet.

use strongroom_proto::id::TenantId;
use strongroom_proto::v1::passkey_service_server::PasskeyService;
use strongroom_proto::v1::{ActRequest, ActResponse, AddPasskeyRequest, ListPasskeysRequest, ListPasskeysResponse};
use strongroom_proto::v1::{PrepareRequest, PrepareResponse, RolePreparation};
use tonic::{Request, Response, Status};

use super::act::{self, Call};
use super::load::StoredStatement;
use super::{App, begin, check, replies, service};
use crate::error::Error;
use crate::keys::{self, Name};

mod list;
pub(super) mod view;

use view::Subject;

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

pub(super) async fn prepare(app: &App, tenant: TenantId, message: &PrepareRequest) -> Result<PrepareResponse, Error> {
    let wallet = Name::parse("wallet", &message.wallet)?;
    check::exactly("nonce", message.nonce.len(), 32)?;
    let rows = app.store.get_all(vec![keys::wallet(&tenant, &wallet), keys::statement(&tenant)]).await?;
    let [Some(_), statement] = rows.as_slice() else { return Err(Error::NotFound("wallet")) };
    let statement = StoredStatement::read(statement.as_deref())?;
    let mut roles = Vec::new();
    for enclaves in app.roles().map(|role| app.enclave_of(role, &statement)) {
        let enclave = enclaves?;
        let Some(epoch) = statement.newest_epoch(enclave.role()) else { continue };
        let subject = Subject { app, enclave, tenant: &tenant, wallet: &wallet, statement: &statement, epoch };
        roles.push(role(&subject, message.nonce.clone()).await?);
    }
    Ok(PrepareResponse { statement: Some(statement.signed), roles })
}

async fn role(subject: &Subject<'_>, nonce: Vec<u8>) -> Result<RolePreparation, Error> {
    let Subject { app, enclave, tenant, epoch, .. } = subject;
    let kek = app.kek(tenant, enclave.role(), *epoch).await?;
    let attestation = app.attestation(*enclave, tenant, &kek).await?;
    let view = subject.view(nonce).await?;
    Ok(RolePreparation { role: enclave.role().into(), attestation: Some(attestation), view: Some(view) })
}
