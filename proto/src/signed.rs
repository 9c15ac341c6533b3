//! What is signed with Ed25519, and the hash chains: the bytes, and the check.

use alloc::vec::Vec;
use core::fmt;

use ring::signature::{ED25519, UnparsedPublicKey};

use crate::id::{ContentHash, Head, sha256};
use crate::limits::{CHANNEL_KEY_BYTES, KEM_XWING};
use crate::prefix;

/// The signature does not hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BadSignature;

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the signature does not hold")
    }
}

impl core::error::Error for BadSignature {}

/// Checks an Ed25519 signature (RFC 8032) over `prefix` ‖ `bytes`; the prefix is one of [`prefix`].
///
/// # Errors
/// Where key or signature are malformed or do not fit the bytes.
pub fn verify(prefix: &[u8], bytes: &[u8], public_key: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    let message: Vec<u8> = prefix::prefixed(prefix, bytes);
    UnparsedPublicKey::new(&ED25519, public_key).verify(&message, signature).map_err(|_| BadSignature)
}

/// Head after `event` (encoded) on a record whose head was `head`.
#[must_use]
pub fn next_head(head: &Head, event: &[u8]) -> Head {
    Head(sha256(&[prefix::HEAD, &head.0, event]))
}

/// What `user_data` of an attestation document holds for an encoded identity.
#[must_use]
pub fn identity_hash(identity: &[u8]) -> ContentHash {
    ContentHash(sha256(&[prefix::IDENTITY, identity]))
}

/// How an intent and a statement name a recipient's X-Wing public key. `None` where the key has another length.
#[must_use]
pub fn recipient_hash(public_key: &[u8]) -> Option<ContentHash> {
    (public_key.len() == CHANNEL_KEY_BYTES)
        .then(|| ContentHash(sha256(&[prefix::RECIPIENT, &KEM_XWING.to_be_bytes(), public_key])))
}
