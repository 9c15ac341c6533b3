//! The gRPC services, one file each, and what every call goes through.
//!
//! A call is authenticated, counted, carried out, logged by its ids and result, and its error turned into a status: here, once. The
//! tenant that a call works on comes from its API key alone.

use std::sync::Arc;
use std::time::Instant;

use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{ActRequest, ActResponse, Role};
use tonic::{Request, Response, Status};

use crate::auth::{self, InFlight};
use crate::enclave::{Enclave, Slots};
use crate::error::Error;
use crate::keys::Kind;
use crate::status::{code, reason_name, status};
use crate::store::Store;

mod act;
pub(crate) mod admin;
mod attestations;
pub(crate) mod backup;
mod books;
mod brought;
pub(crate) mod capsule;
mod check;
pub(crate) mod commits;
mod damaged;
pub(crate) mod due;
pub(crate) mod eject;
mod epochs;
mod generations;
mod keks;
mod listing;
mod load;
pub(crate) mod passkey;
mod recoveries;
pub(crate) mod recovery;
pub(crate) mod replies;
pub(crate) mod reseal;
mod roles;
pub(crate) mod tenant;
pub(crate) mod unfinished;
pub(crate) mod wallet;

use act::Call;
pub(crate) use attestations::Attestations;
use damaged::Damaged;
use keks::KnownKeks;
use load::StoredStatement;
use reseal::sweep::Sweep;

/// What the services share.
pub(crate) struct App {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) enclaves: Vec<Enclave>,
    pub(crate) calls: InFlight,
    pub(crate) attestations: Attestations,
    capsules: capsule::Room,
    damaged: Damaged,
    due: due::Queue,
    keks: KnownKeks,
    sweep: Sweep,
}

/// Most times that a call or an act is begun: every re-seal that it needs first, or that comes between, costs it one.
const BEGIN_MAX: usize = 4;

/// A service over the shared state. Each of the generated traits is implemented for one of these.
macro_rules! service {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub(crate) struct $name(pub(crate) std::sync::Arc<$crate::services::App>);
    };
}
pub(crate) use service;

impl App {
    /// The services over a store and the enclaves of its roles.
    pub(crate) fn new(store: Arc<dyn Store>, mut enclaves: Vec<Enclave>) -> Self {
        // What is asked of all of them is answered in the roles' order, however the configuration names them.
        enclaves.sort_by_key(|enclave| enclave.role() as i32);
        let (calls, attestations) = (InFlight::default(), Attestations::default());
        let (damaged, due) = (Damaged::default(), due::Queue::default());
        let capsules = capsule::Room::default();
        Self {
            store,
            enclaves,
            calls,
            attestations,
            capsules,
            damaged,
            due,
            keks: KnownKeks::default(),
            sweep: Sweep::default(),
        }
    }

    /// The enclaves of a role, the newest release first: for what is before a tenant's statement, or is to be in its next one.
    fn enclave(&self, role: Role) -> Result<Slots<'_>, Error> {
        Slots::of(role, &self.enclaves).ok_or(Error::State(match role {
            Role::Client => "role: no enclave of the client role runs here",
            Role::Custodian => "role: no enclave of the custodian role runs here",
            Role::Unspecified => "role: no enclave of this role runs here",
        }))
    }

    /// The enclaves of a role, those first whose manifest a tenant's statement lists.
    fn enclave_of<'a>(&'a self, role: Role, statement: &'a StoredStatement) -> Result<Slots<'a>, Error> {
        Ok(self.enclave(role)?.listed_by(statement.pcr16(role)))
    }

    /// The roles that have an enclave here.
    fn roles(&self) -> impl Iterator<Item = Role> + '_ {
        roles::ROLES.into_iter().filter(|role| self.enclaves.iter().any(|enclave| enclave.role() == *role))
    }

    /// Carries out a tenant's call.
    async fn call<M, T, F>(
        &self,
        rpc: &'static str,
        request: Request<M>,
        work: impl FnOnce(TenantId, M) -> F,
    ) -> Result<Response<T>, Status>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let started = Instant::now();
        let (metadata, _, message) = request.into_parts();
        let mut caller = None;
        let result = async {
            let tenant = auth::tenant(&*self.store, &metadata).await?;
            caller = Some(tenant);
            let _room = self.calls.enter(tenant)?;
            work(tenant, message).await
        };
        let result = result.await;
        answer(rpc, caller, started, result)
    }

    /// Carries out a tenant's call to an act whose intent says everything.
    async fn plain_act(&self, call: Call, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.call(call.rpc(), request, |tenant, message| act::plain(self, tenant, call, message)).await
    }

    /// Carries out an operator's call: whoever opens the operator's socket may.
    async fn operator_call<M, T, F>(
        &self,
        rpc: &'static str,
        request: Request<M>,
        work: impl FnOnce(M) -> F,
    ) -> Result<Response<T>, Status>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let started = Instant::now();
        answer(rpc, None, started, work(request.into_inner()).await)
    }
}

/// Begins anew what writes nothing, where a record or what lies beside it is not as it was read: it was sealed again, or moved.
async fn begin<T, F>(work: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    for _ in 1..BEGIN_MAX {
        match work().await {
            Err(error) if is_overtaken(&error) => {}
            result => return result,
        }
    }
    work().await
}

/// Whether a record, or what lies beside it, was not any more as it was read.
fn is_overtaken(error: &Error) -> bool {
    matches!(error.cause(), Error::Conflict(Kind::Record | Kind::Share | Kind::Listed | Kind::Statement | Kind::Books))
}

fn answer<T>(
    rpc: &'static str,
    tenant: Option<TenantId>,
    started: Instant,
    result: Result<T, Error>,
) -> Result<Response<T>, Status> {
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let tenant = tenant.map(|tenant| tenant.to_string());
    match result {
        Ok(message) => {
            tracing::debug!(name: "call", rpc, tenant, ms, code = "Ok");
            Ok(Response::new(message))
        }
        Err(error) => {
            let (code, reason) = (code(error.reason()), reason_name(error.reason()));
            // What a peer sent may stand in other errors' texts: there the reason says enough.
            match error.cause() {
                Error::Internal(_) => tracing::error!(name: "call", rpc, tenant, ms, ?code, reason, error = %error),
                Error::StoreUnavailable(_) => {
                    tracing::warn!(name: "call", rpc, tenant, ms, ?code, reason, error = %error);
                }
                _ => tracing::info!(name: "call", rpc, tenant, ms, ?code, reason),
            }
            Err(status(&error))
        }
    }
}

#[cfg(test)]
mod tests;
