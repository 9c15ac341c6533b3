use super::*;
use crate::intent::ClientPolicy;
use crate::testing::{pairs, record_view};
use strongroom_proto::secret::Secret;

mod acts;
mod backend;
mod both;
mod drafts;
mod eject;
mod flows;
mod host;
mod kept;
mod own;
mod refusals;
mod rotation;
mod solo;

/// The passkey, asked from the wallet's page.
fn at(passkey: &Passkey) -> PasskeyAt<'_> {
    PasskeyAt { passkey, origin: "https://wallet.example" }
}

fn share(pair: &str, bytes: usize) -> Share {
    Share { pair: pair.to_owned(), bytes: Secret::new(vec![1; bytes]) }
}

#[test]
fn shares_end_at_their_limits() {
    let four = || ["a", "b", "c", "d"].map(|pair| share(pair, SHARE_BYTES_MAX)).into();
    let five = ["a", "b", "c", "d", "e"].map(|pair| share(pair, 1)).into();
    assert!(check_shares(&Vec::from([share("a", 1)])).is_ok());
    assert!(
        check_shares(&{
            let shares: Vec<Share> = four();
            shares
        })
        .is_ok()
    );
    for (shares, expect) in [
        (vec![], "shares: 0 are given; 1 to 4 are allowed"),
        (five, "shares: 5 are given; 1 to 4 are allowed"),
        (vec![share("a", 0)], "share of pair a: has 0 bytes; 1 to 262144 are allowed"),
        (vec![share("a", SHARE_BYTES_MAX + 1)], "share of pair a: has 262145 bytes; 1 to 262144 are allowed"),
        (vec![share("../a", 1)], "pair: \"../a\" is not 1 to 64 bytes"),
    ] {
        assert_eq!(check_shares(&shares).unwrap_err().to_string().get(..expect.len()), Some(expect));
    }
}

#[test]
fn the_record_to_recover_is_never_guessed() {
    let second = || {
        let mut record = record_view();
        (record.record_id, record.backup) = (vec![11; 32], "second".to_owned());
        record
    };
    let none = Prepared::of(Vec::new());
    assert_eq!(choose(&none, None).unwrap_err().to_string(), "wallet wallet-1 has no backup");
    let one = Prepared::of(vec![record_view()]);
    assert_eq!(choose(&one, None).unwrap().backup, "main");
    assert_eq!(choose(&one, Some("other")).unwrap_err().to_string(), "wallet wallet-1 has no backup other");
    let two = Prepared::of(vec![record_view(), second()]);
    assert_eq!(choose(&two, Some("second")).unwrap().backup, "second");
    assert!(choose(&two, None).unwrap_err().to_string().contains("name one of main, second"));
}

#[test]
fn a_creation_that_cannot_be_carried_out_is_refused_before_anything_is_made() {
    let creation = |backup: &str, method: &str, label: &str| crate::intent::Creation {
        backup: backup.to_owned(),
        method: method.to_owned(),
        secret: strongroom_proto::v1::SecretKind::Share,
        pairs: pairs(),
        policy: ClientPolicy::PASSKEY,
        custodian: None,
        credential: Passkey::create("wallet.example").unwrap().registration(),
        label: label.to_owned(),
    };
    let numbered = |number: u8| {
        let mut record = record_view();
        (record.record_id, record.backup) = (vec![number; 32], format!("b{number}"));
        record
    };
    let records = |count: u8| Prepared::of((1..=count).map(numbered).collect());
    check_creation(&records(15), &creation("main", "PASSKEY", "")).unwrap();
    for (prepared, creation, expect) in [
        (records(1), creation("b1", "PASSKEY", ""), "backup: wallet wallet-1 has a backup b1 already"),
        (
            records(16),
            creation("main", "PASSKEY", ""),
            "backup: wallet wallet-1 has 16 backups; at most 16 are allowed",
        ),
        (records(1), creation("main", "passkey", ""), "method: not 1 to 32 bytes"),
        (records(1), creation("main", "PASSKEY", "\n"), "label: more than 64 bytes, or with a control character"),
    ] {
        let error = check_creation(&prepared, &creation).unwrap_err().to_string();
        assert!(error.starts_with(expect), "{error}");
    }
}

#[test]
fn a_passkey_answers_for_its_own_party_and_backup_only() {
    let passkey = Passkey::create("wallet.example").unwrap();
    let id = passkey.credential_id().to_vec();
    let mut at = PasskeyAt { passkey: &passkey, origin: "https://wallet.example" };
    let intent = IntentHash([1; 32]);
    assert_eq!(at.assert("wallet.example", &intent, &[b"x", &id]).unwrap().credential_id, id);
    let stranger = at.assert("wallet.example", &intent, &[b"x"]).unwrap_err();
    assert!(matches!(stranger, Error::WrongPasskey { .. }));
    let elsewhere = at.assert("evil.example", &intent, &[&id]).unwrap_err();
    assert!(matches!(elsewhere, Error::Mismatch { part: "passkey", .. }));
    assert_eq!(pairs().len(), 2);
}
