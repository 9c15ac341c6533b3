//! Records that the enclave did not open for a view, remembered for a while, so that the view of their wallet needs no search each time.
//!
//! What is remembered is the record as it was: one that was restored or written anew is shown at once. It decides nothing that is
//! trusted: the host could leave any record out of a view.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prost::Message;
use strongroom_proto::enclave::v1::SealedRecord;
use strongroom_proto::id::{TenantId, sha256};
use strongroom_proto::v1::Role;

/// Most records remembered. More are searched for each time.
const DAMAGED_MAX: usize = 4096;
/// How long a record is left out before the enclave is asked again.
const KEEP: Duration = Duration::from_mins(10);

/// SHA-256 of what a record is: tenant, role and sealed bytes.
type Mark = [u8; 32];

/// The records remembered, and until when.
#[derive(Default)]
pub(crate) struct Damaged(Mutex<HashMap<Mark, Instant>>);

impl Damaged {
    /// Whether the enclave did not open this record lately.
    pub(super) fn knows(&self, tenant: &TenantId, role: Role, record: &SealedRecord) -> bool {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Most hosts remember none, and need no hash.
        !marks.is_empty() && marks.get(&mark(tenant, role, record)).is_some_and(|until| Instant::now() < *until)
    }

    /// Remembers a record.
    pub(super) fn note(&self, tenant: &TenantId, role: Role, record: &SealedRecord) {
        let now = Instant::now();
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if marks.len() >= DAMAGED_MAX {
            marks.retain(|_, until| now < *until);
        }
        if marks.len() < DAMAGED_MAX {
            marks.insert(mark(tenant, role, record), now + KEEP);
        }
    }
}

fn mark(tenant: &TenantId, role: Role, record: &SealedRecord) -> Mark {
    sha256(&[&tenant.0, role.as_str_name().as_bytes(), &record.encode_to_vec()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64) -> SealedRecord {
        SealedRecord { epoch: number, ..SealedRecord::default() }
    }

    #[test]
    fn a_record_is_known_as_it_was_and_to_its_own_tenant_and_role() {
        let (damaged, tenant) = (Damaged::default(), TenantId([1; 32]));
        damaged.note(&tenant, Role::Client, &record(1));
        assert!(damaged.knows(&tenant, Role::Client, &record(1)));
        for (tenant, role, record) in [
            (tenant, Role::Client, record(2)),
            (tenant, Role::Custodian, record(1)),
            (TenantId([2; 32]), Role::Client, record(1)),
        ] {
            assert!(!damaged.knows(&tenant, role, &record), "{role:?} {record:?}");
        }
    }

    #[test]
    fn what_is_remembered_ends_by_time_and_number() {
        let (damaged, tenant) = (Damaged::default(), TenantId([1; 32]));
        for number in 0..=DAMAGED_MAX as u64 {
            damaged.note(&tenant, Role::Client, &record(number));
        }
        assert_eq!(damaged.0.lock().unwrap().len(), DAMAGED_MAX);
        assert!(!damaged.knows(&tenant, Role::Client, &record(DAMAGED_MAX as u64)));
        for until in damaged.0.lock().unwrap().values_mut() {
            *until = Instant::now();
        }
        assert!(!damaged.knows(&tenant, Role::Client, &record(0)), "its time is over");
        damaged.note(&tenant, Role::Client, &record(9));
        assert!(damaged.knows(&tenant, Role::Client, &record(9)), "others' time made room");
        assert_eq!(damaged.0.lock().unwrap().len(), 1);
    }
}
