//! The operator's calls, over the host's local socket.

use strongroom_proto::id::TenantId;
use strongroom_proto::v1::admin_service_client::AdminServiceClient;
use strongroom_proto::v1::{
    CapsuleChunk, CreateApiKeyRequest, CreateApiKeyResponse, CreateKekRequest, CreateTenantRequest, FleetEnclave,
    GetFleetRequest, ImportCapsuleResponse, Kek, ListKeksRequest, ListTenantsRequest, RevokeApiKeyRequest,
    RotateKekRequest, Tenant,
};
use tonic::transport::Channel;

use super::body;
use crate::error::{Error, array};
use strongroom_proto::limits::CAPSULE_CHUNK_BYTES_MAX;

/// A connection to the admin socket, as [`connect`](super::connect) makes it for `unix:PATH`.
pub type Connection = Channel;

/// Registers a tenant; gives its id.
///
/// # Errors
/// [`Error::Refused`], or [`Error::Mismatch`] where the host says another id than the keys make.
pub async fn create_tenant(socket: Connection, request: CreateTenantRequest) -> Result<TenantId, Error> {
    let expected = TenantId::of(&request.root_key, &request.standby_key);
    let answer = body(AdminServiceClient::new(socket).create_tenant(request).await)?;
    let tenant = TenantId(array("answer", "tenant", &answer.tenant)?);
    crate::error::expect("answer", "tenant", tenant, expected)?;
    Ok(tenant)
}

/// The tenants.
///
/// # Errors
/// [`Error::Refused`].
pub async fn list_tenants(socket: Connection) -> Result<Vec<Tenant>, Error> {
    Ok(body(AdminServiceClient::new(socket).list_tenants(ListTenantsRequest {}).await)?.tenants)
}

/// Makes an API key.
///
/// # Errors
/// [`Error::Refused`].
pub async fn create_api_key(socket: Connection, request: CreateApiKeyRequest) -> Result<CreateApiKeyResponse, Error> {
    body(AdminServiceClient::new(socket).create_api_key(request).await)
}

/// Revokes an API key.
///
/// # Errors
/// [`Error::Refused`].
pub async fn revoke_api_key(socket: Connection, request: RevokeApiKeyRequest) -> Result<(), Error> {
    body(AdminServiceClient::new(socket).revoke_api_key(request).await).map(|_| ())
}

/// Makes a tenant's KEK in a role; gives its epoch.
///
/// # Errors
/// [`Error::Refused`].
pub async fn create_kek(socket: Connection, request: CreateKekRequest) -> Result<u64, Error> {
    Ok(body(AdminServiceClient::new(socket).create_kek(request).await)?.epoch)
}

/// Makes the KEK of a tenant's next epoch in a role; gives its number.
///
/// # Errors
/// [`Error::Refused`].
pub async fn rotate_kek(socket: Connection, request: RotateKekRequest) -> Result<u64, Error> {
    Ok(body(AdminServiceClient::new(socket).rotate_kek(request).await)?.epoch)
}

/// The epochs of a tenant, in the order of role and number.
///
/// # Errors
/// [`Error::Refused`].
pub async fn list_keks(socket: Connection, request: ListKeksRequest) -> Result<Vec<Kek>, Error> {
    Ok(body(AdminServiceClient::new(socket).list_keks(request).await)?.keks)
}

/// The host's enclaves, as it last saw them.
///
/// # Errors
/// [`Error::Refused`].
pub async fn get_fleet(socket: Connection) -> Result<Vec<FleetEnclave>, Error> {
    Ok(body(AdminServiceClient::new(socket).get_fleet(GetFleetRequest {}).await)?.enclaves)
}

/// Takes in a capsule, in chunks; gives the tenant, wallet and backup as the host read them.
///
/// # Errors
/// [`Error::Refused`].
pub async fn import_capsule(socket: Connection, capsule: &[u8]) -> Result<ImportCapsuleResponse, Error> {
    let chunks: Vec<CapsuleChunk> =
        capsule.chunks(CAPSULE_CHUNK_BYTES_MAX).map(|data| CapsuleChunk { data: data.to_vec() }).collect();
    body(AdminServiceClient::new(socket).import_capsule(Chunks(chunks.into_iter())).await)
}

/// All of them are at hand.
struct Chunks(std::vec::IntoIter<CapsuleChunk>);

impl tonic::codegen::tokio_stream::Stream for Chunks {
    type Item = CapsuleChunk;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<CapsuleChunk>> {
        std::task::Poll::Ready(self.0.next())
    }
}
