//! The requests: what each needs before it can run, and where it runs.

mod carry_out;
mod change;
mod commit;
mod create_record;
mod credential;
mod identity;
mod message;
mod moved;
mod put_shares;
mod recover;
mod rehearse;
mod release;
mod reseal;
mod subject;
mod view;

use strongroom_proto::enclave::v1::{CreateKek, KekRef, StatementRef, request, response};
use strongroom_proto::id::TenantId;

use crate::kek::Kek;
use crate::keks::Keks;
use crate::platform::{EnclaveTime, Platform};
use crate::refusal::{Refusal, bad};
use crate::role::RoleKind;
use crate::statement::VerifiedStatement;
use crate::step::Work;

/// What must be at hand before a request runs.
pub(crate) enum Needs<'a> {
    /// A KEK that does not exist yet.
    NewKek(&'a CreateKek),
    /// KEKs, and the statement where the request is bound by one.
    Keks { tenant: TenantId, statement: Option<&'a StatementRef>, kek: &'a KekRef, other: Option<&'a KekRef> },
}

/// A request's surroundings, all there.
pub(crate) struct Scene<'a, P: Platform> {
    pub(crate) platform: &'a P,
    /// The KEK that signs and seals.
    pub(crate) kek: &'a Kek<P::Suite>,
    /// One more that opens.
    pub(crate) other: Option<&'a Kek<P::Suite>>,
    pub(crate) statement: Option<&'a VerifiedStatement>,
    pub(crate) tenant: TenantId,
    pub(crate) now: EnclaveTime,
}

impl<'a, P: Platform> Scene<'a, P> {
    /// The statement of a request that names one.
    fn statement(&self) -> Result<&'a VerifiedStatement, Refusal> {
        self.statement.ok_or_else(|| bad("statement: missing"))
    }

    fn keks(&self) -> Keks<'a, P::Suite> {
        Keks { own: self.kek, other: self.other }
    }
}

impl Work {
    pub(crate) fn needs(&self) -> Result<Needs<'_>, Refusal> {
        use request::Body;
        let (tenant_bytes, statement, kek, other) = match self.0.as_ref() {
            Body::CreateKek(it) => return Ok(Needs::NewKek(it)),
            Body::GetIdentity(it) => (&it.tenant, None, &it.kek, &None),
            Body::GetView(it) => (&it.tenant, None, &it.kek, &it.other_kek),
            Body::CreateRecord(it) => (&it.tenant, Some(&it.statement), &it.kek, &None),
            Body::Recover(it) => (&it.tenant, Some(&it.statement), &it.kek, &it.other_kek),
            Body::Rehearse(it) => (&it.tenant, Some(&it.statement), &it.kek, &it.other_kek),
            Body::PutShares(it) => (&it.tenant, Some(&it.statement), &it.kek, &it.other_kek),
            Body::Commit(it) => (&it.tenant, Some(&it.statement), &it.kek, &it.other_kek),
            Body::Change(it) => (&it.tenant, Some(&it.statement), &it.kek, &it.other_kek),
            Body::CarryOut(it) => (&it.tenant, Some(&it.statement), &it.kek, &it.other_kek),
            Body::Reseal(it) => (&it.tenant, Some(&it.statement), &it.kek, &it.other_kek),
            Body::Boot(_) | Body::SetCredentials(_) | Body::GetHealth(_) | Body::GetEvents(_) => {
                return Err(bad("request.body: not work"));
            }
        };
        let statement = statement.map(|it| it.as_ref().ok_or_else(|| bad("statement: missing"))).transpose()?;
        let kek = kek.as_ref().ok_or_else(|| bad("kek: missing"))?;
        Ok(Needs::Keks { tenant: tenant(tenant_bytes)?, statement, kek, other: other.as_ref() })
    }
}

/// Runs a request whose needs are met.
pub(crate) fn run<P: Platform, R: RoleKind>(scene: &Scene<'_, P>, work: &Work) -> Result<response::Body, Refusal> {
    use request::Body;
    use response::Body as Answer;
    match work.0.as_ref() {
        Body::GetIdentity(request) => identity::run(scene, request).map(Answer::IdentityProven),
        Body::GetView(request) => view::run::<P, R>(scene, request).map(Answer::View),
        Body::CreateRecord(request) => create_record::run::<P, R>(scene, request).map(Answer::Moved),
        Body::Recover(request) => recover::run::<P, R>(scene, request).map(Answer::Moved),
        Body::Rehearse(request) => rehearse::run::<P, R>(scene, request).map(Answer::Rehearsed),
        Body::PutShares(request) => put_shares::run::<P, R>(scene, request).map(Answer::Moved),
        Body::Commit(request) => commit::run::<P, R>(scene, request).map(Answer::Moved),
        Body::Change(request) => change::run::<P, R>(scene, request).map(Answer::Moved),
        Body::CarryOut(request) => carry_out::run::<P, R>(scene, request).map(Answer::Moved),
        Body::Reseal(request) => reseal::run::<P, R>(scene, request).map(Answer::Resealed),
        Body::CreateKek(_) | Body::Boot(_) | Body::SetCredentials(_) | Body::GetHealth(_) | Body::GetEvents(_) => {
            Err(bad("request.body: not work on a KEK"))
        }
    }
}

/// The tenant that a request is for.
pub(crate) fn tenant(bytes: &[u8]) -> Result<TenantId, Refusal> {
    TenantId::from_slice(bytes).ok_or_else(|| bad("tenant: not 32 bytes"))
}
