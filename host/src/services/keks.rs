//! Wrapped KEKs that were read before: the row of an epoch is written once and never changes, so that what was read of it stays true,
//! whichever host wrote it. That there is no row is not kept.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use strongroom_proto::id::TenantId;
use strongroom_proto::v1::Role;

use super::load::StoredKek;

/// Most KEKs kept; one takes at most about 6 KiB, usually less than one.
const KEKS_MAX: usize = 512;

/// Whose KEK it is.
type Place = (TenantId, Role, u64);

/// The KEKs kept.
#[derive(Default)]
pub(crate) struct KnownKeks(Mutex<HashMap<Place, StoredKek>>);

impl KnownKeks {
    pub(super) fn get(&self, place: &Place) -> Option<StoredKek> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(place).cloned()
    }

    pub(super) fn keep(&self, place: Place, kek: StoredKek) {
        let mut keks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keks.len() >= KEKS_MAX && !keks.contains_key(&place) {
            // Any will do: what is in use comes back with its next call.
            if let Some(other) = keks.keys().next().copied() {
                keks.remove(&other);
            }
        }
        keks.insert(place, kek);
    }
}

#[cfg(test)]
mod tests {
    use strongroom_proto::enclave::v1::KekRef;

    use super::*;

    #[test]
    fn what_is_kept_is_found_under_its_own_place_and_bounded() {
        let keks = KnownKeks::default();
        let kek = |epoch: u64| StoredKek {
            reference: KekRef { epoch, ..KekRef::default() },
            wrapped: epoch.to_be_bytes().to_vec(),
        };
        let place = |epoch| (TenantId([1; 32]), Role::Client, epoch);
        keks.keep(place(1), kek(1));
        assert_eq!(keks.get(&place(1)).unwrap().wrapped, kek(1).wrapped);
        for other in [place(2), (TenantId([2; 32]), Role::Client, 1), (TenantId([1; 32]), Role::Custodian, 1)] {
            assert!(keks.get(&other).is_none(), "{other:?}");
        }
        for epoch in 1..2000 {
            keks.keep(place(epoch), kek(epoch));
            assert_eq!(keks.get(&place(epoch)).unwrap().reference.epoch, epoch);
            assert!(keks.0.lock().unwrap().len() <= KEKS_MAX);
        }
    }
}
