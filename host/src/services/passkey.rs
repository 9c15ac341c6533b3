//! `PasskeyService`: what a device needs before it prompts its user.

use strongroom_proto::enclave::v1::{GetView, request, response};
use strongroom_proto::id::TenantId;
use strongroom_proto::limits::RECORDS_MAX;
use strongroom_proto::v1::passkey_service_server::PasskeyService;
use strongroom_proto::v1::{PrepareRequest, PrepareResponse, RolePreparation};
use tonic::{Request, Response, Status};

use super::load::{StoredRecord, StoredStatement};
use super::{App, check, service};
use crate::enclave::{Enclave, Known};
use crate::error::Error;
use crate::keys::{self, Name};

service! {
    /// The service.
    Passkeys
}

#[tonic::async_trait]
impl PasskeyService for Passkeys {
    async fn prepare(&self, request: Request<PrepareRequest>) -> Result<Response<PrepareResponse>, Status> {
        let work = |tenant, message| async move { prepare(&self.0, tenant, message).await };
        self.0.call("Prepare", request, work).await
    }
}

async fn prepare(app: &App, tenant: TenantId, message: PrepareRequest) -> Result<PrepareResponse, Error> {
    let wallet = Name::parse("wallet", &message.wallet)?;
    check::exactly("nonce", message.nonce.len(), 32)?;
    let rows = app.store.get_all(vec![keys::wallet(&tenant, &wallet), keys::statement(&tenant)]).await?;
    let [Some(_), statement] = rows.as_slice() else { return Err(Error::NotFound("wallet")) };
    let statement = StoredStatement::read(statement.as_deref())?;
    let mut roles = Vec::with_capacity(app.enclaves.len());
    for enclave in &app.enclaves {
        let Some(epoch) = statement.newest_epoch(enclave.role())? else { continue };
        roles.push(role(app, enclave, &tenant, &wallet, epoch, message.nonce.clone()).await?);
    }
    Ok(PrepareResponse { statement: Some(statement.signed), roles })
}

async fn role(
    app: &App,
    enclave: &Enclave,
    tenant: &TenantId,
    wallet: &Name,
    epoch: u64,
    nonce: Vec<u8>,
) -> Result<RolePreparation, Error> {
    let kek = app.kek(tenant, enclave.role(), epoch).await?;
    let attestation = app.attestations.get(enclave, tenant, &kek).await?;
    let rows = app.store.scan(keys::records(tenant, wallet, enclave.role()), None, RECORDS_MAX).await?;
    let sealed = |(_, row): (Vec<u8>, Vec<u8>)| StoredRecord::read(Some(&row)).map(|record| record.sealed);
    let body = GetView {
        tenant: tenant.0.to_vec(),
        kek: Some(kek.reference),
        wallet: wallet.as_str().to_owned(),
        nonce,
        records: rows.into_iter().map(sealed).collect::<Result<_, Error>>()?,
    };
    let known = Known { statement: None, wrapped: kek.wrapped };
    match enclave.ask(request::Body::GetView(body), &known).await? {
        response::Body::View(view) => {
            Ok(RolePreparation { role: enclave.role().into(), attestation: Some(attestation), view: view.view })
        }
        _ => Err(Error::Internal("an enclave's answer to GetView")),
    }
}
