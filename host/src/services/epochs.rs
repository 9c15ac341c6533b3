//! Which KEKs a request carries: one that signs and seals, and at most one other that opens. Decides nothing that is trusted: the
//! enclave takes no KEK that does not fit the record, the shares and the statement.

use strongroom_proto::enclave::v1::KekRef;
use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{Role, SignedStatement};

use super::App;
use super::load::{StoredKek, StoredStatement};
use crate::enclave::Known;
use crate::error::Error;

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
    pub(super) fn known(self, statement: Option<SignedStatement>) -> Known {
        let other = self.other.map(|other| other.wrapped).unwrap_or_default();
        Known { statement, wrapped: self.own.wrapped, other }
    }
}

impl App {
    /// The KEKs for a request that opens what is sealed under `opens`: the record's epoch first, or the message's in a creation.
    pub(super) async fn keks(
        &self,
        tenant: &TenantId,
        role: Role,
        _statement: &StoredStatement,
        opens: &[u64],
    ) -> Result<Keks, Error> {
        let own = *opens.first().ok_or(Error::Internal("a request that opens nothing"))?;
        let other = opens.iter().copied().find(|epoch| *epoch != own);
        let own = self.kek(tenant, role, own).await?;
        let other = match other {
            Some(epoch) => Some(self.kek(tenant, role, epoch).await?),
            None => None,
        };
        Ok(Keks { own, other })
    }
}
