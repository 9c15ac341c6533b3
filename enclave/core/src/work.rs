//! The requests: what each needs before it can run, and where it runs.

mod create_record;
mod identity;
mod recover;
mod rehearse;
mod release;
mod view;

use strongroom_proto::enclave::v1::{CreateKek, KekRef, StatementRef, request, response};
use strongroom_proto::id::TenantId;

use crate::kek::Kek;
use crate::platform::{EnclaveTime, Platform};
use crate::refusal::{Refusal, bad};
use crate::role::RoleKind;
use crate::statement::VerifiedStatement;
use crate::step::Work;

/// What must be at hand before a request runs.
pub(crate) enum Needs<'a> {
    /// A KEK that does not exist yet.
    NewKek(&'a CreateKek),
    /// A KEK, and the statement where the act is bound by one.
    Kek { tenant: TenantId, statement: Option<&'a StatementRef>, kek: &'a KekRef },
}

/// A request's surroundings, all there.
pub(crate) struct Scene<'a, P: Platform> {
    pub(crate) platform: &'a P,
    pub(crate) kek: &'a Kek<P::Kem>,
    pub(crate) statement: Option<&'a VerifiedStatement>,
    pub(crate) tenant: TenantId,
    pub(crate) now: EnclaveTime,
}

impl<P: Platform> Scene<'_, P> {
    /// The statement of a request that names one.
    fn statement(&self) -> Result<&VerifiedStatement, Refusal> {
        self.statement.ok_or_else(|| bad("statement: missing"))
    }
}

impl Work {
    pub(crate) fn needs(&self) -> Result<Needs<'_>, Refusal> {
        let (tenant_bytes, statement, kek) = match self.0.as_ref() {
            request::Body::CreateKek(request) => return Ok(Needs::NewKek(request)),
            request::Body::GetIdentity(request) => (&request.tenant, None, &request.kek),
            request::Body::GetView(request) => (&request.tenant, None, &request.kek),
            request::Body::CreateRecord(request) => (&request.tenant, Some(&request.statement), &request.kek),
            request::Body::Recover(request) => (&request.tenant, Some(&request.statement), &request.kek),
            request::Body::Rehearse(request) => (&request.tenant, Some(&request.statement), &request.kek),
            request::Body::Boot(_) | request::Body::SetCredentials(_) | request::Body::GetHealth(_) => {
                return Err(bad("request.body: not work"));
            }
        };
        let statement = statement.map(|it| it.as_ref().ok_or_else(|| bad("statement: missing"))).transpose()?;
        let kek = kek.as_ref().ok_or_else(|| bad("kek: missing"))?;
        Ok(Needs::Kek { tenant: tenant(tenant_bytes)?, statement, kek })
    }
}

/// Runs a request whose needs are met.
pub(crate) fn run<P: Platform, R: RoleKind>(scene: &Scene<'_, P>, work: &Work) -> Result<response::Body, Refusal> {
    match work.0.as_ref() {
        request::Body::GetIdentity(request) => identity::run(scene, request).map(response::Body::IdentityProven),
        request::Body::GetView(request) => view::run::<P, R>(scene, request).map(response::Body::View),
        request::Body::CreateRecord(request) => {
            create_record::run::<P, R>(scene, request).map(response::Body::RecordCreated)
        }
        request::Body::Recover(request) => recover::run::<P, R>(scene, request).map(response::Body::Recovered),
        request::Body::Rehearse(request) => rehearse::run::<P, R>(scene, request).map(response::Body::Rehearsed),
        request::Body::CreateKek(_)
        | request::Body::Boot(_)
        | request::Body::SetCredentials(_)
        | request::Body::GetHealth(_) => Err(bad("request.body: not work on a KEK")),
    }
}

/// The tenant that a request is for.
pub(crate) fn tenant(bytes: &[u8]) -> Result<TenantId, Refusal> {
    TenantId::from_slice(bytes).ok_or_else(|| bad("tenant: not 32 bytes"))
}
