//! Ed25519 keys: the tenant's root and standby, which sign statements, and operational keys, which sign intents; and the publisher's release
//! key, which signs release files.
//!
//! Root, standby and release keys lie in files that a passphrase protects and are meant to be offline. An operational key lies in a plain file
//! that only its owner may read: a service signs with it unattended, so a passphrase would lie beside it and protect nothing; its
//! short life does.

use std::fmt;
use std::path::Path;

use ring::signature::{Ed25519KeyPair, KeyPair};
use strongroom_proto::prefix;
use strongroom_proto::v1::TenantSignature;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::{files, random};

pub(crate) mod file;

pub use file::KEY_FILE_BYTES_MAX;

/// Fewest bytes of a new passphrase.
pub const PASSPHRASE_BYTES_MIN: usize = 12;

/// What a key is for. It is part of what the key file's encryption authenticates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyUse {
    /// Signs statements.
    Root,
    /// Signs statements when the root key is lost.
    Standby,
    /// Signs intents, for at most 90 days.
    Operational,
    /// A publisher's: signs release files.
    Release,
}

impl KeyUse {
    /// Its name in key files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Standby => "standby",
            Self::Operational => "operational",
            Self::Release => "release",
        }
    }
}

/// What a person types to open a key file: erased on drop.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes the text; the caller keeps no copy.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Whether it may protect a new key: at least [`PASSPHRASE_BYTES_MIN`] bytes.
    ///
    /// # Errors
    /// [`Error::Input`].
    pub fn check_new(&self) -> Result<(), Error> {
        if self.0.len() >= PASSPHRASE_BYTES_MIN {
            return Ok(());
        }
        Err(Error::input("passphrase", format!("shorter than {PASSPHRASE_BYTES_MIN} bytes")))
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// An Ed25519 key pair (RFC 8032). Its seed is erased on drop.
pub struct SigningKey {
    purpose: KeyUse,
    seed: Zeroizing<[u8; 32]>,
    public_key: [u8; 32],
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn generate(purpose: KeyUse) -> Result<Self, Error> {
        Self::from_seed(purpose, Zeroizing::new(random::bytes()?))
    }

    /// The key of a seed.
    ///
    /// # Errors
    /// [`Error::Malformed`] where ring refuses the seed, which it does for none of 32 bytes.
    pub fn from_seed(purpose: KeyUse, seed: Zeroizing<[u8; 32]>) -> Result<Self, Error> {
        let pair = pair(&seed)?;
        let mut public_key = [0; 32];
        public_key.copy_from_slice(pair.public_key().as_ref());
        Ok(Self { purpose, seed, public_key })
    }

    /// What the key is for.
    #[must_use]
    pub fn purpose(&self) -> KeyUse {
        self.purpose
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// An operational key's signature over an encoded intent.
    ///
    /// # Errors
    /// [`Error::Input`] for a key of another use.
    pub fn sign_intent(&self, intent: &[u8]) -> Result<TenantSignature, Error> {
        if self.purpose != KeyUse::Operational {
            return Err(Error::input("key", format!("a {} key signs no intents", self.purpose.name())));
        }
        Ok(TenantSignature { key: self.public_key.to_vec(), signature: self.sign(prefix::TENANT, intent)? })
    }

    /// The signature over `prefix` ‖ `bytes`, 64 bytes.
    pub(crate) fn sign(&self, prefix: &[u8], bytes: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(pair(&self.seed)?.sign(&prefix::prefixed(prefix, bytes)).as_ref().to_vec())
    }

    /// Writes the key to a new file, encrypted under a passphrase.
    ///
    /// # Errors
    /// [`Error::Input`] for a weak passphrase, [`Error::Exists`] or [`Error::File`].
    pub fn write_protected(&self, path: &Path, passphrase: &Passphrase) -> Result<(), Error> {
        passphrase.check_new()?;
        files::write_new(path, &file::encrypt(&self.held(), passphrase)?)
    }

    /// Writes the key to a new file, for its owner's eyes only but not encrypted: for operational keys.
    ///
    /// # Errors
    /// [`Error::Input`] for a key of another use, [`Error::Exists`] or [`Error::File`].
    pub fn write_plain(&self, path: &Path) -> Result<(), Error> {
        if self.purpose != KeyUse::Operational {
            return Err(Error::input("key", format!("a {} key is never written in plain", self.purpose.name())));
        }
        files::write_new(path, &file::plain(&self.held()))
    }

    /// Reads a key file of either form. `passphrase` is asked only where the file needs one.
    ///
    /// # Errors
    /// [`Error::File`] for what is no key file of this use, [`Error::Passphrase`] where it does not open.
    pub fn read(
        path: &Path,
        purpose: KeyUse,
        passphrase: impl FnOnce() -> Result<Passphrase, Error>,
    ) -> Result<Self, Error> {
        let may_be_plain = purpose == KeyUse::Operational;
        let (seed, public_key) = file::open(path, purpose.name(), may_be_plain, passphrase)?;
        let key = Self::from_seed(purpose, seed)?;
        file::same_key(path, &public_key, &key.public_key)?;
        Ok(key)
    }

    fn held(&self) -> file::Held<'_> {
        file::Held { purpose: self.purpose.name(), public_key: &self.public_key, seed: &self.seed }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {}, [redacted])", self.purpose.name(), hex::encode(self.public_key))
    }
}

/// Made for each signature, since ring does not erase it.
fn pair(seed: &[u8; 32]) -> Result<Ed25519KeyPair, Error> {
    Ed25519KeyPair::from_seed_unchecked(seed).map_err(|error| Error::malformed("key", error))
}

#[cfg(test)]
mod tests;
