//! `TenantService`: statements and attestations of the caller's tenant.

use prost::Message;
use strongroom_proto::id::TenantId;
use strongroom_proto::limits::{ATTESTATION_NONCE_BYTES_MAX, EPOCHS_MAX, STATEMENT_BYTES_MAX};
use strongroom_proto::v1::tenant_service_server::TenantService;
use strongroom_proto::v1::{
    GetAttestationRequest, GetAttestationResponse, GetStatementRequest, GetStatementResponse, PutStatementRequest,
    PutStatementResponse, Role, SignedStatement, Statement,
};
use strongroom_proto::{canonical, prefix, signed};
use tonic::{Request, Response, Status};

use super::{App, attestations, check, service};
use crate::error::Error;
use crate::keys;
use crate::rows::{KekRow, decode};
use crate::store::{Expect, Write};

service! {
    /// The service.
    Tenants
}

#[tonic::async_trait]
impl TenantService for Tenants {
    async fn get_statement(
        &self,
        request: Request<GetStatementRequest>,
    ) -> Result<Response<GetStatementResponse>, Status> {
        let work = |tenant, _| async move {
            let row = self.0.store.get(keys::statement(&tenant)).await?.ok_or(Error::NotFound("statement"))?;
            Ok(GetStatementResponse { statement: Some(decode(&row)?) })
        };
        self.0.call("GetStatement", request, work).await
    }

    async fn put_statement(
        &self,
        request: Request<PutStatementRequest>,
    ) -> Result<Response<PutStatementResponse>, Status> {
        let work = |tenant, message: PutStatementRequest| async move {
            let signed = message.statement.ok_or_else(|| Error::bad("statement", "required"))?;
            put(&self.0, tenant, &signed).await.map(|serial| PutStatementResponse { serial })
        };
        self.0.call("PutStatement", request, work).await
    }

    async fn get_attestation(
        &self,
        request: Request<GetAttestationRequest>,
    ) -> Result<Response<GetAttestationResponse>, Status> {
        let work = |tenant: TenantId, message: GetAttestationRequest| async move {
            check::at_most("nonce", message.nonce.len(), ATTESTATION_NONCE_BYTES_MAX)?;
            let role = check::role("role", message.role)?;
            let enclave = self.0.enclave(role)?;
            let epoch = match message.epoch {
                0 => newest_epoch(&self.0, &tenant, role).await?.ok_or(Error::NotFound("epoch"))?,
                epoch => epoch,
            };
            let kek = self.0.kek(&tenant, role, epoch).await?;
            let attestation = attestations::make(enclave, &tenant, &kek, message.nonce).await?;
            Ok(GetAttestationResponse { attestation: Some(attestation) })
        };
        self.0.call("GetAttestation", request, work).await
    }
}

/// Stores a statement with a higher serial, and returns its serial.
async fn put(app: &App, tenant: TenantId, new: &SignedStatement) -> Result<u64, Error> {
    let statement = checked(tenant, new)?;
    let key = keys::statement(&tenant);
    let stored = app.store.get(key.clone()).await?;
    let bytes = new.encode_to_vec();
    if let Some(stored) = &stored {
        if *stored == bytes {
            return Ok(statement.serial);
        }
        let former: SignedStatement = decode(stored)?;
        let former: Statement = decode(&former.statement)?;
        if statement.serial <= former.serial {
            return Err(Error::StatementStale { given: statement.serial, stored: former.serial });
        }
    }
    let by_serial = Write::new(keys::statement_serial(&tenant, statement.serial), bytes.clone());
    let newest = Write { key, expect: Expect::unchanged(stored.as_deref()), put: Some(bytes) };
    app.store.commit(vec![newest, by_serial]).await?;
    app.sweep.wake(tenant);
    Ok(statement.serial)
}

/// Whether the statement is this tenant's, signed by one of its two keys. A courtesy: devices and enclaves check it themselves.
pub(super) fn checked(tenant: TenantId, new: &SignedStatement) -> Result<Statement, Error> {
    let statement: Statement = canonical::decode(&new.statement, STATEMENT_BYTES_MAX)
        .map_err(|error| Error::bad("statement.statement", error.to_string()))?;
    let (root, standby) = (&statement.root_key, &statement.standby_key);
    check::exactly("statement.statement.root_key", root.len(), 32)?;
    check::exactly("statement.statement.standby_key", standby.len(), 32)?;
    if TenantId::of(root, standby) != tenant {
        return Err(Error::bad("statement.statement.root_key", "the keys of the API key's tenant"));
    }
    let holds = |key: &[u8]| signed::verify(prefix::STATEMENT, &new.statement, key, &new.signature).is_ok();
    if !holds(root) && !holds(standby) {
        return Err(Error::bad("statement.signature", "an Ed25519 signature by the root or the standby key"));
    }
    if statement.serial == 0 { Err(Error::bad("statement.statement.serial", "at least 1")) } else { Ok(statement) }
}

/// The newest epoch that has a KEK.
pub(super) async fn newest_epoch(app: &App, tenant: &TenantId, role: Role) -> Result<Option<u64>, Error> {
    Ok(epochs_of(app, tenant, role).await?.last().map(|(epoch, _)| *epoch))
}

/// The epochs that have a KEK, ascending.
pub(super) async fn epochs_of(app: &App, tenant: &TenantId, role: Role) -> Result<Vec<(u64, KekRow)>, Error> {
    let prefix = keys::keks(tenant, role);
    let rows = app.store.scan(prefix.clone(), None, EPOCHS_MAX).await?;
    let read = |(key, row): (Vec<u8>, Vec<u8>)| {
        let epoch = key.strip_prefix(prefix.bytes()).and_then(|rest| rest.try_into().ok()).map(u64::from_be_bytes);
        Ok((epoch.ok_or(Error::Internal("a KEK's key does not parse"))?, decode(&row)?))
    };
    rows.into_iter().map(read).collect()
}
