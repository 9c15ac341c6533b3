//! What an intent's bytes mean to everyone: its hash, and the record that a creation makes.

use alloc::vec::Vec;

use prost::Message;

use crate::canonical::{self, NotCanonical};
use crate::id::{IntentHash, RecordId, sha256};
use crate::limits::INTENT_BYTES_MAX;
use crate::prefix;
use crate::v1::{Intent, Role, RolePart};

/// Decodes an intent, refusing every encoding but one.
///
/// # Errors
/// As [`canonical::decode`], with the limit of 4 KiB.
pub fn decode(bytes: &[u8]) -> Result<Intent, NotCanonical> {
    canonical::decode(bytes, INTENT_BYTES_MAX)
}

/// The WebAuthn challenge for an encoded intent.
#[must_use]
pub fn hash(bytes: &[u8]) -> IntentHash {
    IntentHash(sha256(&[prefix::INTENT, bytes]))
}

/// The record that a creation intent makes: the same in both roles, and known before anything is sealed.
#[must_use]
pub fn record_id(creation: &Intent) -> RecordId {
    let mut bare = creation.clone();
    for part in [&mut bare.client, &mut bare.custodian].into_iter().flatten() {
        part.message_hash = Vec::new();
    }
    RecordId(sha256(&[prefix::RECORD, &bare.encode_to_vec()]))
}

/// What the intent says to one role.
#[must_use]
pub fn part(intent: &Intent, role: Role) -> Option<&RolePart> {
    match role {
        Role::Client => intent.client.as_ref(),
        Role::Custodian => intent.custodian.as_ref(),
        Role::Unspecified => None,
    }
}
