//! Assertions: what the verifier takes, as a recovery meets it.

use prost::Message;
use strongroom_proto::enclave::v1::request::Body as Ask;
use strongroom_proto::v1::{Act, Assertion, Reason};

use crate::acts::{PASSKEY_ONLY, act, recover, recovery};
use crate::consents::{Stage, expect, stage};
use crate::device::{AT, BE, BS, Ceremony, ED, Passkey, Recipient, UP, UV, base64url, honest};
use crate::tenant::{APP_ORIGIN, ORIGIN, TOP_ORIGIN};
use crate::world::Case;

#[test]
fn a_cross_origin_frame_may_ask_only_under_a_listed_top_origin() {
    let (origin, bad) = (Reason::OriginNotAllowed, Reason::BadRequest);
    let cross = format!(r#","crossOrigin":true,"topOrigin":"{TOP_ORIGIN}""#);
    let members: Vec<(&str, Option<(Reason, &str)>)> = vec![
        ("", None),
        (r#","crossOrigin":false,"extraData":[{"a":1}]"#, None),
        (&cross, None),
        (r#","crossOrigin":true"#, Some((origin, "crossOrigin"))),
        (r#","crossOrigin":true,"topOrigin":"https://evil.example""#, Some((origin, "topOrigin"))),
        (r#","crossOrigin":true,"topOrigin":"https://wallet.example""#, Some((origin, "topOrigin"))),
        (r#","crossOrigin":true,"topOrigin":null"#, Some((origin, "crossOrigin"))),
        (r#","crossOrigin":false,"topOrigin":"https://partner.example""#, Some((origin, "topOrigin"))),
        (r#","topOrigin":"https://partner.example""#, Some((origin, "topOrigin"))),
        (r#","crossOrigin":"false""#, Some((bad, "client_data_json"))),
        (r#","crossOrigin":null"#, Some((bad, "client_data_json"))),
        (r#","origin":"https://wallet.example""#, Some((bad, "client_data_json"))),
        (r#","type":"webauthn.get""#, Some((bad, "client_data_json"))),
        (r#"}{"a":1"#, Some((bad, "client_data_json"))),
    ];
    let stage = stage(0x40, Passkey::es256(), PASSKEY_ONLY);
    for (members, expected) in members {
        expect(members, stage.with(&Ceremony { members: members.into(), ..honest() }), expected);
    }
}

#[test]
fn an_assertion_is_taken_only_from_an_honest_ceremony() {
    type Row = (&'static str, fn(&mut Ceremony), Option<(Reason, &'static str)>);
    let stage = stage(0x45, Passkey::es256(), PASSKEY_ONLY);
    let (origin, rejected, unverified) = (Reason::OriginNotAllowed, Reason::ProofRejected, Reason::UserNotVerified);
    let bad = Reason::BadRequest;
    let cases: &[Row] = &[
        ("honest", |_| {}, None),
        ("app", |c| c.origin = APP_ORIGIN.into(), None),
        ("registration", |c| c.r#type = "webauthn.create", Some((rejected, "client_data_json.type"))),
        ("no type", |c| c.r#type = "", Some((rejected, "client_data_json.type"))),
        ("other challenge", |c| c.challenge = Some(vec![1; 32]), Some((rejected, "client_data_json.challenge"))),
        ("no challenge", |c| c.challenge = Some(vec![]), Some((rejected, "client_data_json.challenge"))),
        ("suffix", |c| c.origin = "https://evil-wallet.example".into(), Some((origin, "client_data_json.origin"))),
        ("subdomain", |c| c.origin = "https://a.wallet.example".into(), Some((origin, "client_data_json.origin"))),
        ("port", |c| c.origin = "https://wallet.example:8443".into(), Some((origin, "client_data_json.origin"))),
        ("http", |c| c.origin = "http://wallet.example".into(), Some((origin, "client_data_json.origin"))),
        ("prefix", |c| c.origin = "https://wallet.exampl".into(), Some((origin, "client_data_json.origin"))),
        ("top origin as origin", |c| c.origin = TOP_ORIGIN.into(), Some((origin, "client_data_json.origin"))),
        ("no origin", |c| c.origin.clear(), Some((origin, "client_data_json.origin"))),
        ("other rpId", |c| c.rp_id = "other.example", Some((rejected, "rpIdHash"))),
        ("UP off", |c| c.flags &= !UP, Some((unverified, "UP"))),
        ("UV off", |c| c.flags &= !UV, Some((unverified, "UV"))),
        ("all off", |c| c.flags = 0, Some((unverified, "UP"))),
        ("BS without BE", |c| c.flags = UP | UV | BS, Some((rejected, "BS without BE"))),
        ("BE alone", |c| c.flags = UP | UV | BE, None),
        ("BE gone", |c| c.flags = UP | UV, Some((rejected, "BE differs"))),
        ("AT", |c| c.flags |= AT, Some((rejected, "AT"))),
        ("trailing byte", |c| c.tail = vec![0], Some((bad, "authenticator_data"))),
        ("extensions without ED", |c| c.tail = vec![0xa0], Some((bad, "authenticator_data"))),
        ("ED without extensions", |c| c.flags |= ED, Some((bad, "authenticator_data"))),
        ("ED with a map", |c| (c.flags, c.tail) = (c.flags | ED, vec![0xa1, 0x61, b'a', 1]), None),
        ("ED with an array", |c| (c.flags, c.tail) = (c.flags | ED, vec![0x80]), Some((bad, "authenticator_data"))),
        (
            "ED with an open map",
            |c| (c.flags, c.tail) = (c.flags | ED, vec![0xbf, 0xff]),
            Some((bad, "authenticator_data")),
        ),
        (
            "ED with a cut map",
            |c| (c.flags, c.tail) = (c.flags | ED, vec![0xa1, 0x61]),
            Some((bad, "authenticator_data")),
        ),
        ("ED with more", |c| (c.flags, c.tail) = (c.flags | ED, vec![0xa0, 0]), Some((bad, "authenticator_data"))),
        ("longest", |c| (c.flags, c.tail) = (c.flags | ED, map_of(1024 - 37)), None),
        (
            "too long",
            |c| (c.flags, c.tail) = (c.flags | ED, map_of(1025 - 37)),
            Some((bad, "authenticator_data: 1025")),
        ),
        (
            "long client data",
            |c| c.members = format!(r#","x":"{}""#, "x".repeat(4096)),
            Some((bad, "client_data_json: 4")),
        ),
    ];
    for (name, change, expected) in cases {
        let mut ceremony = honest();
        change(&mut ceremony);
        expect(name, stage.with(&ceremony), *expected);
    }
}

#[test]
fn extension_results_with_a_devices_secret_are_refused() {
    let stage = stage(0x46, Passkey::es256(), PASSKEY_ONLY);
    let (bad, prf) = (Reason::BadRequest, Reason::PrfResultPresent);
    let (at_limit, too_long) = (format!("{{{}}}", " ".repeat(1022)), format!("{{{}}}", " ".repeat(1023)));
    for (extension_results, expected) in [
        (r#"{"prf":{"results":{"first":"c2VjcmV0"}}}"#, Some(prf)),
        (r#"{"prf":{"results":{}}}"#, Some(prf)),
        (r#"{"prf":{"results":{"first":"a"}},"prf":{}}"#, Some(bad)),
        (r#"{"prf":{"results":{"first":"a"},"results":null}}"#, Some(bad)),
        (r#"{"hmacGetSecret":{"output1":"a"}}"#, Some(prf)),
        (r#"{"\u0070rf":{"results":{}}}"#, Some(prf)),
        (r#"[{"results":{}},null]"#, Some(bad)),
        (r#"{"prf":{"enabled":true}}"#, None),
        (r#"{"credProps":{"rk":true}}"#, None),
        ("{", Some(bad)),
        ("[]", Some(bad)),
        (&too_long, Some(bad)),
        (&at_limit, None),
    ] {
        let ceremony = Ceremony { extension_results: extension_results.into(), ..honest() };
        let expected = expected.map(|reason| (reason, "assertion.client_extension_results"));
        expect(extension_results, stage.with(&ceremony), expected);
    }
}

/// A CBOR map of one entry that is `len` bytes long.
fn map_of(len: usize) -> Vec<u8> {
    let value = len - 6;
    [&[0xa1, 0x61, b'a', 0x59][..], &u16::try_from(value).unwrap().to_be_bytes(), &vec![0; value]].concat()
}

fn only(act: &mut Act) -> &mut Assertion {
    &mut act.assertions[0]
}

const ALTERED: &[Case<Act>] = &[
    ("none", |a| a.assertions.clear(), Reason::PolicyDenied, "act.assertions"),
    ("two", |a| a.assertions = vec![only(a).clone(); 2], Reason::BadRequest, "act.assertions"),
    ("three", |a| a.assertions = vec![only(a).clone(); 3], Reason::BadRequest, "act.assertions"),
    ("altered signature", |a| only(a).signature[20] ^= 1, Reason::ProofRejected, "assertion.signature"),
    ("no signature", |a| only(a).signature.clear(), Reason::ProofRejected, "assertion.signature"),
    ("long signature", |a| only(a).signature.resize(513, 0), Reason::BadRequest, "assertion.signature: 513"),
    ("long credential id", |a| only(a).credential_id.resize(1024, 0), Reason::ProofRejected, "credential_id"),
    ("altered counter", |a| only(a).authenticator_data[36] ^= 1, Reason::ProofRejected, "assertion.signature"),
    ("altered client data", |a| only(a).client_data_json.insert(1, b' '), Reason::ProofRejected, "assertion.signature"),
    ("short data", |a| only(a).authenticator_data.truncate(36), Reason::BadRequest, "authenticator_data: shorter"),
    ("no data", |a| only(a).authenticator_data.clear(), Reason::BadRequest, "authenticator_data: shorter"),
    ("no client data", |a| only(a).client_data_json.clear(), Reason::BadRequest, "client_data_json"),
    ("not UTF-8", |a| only(a).client_data_json[3] = 0xff, Reason::BadRequest, "client_data_json"),
    ("space before it", |a| only(a).client_data_json.insert(0, b' '), Reason::BadRequest, "client_data_json"),
    ("text after it", |a| only(a).client_data_json.push(b'x'), Reason::BadRequest, "client_data_json"),
];

#[test]
fn an_assertion_counts_only_by_the_records_credential_over_this_intent() {
    let Stage { world, backup, recipient } = stage(0x41, Passkey::es256(), PASSKEY_ONLY);
    let refused = |name, act, reason, detail| {
        world.refused(name, Ask::Recover(recover(&world, act, &backup, &recipient)), reason, detail)
    };
    let honest_act = act(&recovery(&world, &backup, &recipient), &backup.passkey, &honest());
    for (name, change, reason, detail) in ALTERED {
        let mut altered = honest_act.clone();
        change(&mut altered);
        refused(name, altered, *reason, detail);
    }
    let mut impostor = Passkey::eddsa(3);
    let with = |assertion| Act { assertions: vec![assertion], ..honest_act.clone() };
    let strangers = with(impostor.assert(&honest_act.intent, &honest()));
    refused("a stranger's", strangers, Reason::ProofRejected, "assertion.credential_id");
    impostor.id.clone_from(&backup.passkey.id);
    let impostors = with(impostor.assert(&honest_act.intent, &honest()));
    refused("an impostor's", impostors, Reason::ProofRejected, "assertion.signature");

    let to_another = recovery(&world, &backup, &Recipient::new(2)).encode_to_vec();
    let over_another = with(backup.passkey.assert(&to_another, &honest()));
    refused("over another intent", over_another, Reason::ProofRejected, "client_data_json.challenge");
    let swapped = Act { intent: to_another, ..honest_act.clone() };
    let mut request = recover(&world, swapped, &backup, &recipient);
    request.recipient_key = Recipient::new(2).public_key;
    world.refused("intent swapped", Ask::Recover(request), Reason::ProofRejected, "client_data_json.challenge");

    let challenge = base64url(&strongroom_proto::intent::hash(&honest_act.intent).0);
    let mut array = only(&mut honest_act.clone()).clone();
    array.client_data_json = format!(r#"["webauthn.get","{challenge}","{ORIGIN}",false,null]"#).into_bytes();
    refused("members as an array", with(array), Reason::BadRequest, "client_data_json");
    let mut marked = only(&mut honest_act.clone()).clone();
    marked.client_data_json.splice(0..0, *b"\xef\xbb\xbf");
    refused("byte order mark", with(marked), Reason::BadRequest, "client_data_json");
}
