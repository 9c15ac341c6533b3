//! API keys: who calls. The tenant follows from the key and from nothing in a message.
//!
//! A key is `sr_` and 64 hex digits of 32 random bytes. The host keeps its SHA-256 alone: the key has the full entropy of a hash, so
//! it needs no slow hash, and finding a row by a hash gives nothing away in time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ring::rand::{SecureRandom, SystemRandom};
use strongroom_proto::id::{TenantId, sha256};
use tonic::metadata::MetadataMap;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::keys;
use crate::rows::{ApiKeyRow, decode};
use crate::store::Store;

/// Start of every API key, so that scanners of leaked secrets know it.
const PREFIX: &str = "sr_";
/// Most calls of one tenant in flight.
pub const TENANT_IN_FLIGHT_MAX: u32 = 256;

/// A new API key, and the hash under which it is kept.
pub(crate) struct NewKey {
    /// The key, shown once.
    pub(crate) key: Zeroizing<String>,
    /// Its SHA-256.
    pub(crate) hash: [u8; 32],
}

impl NewKey {
    /// Draws a key from the kernel's randomness.
    pub(crate) fn draw() -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(bytes.as_mut()).map_err(|_| Error::Internal("the kernel gives no randomness"))?;
        let digits = Zeroizing::new(hex::encode(bytes.as_ref()));
        let key = Zeroizing::new([PREFIX, digits.as_str()].concat());
        let hash = sha256(&[key.as_bytes()]);
        Ok(Self { key, hash })
    }
}

/// The tenant whose key the call carries.
///
/// # Errors
/// `AUTH_FAILED` alike for a key that is missing, malformed, unknown or revoked.
pub(crate) async fn tenant(store: &dyn Store, metadata: &MetadataMap) -> Result<TenantId, Error> {
    let hash = key_hash(metadata).ok_or(Error::Auth)?;
    let row = store.get(keys::api_key(&hash)).await?.ok_or(Error::Auth)?;
    let row: ApiKeyRow = decode(&row)?;
    if row.revoked_ms > 0 {
        return Err(Error::Auth);
    }
    TenantId::from_slice(&row.tenant).ok_or(Error::Internal("an API key's row holds no tenant"))
}

fn key_hash(metadata: &MetadataMap) -> Option<[u8; 32]> {
    let mut values = metadata.get_all("authorization").iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, key) = value.split_once(' ')?;
    let digits = key.strip_prefix(PREFIX)?;
    let well_formed = scheme.eq_ignore_ascii_case("bearer")
        && digits.len() == 64
        && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    well_formed.then(|| sha256(&[key.as_bytes()]))
}

/// Counts the calls in flight of each tenant, so that none takes all the room.
#[derive(Clone, Default)]
pub(crate) struct InFlight(Arc<Mutex<HashMap<TenantId, u32>>>);

impl InFlight {
    /// Room for one call, held until the guard is dropped.
    pub(crate) fn enter(&self, tenant: TenantId) -> Result<InFlightGuard, Error> {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = calls.entry(tenant).or_default();
        if *count >= TENANT_IN_FLIGHT_MAX {
            return Err(Error::Overloaded("calls of this tenant"));
        }
        *count = count.saturating_add(1);
        Ok(InFlightGuard { calls: self.clone(), tenant })
    }
}

/// See [`InFlight::enter`].
pub(crate) struct InFlightGuard {
    calls: InFlight,
    tenant: TenantId,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let mut calls = self.calls.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = calls.get_mut(&self.tenant) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                calls.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::store::{SqliteStore, Write};

    const TENANT: TenantId = TenantId([5; 32]);

    async fn store_with(hash: &[u8; 32], revoked_ms: u64) -> (tempfile::TempDir, SqliteStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("db")).unwrap();
        let row = ApiKeyRow { tenant: TENANT.0.to_vec(), label: String::new(), created_ms: 1, revoked_ms };
        store.commit(vec![Write::new(keys::api_key(hash), row.encode_to_vec())]).await.unwrap();
        (dir, store)
    }

    async fn check(store: &SqliteStore, headers: &[&str], expect: Option<TenantId>) {
        let mut metadata = MetadataMap::new();
        for header in headers {
            metadata.append("authorization", header.parse().unwrap());
        }
        match tenant(store, &metadata).await {
            Ok(tenant) => assert_eq!(Some(tenant), expect, "{headers:?}"),
            Err(Error::Auth) => assert_eq!(None, expect, "{headers:?}"),
            Err(other) => panic!("{headers:?}: {other}"),
        }
    }

    #[tokio::test]
    async fn only_the_very_key_is_taken() {
        let new = NewKey::draw().unwrap();
        let (_dir, store) = store_with(&new.hash, 0).await;
        let key = new.key.as_str();
        assert_eq!((key.len(), &key[..3]), (67, "sr_"));
        check(&store, &[&format!("Bearer {key}")], Some(TENANT)).await;
        check(&store, &[&format!("bearer {key}")], Some(TENANT)).await;
        let refusals = [
            String::new(),
            key.to_owned(),
            "Bearer ".to_owned(),
            format!("Basic {key}"),
            format!("Bearer  {key}"),
            format!("Bearer {}", &key[3..]),
            format!("Bearer {}", key.to_uppercase()),
            format!("Bearer {key}0"),
            format!("Bearer {}", &key[..66]),
            format!("Bearer {}", NewKey::draw().unwrap().key.as_str()),
            format!("Bearer {}", hex::encode(new.hash)),
            format!("Bearer sr_{}", hex::encode(new.hash)),
        ];
        for refusal in refusals {
            check(&store, &[&refusal], None).await;
        }
        check(&store, &[], None).await;
        let twice = format!("Bearer {key}");
        check(&store, &[&twice, &twice], None).await;
    }

    #[tokio::test]
    async fn a_revoked_key_is_as_good_as_none() {
        let new = NewKey::draw().unwrap();
        let (_dir, store) = store_with(&new.hash, 9).await;
        check(&store, &[&format!("Bearer {}", new.key.as_str())], None).await;
    }

    #[test]
    fn a_tenant_is_shed_at_its_own_limit_and_no_other() {
        let calls = InFlight::default();
        let mut held: Vec<_> = (0..TENANT_IN_FLIGHT_MAX).map(|_| calls.enter(TENANT).unwrap()).collect();
        assert!(matches!(calls.enter(TENANT), Err(Error::Overloaded(_))));
        calls.enter(TenantId([6; 32])).unwrap();
        held.pop();
        held.push(calls.enter(TENANT).unwrap());
        held.clear();
        assert!(calls.0.lock().unwrap().is_empty());
    }
}
