//! Identifiers of 32 bytes, each a type of its own, so that one cannot stand where another belongs.

use core::fmt;

use ring::digest::{Context, SHA256};

/// SHA-256 over the concatenation of `parts`.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The id that `bytes` are, if they are 32.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

ids! {
    /// A tenant: SHA-256(root key ‖ standby key).
    TenantId;
    /// A KEK, derived from it.
    KekId;
    /// A record, derived from its creation intent.
    RecordId;
    /// The head of a record's chain of events.
    Head;
    /// An intent, as its WebAuthn challenge.
    IntentHash;
    /// SHA-256 of bytes that stand elsewhere.
    ContentHash;
}

impl TenantId {
    /// The tenant of two Ed25519 public keys.
    #[must_use]
    pub fn of(root_key: &[u8], standby_key: &[u8]) -> Self {
        Self(sha256(&[root_key, standby_key]))
    }
}

impl ContentHash {
    /// SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha256(&[bytes]))
    }
}
