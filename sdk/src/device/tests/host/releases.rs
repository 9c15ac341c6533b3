//! What the host answers to releases and ejects.

use super::*;

#[tonic::async_trait]
impl RecoveryService for Host {
    async fn recover(&self, request: Request<RecoverRequest>) -> Result<Response<RecoverResponse>, Status> {
        let request = request.into_inner();
        self.called(request.encode_to_vec())?;
        Ok(Response::new(self.released(&request)))
    }

    async fn release_recovery(
        &self,
        request: Request<ReleaseRecoveryRequest>,
    ) -> Result<Response<RecoverResponse>, Status> {
        let request = request.into_inner();
        self.called(request.encode_to_vec())?;
        let mut response = RecoverResponse::default();
        for enclave in &self.enclaves {
            let Some((mut deed, open)) = enclave.due(OpenActKind::Recovery, request.act.as_ref()) else { continue };
            assert_eq!(request.recovery, open.intent_hash);
            let key = match enclave.role {
                Role::Client => &request.client_recipient_key,
                _ => &request.custodian_recipient_key,
            };
            let (release, hash) = enclave.release(key, &open.intent_hash, open.generation);
            deed.sealed = vec![hash];
            self.reseal(enclave.role, &request.client_shares, &mut deed, &mut response);
            Self::give(enclave, deed, release, &mut response);
        }
        Ok(Response::new(self.finish(response)))
    }

    async fn start_recovery(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.act(request)
    }

    async fn cancel_recovery(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.act(request)
    }

    async fn release_custodian_shares(
        &self,
        request: Request<RecoverRequest>,
    ) -> Result<Response<RecoverResponse>, Status> {
        self.recover(request).await
    }

    async fn complete_recovery(
        &self,
        _: Request<CompleteRecoveryRequest>,
    ) -> Result<Response<CompleteRecoveryResponse>, Status> {
        nobody_asks()
    }

    async fn get_recovery(&self, _: Request<GetRecoveryRequest>) -> Result<Response<GetRecoveryResponse>, Status> {
        nobody_asks()
    }

    async fn list_recoveries(
        &self,
        _: Request<ListRecoveriesRequest>,
    ) -> Result<Response<ListRecoveriesResponse>, Status> {
        nobody_asks()
    }

    async fn list_recovery_methods(
        &self,
        _: Request<ListRecoveryMethodsRequest>,
    ) -> Result<Response<ListRecoveryMethodsResponse>, Status> {
        nobody_asks()
    }
}

#[tonic::async_trait]
impl EjectService for Host {
    async fn enable_eject(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.act(request)
    }

    async fn disable_eject(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.act(request)
    }

    async fn eject(&self, request: Request<RecoverRequest>) -> Result<Response<RecoverResponse>, Status> {
        self.recover(request).await
    }
}
