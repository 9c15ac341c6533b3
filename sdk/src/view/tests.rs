use super::*;
use crate::keys::KeyUse;
use crate::testing::{NOW_MS, WALLET, key, now, record_view, role_identity, sign_view, wallet_view};
use prost::Message;
use strongroom_proto::v1::CredentialView;

const NONCE: &[u8; 32] = &[6; 32];

fn verify_at(signed: &SignedView, at: Time) -> Result<VerifiedView, Error> {
    VerifiedView::verify(signed, &role_identity(), &Asked { wallet: WALLET, nonce: NONCE, at })
}

fn verify(view: &WalletView) -> Result<VerifiedView, Error> {
    verify_at(&sign_view(view), now())
}

#[test]
fn a_view_gives_records_and_time() {
    let view = verify(&wallet_view(NONCE)).unwrap();
    assert_eq!(view.time(), now());
    let [record] = view.records() else { panic!("one record") };
    assert_eq!((record.backup.as_str(), record.version, record.active().unwrap().number), ("main", 4, 1));
    assert!(record.pending().is_none());
    assert!(record.check_credential(b"credential").is_ok());
    let stranger = record.check_credential(b"stranger").unwrap_err();
    assert!(matches!(stranger, Error::UnknownCredential { .. }));
    let empty = WalletView { records: Vec::new(), ..wallet_view(NONCE) };
    assert!(verify(&empty).unwrap().records().is_empty());
}

#[test]
fn each_field_of_a_view_is_checked() {
    type Change = fn(&mut WalletView);
    let cases: &[(Change, &str)] = &[
        (|v| v.tenant[0] ^= 1, "view's tenant is"),
        (|v| v.role = 2, "view's role is custodian, not client"),
        (|v| v.role = 9, "view's role is unspecified, not client"),
        (|v| v.epoch = 1, "view's epoch is 1, not 2"),
        (|v| v.wallet.push('x'), "view's wallet is wallet-1x, not wallet-1"),
        (|v| v.nonce[31] ^= 1, "view's nonce is"),
        (|v| v.nonce.clear(), "view's nonce is empty"),
        (|v| v.stages = None, "stages are missing"),
        (|v| v.time_ms += 40 * 60 * 1000, "your clock is off by 40 min"),
        (|v| v.time_ms -= 40 * 60 * 1000, "your clock is off by 40 min"),
        (|v| v.time_ms = 0, "your clock is off by"),
        (|v| v.records.push(record_view()), "not sorted, or one is there twice"),
        (|v| v.records = (0..17).map(|_| record_view()).collect(), "more than 16 records"),
    ];
    for (index, (change, expect)) in cases.iter().enumerate() {
        let mut view = wallet_view(NONCE);
        change(&mut view);
        let error = verify(&view).unwrap_err().to_string();
        assert!(error.contains(expect), "case {index}: {error}");
    }
}

#[test]
fn each_field_of_a_record_is_checked() {
    type Change = fn(&mut strongroom_proto::v1::RecordView);
    let cases: &[(Change, &str)] = &[
        (|r| r.record_id.clear(), "record_id has 0 bytes"),
        (|r| r.head.push(0), "head has 33 bytes"),
        (|r| r.backup.clear(), "backup, method or secret"),
        (|r| r.method = "a b".to_owned(), "backup, method or secret"),
        (|r| r.secret = 7, "backup, method or secret"),
        (|r| r.policy = None, "has no policy"),
        (|r| r.roles.clear(), "the list of roles"),
        (|r| r.roles = vec![2, 1], "the list of roles"),
        (|r| r.roles = vec![9], "the list of roles"),
        (|r| r.credentials = vec![CredentialView::default(); 17], "the number of credentials"),
        (|r| r.credentials[0].id.clear(), "id or label of a credential"),
        (|r| r.credentials[0].label = "a\u{1b}[2J".to_owned(), "id or label of a credential"),
        (|r| r.credentials[0].key_hash.clear(), "key_hash has 0 bytes"),
        (|r| r.generations.push(r.generations[0].clone()), "the order of generations"),
        (|r| r.generations[0].generation = 0, "generation 0"),
        (|r| r.generations[0].state = 0, "generation 1"),
        (|r| r.generations[0].pairs.clear(), "generation 1"),
        (|r| r.generations[0].pairs.swap(0, 1), "generation 1"),
        (|r| r.generations[0].pairs[0].curve = 0, "generation 1"),
        (|r| r.generations[0].pairs[0].id = "a/b".to_owned(), "generation 1"),
        (|r| r.generations[0].put_intent_hash.clear(), "put_intent_hash has 0 bytes"),
        (
            |r| {
                let second = strongroom_proto::v1::GenerationView { generation: 2, ..r.generations[0].clone() };
                r.generations.push(second);
            },
            "the number of active generations",
        ),
    ];
    for (index, (change, expect)) in cases.iter().enumerate() {
        let mut view = wallet_view(NONCE);
        change(&mut view.records[0]);
        let error = verify(&view).unwrap_err().to_string();
        assert!(error.contains(expect), "case {index}: {error}");
    }
}

#[test]
fn only_the_attested_receipt_key_signs() {
    let bytes = wallet_view(NONCE).encode_to_vec();
    let by = |prefix: &[u8], seed| SignedView {
        signature: key(KeyUse::Operational, seed).sign(prefix, &bytes).unwrap(),
        view: bytes.clone(),
    };
    assert!(verify_at(&by(prefix::VIEW, 3), now()).is_ok());
    for signed in
        [by(prefix::VIEW, 8), by(prefix::RECEIPT, 3), SignedView { view: bytes.clone(), signature: Vec::new() }]
    {
        assert!(matches!(verify_at(&signed, now()), Err(Error::Signature { part: "view" })));
    }
    let mut other = bytes.clone();
    other.extend([0xf8, 0x07, 1]);
    let signature = key(KeyUse::Operational, 3).sign(prefix::VIEW, &other).unwrap();
    let error = verify_at(&SignedView { view: other, signature }, now()).unwrap_err().to_string();
    assert!(error.contains("not in canonical encoding"), "{error}");
}

#[test]
fn clocks_may_be_a_quarter_of_an_hour_apart() {
    let signed = sign_view(&wallet_view(NONCE));
    for (device, expect) in [
        (NOW_MS + CLOCK_OFF_MS_MAX, true),
        (NOW_MS - CLOCK_OFF_MS_MAX, true),
        (NOW_MS + CLOCK_OFF_MS_MAX + 1, false),
        (NOW_MS - CLOCK_OFF_MS_MAX - 1, false),
    ] {
        assert_eq!(verify_at(&signed, Time::from_unix_ms(device)).is_ok(), expect, "{device}");
    }
}
