use super::enclave::seal;
use super::*;
use crate::testing::{channel_key, kek_id, pairs, role_identity, tenant};
use strongroom_proto::limits::SHARE_BYTES_MAX;
use strongroom_proto::secret::Secret;

const RECORD: RecordId = RecordId([10; 32]);
const INTENT: IntentHash = IntentHash([20; 32]);

fn share(pair: &str, bytes: usize) -> Share {
    Share { pair: pair.to_owned(), bytes: Secret::new(vec![0xab; bytes]) }
}

fn info(direction: Direction, record: RecordId) -> Vec<u8> {
    hpke_info(direction, Role::Client, &tenant(), &kek_id(), &record)
}

fn release() -> Release {
    Release { intent: INTENT, record_id: RECORD, generation: 1, shares: vec![share("a", 3), share("b", 3)] }
}

fn open(recipient: &RecipientKey, message: &[u8]) -> Result<Vec<Share>, Error> {
    let expected = Expected {
        role: Role::Client,
        tenant: &tenant(),
        kek_id: &kek_id(),
        record_id: &RECORD,
        intent: &INTENT,
        generation: 1,
        pairs: &pairs(),
    };
    recipient.open(message, &expected)
}

#[test]
fn shares_are_sealed_for_one_record() {
    let message = seal_shares(&role_identity(), &RECORD, &[share("a", 3), share("b", SHARE_BYTES_MAX)]).unwrap();
    let open = |info: &[u8]| enclave::open(&channel_key(), info, &message);
    let opened = open(&info(Direction::Request, RECORD)).unwrap();
    let shares = strongroom_proto::contents::decode_shares(&opened).unwrap();
    assert_eq!((shares.len(), shares[1].bytes.expose().len()), (2, SHARE_BYTES_MAX));
    assert!(open(&info(Direction::Request, RecordId([11; 32]))).is_none());
    assert!(open(&info(Direction::Release, RECORD)).is_none());
}

#[test]
fn shares_past_their_limits_are_not_sealed() {
    let five: Vec<Share> = ["a", "b", "c", "d", "e"].map(|pair| share(pair, 1)).into();
    for (shares, expect) in [
        (vec![], "not 1 to 4 shares"),
        (five, "not 1 to 4 shares"),
        (vec![share("a", 0)], "not 1 byte to 256 KiB"),
        (vec![share("a", SHARE_BYTES_MAX + 1)], "not 1 byte to 256 KiB"),
        (vec![share("b", 1), share("a", 1)], "not sorted"),
        (vec![share("a/", 1)], "malformed"),
    ] {
        let error = seal_shares(&role_identity(), &RECORD, &shares).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    let no_key = RoleIdentity { channel_key: vec![1; 3], ..role_identity() };
    assert!(matches!(seal_shares(&no_key, &RECORD, &[share("a", 1)]), Err(Error::Seal)));
}

#[test]
fn a_release_opens_for_its_recipient_only() {
    let recipient = channel_key();
    let contents = release().encode().unwrap();
    let good = seal(recipient.public_key(), &info(Direction::Release, RECORD), &contents);
    let shares = open(&recipient, &good).unwrap();
    assert_eq!(shares.iter().map(|share| share.pair.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let other = RecipientKey::from_seed(Zeroizing::new([5; 32])).unwrap();
    assert!(matches!(open(&other, &good), Err(Error::Open)));
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    let as_request = seal(recipient.public_key(), &info(Direction::Request, RECORD), &contents);
    let other_record = seal(recipient.public_key(), &info(Direction::Release, RecordId([1; 32])), &contents);
    for bad in [&changed[..], &good[1..], &good[..ENCAPSULATED_KEY_BYTES], &good[..5], &[], &as_request, &other_record]
    {
        assert!(matches!(open(&recipient, bad), Err(Error::Open)));
    }
    let long = open(&recipient, &vec![0; MESSAGE_BYTES_MAX + 1]).unwrap_err().to_string();
    assert!(long.contains("more than"), "{long}");
}

#[test]
fn every_field_inside_a_release_is_checked() {
    type Change = fn(&mut Release);
    let recipient = channel_key();
    let cases: &[(Change, &str)] = &[
        (|r| r.intent.0[0] ^= 1, "release's intent is"),
        (|r| r.record_id.0[0] ^= 1, "release's record_id is"),
        (|r| r.generation = 2, "release's generation is 2, not 1"),
        (|r| _ = r.shares.pop(), "release's list of pairs is a, not a, b"),
        (|r| r.shares[1].pair = "c".to_owned(), "list of pairs is a, c, not a, b"),
        (|r| r.shares.push(share("c", 1)), "list of pairs is a, b, c, not a, b"),
    ];
    for (change, expect) in cases {
        let mut release = release();
        change(&mut release);
        let message = seal(recipient.public_key(), &info(Direction::Release, RECORD), &release.encode().unwrap());
        let error = open(&recipient, &message).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    let shares = strongroom_proto::contents::encode_shares(&[share("a", 1)]).unwrap();
    let message = seal(recipient.public_key(), &info(Direction::Release, RECORD), &shares);
    assert!(open(&recipient, &message).unwrap_err().to_string().contains("sealed for another use"));
}

#[test]
fn recipient_keys_are_new_each_time_and_never_shown() {
    let (one, two) = (RecipientKey::generate().unwrap(), RecipientKey::generate().unwrap());
    assert_ne!(one.public_key(), two.public_key());
    assert_eq!(recipient_hash(one.public_key()), Some(one.hash()));
    assert_eq!(format!("{one:?}"), format!("RecipientKey({}, [redacted])", one.hash()));
}
