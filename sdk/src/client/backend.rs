//! A connection to the tenant's backend, where that serves `TenantBackendService`: the same address and session as for every other call.

use strongroom_proto::v1::tenant_backend_service_client::TenantBackendServiceClient;
use strongroom_proto::v1::{
    CustodianSeal, OwnCiphertexts, SealDraftRequest, SentAlone, SentDraft, SignIntentRequest, SignedDraft,
    TenantSignature,
};

use super::{Client, Service, retry};
use crate::device::{Answer, Consent, TenantBackend};
use crate::error::Error;

impl Client {
    async fn sign_intent(&self, intent: &[u8]) -> Result<TenantSignature, Error> {
        let request = SignIntentRequest { intent: intent.to_vec() };
        let answer = retry(|| async { self.backend().sign_intent(request.clone()).await }).await?;
        answer.signature.ok_or_else(|| Error::malformed("backend's answer", "it has no tenant signature"))
    }

    fn backend(&self) -> TenantBackendServiceClient<Service> {
        TenantBackendServiceClient::new(self.service())
    }
}

impl TenantBackend for Client {
    fn consent<'a>(&'a self, intent: &'a [u8]) -> Consent<'a> {
        Box::pin(self.sign_intent(intent))
    }

    fn seal<'a>(&'a self, draft: &'a [u8]) -> Answer<'a, CustodianSeal> {
        let request = SealDraftRequest { draft: draft.to_vec() };
        Box::pin(async move { retry(|| async { self.backend().seal_draft(request.clone()).await }).await })
    }

    fn send_alone(&self, own: OwnCiphertexts) -> Answer<'_, SentAlone> {
        Box::pin(async move { retry(|| async { self.backend().send_alone(own.clone()).await }).await })
    }

    fn send(&self, signed: SignedDraft) -> Answer<'_, SentDraft> {
        Box::pin(async move { retry(|| async { self.backend().send_draft(signed.clone()).await }).await })
    }
}
