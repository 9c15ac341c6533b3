//! Backing up, recovering and rehearsing, against a host in this process with an enclave's keys behind it.

use strongroom_proto::v1::{Role, SecretKind};

use super::host::{Tamper, world};
use super::*;
use crate::intent::Creation;
use crate::testing::now;

fn creation(passkey: &Passkey, backup: &str) -> Creation {
    Creation {
        backup: backup.to_owned(),
        method: "PASSKEY".to_owned(),
        secret: SecretKind::Share,
        pairs: pairs(),
        policy: ClientPolicy::PASSKEY,
        custodian: None,
        credential: passkey.registration(),
        label: "phone".to_owned(),
    }
}

async fn backup(tamper: Tamper, name: &str, shares: Vec<Share>) -> (Result<Acted, Error>, Vec<Vec<u8>>) {
    let (device, passkey, prepared, calls) = world(tamper).await;
    let mut at = at(&passkey);
    let done = device.backup(&prepared, &creation(&passkey, name), shares, &mut at).await;
    let calls = calls.lock().unwrap().clone();
    (done, calls)
}

async fn recover(tamper: Tamper) -> (Result<Recovered, Error>, Vec<Vec<u8>>) {
    let (device, passkey, prepared, calls) = world(tamper).await;
    let mut at = at(&passkey);
    let done = device.recover(&prepared, None, &mut at).await;
    let calls = calls.lock().unwrap().clone();
    (done, calls)
}

#[tokio::test]
async fn a_backup_holds_when_its_receipt_does() {
    let shares = || vec![share("b", 5), share("a", 3)];
    let (done, calls) = backup(Tamper::Nothing, "new", shares()).await;
    assert_eq!((done.unwrap().receipt().version, calls.len()), (1, 1));
    let (done, calls) = backup(Tamper::FirstCallLost, "new", shares()).await;
    assert!(done.is_ok());
    let [first, second] = calls.as_slice() else { panic!("two calls") };
    assert_eq!(first, second, "the same request id and bytes");
    for (tamper, expect) in [
        (Tamper::ReceiptSignature, "the receipt's signature is wrong"),
        (Tamper::NoReceipt, "it has not one receipt of the client role"),
    ] {
        let error = backup(tamper, "new", shares()).await.0.unwrap_err().to_string();
        assert!(error.contains(expect), "{tamper:?}: {error}");
    }
    for (name, shares, expect) in [
        ("main", shares(), "wallet wallet-1 has a backup main already"),
        ("new", vec![share("a", 3)], "list of shares is a, not a, b"),
        ("new", vec![share("a", 0), share("b", 1)], "share of pair a: has 0 bytes"),
    ] {
        let (done, calls) = backup(Tamper::Nothing, name, shares).await;
        let error = done.unwrap_err().to_string();
        assert!(error.contains(expect) && calls.is_empty(), "{error}");
    }
}

#[tokio::test]
async fn a_recovery_gives_only_what_was_asked_for() {
    for tamper in [Tamper::Nothing, Tamper::FirstCallLost] {
        let recovered = recover(tamper).await.0.unwrap();
        let lengths: Vec<usize> = recovered.shares.iter().map(|share| share.bytes.expose().len()).collect();
        assert_eq!((lengths, recovered.acted.receipt().version), (vec![3, 5], 5));
    }
    for (tamper, expect) in [
        (Tamper::ReceiptSignature, "the receipt's signature is wrong"),
        (Tamper::NoReceipt, "it has not one receipt"),
        (Tamper::Release, "receipt's hash of the release is"),
        (Tamper::ReleaseToItself, "the release does not open"),
        (Tamper::ReleaseOfAnotherRecord, "the release does not open"),
    ] {
        let error = recover(tamper).await.0.unwrap_err().to_string();
        assert!(error.contains(expect), "{tamper:?}: {error}");
    }
}

/// An authenticator that lets the user pick a passkey that nobody asked for.
struct Stray<'a>(&'a Passkey);

impl Authenticator for Stray<'_> {
    fn assert(&mut self, _: &str, intent: &IntentHash, _: &[&[u8]]) -> Result<Assertion, Error> {
        self.0.assert(intent, "https://wallet.example")
    }
}

#[tokio::test]
async fn nothing_is_sent_for_a_passkey_that_the_enclave_does_not_list() {
    let (device, passkey, prepared, calls) = world(Tamper::Nothing).await;
    let stranger = Passkey::create("wallet.example").unwrap();
    let recovered = device.recover(&prepared, None, &mut Stray(&stranger)).await;
    assert!(matches!(recovered, Err(Error::UnknownCredential { .. })));
    let rehearsed = device.rehearse(&prepared, None, &mut Stray(&stranger)).await;
    assert!(matches!(rehearsed, Err(Error::UnknownCredential { .. })));
    let shares = vec![share("a", 1), share("b", 1)];
    let backed_up = device.backup(&prepared, &creation(&passkey, "new"), shares, &mut Stray(&stranger)).await;
    assert!(matches!(backed_up, Err(Error::Mismatch { part: "assertion", .. })));
    assert!(calls.lock().unwrap().is_empty());
    let (device, passkey, prepared, _) = world(Tamper::NoReceipt).await;
    let unsigned = device.rehearse(&prepared, None, &mut Stray(&passkey)).await.unwrap_err().to_string();
    assert!(unsigned.contains("number of rehearsals is 0, not 1"), "{unsigned}");
    assert_eq!(prepared.base(Role::Client).unwrap().enclave_time, now());
}
