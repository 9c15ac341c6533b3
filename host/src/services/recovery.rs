//! `RecoveryService`: releases of shares, and what the host knows of them.

use strongroom_proto::id::TenantId;
use strongroom_proto::v1::recovery_service_server::RecoveryService;
use strongroom_proto::v1::{
    ActRequest, ActResponse, CompleteRecoveryRequest, CompleteRecoveryResponse, GetRecoveryRequest,
    GetRecoveryResponse, ListRecoveriesRequest, ListRecoveriesResponse, ListRecoveryMethodsRequest,
    ListRecoveryMethodsResponse, RecoverRequest, RecoverResponse, ReleaseRecoveryRequest, Role, intent::Action,
};
use tonic::{Request, Response, Status};

use super::act::carry_out::{self, RECIPIENT_KEYS, recipient_key};
use super::act::{self, Asked, Call, Work, answer};
use super::brought::Brought;
use super::roles::ByRole;
use super::{App, replies, service};
use crate::error::Error;
use crate::keys::Name;

mod books;
mod methods;

service! {
    /// The service.
    Recoveries
}

#[tonic::async_trait]
impl RecoveryService for Recoveries {
    async fn recover(&self, request: Request<RecoverRequest>) -> Result<Response<RecoverResponse>, Status> {
        let work = |tenant, message| async move { recover(&self.0, tenant, Call::Recover, message).await };
        self.0.call(Call::Recover.rpc(), request, work).await
    }

    async fn start_recovery(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.0.plain_act(Call::StartRecovery, request).await
    }

    async fn release_recovery(
        &self,
        request: Request<ReleaseRecoveryRequest>,
    ) -> Result<Response<RecoverResponse>, Status> {
        let work = |tenant, message| async move { carry_out::released(&self.0, tenant, message).await };
        self.0.call("ReleaseRecovery", request, work).await
    }

    async fn cancel_recovery(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.0.plain_act(Call::CancelRecovery, request).await
    }

    async fn release_custodian_shares(
        &self,
        request: Request<RecoverRequest>,
    ) -> Result<Response<RecoverResponse>, Status> {
        let call = Call::ReleaseCustodianShares;
        let work = |tenant, message| async move { recover(&self.0, tenant, call, message).await };
        self.0.call(call.rpc(), request, work).await
    }

    async fn complete_recovery(
        &self,
        request: Request<CompleteRecoveryRequest>,
    ) -> Result<Response<CompleteRecoveryResponse>, Status> {
        let work = |tenant, message| async move { books::complete(&self.0, tenant, &message).await };
        self.0.call("CompleteRecovery", request, work).await
    }

    async fn get_recovery(
        &self,
        request: Request<GetRecoveryRequest>,
    ) -> Result<Response<GetRecoveryResponse>, Status> {
        let work = |tenant, message| async move { books::get(&self.0, tenant, &message).await };
        self.0.call("GetRecovery", request, work).await
    }

    async fn list_recoveries(
        &self,
        request: Request<ListRecoveriesRequest>,
    ) -> Result<Response<ListRecoveriesResponse>, Status> {
        let work = |tenant, message| async move { books::list(&self.0, tenant, &message).await };
        self.0.call("ListRecoveries", request, work).await
    }

    async fn list_recovery_methods(
        &self,
        request: Request<ListRecoveryMethodsRequest>,
    ) -> Result<Response<ListRecoveryMethodsResponse>, Status> {
        let work = |tenant, message| async move { methods::list(&self.0, tenant, &message).await };
        self.0.call("ListRecoveryMethods", request, work).await
    }
}

/// Carries out a release at once: a recovery or an eject.
pub(super) async fn recover(
    app: &App,
    tenant: TenantId,
    call: Call,
    message: RecoverRequest,
) -> Result<RecoverResponse, Error> {
    let request_id = Name::parse("request_id", &message.request_id)?;
    let request_sha256 = replies::request_hash(call.rpc(), &message);
    let brought = Brought::shares(message.client_shares)?;
    let checked = app.checked_act(&tenant, call, message.act)?;
    let Some(Action::Recover(action)) = &checked.intent.action else {
        return Err(Error::Internal("an intent of another action"));
    };
    if call == Call::ReleaseCustodianShares && checked.roles.contains(&Role::Client) {
        return Err(Error::bad("act.intent.client", "absent: Recover is the call that releases in the client role"));
    }
    let mut keys = ByRole::new(RECIPIENT_KEYS, [message.client_recipient_key, message.custodian_recipient_key]);
    keys.check(&checked.roles, recipient_key)?;
    let work = |role| Work::Recover { generation: action.generation, recipient_key: keys.take(role) };
    let orders = checked.orders(tenant, work)?;
    let act = Some(checked.act);
    act::run(app, &Asked { tenant, request_id, request_sha256, act, orders, brought }, answer::release).await
}
