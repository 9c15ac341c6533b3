//! `AdminService`: the operator's calls. Served on the operator's unix socket alone; whoever opens that may call.

use prost::Message;
use strongroom_proto::id::TenantId;
use strongroom_proto::v1::admin_service_server::AdminService;
use strongroom_proto::v1::{
    CapsuleChunk, GetFleetRequest, GetFleetResponse, ImportCapsuleResponse, ListKeksRequest, ListKeksResponse,
    RotateKekRequest, RotateKekResponse,
};
use strongroom_proto::v1::{
    CreateApiKeyRequest, CreateApiKeyResponse, CreateKekRequest, CreateKekResponse, CreateTenantRequest,
    CreateTenantResponse, ListTenantsRequest, ListTenantsResponse, RevokeApiKeyRequest, RevokeApiKeyResponse, Tenant,
};
use tonic::{Request, Response, Status, Streaming};

use super::{App, capsule, check, service};
use crate::auth::NewKey;
use crate::clock::now_ms;
use crate::enclave::Enclave;
use crate::error::Error;
use crate::keys::{self, Kind};
use crate::rows::{ApiKeyRow, TenantRow, decode};
use crate::store::{Expect, SCAN_ROWS_MAX, Write};

/// Most tenants in one list.
const TENANTS_LISTED_MAX: usize = 10_000;

mod epochs;

service! {
    /// The service.
    Admin
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn create_tenant(
        &self,
        request: Request<CreateTenantRequest>,
    ) -> Result<Response<CreateTenantResponse>, Status> {
        let work = |message| async move { create_tenant(&self.0, message).await };
        self.0.operator_call("CreateTenant", request, work).await
    }

    async fn list_tenants(
        &self,
        request: Request<ListTenantsRequest>,
    ) -> Result<Response<ListTenantsResponse>, Status> {
        let work = |_| async move { list_tenants(&self.0).await };
        self.0.operator_call("ListTenants", request, work).await
    }

    async fn create_api_key(
        &self,
        request: Request<CreateApiKeyRequest>,
    ) -> Result<Response<CreateApiKeyResponse>, Status> {
        let work = |message: CreateApiKeyRequest| async move {
            let tenant = known_tenant(&self.0, &message.tenant).await?;
            check::label("label", &message.label)?;
            let new = NewKey::draw()?;
            let row =
                ApiKeyRow { tenant: tenant.0.to_vec(), label: message.label, created_ms: now_ms(), revoked_ms: 0 };
            self.0.store.commit(vec![Write::new(keys::api_key(&new.hash), row.encode_to_vec())]).await?;
            Ok(CreateApiKeyResponse { key_id: hex::encode(new.hash), api_key: new.key.to_string() })
        };
        self.0.operator_call("CreateApiKey", request, work).await
    }

    async fn revoke_api_key(
        &self,
        request: Request<RevokeApiKeyRequest>,
    ) -> Result<Response<RevokeApiKeyResponse>, Status> {
        let work = |message| async move { revoke(&self.0, message).await };
        self.0.operator_call("RevokeApiKey", request, work).await
    }

    async fn create_kek(&self, request: Request<CreateKekRequest>) -> Result<Response<CreateKekResponse>, Status> {
        let work = |message| async move { epochs::create(&self.0, message).await };
        self.0.operator_call("CreateKek", request, work).await
    }

    async fn rotate_kek(&self, request: Request<RotateKekRequest>) -> Result<Response<RotateKekResponse>, Status> {
        let work = |message| async move { epochs::rotate(&self.0, message).await };
        self.0.operator_call("RotateKek", request, work).await
    }

    async fn list_keks(&self, request: Request<ListKeksRequest>) -> Result<Response<ListKeksResponse>, Status> {
        let work = |message| async move { epochs::list(&self.0, message).await };
        self.0.operator_call("ListKeks", request, work).await
    }

    async fn import_capsule(
        &self,
        request: Request<Streaming<CapsuleChunk>>,
    ) -> Result<Response<ImportCapsuleResponse>, Status> {
        let work = |chunks| async move { capsule::import::import(&self.0, chunks).await };
        self.0.operator_call("ImportCapsule", request, work).await
    }

    async fn get_fleet(&self, request: Request<GetFleetRequest>) -> Result<Response<GetFleetResponse>, Status> {
        let work =
            |_| async move { Ok(GetFleetResponse { enclaves: self.0.enclaves.iter().map(Enclave::fleet).collect() }) };
        self.0.operator_call("GetFleet", request, work).await
    }
}

async fn create_tenant(app: &App, message: CreateTenantRequest) -> Result<CreateTenantResponse, Error> {
    check::exactly("root_key", message.root_key.len(), 32)?;
    check::exactly("standby_key", message.standby_key.len(), 32)?;
    check::label("display_name", &message.display_name)?;
    if message.root_key == message.standby_key {
        return Err(Error::bad("standby_key", "must differ from root_key"));
    }
    let tenant = TenantId::of(&message.root_key, &message.standby_key);
    let CreateTenantRequest { root_key, standby_key, display_name } = message;
    let row = TenantRow { root_key, standby_key, display_name, created_ms: now_ms() };
    match app.store.commit(vec![Write::new(keys::tenant(&tenant), row.encode_to_vec())]).await {
        Ok(()) => Ok(CreateTenantResponse { tenant: tenant.0.to_vec() }),
        Err(Error::Conflict(Kind::Tenant)) => Err(Error::AlreadyExists("tenant")),
        Err(error) => Err(error),
    }
}

async fn list_tenants(app: &App) -> Result<ListTenantsResponse, Error> {
    let prefix = keys::tenants();
    let mut tenants = Vec::new();
    let mut after = None;
    while tenants.len() < TENANTS_LISTED_MAX {
        let rows = app.store.scan(prefix.clone(), after.take(), SCAN_ROWS_MAX).await?;
        let last_page = rows.len() < SCAN_ROWS_MAX;
        for (key, row) in rows {
            let id = keys::last_id(&prefix, &key).ok_or(Error::Internal("a tenant's key does not parse"))?;
            let row: TenantRow = decode(&row)?;
            tenants.push(Tenant { tenant: id.to_vec(), display_name: row.display_name, created_ms: row.created_ms });
            after = Some(keys::tenant(&TenantId(id)));
        }
        if last_page {
            break;
        }
    }
    tenants.truncate(TENANTS_LISTED_MAX);
    Ok(ListTenantsResponse { tenants })
}

async fn revoke(app: &App, message: RevokeApiKeyRequest) -> Result<RevokeApiKeyResponse, Error> {
    let mut hash = [0; 32];
    hex::decode_to_slice(&message.key_id, &mut hash).map_err(|_| Error::bad("key_id", "64 hex digits"))?;
    let key = keys::api_key(&hash);
    let stored = app.store.get(key.clone()).await?.ok_or(Error::NotFound("API key"))?;
    let row: ApiKeyRow = decode(&stored)?;
    if row.revoked_ms == 0 {
        let row = ApiKeyRow { revoked_ms: now_ms().max(1), ..row };
        let expect = Expect::unchanged(Some(&stored));
        app.store.commit(vec![Write { key, expect, put: Some(row.encode_to_vec()) }]).await?;
    }
    Ok(RevokeApiKeyResponse {})
}

async fn known_tenant(app: &App, id: &[u8]) -> Result<TenantId, Error> {
    check::exactly("tenant", id.len(), 32)?;
    let tenant = TenantId::from_slice(id).ok_or_else(|| Error::bad("tenant", "exactly 32 bytes"))?;
    app.store.get(keys::tenant(&tenant)).await?.ok_or(Error::NotFound("tenant"))?;
    Ok(tenant)
}
