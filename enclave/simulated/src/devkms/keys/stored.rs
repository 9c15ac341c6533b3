//! The key file's form: JSON, one entry for each key. Writes and reads bytes, touches no disk.

use super::{BackingKey, Key, KeyId, KeyState};
use crate::devkms::policy::KeyPolicy;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::{Zeroize as _, Zeroizing};

const VERSION: u32 = 1;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredKeys {
    version: u32,
    keys: Vec<StoredKey>,
}

/// A key as the file has it; its material is the one place where a backing key is text.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    key_id: String,
    created_ms: u64,
    description: String,
    state: KeyState,
    deletion_ms: Option<u64>,
    policy: String,
    material: String,
}

impl Drop for StoredKey {
    fn drop(&mut self) {
        self.material.zeroize();
    }
}

pub(super) fn write(keys: &BTreeMap<KeyId, Arc<Key>>) -> Zeroizing<Vec<u8>> {
    let keys = keys.values().map(|key| StoredKey {
        key_id: key.id.to_string(),
        created_ms: key.created_ms,
        description: key.description.clone(),
        state: key.state,
        deletion_ms: key.deletion_ms,
        policy: key.policy.text().to_owned(),
        material: STANDARD.encode(key.material.expose()),
    });
    let stored = StoredKeys { version: VERSION, keys: keys.collect() };
    Zeroizing::new(serde_json::to_vec_pretty(&stored).expect("strings and numbers always serialize"))
}

pub(super) fn read(content: &[u8]) -> Result<BTreeMap<KeyId, Arc<Key>>, String> {
    let stored: StoredKeys = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    if stored.version != VERSION {
        return Err(format!("its version is {}, not {VERSION}", stored.version));
    }
    stored.keys.iter().map(|key| read_key(key).map(|key| (key.id, Arc::new(key)))).collect()
}

fn read_key(stored: &StoredKey) -> Result<Key, String> {
    let id = KeyId::parse(&stored.key_id).ok_or("a key id is malformed")?;
    let material = STANDARD.decode(&stored.material).map(Zeroizing::new).map_err(|_| "a key is malformed")?;
    let material = <[u8; 32]>::try_from(material.as_slice()).map_err(|_| "a key is not of 32 bytes")?;
    Ok(Key {
        id,
        created_ms: stored.created_ms,
        description: stored.description.clone(),
        state: stored.state,
        deletion_ms: stored.deletion_ms,
        policy: KeyPolicy::parse(&stored.policy).map_err(|error| error.message)?,
        material: Arc::new(BackingKey(Zeroizing::new(material))),
    })
}
