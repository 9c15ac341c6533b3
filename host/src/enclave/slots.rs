//! The enclaves of one role, each in a slot of its own: which of them is asked, and who is asked next where that one cannot answer.
//!
//! A step of an enclave is pure and nothing is stored before its answer, so the same frame may go to another enclave: what the first one
//! may have computed is lost with it, and a KEK that nobody stored is never used. Whoever is asked decides nothing that is trusted: KMS
//! gives a KEK to those that the key's policy admits, and devices believe those that their tenant's statement lists.

use std::cmp::Reverse;

use strongroom_proto::enclave::v1::{Request, request, response};
use strongroom_proto::v1::{Reason, Role};

use super::{Enclave, Known, NOT_CONNECTED, TIMED_OUT};
use crate::error::Error;
use crate::status::reason_name;

/// The enclaves of a role, as one call sees them.
#[derive(Clone, Copy)]
pub(crate) struct Slots<'a> {
    role: Role,
    all: &'a [Enclave],
    /// The PCR16 values that the tenant's statement lists.
    listed: &'a [Vec<u8>],
}

/// Which enclave answered: its slot, and how many connections to it had been made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Answerer {
    slot: usize,
    connects: u64,
}

/// What puts one enclave before another, the most important first.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
struct Standing {
    is_ready: bool,
    /// The tenant's statement lists its manifest, and with that its release: his devices believe no other one, so that whatever befell
    /// another tenant's call, none comes before it.
    is_listed: bool,
    /// It has not said lately that it cannot work.
    is_in_favour: bool,
    release: u64,
}

impl<'a> Slots<'a> {
    /// The enclaves of a role among those that are sorted by role; `None` where there are none.
    pub(crate) fn of(role: Role, sorted: &'a [Enclave]) -> Option<Self> {
        let all = sorted.chunk_by(|one, other| one.role() == other.role()).find(|all| all[0].role() == role)?;
        Some(Self { role, all, listed: &[] })
    }

    /// The same, for a tenant whose statement lists these values of PCR16.
    pub(crate) fn listed_by(self, listed: &'a [Vec<u8>]) -> Self {
        Self { listed, ..self }
    }

    /// The role that they serve.
    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Who is asked first as things stand; `None` while no enclave is connected.
    pub(crate) fn first(&self) -> Option<Answerer> {
        self.candidates().first().map(|(slot, enclave)| Answerer { slot: *slot, connects: enclave.connects() })
    }

    /// Asks one enclave, and supplies it once with what it says it needs. Where it is lost, or says that it cannot work now, the next one
    /// that is ready is asked: each at most once, and none after a refusal or a wait that came to its end. For a document, no enclave that
    /// the statement does not list is asked while one is ready that it lists: devices refuse the other one's.
    ///
    /// # Errors
    /// The enclave's refusal, `OVERLOADED`, or `ENCLAVE_UNAVAILABLE`; where several could not answer, what the first one met.
    pub(crate) async fn ask(&self, body: request::Body, known: &Known<'_>) -> Result<response::Body, Error> {
        self.ask_any(body, known).await.map(|(_, answer)| answer)
    }

    /// As [`Slots::ask`], and says who answered.
    pub(crate) async fn ask_any(
        &self,
        body: request::Body,
        known: &Known<'_>,
    ) -> Result<(Answerer, response::Body), Error> {
        let mut request = Request { body: Some(body) };
        let mut first = None;
        let is_document = matches!(request.body, Some(request::Body::GetIdentity(_)));
        for (slot, enclave) in self.candidates() {
            if is_document && !self.lists(enclave) && self.has_listed() {
                break;
            }
            let answerer = Answerer { slot, connects: enclave.connects() };
            match enclave.ask(&mut request, known).await {
                Err(error) if another_may_be_asked(&error) => {
                    if cannot_work(&error) {
                        enclave.set_back();
                    }
                    tracing::debug!(name: "enclave passed over", enclave = enclave.name(), reason = reason_name(error.reason()));
                    first.get_or_insert(error);
                }
                result => {
                    if matches!(result, Err(Error::EnclaveUnavailable(TIMED_OUT))) {
                        enclave.set_back();
                    }
                    return result.map(|answer| (answerer, answer));
                }
            }
        }
        Err(first.unwrap_or(Error::EnclaveUnavailable(NOT_CONNECTED)))
    }

    fn lists(&self, enclave: &Enclave) -> bool {
        enclave.pcr16().is_some_and(|pcr16| self.listed.contains(&pcr16))
    }

    /// Whether an enclave is ready whose document the tenant's devices believe.
    fn has_listed(&self) -> bool {
        let is_ready = |enclave: &Enclave| enclave.health().borrow().as_ref().is_some_and(|it| it.missing.is_empty());
        self.all.iter().any(|enclave| self.lists(enclave) && is_ready(enclave))
    }

    /// Those that are ready, in the order in which they are asked; where none is, the one connected enclave that says best what is missing.
    fn candidates(&self) -> Vec<(usize, &'a Enclave)> {
        let standing = |enclave: &Enclave| {
            let health = enclave.shared.health.borrow();
            let health = health.as_ref()?;
            Some(Standing {
                is_ready: health.missing.is_empty(),
                is_listed: self.lists(enclave),
                is_in_favour: !enclave.is_set_back(),
                release: health.release,
            })
        };
        let numbered = self.all.iter().enumerate();
        let mut found: Vec<_> = numbered.filter_map(|(slot, it)| Some((Reverse(standing(it)?), slot, it))).collect();
        found.sort_by(|(one, slot, _), (other, next, _)| one.cmp(other).then(slot.cmp(next)));
        let ready = found.iter().filter(|(Reverse(standing), ..)| standing.is_ready).count();
        found.truncate(ready.max(1));
        found.into_iter().map(|(_, slot, enclave)| (slot, enclave)).collect()
    }
}

/// Whether the same frame may go to another enclave: this one is lost, or did nothing and says so. A wait that came to its end is no such
/// case, for a caller that waited once would wait again, but the next caller need not; nor is any other refusal, since the next enclave would say the same.
fn another_may_be_asked(error: &Error) -> bool {
    match error {
        Error::EnclaveUnavailable(why) => *why != TIMED_OUT,
        // Each enclave has room of its own, and one that has just come asks KMS for every KEK first.
        Error::Overloaded(_) | Error::Enclave { reason: Reason::Overloaded, .. } => true,
        error => cannot_work(error),
    }
}

/// Whether an enclave says that it lacks something, such as KMS that does not admit it.
fn cannot_work(error: &Error) -> bool {
    matches!(error, Error::Enclave { reason: Reason::EnclaveUnavailable | Reason::KmsUnavailable, .. })
}

#[cfg(test)]
mod tests;
