//! The keys and their file. Every change is on disk before it is answered, whole or not at all, so that
//! neither `kill -9` nor a full disk loses a key that was handed out.

use super::error::{Kind, KmsError, internal};
use super::policy::KeyPolicy;
use crate::error::SimulatedError;
use crate::private_file;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

mod stored;

/// Most keys of one service.
pub const KEYS_MAX: usize = 1000;

/// Length of a backing key: AES-256.
const KEY_BYTES: usize = 32;

/// A key's id: a UUID (RFC 9562, version 4).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct KeyId([u8; 16]);

impl KeyId {
    /// A new id.
    ///
    /// # Errors
    /// `KMSInternalException` where there is no randomness.
    pub fn generate() -> Result<Self, KmsError> {
        let mut id = [0; 16];
        SystemRandom::new().fill(&mut id).map_err(|_| internal("randomness"))?;
        id[6] = 0x40 | id[6] & 0x0f;
        id[8] = 0x80 | id[8] & 0x3f;
        Ok(Self(id))
    }

    /// Reads the form with hyphens, in lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = hex::decode(text.replace('-', "")).ok()?;
        Self::from_bytes(&bytes).filter(|id| id.to_string() == text)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = hex::encode(self.0);
        write!(f, "{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
    }
}

/// The AES-256 key behind a KMS key. Never leaves this service but into its file.
pub struct BackingKey(Zeroizing<[u8; KEY_BYTES]>);

impl BackingKey {
    /// A new key.
    ///
    /// # Errors
    /// `KMSInternalException` where there is no randomness.
    pub fn generate() -> Result<Self, KmsError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        SystemRandom::new().fill(&mut key[..]).map_err(|_| internal("randomness"))?;
        Ok(Self(key))
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.0[..]
    }
}

impl fmt::Debug for BackingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// AWS's `KeyState`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum KeyState {
    /// It may be used.
    Enabled,
    /// `DisableKey` was called.
    Disabled,
    /// `ScheduleKeyDeletion` was called. This service never deletes it.
    PendingDeletion,
}

/// One KMS key.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// When it was made: milliseconds since 1970-01-01T00:00:00Z.
    pub created_ms: u64,
    /// Its maker's words.
    pub description: String,
    /// Whether it may be used.
    pub state: KeyState,
    /// When it would be deleted, milliseconds since 1970-01-01T00:00:00Z.
    pub deletion_ms: Option<u64>,
    /// Who may do what with it.
    pub policy: KeyPolicy,
    /// What it wraps with.
    pub material: Arc<BackingKey>,
}

/// All keys, in memory and in the file.
pub struct KeyStore {
    path: PathBuf,
    keys: Mutex<BTreeMap<KeyId, Arc<Key>>>,
}

impl KeyStore {
    /// Reads the file, or begins without keys where there is none.
    ///
    /// # Errors
    /// [`SimulatedError::File`], [`SimulatedError::Form`].
    pub fn open(path: &Path) -> Result<Self, SimulatedError> {
        let keys = match private_file::read(path)? {
            None => BTreeMap::new(),
            Some(content) => stored::read(&Zeroizing::new(content))
                .map_err(|reason| SimulatedError::Form { path: path.to_owned(), reason })?,
        };
        Ok(Self { path: path.to_owned(), keys: Mutex::new(keys) })
    }

    /// A key, if there is one of this id.
    #[must_use]
    pub fn get(&self, id: KeyId) -> Option<Arc<Key>> {
        self.lock().get(&id).map(Arc::clone)
    }

    /// Adds or replaces a key, on disk first.
    ///
    /// # Errors
    /// `LimitExceededException` past [`KEYS_MAX`], `KMSInternalException` where the file cannot be written.
    pub fn put(&self, key: Key) -> Result<(), KmsError> {
        let mut keys = self.lock();
        Self::write(&self.path, &mut keys, key)
    }

    /// Changes a key, on disk first; nobody else changes it meanwhile.
    ///
    /// # Errors
    /// As `change` answers, and as [`KeyStore::put`].
    pub fn update(&self, id: KeyId, change: impl FnOnce(&mut Key) -> Result<(), KmsError>) -> Result<(), KmsError> {
        let mut keys = self.lock();
        let mut key = Key::clone(keys.get(&id).ok_or_else(|| internal("the key is gone"))?);
        change(&mut key)?;
        Self::write(&self.path, &mut keys, key)
    }

    fn write(path: &Path, keys: &mut BTreeMap<KeyId, Arc<Key>>, key: Key) -> Result<(), KmsError> {
        if keys.len() >= KEYS_MAX && !keys.contains_key(&key.id) {
            return Err(KmsError::new(Kind::LimitExceeded, format!("there are {KEYS_MAX} keys already")));
        }
        let id = key.id;
        let before = keys.insert(id, Arc::new(key));
        let content = stored::write(keys);
        if private_file::replace(path, &content).is_ok() {
            return Ok(());
        }
        match before {
            Some(before) => keys.insert(id, before),
            None => keys.remove(&id),
        };
        Err(internal("the key file cannot be written"))
    }

    /// A change is either made whole or taken back, so a panic elsewhere does not spoil the map.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<KeyId, Arc<Key>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
