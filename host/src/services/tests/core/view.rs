//! The fake core's view of a record.

use std::sync::atomic::Ordering;

use strongroom_proto::enclave::v1::SealedRecord;
use strongroom_proto::v1::{CredentialView, GenerationView, Policy, RecordView};

use super::Core;

impl Core {
    /// What a device would see of a record.
    pub(super) fn view_of(&self, record: &SealedRecord) -> RecordView {
        let standing = self.standing(record);
        let credentials = standing.credentials.into_iter();
        let generations = standing.generations.into_iter();
        RecordView {
            record_id: record.record_id.clone(),
            backup: record.backup.clone(),
            credentials: credentials.map(|id| CredentialView { id, ..Default::default() }).collect(),
            policy: Some(Policy {
                passkey: !self.without_passkeys.load(Ordering::Relaxed),
                newest_head: self.newest_head.load(Ordering::Relaxed),
                ..Default::default()
            }),
            generations: generations
                .map(|(generation, _)| GenerationView { generation, ..Default::default() })
                .collect(),
            closed: standing.closed,
            ..Default::default()
        }
    }
}
