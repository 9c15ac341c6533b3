//! Attestations that are given more than once: one for each tenant, role and epoch, made anew after 30 minutes and whenever the
//! connection to the enclave was made anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use strongroom_proto::enclave::v1::{GetIdentity, request, response};
use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{Role, RoleAttestation};

use super::load::StoredKek;
use crate::enclave::{Enclave, Known};
use crate::error::Error;

/// Most attestations kept; one takes about 7 KiB.
const ATTESTATIONS_MAX: usize = 1024;
/// Age from which an attestation is made anew.
const AGE_MAX: Duration = Duration::from_mins(30);

/// The attestations kept.
#[derive(Default)]
pub(crate) struct Attestations(Mutex<HashMap<(TenantId, Role, u64), Slot>>);

/// One attestation's place; its lock lets one caller at a time ask the enclave.
type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

struct Kept {
    attestation: RoleAttestation,
    made: Instant,
    connects: u64,
}

impl Attestations {
    /// The attestation of an epoch, at most 30 minutes old.
    pub(super) async fn get(
        &self,
        enclave: &Enclave,
        tenant: &TenantId,
        kek: &StoredKek,
    ) -> Result<RoleAttestation, Error> {
        let slot = self.slot((*tenant, enclave.role(), kek.reference.epoch));
        let mut kept = slot.lock().await;
        let connects = enclave.connects();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.connects == connects && kept.made.elapsed() < AGE_MAX) {
            return Ok(kept.attestation.clone());
        }
        let attestation = make(enclave, tenant, kek, Vec::new()).await?;
        *kept = Some(Kept { attestation: attestation.clone(), made: Instant::now(), connects });
        Ok(attestation)
    }

    fn slot(&self, place: (TenantId, Role, u64)) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= ATTESTATIONS_MAX && !slots.contains_key(&place) {
            // Any will do: what is in use comes back with its next call.
            if let Some(other) = slots.keys().next().copied() {
                slots.remove(&other);
            }
        }
        Arc::clone(slots.entry(place).or_default())
    }
}

/// A fresh attestation; costs a call to the NSM.
pub(super) async fn make(
    enclave: &Enclave,
    tenant: &TenantId,
    kek: &StoredKek,
    nonce: Vec<u8>,
) -> Result<RoleAttestation, Error> {
    let body = GetIdentity { tenant: tenant.0.to_vec(), kek: Some(kek.reference.clone()), nonce };
    let known = Known { statement: None, wrapped: kek.wrapped.clone(), ..Known::default() };
    match enclave.ask(request::Body::GetIdentity(body), &known).await? {
        response::Body::IdentityProven(proven) => {
            Ok(RoleAttestation { role: enclave.role().into(), identity: proven.identity, document: proven.document })
        }
        _ => Err(Error::Internal("an enclave's answer to GetIdentity")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_end_at_their_limit() {
        let kept = Attestations::default();
        for epoch in 0..=ATTESTATIONS_MAX as u64 {
            kept.slot((TenantId([1; 32]), Role::Client, epoch));
        }
        assert_eq!(kept.0.lock().unwrap().len(), ATTESTATIONS_MAX);
    }
}
