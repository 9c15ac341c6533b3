//! Which KEKs a request carries: one that signs and seals, and at most one other that opens. Decides nothing that is trusted: the
//! enclave takes no KEK that does not fit the record, the shares and the statement.

use strongroom_proto::enclave::v1::{KekRef, SealedShare};
use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{Role, RoleStatement, SignedStatement};

use super::App;
use super::listing::Place;
use super::load::{StoredKek, StoredRecord, StoredStatement};
use crate::enclave::Known;
use crate::error::Error;
use crate::keys::Kind;

/// The KEKs of one request.
pub(super) struct Keks {
    /// Signs and seals.
    pub(super) own: StoredKek,
    /// Opens what is sealed under its epoch.
    pub(super) other: Option<StoredKek>,
}

impl Keks {
    /// How a request names them: `kek` and `other_kek`.
    pub(super) fn references(&self) -> (Option<KekRef>, Option<KekRef>) {
        (Some(self.own.reference.clone()), self.other.as_ref().map(|other| other.reference.clone()))
    }

    /// What the enclave may ask for.
    pub(super) fn known(self, statement: Option<&SignedStatement>) -> Known<'_> {
        let other = self.other.map(|other| other.wrapped).unwrap_or_default();
        Known { statement, wrapped: self.own.wrapped, other }
    }
}

/// What a statement says of a role's epochs.
#[derive(Clone, Debug)]
pub(super) struct Epochs {
    /// Ascending, at least one.
    pub(super) named: Vec<u64>,
    /// The lowest one to seal to.
    pub(super) lowest: u64,
}

/// Which KEKs fit a request.
#[derive(Debug, Eq, PartialEq)]
enum Choice {
    Keks {
        own: u64,
        other: Option<u64>,
    },
    /// The record, its shares and what they are to be sealed under lie under more epochs than a request carries.
    ResealFirst,
    /// The record lies under a newer epoch than the statement names: the statement was read before another one came.
    StatementFirst,
}

impl Epochs {
    /// What a role's part of a statement says; `None` where it names no epoch.
    pub(super) fn named(part: Option<RoleStatement>) -> Option<Self> {
        let part = part.filter(|part| !part.epochs.is_empty())?;
        let named = part.epochs.iter().map(|epoch| epoch.epoch).collect();
        Some(Self { named, lowest: part.lowest_epoch })
    }

    /// The newest epoch, under which views are signed and re-seals made.
    pub(super) fn newest(&self) -> u64 {
        self.named.last().copied().unwrap_or_default()
    }

    /// Whether anything new may be sealed under an epoch.
    fn seals(&self, epoch: u64) -> bool {
        epoch >= self.lowest && self.named.contains(&epoch)
    }

    /// The epoch that a caller says its message is sealed to; 0 is the newest.
    pub(super) fn of_message(&self, epoch: u64) -> Result<u64, Error> {
        match epoch {
            0 => Ok(self.newest()),
            epoch if self.seals(epoch) => Ok(epoch),
            given => Err(Error::EpochNotInStatement { given, lowest: self.lowest, newest: self.newest() }),
        }
    }

    /// The highest epoch of those seals where the statement lets it, so that nobody meets an epoch that he has not heard of. It is never a
    /// lower one: the enclave seals nothing under an epoch lower than one that it opened something under.
    fn choose(&self, opens: &[u64]) -> Choice {
        let Some(highest) = opens.iter().copied().max() else {
            return Choice::Keks { own: self.newest(), other: None };
        };
        if highest > self.newest() {
            return Choice::StatementFirst;
        }
        let own = if self.seals(highest) { highest } else { self.newest() };
        let mut others = opens.iter().copied().filter(|epoch| *epoch != own);
        let other = others.next();
        if others.any(|epoch| Some(epoch) != other) { Choice::ResealFirst } else { Choice::Keks { own, other } }
    }
}

impl App {
    /// The KEKs for a request that opens what is sealed under `opens`: the message's epoch in a creation, the own one of a re-seal.
    ///
    /// # Errors
    /// `VERSION_CONFLICT` where they are more than a request carries.
    pub(super) async fn keks(
        &self,
        tenant: &TenantId,
        role: Role,
        statement: &StoredStatement,
        opens: &[u64],
    ) -> Result<Keks, Error> {
        let epochs = statement.epochs(role)?;
        let (own, other) = match epochs.choose(opens) {
            Choice::Keks { own, other } => (own, other),
            Choice::ResealFirst => return Err(Error::Conflict(Kind::Record)),
            Choice::StatementFirst => return Err(Error::Conflict(Kind::Statement)),
        };
        let own = self.kek(tenant, role, own).await?;
        let other = match other {
            Some(epoch) => Some(self.kek(tenant, role, epoch).await?),
            None => None,
        };
        Ok(Keks { own, other })
    }

    /// The KEKs for an act on a record, with the shares that it opens and the epoch of the message that it brings.
    ///
    /// Where they would be too many the record is sealed again first, and the act is to be begun anew.
    ///
    /// # Errors
    /// `VERSION_CONFLICT` where the act is to be begun anew.
    pub(super) async fn keks_of(
        &self,
        place: &Place,
        statement: &StoredStatement,
        record: &StoredRecord,
        shares: &[SealedShare],
        message: Option<u64>,
    ) -> Result<Keks, Error> {
        let opens: Vec<u64> =
            [record.sealed.epoch].into_iter().chain(shares.iter().map(|share| share.epoch)).chain(message).collect();
        let epochs = statement.epochs(place.role)?;
        if epochs.choose(&opens) == Choice::ResealFirst {
            // Then it is the shares alone that are too many, and only who keeps them can bring others.
            if record.row.outside && record.sealed.epoch >= epochs.newest() {
                return Err(Error::bad("client_shares", "sealed under one epoch below the newest"));
            }
            self.reseal(place, statement).await?;
        }
        self.keks(&place.tenant, place.role, statement, &opens).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_carries_the_keks_that_it_needs() {
        let keks = |own, other| Choice::Keks { own, other };
        for (named, lowest, opens, expect) in [
            // One epoch.
            (&[1][..], 1, &[1][..], keks(1, None)),
            (&[1], 1, &[1, 1, 1], keks(1, None)),
            (&[1], 1, &[], keks(1, None)),
            // The highest epoch seals on where the statement lets it.
            (&[1, 2], 1, &[1], keks(1, None)),
            (&[1, 2], 1, &[1, 1, 2], keks(2, Some(1))),
            (&[1, 2], 1, &[2, 1], keks(2, Some(1))),
            (&[1, 2], 1, &[2, 2], keks(2, None)),
            // Below the lowest one, or left out of the statement, it only opens.
            (&[1, 2], 2, &[1], keks(2, Some(1))),
            (&[1, 2], 2, &[1, 1, 1], keks(2, Some(1))),
            (&[1, 2], 2, &[1, 1, 2], keks(2, Some(1))),
            (&[2, 3], 2, &[1], keks(3, Some(1))),
            (&[1, 2, 3], 3, &[2, 2], keks(3, Some(2))),
            (&[1, 2, 3], 3, &[3, 1, 1], keks(3, Some(1))),
            // Three at once.
            (&[1, 2, 3], 3, &[2, 1], Choice::ResealFirst),
            (&[1, 2, 3], 1, &[2, 1, 3], Choice::ResealFirst),
            (&[1, 2, 3], 2, &[1, 2], keks(2, Some(1))),
            (&[1, 2, 3], 1, &[3, 1, 2], Choice::ResealFirst),
            (&[1, 2, 3], 3, &[1, 1, 2], Choice::ResealFirst),
            // The statement is behind.
            (&[1], 1, &[2], Choice::StatementFirst),
            (&[1, 2], 2, &[3, 2], Choice::StatementFirst),
        ] {
            let epochs = Epochs { named: named.to_vec(), lowest };
            assert_eq!(epochs.choose(opens), expect, "{named:?} {lowest} {opens:?}");
        }
    }

    #[test]
    fn a_message_is_sealed_to_an_epoch_that_still_counts() {
        let epochs = Epochs { named: vec![1, 2, 4], lowest: 2 };
        for (given, expect) in [(0, Some(4)), (2, Some(2)), (4, Some(4)), (1, None), (3, None), (5, None)] {
            let found = epochs.of_message(given);
            assert_eq!(found.as_ref().ok().copied(), expect, "{given}");
            if let Err(error) = found {
                assert_eq!(error.reason(), strongroom_proto::v1::Reason::EpochNotInStatement, "{given}");
            }
        }
    }
}
