//! The prefixes of every hashed, signed, sealed or derived byte string: one use, one prefix, each ended by a 0x00.
//!
//! Three hashes have no prefix, because they hash bytes that somebody else may want to compare: the tenant id, content hashes of
//! sealed bytes and keys, and the manifest's SHA-384.

use alloc::vec::Vec;

macro_rules! prefixes {
    ($($(#[$doc:meta])* $name:ident = $use:literal;)*) => {
        $($(#[$doc])* pub const $name: &[u8] = concat!("strongroom/v1/", $use, "\0").as_bytes();)*

        /// Every prefix, for the golden file.
        pub const ALL: &[&[u8]] = &[$($name),*];
    };
}

prefixes! {
    /// Info of the HKDF that gives the HPKE seed of an epoch.
    CHANNEL_KEY = "channel-key";
    /// HPKE info of a message to an enclave or to a recipient.
    HPKE = "hpke";
    /// Hash of a record's head and the next event.
    HEAD = "head";
    /// Hash of an identity, in the attestation document's `user_data`.
    IDENTITY = "identity";
    /// Hash of an intent: the WebAuthn challenge.
    INTENT = "intent";
    /// Info of the HKDF that gives the id of a KEK.
    KEK_ID = "kek-id";
    /// AAD of what a device encrypts under a password, and info of the HKDF that gives its key.
    PASSWORD = "password";
    /// Info of the HKDF that gives the Ed25519 seed of an epoch.
    RECEIPT_KEY = "receipt-key";
    /// Signature over a receipt.
    RECEIPT = "receipt";
    /// Hash of a recipient's key.
    RECIPIENT = "recipient";
    /// Hash of a creation intent: the record id.
    RECORD = "record";
    /// Signature over a rehearsal.
    REHEARSAL = "rehearsal";
    /// Content of a message sealed to a recipient.
    RELEASE = "release";
    /// Signature over a release file.
    RELEASE_FILE = "release-file";
    /// AAD of everything at rest.
    SEAL = "seal";
    /// Content of a message sealed to an enclave.
    SHARES = "shares";
    /// Signature over a statement.
    STATEMENT = "statement";
    /// Signature of an operational key over an intent.
    TENANT = "tenant";
    /// Signature over a wallet view.
    VIEW = "view";
}

/// `prefix` ‖ `bytes`, as it is signed.
#[must_use]
pub fn prefixed(prefix: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(prefix.len().saturating_add(bytes.len()));
    out.extend_from_slice(prefix);
    out.extend_from_slice(bytes);
    out
}
