//! The forms that peers must keep: canonical protobuf, contents of HPKE messages, ids, intents, secrets.

use prost::Message;
use strongroom_proto::canonical::{self, NotCanonical};
use strongroom_proto::contents::{BadContents, Release, Share, decode_shares, encode_shares};
use strongroom_proto::enclave::v1::SetCredentials;
use strongroom_proto::id::{ContentHash, IntentHash, RecordId, TenantId, sha256};
use strongroom_proto::intent;
use strongroom_proto::limits::{ID_BYTES_MAX, INTENT_BYTES_MAX, SHARE_BYTES_MAX};
use strongroom_proto::prefix;
use strongroom_proto::secret::Secret;
use strongroom_proto::signed;
use strongroom_proto::v1::{
    Assertion, CreateApiKeyResponse, CreateBackupAction, Intent, Pair, Policy, Role, RolePart, intent::Action,
};

fn share(pair: &str, bytes: &[u8]) -> Share {
    Share { pair: pair.into(), bytes: Secret::new(bytes.to_vec()) }
}

#[test]
fn a_message_has_one_encoding() {
    type Row<'a> = (&'a str, &'a [u8], usize, Result<(), NotCanonical>);
    let pair = Pair { id: "ed".into(), curve: 2 };
    let bytes = pair.encode_to_vec();
    assert_eq!(bytes, [0x0a, 2, b'e', b'd', 0x10, 2]);
    let cases: &[Row] = &[
        ("good", &bytes, 6, Ok(())),
        ("empty", &[], 0, Ok(())),
        ("one over the limit", &bytes, 5, Err(NotCanonical::TooLong(5))),
        ("unknown enum value", &[0x10, 9], 9, Ok(())),
        ("unknown field", &[0x0a, 2, b'e', b'd', 0x10, 2, 0x18, 1], 9, Err(NotCanonical::OtherEncoding)),
        ("unknown field of bytes", &[0x0a, 1, b'e', 0x1a, 0], 9, Err(NotCanonical::OtherEncoding)),
        ("unknown group", &[0x1b, 0x1c], 9, Err(NotCanonical::OtherEncoding)),
        ("other order", &[0x10, 2, 0x0a, 2, b'e', b'd'], 9, Err(NotCanonical::OtherEncoding)),
        ("field twice", &[0x10, 1, 0x10, 2], 9, Err(NotCanonical::OtherEncoding)),
        ("explicit default", &[0x0a, 0], 9, Err(NotCanonical::OtherEncoding)),
        ("long number", &[0x10, 0x82, 0], 9, Err(NotCanonical::OtherEncoding)),
        ("long length", &[0x0a, 0x81, 0, b'e'], 9, Err(NotCanonical::OtherEncoding)),
        ("long tag", &[0x90, 0, 2], 9, Err(NotCanonical::OtherEncoding)),
        ("64 bits in an enum", &[0x10, 0x82, 0x80, 0x80, 0x80, 0x10], 9, Err(NotCanonical::OtherEncoding)),
        ("wrong wire type", &[0x08, 1], 9, Err(NotCanonical::Malformed)),
        ("cut", &bytes[..3], 9, Err(NotCanonical::Malformed)),
        ("no UTF-8", &[0x0a, 1, 0xff], 9, Err(NotCanonical::Malformed)),
        ("tag 0", &[0, 0], 9, Err(NotCanonical::Malformed)),
    ];
    for (name, bytes, max, expect) in cases {
        assert_eq!(canonical::decode::<Pair>(bytes, *max).map(drop), *expect, "{name}");
    }
    let two_as_true = [0x08, 2];
    assert_eq!(canonical::decode::<Policy>(&two_as_true, 9), Err(NotCanonical::OtherEncoding));
    assert_eq!(canonical::decode::<Policy>(&[0x08, 1], 9).map(|policy| policy.passkey), Ok(true));
}

#[test]
fn the_shares_of_a_message_keep_their_rules() {
    let longest = vec![7; SHARE_BYTES_MAX];
    let pair = "p".repeat(ID_BYTES_MAX);
    for good in [
        vec![share("a", b"1")],
        vec![share("a", &longest)],
        vec![share(&pair, b"1")],
        vec![share("A", b"1"), share("a", b"2"), share("b", b"3"), share("b1", b"4")],
    ] {
        let decoded = decode_shares(&encode_shares(&good).unwrap()).unwrap();
        let plain = |shares: &[Share]| -> Vec<(String, Vec<u8>)> {
            shares.iter().map(|share| (share.pair.clone(), share.bytes.expose().to_vec())).collect()
        };
        assert_eq!(plain(&decoded), plain(&good));
    }
    let five: Vec<Share> = ["a", "b", "c", "d", "e"].map(|pair| share(pair, b"1")).into();
    let many: Vec<Share> = (0..256).map(|i| share(&format!("{i:03}"), b"1")).collect();
    for (name, shares, expect) in [
        ("none", vec![], BadContents::ShareCount),
        ("five", five, BadContents::ShareCount),
        ("256", many, BadContents::ShareCount),
        ("unsorted", vec![share("b", b"1"), share("a", b"1")], BadContents::PairOrder),
        ("twice", vec![share("a", b"1"), share("a", b"1")], BadContents::PairOrder),
        ("no pair", vec![share("", b"1")], BadContents::PairId),
        ("pair's form", vec![share("a/b", b"1")], BadContents::PairId),
        ("long pair", vec![share(&format!("{pair}p"), b"1")], BadContents::PairId),
        ("empty share", vec![share("a", b"")], BadContents::ShareLength),
        ("long share", vec![share("a", &[&longest[..], &[0]].concat())], BadContents::ShareLength),
    ] {
        assert_eq!(encode_shares(&shares).map(drop), Err(expect), "{name}");
        let release = Release { intent: IntentHash([1; 32]), record_id: RecordId([2; 32]), generation: 1, shares };
        assert_eq!(release.encode().map(drop), Err(expect), "{name}");
    }
}

/// `SHARES` ‖ `rest`.
fn raw(rest: &[u8]) -> Vec<u8> {
    [prefix::SHARES, rest].concat()
}

#[test]
fn bytes_that_are_no_shares_are_refused() {
    let long = u32::try_from(SHARE_BYTES_MAX + 1).unwrap().to_be_bytes();
    let too_long = [&raw(&[1, 0, 1, b'a'])[..], &long, &vec![0; SHARE_BYTES_MAX + 1]].concat();
    let release = [prefix::RELEASE, &[0; 100]].concat();
    let one = [1, 0, 1, b'a', 0, 0, 0, 1, 9];
    assert_eq!(decode_shares(&raw(&one)).map(|shares| shares.len()), Ok(1));
    for (name, bytes, expect) in [
        ("empty", vec![], BadContents::OtherUse),
        ("half a prefix", prefix::SHARES[..10].to_vec(), BadContents::OtherUse),
        ("another use", release, BadContents::OtherUse),
        ("no count", raw(&[]), BadContents::Length),
        ("count 0", raw(&[0]), BadContents::ShareCount),
        ("count 5", raw(&[5]), BadContents::ShareCount),
        ("count 255", raw(&[255]), BadContents::ShareCount),
        ("count too large", raw(&[&[2], &one[1..]].concat()), BadContents::Length),
        ("byte after it", raw(&[&one[..], &[0]].concat()), BadContents::Length),
        ("cut", raw(&one[..8]), BadContents::Length),
        ("cut in a length", raw(&one[..6]), BadContents::Length),
        ("endless pair", raw(&[1, 0xff, 0xff, b'a']), BadContents::Length),
        ("endless share", raw(&[1, 0, 1, b'a', 0xff, 0xff, 0xff, 0xff, 9]), BadContents::Length),
        ("no pair", raw(&[1, 0, 0, 0, 0, 0, 1, 9]), BadContents::PairId),
        ("no UTF-8", raw(&[1, 0, 1, 0xff, 0, 0, 0, 1, 9]), BadContents::PairId),
        ("pair's form", raw(&[1, 0, 1, b'/', 0, 0, 0, 1, 9]), BadContents::PairId),
        ("empty share", raw(&[1, 0, 1, b'a', 0, 0, 0, 0]), BadContents::ShareLength),
        ("share too long", too_long, BadContents::ShareLength),
        ("twice", raw(&[&[2], &one[1..], &one[1..]].concat()), BadContents::PairOrder),
    ] {
        assert_eq!(decode_shares(&bytes).map(drop), Err(expect), "{name}");
    }
}

#[test]
fn a_release_is_read_as_it_was_written_and_no_shorter() {
    let release = Release {
        intent: IntentHash([1; 32]),
        record_id: RecordId([2; 32]),
        generation: u64::MAX,
        shares: vec![share("a", b"planted")],
    };
    let bytes = release.encode().unwrap();
    let read = Release::decode(&bytes).unwrap();
    assert_eq!((read.intent, read.record_id, read.generation), (release.intent, release.record_id, u64::MAX));
    assert_eq!(read.shares[0].bytes.expose(), b"planted");
    for end in prefix::RELEASE.len()..bytes.len() {
        assert!(Release::decode(&bytes[..end]).is_err(), "cut at {end}");
    }
    assert_eq!(Release::decode(&[&bytes[..], &[0]].concat()).map(drop), Err(BadContents::Length));
    assert_eq!(Release::decode(&encode_shares(&[share("a", b"1")]).unwrap()).map(drop), Err(BadContents::OtherUse));
    assert!(!format!("{read:?}").contains("planted"));
}

#[test]
fn ids_are_32_bytes_and_print_as_hex() {
    for (len, expect) in [(0, false), (31, false), (32, true), (33, false)] {
        assert_eq!(RecordId::from_slice(&vec![1; len]).is_some(), expect, "{len}");
    }
    let id = TenantId([0x0a; 32]);
    assert_eq!((id.to_string(), format!("{id:?}")), ("0a".repeat(32), "0a".repeat(32)));
    // FIPS 180-2, appendix B.1: "abc", however it is cut.
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(ContentHash::of(b"abc").to_string(), abc);
    assert_eq!(ContentHash(sha256(&[b"a", b"", b"bc"])).to_string(), abc);
    assert_eq!(TenantId::of(b"root", b"standby").0, sha256(&[b"rootstandby"]));
    assert_ne!(TenantId::of(b"root", b"standby"), TenantId::of(b"standby", b"root"));
}

#[test]
fn a_records_id_depends_on_all_of_its_creation_but_the_messages() {
    let part = |byte| RolePart { message_hash: vec![byte; 32], ..RolePart::default() };
    let creation = Intent {
        client: Some(part(1)),
        custodian: Some(part(2)),
        action: Some(Action::CreateBackup(CreateBackupAction::default())),
        ..Intent::default()
    };
    let id = intent::record_id(&creation);
    let same = Intent { client: Some(part(3)), custodian: Some(RolePart::default()), ..creation.clone() };
    assert_eq!(intent::record_id(&same), id);
    for (name, other) in [
        ("tenant", Intent { tenant: vec![1], ..creation.clone() }),
        ("wallet", Intent { wallet: "w".into(), ..creation.clone() }),
        ("serial", Intent { statement_serial: 1, ..creation.clone() }),
        ("role", Intent { custodian: None, ..creation.clone() }),
        ("recipient", Intent { client: Some(RolePart { recipient: vec![1], ..part(1) }), ..creation.clone() }),
        ("time", Intent { not_after_ms: 1, ..creation.clone() }),
        ("nonce", Intent { nonce: vec![1], ..creation.clone() }),
        ("action", Intent { action: None, ..creation.clone() }),
    ] {
        assert_ne!(intent::record_id(&other), id, "{name}");
    }
    assert_eq!(intent::part(&creation, Role::Client), creation.client.as_ref());
    assert_eq!(intent::part(&creation, Role::Custodian), creation.custodian.as_ref());
    assert_eq!(intent::part(&creation, Role::Unspecified), None);
}

#[test]
fn an_intent_ends_at_its_limit() {
    let empty = Intent { nonce: vec![1], ..Intent::default() }.encoded_len();
    let of = |len: usize| Intent { nonce: vec![1; len - empty], ..Intent::default() }.encode_to_vec();
    let longest = of(INTENT_BYTES_MAX);
    assert_eq!(longest.len(), INTENT_BYTES_MAX);
    assert!(intent::decode(&longest).is_ok());
    assert_eq!(intent::decode(&of(INTENT_BYTES_MAX + 1)), Err(NotCanonical::TooLong(INTENT_BYTES_MAX)));
    assert_eq!(intent::hash(b"bytes").0, sha256(&[b"strongroom/v1/intent\0bytes"]));
}

#[test]
fn a_recipient_is_named_only_by_a_whole_key() {
    for (len, expect) in [(0, false), (1215, false), (1216, true), (1217, false)] {
        assert_eq!(signed::recipient_hash(&vec![1; len]).is_some(), expect, "{len}");
    }
}

#[test]
fn secrets_are_not_printed() {
    let secret = Secret::new(b"planted".to_vec());
    assert_eq!((format!("{secret:?}"), format!("{secret:#?}")), ("[redacted]".into(), "[redacted]".into()));
    assert_eq!(format!("{:?}", share("a", b"planted")), r#"Share { pair: "a", bytes: [redacted] }"#);
    let mut bytes = *b"planted";
    assert_eq!(Secret::take(&mut bytes).expose(), b"planted");
    assert_eq!(bytes, [0; 7], "what was taken is erased where it stood");
    let credentials = SetCredentials { secret_access_key: "planted".into(), ..SetCredentials::default() };
    assert_eq!(format!("{credentials:?}"), "SetCredentials([redacted])");
    let assertion = Assertion { client_extension_results: "planted".into(), ..Assertion::default() };
    assert_eq!(format!("{assertion:?}"), "Assertion([redacted])");
    let key = CreateApiKeyResponse { api_key: "planted".into(), ..CreateApiKeyResponse::default() };
    assert!(!format!("{key:?}").contains("planted"));
}

/// The host's clock decides nothing, because no request carries it: `SetCredentials` tells when KMS will refuse credentials anyway.
#[test]
fn no_request_carries_the_hosts_time() {
    let frames = include_str!("../enclave/v1/frames.proto");
    let names = frames.lines().filter_map(|line| line.split_once("_ms = ")?.0.split_whitespace().last());
    let expect = ["retry_after", "expires_at", "time", "uptime", "uptime"];
    assert_eq!(
        names.collect::<Vec<_>>(),
        expect,
        "Error, SetCredentials, Health, and the enclave's own in Events, Event"
    );
}
