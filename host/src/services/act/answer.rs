//! What a call that carried out an act answers: the receipts in the order of the roles, releases, and on what all of it rests.

use strongroom_proto::v1::{ActResponse, Freshness, RecoverResponse, Role, Stages};

use super::Done;
use crate::error::Error;

/// The answer of an act that releases nothing.
pub(in crate::services) fn receipts(done: &Done) -> ActResponse {
    let receipts = done.outcomes.iter().map(|outcome| outcome.signed.clone()).collect();
    ActResponse { receipts, stages: done.stages() }
}

/// The answer of a release.
pub(in crate::services) fn release(done: &Done) -> Result<RecoverResponse, Error> {
    let mut response = RecoverResponse { stages: done.stages(), ..RecoverResponse::default() };
    for outcome in &done.outcomes {
        response.receipts.push(outcome.signed.clone());
        match outcome.place.role {
            Role::Client => {
                response.client_release.clone_from(&outcome.release);
                response.client_shares.clone_from(&outcome.handed);
            }
            Role::Custodian => response.custodian_release.clone_from(&outcome.release),
            Role::Unspecified => return Err(Error::Internal("a release of no role")),
        }
    }
    Ok(response)
}

impl Done {
    /// On what the answer rests.
    pub(in crate::services) fn stages(&self) -> Option<Stages> {
        stages(self.outcomes.iter().map(|outcome| outcome.receipt.stages.as_ref()))
    }
}

/// On what an answer of several roles rests: everybody whom one of them trusts, and no fresher than the least fresh of them.
pub(in crate::services) fn stages<'a>(all: impl IntoIterator<Item = Option<&'a Stages>>) -> Option<Stages> {
    let both = |one: Stages, other: Stages| {
        let mut trusted = [one.trusted, other.trusted].concat();
        trusted.sort_unstable();
        trusted.dedup();
        Stages { trusted, freshness: one.freshness.min(other.freshness) }
    };
    // A role that says nothing vouches for nothing.
    let silent = Stages { trusted: Vec::new(), freshness: Freshness::Unspecified.into() };
    all.into_iter().map(|stages| stages.unwrap_or(&silent).clone()).reduce(both)
}

#[cfg(test)]
mod tests {
    use strongroom_proto::v1::Trust;

    use super::*;

    #[test]
    fn an_answer_of_two_roles_is_as_fresh_as_the_less_fresh_one() {
        let of =
            |freshness: Freshness, trusted: &[i32]| Stages { trusted: trusted.to_vec(), freshness: freshness.into() };
        let admin = i32::from(Trust::KeyAdmin);
        let (none, known) = (of(Freshness::None, &[admin]), of(Freshness::CallerReceipt, &[admin]));
        for (all, expect) in [
            (vec![], None),
            (vec![Some(&known)], Some(known.clone())),
            (vec![Some(&known), Some(&known)], Some(known.clone())),
            (vec![Some(&known), Some(&none)], Some(none.clone())),
            (vec![Some(&none), Some(&known)], Some(none.clone())),
            (vec![Some(&known), None], Some(of(Freshness::Unspecified, &[admin]))),
            (vec![Some(&of(Freshness::None, &[2])), Some(&none)], Some(of(Freshness::None, &[admin, 2]))),
        ] {
            assert_eq!(stages(all.clone()), expect, "{all:?}");
        }
    }
}
