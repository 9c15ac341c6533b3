//! Attestations that are given more than once: one for each tenant, role and epoch, made anew after 30 minutes and whenever another enclave
//! is to be asked than the one that made it, or that one's connection was made anew. So nobody is given the document of an enclave that
//! has gone, or whose manifest his statement lists no more, while another one is there. Nor is he given one that his devices refuse while
//! an enclave is ready that they believe: what that one cannot do now fails, and is asked again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prost::Message;
use strongroom_proto::enclave::v1::{GetIdentity, request, response};
use strongroom_proto::id::{ContentHash, TenantId};
use strongroom_proto::signed;
use strongroom_proto::v1::{Receipt, Role, RoleAttestation};

use super::App;
use super::load::StoredKek;
use crate::enclave::{Answerer, Known, Slots};
use crate::error::Error;
use crate::keys::{self, Kind};
use crate::rows::decode;
use crate::store::Write;

/// Most attestations kept; one takes about 7 KiB.
const ATTESTATIONS_MAX: usize = 1024;
/// Age from which an attestation is made anew.
const AGE_MAX: Duration = Duration::from_mins(30);

/// The attestations kept.
#[derive(Default)]
pub(crate) struct Attestations(Mutex<HashMap<(TenantId, Role, u64), Slot>>);

/// One attestation's place; its lock lets one caller at a time ask the enclave.
type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

struct Kept {
    attestation: RoleAttestation,
    made: Instant,
    by: Answerer,
    /// Its row is known to stand.
    is_stored: bool,
}

impl Attestations {
    /// The attestation of an epoch, at most 30 minutes old, and whether its row is known to stand.
    async fn get(
        &self,
        enclave: Slots<'_>,
        tenant: &TenantId,
        kek: &StoredKek,
    ) -> Result<(RoleAttestation, bool), Error> {
        let slot = self.slot((*tenant, enclave.role(), kek.reference.epoch));
        let mut kept = slot.lock().await;
        let first = enclave.first();
        let holds = |kept: &&Kept| first.is_none_or(|first| kept.by == first) && kept.made.elapsed() < AGE_MAX;
        if let Some(kept) = kept.as_ref().filter(holds) {
            return Ok((kept.attestation.clone(), kept.is_stored));
        }
        let (by, attestation) = ask(enclave, tenant, kek, Vec::new()).await?;
        *kept = Some(Kept { attestation: attestation.clone(), made: Instant::now(), by, is_stored: false });
        Ok((attestation, false))
    }

    /// Takes down that an attestation's row stands, unless another one has taken its place.
    async fn stored(&self, place: (TenantId, Role, u64), attestation: &RoleAttestation) {
        if let Some(kept) = self.slot(place).lock().await.as_mut().filter(|kept| kept.attestation == *attestation) {
            kept.is_stored = true;
        }
    }

    fn slot(&self, place: (TenantId, Role, u64)) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= ATTESTATIONS_MAX && !slots.contains_key(&place) {
            // Any will do: what is in use comes back with its next call.
            if let Some(other) = slots.keys().next().copied() {
                slots.remove(&other);
            }
        }
        Arc::clone(slots.entry(place).or_default())
    }
}

impl App {
    /// The attestation of an epoch, at most 30 minutes old. One of each identity is stored: an audit judges by it what enclaves signed that
    /// have gone since, such as those of the release before.
    pub(super) async fn attestation(
        &self,
        enclave: Slots<'_>,
        tenant: &TenantId,
        kek: &StoredKek,
    ) -> Result<RoleAttestation, Error> {
        let (attestation, is_stored) = self.attestations.get(enclave, tenant, kek).await?;
        if !is_stored {
            let identity = signed::identity_hash(&attestation.identity);
            let key = keys::attestation(tenant, enclave.role(), kek.reference.epoch, &identity);
            match self.store.commit(vec![Write::new(key, attestation.encode_to_vec())]).await {
                Ok(()) | Err(Error::Conflict(Kind::Attestation)) => {
                    self.attestations.stored((*tenant, enclave.role(), kek.reference.epoch), &attestation).await;
                }
                // Whoever asked needs it now, and whoever asks next has it stored: an audit without it finds that it lacks one.
                Err(error) => tracing::warn!(name: "attestation not stored", %tenant, error = %error),
            }
        }
        Ok(attestation)
    }

    /// The stored attestations of those identities under which receipts were signed and that are not among `known`.
    pub(super) async fn former_attestations(
        &self,
        tenant: &TenantId,
        receipts: &[Receipt],
        known: &[RoleAttestation],
    ) -> Result<Vec<RoleAttestation>, Error> {
        let known: Vec<ContentHash> = known.iter().map(|it| signed::identity_hash(&it.identity)).collect();
        let mut named = BTreeSet::new();
        for receipt in receipts {
            let identity = ContentHash::from_slice(&receipt.identity_hash).filter(|hash| !known.contains(hash));
            named.extend(identity.map(|hash| (receipt.role, receipt.epoch, hash.0)));
        }
        let key = |(role, epoch, hash)| {
            let role = Role::try_from(role).map_err(|_| Error::Internal("a receipt of an unknown role"))?;
            Ok(keys::attestation(tenant, role, epoch, &ContentHash(hash)))
        };
        let rows = self.store.get_all(named.into_iter().map(key).collect::<Result<_, Error>>()?).await?;
        rows.iter().flatten().map(|row| decode(row)).collect()
    }
}

/// A fresh attestation; costs a call to the NSM.
pub(super) async fn make(
    enclave: Slots<'_>,
    tenant: &TenantId,
    kek: &StoredKek,
    nonce: Vec<u8>,
) -> Result<RoleAttestation, Error> {
    ask(enclave, tenant, kek, nonce).await.map(|(_, attestation)| attestation)
}

async fn ask(
    enclave: Slots<'_>,
    tenant: &TenantId,
    kek: &StoredKek,
    nonce: Vec<u8>,
) -> Result<(Answerer, RoleAttestation), Error> {
    let body = GetIdentity { tenant: tenant.0.to_vec(), kek: Some(kek.reference.clone()), nonce };
    let known = Known { statement: None, wrapped: kek.wrapped.clone(), ..Known::default() };
    match enclave.ask_any(request::Body::GetIdentity(body), &known).await? {
        (by, response::Body::IdentityProven(proven)) => {
            let (role, identity, document) = (enclave.role().into(), proven.identity, proven.document);
            Ok((by, RoleAttestation { role, identity, document }))
        }
        _ => Err(Error::Internal("an enclave's answer to GetIdentity")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use strongroom_proto::enclave::v1::{IdentityProven, KekRef};
    use strongroom_proto::v1::Reason;

    use super::*;
    use crate::enclave::Enclave;
    use crate::keys::Key;
    use crate::store::{Read, Row, SqliteStore, Store};
    use crate::testing::{FakeEnclave, Reaction, pcr16, refusal, slot_config, slot_socket};

    /// An enclave whose documents hold its release.
    async fn enclave(dir: &std::path::Path, release: u8) -> (FakeEnclave, Enclave) {
        let fake = FakeEnclave::start(&slot_socket(dir, release.into()), move |_| {
            let proven = IdentityProven { identity: vec![9], document: vec![release] };
            Reaction::Say(response::Body::IdentityProven(proven))
        });
        let enclave = Enclave::start(&slot_config(dir, release.into(), release.into()));
        let mut health = enclave.health();
        health.wait_for(|it| it.as_ref().is_some_and(|it| it.missing.is_empty())).await.unwrap();
        (fake, enclave)
    }

    #[tokio::test]
    async fn the_document_is_of_the_enclave_that_the_statement_lists_and_of_none_that_has_gone() {
        let dir = tempfile::tempdir().unwrap();
        let (old_fake, old) = enclave(dir.path(), 1).await;
        let (new_fake, new) = enclave(dir.path(), 2).await;
        let (mut health, enclaves) = (new.health(), [old, new]);
        let (kept, kek) = (Attestations::default(), StoredKek { reference: KekRef::default(), wrapped: Vec::new() });
        let slots = Slots::of(Role::Client, &enclaves).unwrap();
        let get = async |listed: &[u64]| {
            let listed: Vec<_> = listed.iter().map(|release| pcr16(*release)).collect();
            kept.get(slots.listed_by(&listed), &TenantId([1; 32]), &kek).await.map(|(it, _)| it.document)
        };
        let asked = || [&old_fake, &new_fake].map(|fake| fake.process.lock().unwrap().asked);
        for (listed, release, times) in [
            (&[1][..], 1, [1, 0]),
            (&[1], 1, [1, 0]),
            (&[1, 2], 2, [1, 1]),
            (&[2], 2, [1, 1]),
            (&[1], 1, [2, 1]),
            (&[2], 2, [2, 2]),
            (&[], 2, [2, 2]),
        ] {
            assert_eq!((get(listed).await.unwrap(), asked()), (vec![release], times), "{listed:?}");
        }
        drop(new_fake);
        health.wait_for(Option::is_none).await.unwrap();
        assert_eq!(get(&[2]).await.unwrap(), [1], "the only one left, whose document a device refuses");
    }

    #[tokio::test]
    async fn a_listed_enclave_that_fails_leaves_its_place_to_no_other_ones_document() {
        let dir = tempfile::tempdir().unwrap();
        let failing = Arc::new(AtomicBool::new(true));
        let start = |document: u8| {
            let fails = Arc::clone(&failing);
            FakeEnclave::start(&slot_socket(dir.path(), 1), move |_| {
                let proven = IdentityProven { identity: vec![9], document: vec![document] };
                let fails = fails.load(Ordering::Relaxed);
                let answer = response::Body::IdentityProven(proven);
                Reaction::Say(if fails { refusal(Reason::KmsUnavailable, 0) } else { answer })
            })
        };
        let listed = start(1);
        let first = Enclave::start(&slot_config(dir.path(), 1, 1));
        let mut health = first.health();
        health.wait_for(|it| it.as_ref().is_some_and(|it| it.missing.is_empty())).await.unwrap();
        let (newer, second) = enclave(dir.path(), 2).await;
        let enclaves = [first, second];
        let (kept, kek) = (Attestations::default(), StoredKek { reference: KekRef::default(), wrapped: Vec::new() });
        let only = [pcr16(1)];
        let slots = Slots::of(Role::Client, &enclaves).unwrap().listed_by(&only);
        let get = async || kept.get(slots, &TenantId([1; 32]), &kek).await.map(|(it, _)| it.document);
        for _ in 0..2 {
            let found = get().await;
            assert!(matches!(found, Err(Error::Enclave { reason: Reason::KmsUnavailable, .. })), "{found:?}");
        }
        assert_eq!(newer.process.lock().unwrap().asked, 0);
        failing.store(false, Ordering::Relaxed);
        assert_eq!(get().await.unwrap(), [1], "set back as it is");
        drop(listed);
        health.wait_for(Option::is_none).await.unwrap();
        assert_eq!(get().await.unwrap(), [2], "nobody else is there");
        failing.store(true, Ordering::Relaxed);
        let _listed = start(3);
        health.wait_for(|it| it.as_ref().is_some_and(|it| it.missing.is_empty())).await.unwrap();
        assert!(get().await.is_err(), "what another one said in its absence is not kept for it");
        failing.store(false, Ordering::Relaxed);
        assert_eq!(get().await.unwrap(), [3]);
    }

    /// A store that refuses some commits, and counts all.
    struct Refusing {
        store: SqliteStore,
        refuses: AtomicUsize,
        commits: AtomicUsize,
    }

    #[async_trait::async_trait]
    impl Store for Refusing {
        async fn get_all(&self, keys: Vec<Key>) -> Result<Vec<Option<Vec<u8>>>, Error> {
            self.store.get_all(keys).await
        }

        async fn get_all_with(&self, keys: Vec<Key>, prefixes: Vec<Key>) -> Result<Read, Error> {
            self.store.get_all_with(keys, prefixes).await
        }

        async fn scan(&self, prefix: Key, after: Option<Key>, limit: usize) -> Result<Vec<Row>, Error> {
            self.store.scan(prefix, after, limit).await
        }

        async fn commit(&self, writes: Vec<Write>) -> Result<(), Error> {
            self.commits.fetch_add(1, Ordering::Relaxed);
            let refuses = self.refuses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            if refuses.is_ok() {
                return Err(Error::Internal("the disk is full"));
            }
            self.store.commit(writes).await
        }
    }

    #[tokio::test]
    async fn a_document_that_was_not_stored_is_stored_with_the_next_question() {
        let dir = tempfile::tempdir().unwrap();
        let (fake, enclave) = enclave(dir.path(), 1).await;
        let (sqlite, refuses) = (SqliteStore::open(&dir.path().join("db")).unwrap(), AtomicUsize::new(2));
        let store = Arc::new(Refusing { store: sqlite, refuses, commits: AtomicUsize::new(0) });
        let app = App::new(Arc::<Refusing>::clone(&store), vec![enclave]);
        let (tenant, kek) = (TenantId([1; 32]), StoredKek { reference: KekRef::default(), wrapped: Vec::new() });
        let row = keys::attestation(&tenant, Role::Client, 0, &signed::identity_hash(&[9]));
        for (commits, is_stored) in [(1, false), (2, false), (3, true), (3, true), (3, true)] {
            let given = app.attestation(app.enclave(Role::Client).unwrap(), &tenant, &kek).await.unwrap();
            let stored = store.get(row.clone()).await.unwrap();
            assert_eq!((store.commits.load(Ordering::Relaxed), stored.is_some()), (commits, is_stored));
            assert!(stored.is_none_or(|stored| stored == given.encode_to_vec()));
        }
        assert_eq!(fake.process.lock().unwrap().asked, 1);
        // What took its place in between is another one, of which nothing is known.
        let other = RoleAttestation { document: vec![2], ..RoleAttestation::default() };
        let place = (tenant, Role::Client, 0);
        app.attestations.slot(place).lock().await.as_mut().unwrap().is_stored = false;
        app.attestations.stored(place, &other).await;
        assert!(!app.attestations.slot(place).lock().await.as_ref().unwrap().is_stored);
    }

    #[test]
    fn places_end_at_their_limit() {
        let kept = Attestations::default();
        for epoch in 0..=ATTESTATIONS_MAX as u64 {
            kept.slot((TenantId([1; 32]), Role::Client, epoch));
        }
        assert_eq!(kept.0.lock().unwrap().len(), ATTESTATIONS_MAX);
    }
}
