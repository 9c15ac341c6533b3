//! Backups whose client's part this device keeps itself.

use std::sync::Mutex;

use strongroom_proto::id::{ContentHash, RecordId};
use strongroom_proto::v1::{SecretKind, Storage, StoredShare};

use super::host::{Both, Hand, One, Tamper, both_of, one_of};
use super::*;
use crate::ciphertext::Ciphertexts;
use crate::intent::Creation;
use crate::kept::{Folder, Kind};
use crate::seal::RecipientKey;
use crate::testing::{NOW_MS, open_recovery};

/// A keeper in memory; `None` in the place of what it cannot keep.
#[derive(Debug, Default)]
struct Shelf {
    kept: Mutex<Vec<Kept>>,
    is_full: bool,
}

impl Keeper for Shelf {
    fn keep(&self, kept: &Kept) -> Result<(), Error> {
        if self.is_full {
            return Err(Error::input("shelf", "is full"));
        }
        self.kept.lock().unwrap().push(kept.clone());
        Ok(())
    }

    fn bring(&self, kind: Kind, record_id: &RecordId, generation: u64) -> Result<Kept, Error> {
        let kept = self.kept.lock().unwrap();
        let is = |it: &&Kept| (it.kind(), it.record_id(), it.generation()) == (kind, *record_id, generation);
        kept.iter().rfind(is).cloned().ok_or_else(|| Error::input("shelf", "is empty"))
    }
}

fn creation(passkey: &Passkey, secret: SecretKind) -> Creation {
    Creation {
        backup: "new".to_owned(),
        method: "GDRIVE".to_owned(),
        secret,
        pairs: pairs().into_iter().rev().collect(),
        policy: ClientPolicy::PASSKEY,
        custodian: None,
        credential: passkey.registration(),
        label: String::new(),
    }
}

fn shares() -> Vec<Share> {
    vec![share("b", 5), share("a", 3)]
}

async fn one() -> One {
    one_of(Tamper::Nothing, |_| {}).await
}

async fn back_up(hand: Option<Hand>, shelf: &Arc<Shelf>) -> (Result<Acted, Error>, One) {
    let One { device, passkey, prepared, host } = one().await;
    if let Some(hand) = hand {
        host.kept.hand(hand);
    }
    let device = device.with_keeper(Arc::clone(shelf) as Arc<dyn Keeper>);
    let done = device.backup(&prepared, &creation(&passkey, SecretKind::Share), shares(), &mut at(&passkey)).await;
    (done, One { device, passkey, prepared, host })
}

#[tokio::test]
async fn sealed_shares_are_kept_as_the_receipt_names_them_and_then_reported() {
    let shelf = Arc::new(Shelf::default());
    let (done, one) = back_up(None, &shelf).await;
    let done = done.unwrap();
    let kept = shelf.kept.lock().unwrap()[0].clone();
    assert_eq!((kept.generation(), kept.record_id(), kept.kind()), (1, done.receipt().record_id, Kind::Shares));
    let named: Vec<_> = kept.shares().iter().map(|it| (it.pair.as_str(), ContentHash::of(&it.sealed))).collect();
    assert_eq!(named, [("a", done.receipt().sealed[0]), ("b", done.receipt().sealed[1])]);
    assert_eq!(one.host.kept.reports(), [(1, true, "GDRIVE".to_owned())]);

    // What the host hands out that no receipt names is not kept, and never reported as stored.
    let cases: [(Hand, &str); 9] = [
        (Vec::clear, "answer's list of sealed shares is , not a, b"),
        (|it| _ = it.pop(), "answer's list of sealed shares is a, not a, b"),
        (|it| it.push(it[1].clone()), "answer's list of sealed shares is a, b, b"),
        (|it| it.reverse(), "answer's list of sealed shares is b, a"),
        (|it| it[0].sealed[0] ^= 1, "sealed share's SHA-256 is"),
        (|it| it[0].sealed.push(0), "sealed share's SHA-256 is"),
        (|it| it[0].sealed.clear(), "of pair a has 0 bytes"),
        (|it| it[1].generation = 2, "sealed share's generation is 2, not 1"),
        (|it| (it[0].sealed, it[1].sealed) = (it[1].sealed.clone(), it[0].sealed.clone()), "sealed share's SHA-256 is"),
    ];
    for (hand, expect) in cases {
        let shelf = Arc::new(Shelf::default());
        let (done, one) = back_up(Some(hand), &shelf).await;
        let error = done.unwrap_err().to_string();
        assert!(error.contains(expect), "{expect}: {error}");
        assert!(shelf.kept.lock().unwrap().is_empty() && one.host.kept.reports().is_empty(), "{expect}");
    }
}

#[tokio::test]
async fn the_host_is_told_where_nothing_could_be_kept() {
    let full = Arc::new(Shelf { is_full: true, ..Shelf::default() });
    let (done, one) = back_up(None, &full).await;
    assert_eq!(done.unwrap_err().to_string(), "shelf: is full");
    assert_eq!(one.host.kept.reports(), [(1, false, "GDRIVE".to_owned())]);

    // A device without a place for them says so, and reports nothing.
    let One { device, passkey, prepared, host } = self::one().await;
    host.kept.stored_by(Storage::SelfManaged);
    let done = device.put(&prepared, None, &pairs(), shares(), &mut at(&passkey)).await;
    assert!(matches!(done, Err(Error::NoKeeper { .. })), "{done:?}");
    assert!(host.kept.reports().is_empty());
}

#[tokio::test]
async fn a_put_in_both_roles_is_kept_through_the_backend() {
    let both = both_of(Tamper::Nothing, None, |_, _| {}).await;
    let record_id = both.prepared.backups().unwrap()[0].id();
    let desk = super::backend::Desk::new(&both, Some(record_id), super::backend::RIGHT);
    let shelf = Arc::new(Shelf::default());
    let Both { device, passkey, prepared, host, .. } = both;
    host.kept.stored_by(Storage::SelfManaged);
    let device = device.with_backend(desk).with_keeper(Arc::clone(&shelf) as Arc<dyn Keeper>);
    device.put(&prepared, None, &pairs(), shares(), &mut at(&passkey)).await.unwrap();
    let kept = shelf.bring(Kind::Shares, &record_id, 2).unwrap();
    assert_eq!(kept.shares().iter().map(|it| it.sealed.len()).collect::<Vec<_>>(), [3, 5]);
    assert_eq!(host.kept.reports(), [(2, true, "PASSKEY".to_owned())]);
}

/// A device that keeps the shares of generation 1 of the backup that is there.
async fn keeping(
    change: impl FnOnce(&mut strongroom_proto::v1::RecordView),
) -> (One, Folder, tempfile::TempDir, RecordId) {
    let One { device, passkey, prepared, host } = one_of(Tamper::Nothing, change).await;
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path());
    let record_id = prepared.backups().unwrap()[0].id();
    let sealed: Vec<StoredShare> = ["a", "b"]
        .map(|pair| StoredShare { pair: pair.to_owned(), generation: 1, sealed: pair.as_bytes().to_vec() })
        .into();
    let hashes: Vec<ContentHash> = sealed.iter().map(|it| ContentHash::of(&it.sealed)).collect();
    let expected = crate::kept::Expected { record_id, generation: 1, pairs: &pairs(), hashes: &hashes };
    folder.keep(&crate::kept::check(sealed, &expected).unwrap()).unwrap();
    let device = device.with_keeper(Arc::new(folder.clone()));
    (One { device, passkey, prepared, host }, folder, dir, record_id)
}

#[tokio::test]
async fn a_release_brings_what_is_kept_and_takes_what_was_sealed_anew() {
    let (one, folder, _dir, record_id) = keeping(|_| {}).await;
    let One { device, passkey, prepared, host } = one;
    let done = device.recover(&prepared, None, &mut at(&passkey)).await.unwrap();
    assert!(done.resealed.is_none());
    assert_eq!(host.kept.brought().iter().map(|it| it.sealed.clone()).collect::<Vec<_>>(), [b"a", b"b"]);
    device.rehearse(&prepared, None, &mut at(&passkey)).await.unwrap();
    assert_eq!(host.kept.brought().len(), 2);

    host.kept.reseal();
    let done = device.recover(&prepared, None, &mut at(&passkey)).await.unwrap();
    assert_eq!(done.shares.len(), 2);
    folder.keep(&done.resealed.unwrap()).unwrap();
    // The newest is brought next; what it took the place of is still there, and goes when the newest has opened.
    device.recover(&prepared, None, &mut at(&passkey)).await.unwrap();
    assert_eq!(host.kept.brought()[0].sealed, b"a anew");
    let newest = folder.newest(Kind::Shares, &record_id, 1).unwrap().unwrap();
    assert!(newest.ends_with(format!("{record_id}.1.2.shares")));
    assert_eq!(std::fs::read_dir(newest.parent().unwrap()).unwrap().count(), 2);
    folder.opened(Kind::Shares, &record_id, 1).unwrap();
    assert_eq!(std::fs::read_dir(newest.parent().unwrap()).unwrap().count(), 1);

    let cases: [(Hand, &str); 4] = [
        (|it| it[0].sealed.push(0), "sealed share's SHA-256 is"),
        (|it| _ = it.pop(), "answer's list of sealed shares is a, not a, b"),
        (|it| it[0].generation = 2, "sealed share's generation is 2, not 1"),
        (|it| it.reverse(), "answer's list of sealed shares is b, a"),
    ];
    for (hand, expect) in cases {
        host.kept.hand(hand);
        let error = device.recover(&prepared, None, &mut at(&passkey)).await.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    // A host that keeps back what was sealed anew takes nothing away: what was brought goes on to open.
    host.kept.hand(Vec::clear);
    assert!(device.recover(&prepared, None, &mut at(&passkey)).await.unwrap().resealed.is_none());
}

#[tokio::test]
async fn shares_that_no_receipt_names_are_no_resealed_ones() {
    let (one, _, _dir, _) = keeping(|_| {}).await;
    let One { device, passkey, prepared, host } = one;
    host.kept.hand(|it| {
        *it = ["a", "b"].map(|pair| StoredShare { pair: pair.to_owned(), generation: 1, sealed: vec![1] }).into();
    });
    let error = device.recover(&prepared, None, &mut at(&passkey)).await.unwrap_err().to_string();
    assert!(error.contains("receipt's number of hashes of sealed shares is 0, not 2"), "{error}");
}

#[tokio::test]
async fn nothing_is_signed_for_a_release_whose_shares_are_not_here() {
    let One { device, passkey, prepared, host } = one_of(Tamper::Nothing, |_| {}).await;
    let dir = tempfile::tempdir().unwrap();
    let device = device.with_keeper(Arc::new(Folder::new(&dir.path().join("none"))));
    let calls = || host.calls.lock().unwrap().len();
    for error in [
        device.recover(&prepared, None, &mut Nobody).await.map(|_| ()).unwrap_err(),
        device.rehearse(&prepared, None, &mut Nobody).await.map(|_| ()).unwrap_err(),
    ] {
        assert!(error.to_string().contains("nothing of generation 1 of record"), "{error}");
    }
    assert_eq!(calls(), 0);
    drop(passkey);
}

/// Nobody is asked.
struct Nobody;

impl Authenticator for Nobody {
    fn assert(&mut self, _: &str, _: &IntentHash, _: &[&[u8]]) -> Result<Assertion, Error> {
        panic!("asked for an assertion")
    }
}

#[tokio::test]
async fn a_recovery_that_waited_brings_what_is_kept() {
    let key = RecipientKey::generate().unwrap();
    let (one, _, _dir, _) = keeping(|record| {
        record.policy.as_mut().unwrap().delay_seconds = 1;
        let mut open = open_recovery();
        (open.not_before_ms, open.expires_ms) = (NOW_MS - 1, NOW_MS + 1000);
        open.recipient = key.hash().0.to_vec();
        record.open_acts = vec![open];
    })
    .await;
    let One { device, prepared, host, .. } = one;
    host.kept.reseal();
    let done = device.release_recovery(&prepared, None, &key).await.unwrap();
    assert_eq!((done.shares.len(), host.kept.brought().len()), (2, 2));
    assert_eq!(done.resealed.unwrap().shares()[1].sealed, b"b anew");
}

#[tokio::test]
async fn a_key_in_escrow_goes_with_what_it_opens_and_a_share_with_nothing() {
    let ciphertexts =
        Ciphertexts::new(pairs().into_iter().map(|it| (it.clone(), it.id.into_bytes())).collect()).unwrap();
    let keys = || vec![share("a", 32), share("b", 32)];
    let One { device, passkey, prepared, host } = one().await;
    let escrow = creation(&passkey, SecretKind::Key);
    device.backup_with(&prepared, &escrow, (keys(), Some(&ciphertexts)), &mut at(&passkey)).await.unwrap();
    assert_eq!(host.kept.has(), ciphertexts.to_wire(Storage::Managed));
    assert!(host.kept.reports().is_empty());

    let only_a = Ciphertexts::new(vec![(pairs()[0].clone(), vec![1])]).unwrap();
    let plain = creation(&passkey, SecretKind::Share);
    let calls = host.calls.lock().unwrap().len();
    for (creation, secrets, expect) in [
        (&escrow, (keys(), None), "ciphertext: is needed"),
        (&escrow, (keys(), Some(&only_a)), "list of ciphertexts is a, not a, b"),
        (
            &escrow,
            (vec![share("a", 31), share("b", 32)], Some(&ciphertexts)),
            "key of pair a: has 31 bytes; a key in escrow has 32",
        ),
        (&plain, (shares(), Some(&ciphertexts)), "ciphertext: is not needed"),
    ] {
        let error = device.backup_with(&prepared, creation, secrets, &mut Nobody).await.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    assert_eq!(host.calls.lock().unwrap().len(), calls);

    // By its owner, both the sealed keys and what they open; the host has hashes only.
    let shelf = Arc::new(Shelf::default());
    let device = device.with_keeper(Arc::clone(&shelf) as Arc<dyn Keeper>);
    device.backup_with(&prepared, &escrow, (keys(), Some(&ciphertexts)), &mut at(&passkey)).await.unwrap();
    assert!(host.kept.has().iter().all(|it| it.ciphertext.is_empty() && it.sha256.len() == 32));
    let kinds: Vec<Kind> = shelf.kept.lock().unwrap().iter().map(Kept::kind).collect();
    assert_eq!((kinds, host.kept.reports().len()), (vec![Kind::Shares, Kind::Ciphertexts], 1));
}
