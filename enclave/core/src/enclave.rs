//! The step machine: which KEK and which statement a request needs, and the request's answer once both are there.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;

use prost::Message;
use strongroom_proto::enclave::v1::{CreateKek, KekCreated, KekRef, Need, Response, StatementRef, response::Body};
use strongroom_proto::id::{ContentHash, TenantId};
use strongroom_proto::limits::WRAPPED_KEK_BYTES_MAX;
use strongroom_proto::v1::Reason;

use crate::kek::Kek;
use crate::platform::{EnclaveTime, Platform};
use crate::refusal::{Refusal, bad, refuse};
use crate::role::RoleKind;
use crate::statement::VerifiedStatement;
use crate::step::{KekContext, KekKey, KekReply, KmsCall, KmsFailure, Pending, Step, Work};
use crate::work::{self, Needs, Scene};

/// Most KEKs that one request needs, and so most KMS calls that it waits for.
pub const KEK_PER_STEP_MAX: usize = 2;

/// What the booted enclave is, as its identities say.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The encoded manifest that extended PCR16.
    pub manifest: Vec<u8>,
    /// The manifest's release number.
    pub release: u64,
}

/// The core of one enclave process in one role.
#[derive(Debug)]
pub struct Core<P, R> {
    platform: P,
    deployment: Deployment,
    role: PhantomData<R>,
}

/// Something that a reference names: at hand, or still to be fetched.
enum Found<T> {
    Here(T),
    /// The host did not send the bytes.
    Lacking,
    /// KMS must unwrap it.
    Wrapped(KekKey, KmsCall),
}

impl<T> Found<T> {
    fn is_lacking(&self) -> bool {
        matches!(self, Self::Lacking)
    }
}

/// A KEK that a KMS call just brought, by its name: the cache may have lost it again.
type Fresh<S> = (KekKey, Arc<Kek<S>>);

impl<P: Platform, R: RoleKind> Core<P, R> {
    /// A core with nothing cached but what the platform's caches hold.
    #[must_use]
    pub fn new(platform: P, deployment: Deployment) -> Self {
        Self { platform, deployment, role: PhantomData }
    }

    /// Answers a request, or says which KMS call it waits for.
    #[must_use]
    pub fn begin(&self, work: Work) -> Step {
        self.step(work, None, 0).unwrap_or_else(|refusal| Step::Reply(refusal.encode()))
    }

    /// Goes on with a request whose KMS call was answered.
    #[must_use]
    pub fn resume(&self, pending: Pending, reply: Result<KekReply, KmsFailure>) -> Step {
        self.resume_checked(pending, reply).unwrap_or_else(|refusal| Step::Reply(refusal.encode()))
    }

    /// Runs the request once all that it needs is at hand. `calls` is how many KMS calls were made for it.
    fn step(&self, work: Work, fresh: Option<&Fresh<P::Suite>>, calls: usize) -> Result<Step, Refusal> {
        let now = self.platform.now()?;
        let (tenant, statement, kek, other) = match work.needs()? {
            Needs::NewKek(request) => {
                let call = self.generate(request, now)?;
                return Ok(Step::Kms(call.clone(), Pending { work, call, calls }));
            }
            Needs::Keks { tenant, statement, kek, other } => (tenant, statement, kek, other),
        };
        // What was sealed to a higher epoch is never stored or signed for under a lower one.
        if other.is_some_and(|other| other.epoch >= kek.epoch) {
            return Err(bad("other_kek.epoch: not below the epoch of kek"));
        }
        let statement = statement.map(|reference| self.statement(reference)).transpose()?;
        let own = self.kek(tenant, kek, fresh)?;
        let other = other.map(|other| self.kek(tenant, other, fresh)).transpose()?;
        let need = Need {
            statement: statement.as_ref().is_some_and(Found::is_lacking),
            kek: own.is_lacking(),
            other_kek: other.as_ref().is_some_and(Found::is_lacking),
        };
        if need != Need::default() {
            return Ok(reply(Body::Need(need)));
        }
        let (own, other) = match (own, other) {
            (Found::Wrapped(key, call), _) | (_, Some(Found::Wrapped(key, call))) => {
                return self.unwrap(work, &key, call, calls, now);
            }
            (Found::Here(own), Some(Found::Here(other))) => (own, Some(other)),
            (Found::Here(own), _) => (own, None),
            (Found::Lacking, _) => return Err(bad("kek: missing")),
        };
        let statement = match statement {
            Some(Found::Here(statement)) => Some(statement),
            _ => None,
        };
        let statement = statement.as_deref();
        let scene = Scene { platform: &self.platform, kek: &own, other: other.as_deref(), statement, tenant, now };
        work::run::<P, R>(&scene, &work).map(reply)
    }

    fn unwrap(&self, work: Work, key: &KekKey, call: KmsCall, calls: usize, now: EnclaveTime) -> Result<Step, Refusal> {
        if calls >= KEK_PER_STEP_MAX {
            // Others pushed out of the cache what this request had unwrapped.
            return Err(KmsFailure::Overloaded.into());
        }
        self.platform.with_caches(|caches| caches.meter.count_unwrap(key, now))?;
        Ok(Step::Kms(call.clone(), Pending { work, call, calls }))
    }

    fn resume_checked(&self, pending: Pending, reply_of_kms: Result<KekReply, KmsFailure>) -> Result<Step, Refusal> {
        let Pending { work, call, calls } = pending;
        if let KmsCall::Unwrap { context, wrapped } = &call {
            let key = KekKey { context: *context, wrapped: ContentHash::of(wrapped) };
            self.platform.with_caches(|caches| caches.meter.unwrap_answered(&key));
        }
        let KekReply { wrapped, kek } = reply_of_kms?;
        match call {
            KmsCall::Generate(context) => {
                if !(1..=WRAPPED_KEK_BYTES_MAX).contains(&wrapped.len()) {
                    return Err(KmsFailure::BadReply("the wrapped KEK's length").into());
                }
                // The new KEK itself is dropped here: it is used only after the host stored it under its epoch.
                Ok(reply(Body::KekCreated(KekCreated { epoch: context.epoch, wrapped })))
            }
            KmsCall::Unwrap { context, wrapped } => {
                let derived = Kek::derive(kek, context, &self.deployment);
                let kek = Arc::new(derived.map_err(|_| Refusal::from(KmsFailure::BadReply("not a KEK")))?);
                let key = KekKey { context, wrapped: ContentHash::of(&wrapped) };
                self.platform.with_caches(|caches| caches.keks.put(key, Arc::clone(&kek)));
                self.step(work, Some(&(key, kek)), calls.saturating_add(1))
            }
        }
    }

    fn generate(&self, request: &CreateKek, now: EnclaveTime) -> Result<KmsCall, Refusal> {
        let context = context::<R>(work::tenant(&request.tenant)?, request.epoch)?;
        self.platform.with_caches(|caches| caches.meter.count(context.tenant, now))?;
        Ok(KmsCall::Generate(context))
    }

    fn kek(
        &self,
        tenant: TenantId,
        reference: &KekRef,
        fresh: Option<&Fresh<P::Suite>>,
    ) -> Result<Found<Arc<Kek<P::Suite>>>, Refusal> {
        let context = context::<R>(tenant, reference.epoch)?;
        let wrapped = ContentHash::from_slice(&reference.sha256).ok_or_else(|| bad("kek.sha256: not 32 bytes"))?;
        let key = KekKey { context, wrapped };
        if let Some((_, kek)) = fresh.filter(|(fresh, _)| *fresh == key) {
            return Ok(Found::Here(Arc::clone(kek)));
        }
        if let Some(kek) = self.platform.with_caches(|caches| caches.keks.get(&key)) {
            return Ok(Found::Here(kek));
        }
        if reference.wrapped.is_empty() {
            return Ok(Found::Lacking);
        }
        if reference.wrapped.len() > WRAPPED_KEK_BYTES_MAX {
            return Err(bad(alloc::format!("kek.wrapped: more than {WRAPPED_KEK_BYTES_MAX} bytes")));
        }
        if ContentHash::of(&reference.wrapped) != wrapped {
            return Err(bad("kek.sha256: not the hash of the bytes beside it"));
        }
        Ok(Found::Wrapped(key, KmsCall::Unwrap { context, wrapped: reference.wrapped.clone() }))
    }

    fn statement(&self, reference: &StatementRef) -> Result<Found<Arc<VerifiedStatement>>, Refusal> {
        let hash = ContentHash::from_slice(&reference.sha256).ok_or_else(|| bad("statement.sha256: not 32 bytes"))?;
        if let Some(statement) = self.platform.with_caches(|caches| caches.statements.get(&hash)) {
            return Ok(Found::Here(statement));
        }
        let Some(signed) = &reference.signed else { return Ok(Found::Lacking) };
        let statement = Arc::new(VerifiedStatement::from_ref(reference, signed)?);
        self.platform.with_caches(|caches| caches.statements.put(hash, Arc::clone(&statement)));
        Ok(Found::Here(statement))
    }
}

fn context<R: RoleKind>(tenant: TenantId, epoch: u64) -> Result<KekContext, Refusal> {
    if epoch == 0 {
        return Err(bad("epoch: starts at 1"));
    }
    Ok(KekContext { tenant, role: R::ROLE, epoch })
}

fn reply(body: Body) -> Step {
    Step::Reply(Response { body: Some(body) }.encode_to_vec())
}

/// How long to wait before KMS is asked again.
const KMS_RETRY_MS: u32 = 1000;

impl From<KmsFailure> for Refusal {
    fn from(failure: KmsFailure) -> Self {
        let again = |reason, detail: alloc::string::String| Refusal { reason, detail, retry_after_ms: KMS_RETRY_MS };
        match failure {
            KmsFailure::Denied => refuse(
                Reason::KmsUnavailable,
                "KMS denied the call: its key policy does not admit this enclave, manifest or role",
            ),
            KmsFailure::NotUnwrapped => {
                refuse(Reason::DecryptFailed, "kek.wrapped: KMS does not unwrap it for this tenant, role and epoch")
            }
            KmsFailure::Throttled { retry_after_ms } => {
                Self { reason: Reason::KmsThrottled, detail: "KMS asks to wait".into(), retry_after_ms }
            }
            KmsFailure::Unavailable(why) => again(Reason::KmsUnavailable, alloc::format!("KMS: {why}")),
            KmsFailure::BadReply(rule) => {
                again(Reason::KmsUnavailable, alloc::format!("KMS answered against a rule: {rule}"))
            }
            KmsFailure::Overloaded => again(Reason::Overloaded, "too many calls wait for KMS".into()),
        }
    }
}
