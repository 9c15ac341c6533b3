//! Bytes that must not outlive their use.

use core::fmt;

use alloc::vec::Vec;
use zeroize::{Zeroize, Zeroizing};

/// Secret bytes: erased on drop, printed as `[redacted]`, neither cloned nor compared.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes; the caller keeps no copy.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Copies `bytes`, and erases them where they stood.
    #[must_use]
    pub fn take(bytes: &mut [u8]) -> Self {
        let secret = Self::new(bytes.to_vec());
        bytes.zeroize();
        secret
    }

    /// The bytes, for the one call that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
