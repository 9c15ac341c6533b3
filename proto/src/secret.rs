//! Bytes that must not outlive their use.

use core::fmt;
use core::ops::{Deref, DerefMut};

use alloc::vec::Vec;
use zeroize::Zeroize;

/// Secret bytes: erased on drop, printed as `[redacted]`, neither cloned nor compared.
pub struct Secret(SecretBuffer);

impl Secret {
    /// Takes the bytes; the caller keeps no copy.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(SecretBuffer(bytes))
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

impl From<SecretBuffer> for Secret {
    fn from(bytes: SecretBuffer) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Secret bytes on which somebody works in place: erased on drop, with all the room that they take. Who makes them longer than that
/// room leaves a copy behind.
#[derive(Default)]
pub struct SecretBuffer(Vec<u8>);

impl SecretBuffer {
    /// Takes the bytes; the caller keeps no copy.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Gives the bytes out of this protection, for what has become of them is no secret.
    #[must_use]
    pub fn into_public(mut self) -> Vec<u8> {
        core::mem::take(&mut self.0)
    }
}

impl Deref for SecretBuffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for SecretBuffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for SecretBuffer {
    fn drop(&mut self) {
        // A vector without elements is nothing but room, which is erased at once; elements would be erased byte by byte.
        self.0.clear();
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
