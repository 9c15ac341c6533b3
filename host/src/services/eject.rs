//! `EjectService`: both shares to the user's device, in a window that the tenant opened.

use strongroom_proto::v1::eject_service_server::EjectService;
use strongroom_proto::v1::{ActRequest, ActResponse, RecoverRequest, RecoverResponse};
use tonic::{Request, Response, Status};

use super::act::Call;
use super::{recovery, service};

service! {
    /// The service.
    Ejects
}

#[tonic::async_trait]
impl EjectService for Ejects {
    async fn enable_eject(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.0.plain_act(Call::EnableEject, request).await
    }

    async fn disable_eject(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.0.plain_act(Call::DisableEject, request).await
    }

    async fn eject(&self, request: Request<RecoverRequest>) -> Result<Response<RecoverResponse>, Status> {
        let work = |tenant, message| async move { recovery::recover(&self.0, tenant, Call::Eject, message).await };
        self.0.call(Call::Eject.rpc(), request, work).await
    }
}
