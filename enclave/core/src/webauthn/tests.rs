//! The W3C's vectors, malformed signatures over one of them, and the forms of `COSE_Key`.

use std::borrow::ToOwned;
use std::string::String;
use std::vec::Vec;
use std::{env, format, fs, println, vec};

use minicbor::Decoder;
use serde_json::Value;

use super::*;
use strongroom_proto::limits::CREDENTIAL_KEY_BYTES_MAX;

mod signatures;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/webauthn-l3/vectors.json");

/// Order of P-256.
const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// One pair of registration and assertion.
struct Vector {
    title: String,
    algorithm: i64,
    uv: bool,
    cross_origin: bool,
    rp_id: String,
    origin: String,
    top_origin: Option<String>,
    challenge: Vec<u8>,
    cose: Vec<u8>,
    assertion: Assertion,
}

impl Vector {
    fn read(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let hex = |value: &Value| unhex(value.as_str().unwrap());
        let given = &value["assertion"];
        Self {
            title: text(&value["title"]),
            algorithm: value["cose_alg"].as_i64().unwrap(),
            uv: value["assertion_flags"]["uv"] == 1,
            cross_origin: value["cross_origin"] == true,
            rp_id: text(&value["rp_id"]),
            origin: text(&value["origin"]),
            top_origin: value["top_origin"].as_str().map(ToOwned::to_owned),
            challenge: hex(&given["challenge"]),
            cose: cose_of(&hex(&value["registration"]["attestationObject"])),
            assertion: Assertion {
                credential_id: hex(&value["registration"]["credential_id"]),
                authenticator_data: hex(&given["authenticatorData"]),
                client_data_json: hex(&given["clientDataJSON"]),
                signature: hex(&given["signature"]),
                client_extension_results: String::new(),
            },
        }
    }

    fn verify(&self, assertion: &Assertion, top_origins: &[String]) -> Result<(), Refusal> {
        let key = CredentialKey::parse(&self.cose)?;
        let origins = [self.origin.clone()];
        let expected = Expected { challenge: &self.challenge, rp_id: &self.rp_id, origins: &origins, top_origins };
        verify(assertion, &key, &expected).map(|_| ())
    }

    fn signed(&self) -> Vec<u8> {
        let hash = sha256(&[&self.assertion.client_data_json]);
        [&self.assertion.authenticator_data[..], &hash].concat()
    }
}

/// The key in an attestation object: after 32 bytes of rpIdHash, flags, counter, AAGUID, and the credential id with its length.
fn cose_of(attestation_object: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder::new(attestation_object);
    for _ in 0..decoder.map().unwrap().unwrap() {
        if decoder.str().unwrap() != "authData" {
            decoder.skip().unwrap();
            continue;
        }
        let data = decoder.bytes().unwrap();
        let id_len = usize::from(u16::from_be_bytes([data[53], data[54]]));
        let rest = &data[55 + id_len..];
        let mut key = Decoder::new(rest);
        key.skip().unwrap();
        return rest[..key.position()].to_vec();
    }
    panic!("no authData")
}

/// Empty where the folder is absent, which CI does not forgive.
fn vectors() -> Vec<Vector> {
    match fs::read(VECTORS) {
        Ok(bytes) => {
            let file: Value = serde_json::from_slice(&bytes).unwrap();
            file["vectors"].as_array().unwrap().iter().map(Vector::read).collect()
        }
        Err(error) if env::var_os("CI").is_none() => {
            println!("SKIPPED: {VECTORS}: {error}");
            Vec::new()
        }
        Err(error) => panic!("{VECTORS}: {error}"),
    }
}

fn taken(algorithm: i64) -> bool {
    [-7, -8, -257].contains(&algorithm)
}

#[test]
fn the_w3c_vectors_are_decided_as_their_flags_say() {
    let mut passed = 0;
    let vectors = vectors();
    for vector in &vectors {
        let expect = match (taken(vector.algorithm), vector.cross_origin, vector.uv) {
            (false, ..) => Some(Reason::BadRequest),
            (_, true, _) => Some(Reason::OriginNotAllowed),
            (.., false) => Some(Reason::UserNotVerified),
            _ => None,
        };
        let got = vector.verify(&vector.assertion, &[]).err();
        assert_eq!(got.as_ref().map(|refusal| refusal.reason), expect, "{}: {got:?}", vector.title);
        passed += usize::from(expect.is_none());
        // A listed top origin lets a cross-origin frame ask, and changes nothing else.
        let listed: Vec<String> = vector.top_origin.iter().cloned().collect();
        let got = vector.verify(&vector.assertion, &listed).err();
        let expect = if listed.is_empty() { expect } else { None };
        assert_eq!(got.map(|refusal| refusal.reason), expect, "{}", vector.title);
    }
    assert!(vectors.is_empty() || (vectors.len(), passed) == (15, 3), "{passed} of {} pass", vectors.len());
}

#[test]
fn signatures_of_every_algorithm_taken_hold_and_altered_ones_do_not() {
    for vector in vectors().iter().filter(|vector| taken(vector.algorithm)) {
        let key = CredentialKey::parse(&vector.cose).unwrap();
        let signed = vector.signed();
        let signature = &vector.assertion.signature;
        assert!(key.verify(&signed, signature), "{}", vector.title);
        for at in 0..signature.len() {
            let mut altered = signature.clone();
            altered[at] ^= 1;
            assert!(!key.verify(&signed, &altered), "{}: byte {at}", vector.title);
        }
        for at in [0, 32, signed.len() - 1] {
            let mut altered = signed.clone();
            altered[at] ^= 1;
            assert!(!key.verify(&altered, signature), "{}: message byte {at}", vector.title);
        }
        for other in [&signature[1..], &signature[..signature.len() - 1], &[]] {
            assert!(!key.verify(&signed, other), "{}: {} bytes", vector.title, other.len());
        }
        let longer = [&signature[..], &[0]].concat();
        assert!(!key.verify(&signed, &longer), "{}", vector.title);
    }
}

/// DER of an integer's bytes, without any normalisation.
fn integer(bytes: &[u8]) -> Vec<u8> {
    [&[2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

fn sequence(r: &[u8], s: &[u8]) -> Vec<u8> {
    let body = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(body.len()).unwrap()], &body[..]].concat()
}

/// `a` - `b`, or `a` + `b`, of 33 big-endian bytes.
fn add_or_subtract(a: &[u8; 33], b: &[u8; 33], subtract: bool) -> Vec<u8> {
    let mut out = vec![0; 33];
    let mut carry = 0;
    for i in (0..33).rev() {
        let b = i32::from(b[i]) * if subtract { -1 } else { 1 };
        let sum = i32::from(a[i]) + b + carry;
        out[i] = u8::try_from(sum.rem_euclid(256)).unwrap();
        carry = sum.div_euclid(256);
    }
    out
}

/// A positive DER integer's content.
fn minimal(bytes: &[u8]) -> Vec<u8> {
    let bytes: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    if bytes.first().is_none_or(|byte| *byte >= 0x80) { [&[0], &bytes[..]].concat() } else { bytes }
}

fn wide(bytes: &[u8]) -> [u8; 33] {
    let mut out = [0; 33];
    out[33 - bytes.len()..].copy_from_slice(bytes);
    out
}

#[test]
fn malformed_signatures_of_a_good_assertion_are_refused() {
    let vectors = vectors();
    let Some(vector) = vectors.iter().find(|it| it.title.starts_with("Packed Attestation with ES256")) else { return };
    let der = vector.assertion.signature.clone();
    let r_len = usize::from(der[3]);
    let (r, s) = (&der[4..4 + r_len], &der[6 + r_len..]);
    let body = &der[2..];
    let len = der[1];
    let order = unhex(ORDER);
    let raw = |int: &[u8]| wide(&minimal(int))[1..].to_vec();
    let n = wide(&order);
    let pad = |int: &[u8]| [&[0], int].concat();
    assert_eq!(sequence(r, s), der);
    for (name, signature) in [
        ("raw r and s", [raw(r), raw(s)].concat()),
        ("r padded", sequence(&pad(&minimal(r)), s)),
        ("s padded", sequence(r, &pad(&minimal(s)))),
        ("r = 0", sequence(&[0], s)),
        ("s = 0", sequence(r, &[0])),
        ("both 0", sequence(&[0], &[0])),
        ("r = 1, s = 1", sequence(&[1], &[1])),
        ("r = n", sequence(&minimal(&order), s)),
        ("s = n", sequence(r, &minimal(&order))),
        ("r + n", sequence(&minimal(&add_or_subtract(&wide(r), &n, false)), s)),
        ("s + n", sequence(r, &minimal(&add_or_subtract(&wide(s), &n, false)))),
        ("n - r", sequence(&minimal(&add_or_subtract(&n, &wide(r), true)), s)),
        ("r and s swapped", sequence(s, r)),
        ("r empty", sequence(&[], s)),
        ("s empty", sequence(r, &[])),
        ("s missing", [&[0x30, 2 + der[3]], &integer(r)[..]].concat()),
        ("third integer", [&[0x30, len + 3], body, &integer(&[1])].concat()),
        ("long length", [&[0x30, 0x81, len], body].concat()),
        ("longer length", [&[0x30, 0x82, 0, len], body].concat()),
        ("indefinite", [&[0x30, 0x80], body, &[0, 0]].concat()),
        ("length too large", [&[0x30, len + 1], body].concat()),
        ("length too small", [&[0x30, len - 1], body].concat()),
        ("byte after it", [&der[..], &[0]].concat()),
        ("byte within it", [&[0x30, len + 1], body, &[0]].concat()),
        ("a set", [&[0x31, len], body].concat()),
        ("an octet string", [&[0x30, len, 4], &body[1..]].concat()),
        ("no content", vec![0x30, 0]),
        ("empty", Vec::new()),
    ] {
        let refusal = vector.verify(&Assertion { signature, ..vector.assertion.clone() }, &[]).expect_err(name);
        assert_eq!(refusal, rejected("assertion.signature: does not hold under the credential's key"), "{name}");
    }
    // ECDSA's one allowed malleation: so nothing may take the bytes of a signature for a replay key.
    let negated = sequence(r, &minimal(&add_or_subtract(&n, &wide(s), true)));
    assert_ne!(negated, der);
    assert_eq!(vector.verify(&Assertion { signature: negated, ..vector.assertion.clone() }, &[]), Ok(()));
}

fn ec2(members: &[&[u8]]) -> Vec<u8> {
    let count = 0xa0 + u8::try_from(members.len()).unwrap();
    [&[count], &members.concat()[..]].concat()
}

fn bytes(label: u8, len: usize, first: u8) -> Vec<u8> {
    let mut out = vec![label, 0x59];
    out.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
    out.extend((0..len).map(|i| if i == 0 { first } else { 1 }));
    out
}

#[test]
fn a_key_has_the_members_of_its_algorithm_and_no_others() {
    let (x, y) = (bytes(0x21, 32, 1), bytes(0x22, 32, 1));
    let (ec, es256, p256): (&[u8], &[u8], &[u8]) = (&[1, 2], &[3, 0x26], &[0x20, 1]);
    let (okp, eddsa, ed25519): (&[u8], &[u8], &[u8]) = (&[1, 1], &[3, 0x27], &[0x20, 6]);
    let (rsa, rs256): (&[u8], &[u8]) = (&[1, 3], &[3, 0x39, 1, 0]);
    let e: &[u8] = &[0x21, 0x43, 1, 0, 1];
    let n = |len, first| bytes(0x20, len, first);
    let good = ec2(&[ec, es256, p256, &x, &y]);
    let cases: Vec<(&str, Vec<u8>, bool)> = vec![
        ("ES256", good.clone(), true),
        ("EdDSA", ec2(&[okp, eddsa, ed25519, &x]), true),
        ("RS256, 2,048 bits", ec2(&[rsa, rs256, &n(256, 0x80), e]), true),
        ("RS256, 4,096 bits", ec2(&[rsa, rs256, &n(512, 0xff), e]), true),
        ("RS256, 2,049 bits", ec2(&[rsa, rs256, &n(257, 1), e]), true),
        ("RS256, 4,089 bits", ec2(&[rsa, rs256, &n(512, 1), e]), true),
        ("members in another order", ec2(&[&y, &x, p256, es256, ec]), true),
        ("2,047 bits", ec2(&[rsa, rs256, &n(256, 0x7f), e]), false),
        ("255 bytes", ec2(&[rsa, rs256, &n(255, 0xff), e]), false),
        ("4,097 bits", ec2(&[rsa, rs256, &n(513, 1), e]), false),
        ("no modulus", ec2(&[rsa, rs256, &[0x20, 0x40], e]), false),
        ("modulus with a leading zero", ec2(&[rsa, rs256, &n(257, 0), e]), false),
        ("exponent 3", ec2(&[rsa, rs256, &n(256, 0x80), &[0x21, 0x41, 3]]), false),
        ("exponent with a leading zero", ec2(&[rsa, rs256, &n(256, 0x80), &[0x21, 0x44, 0, 1, 0, 1]]), false),
        ("RSA with y", ec2(&[rsa, rs256, &n(256, 0x80), e, &y]), false),
        ("RS1", ec2(&[rsa, &[3, 0x39, 0xff, 0xfe], &n(256, 0x80), e]), false),
        ("no kty", ec2(&[es256, p256, &x, &y]), false),
        ("no alg", ec2(&[ec, p256, &x, &y]), false),
        ("no crv", ec2(&[ec, es256, &x, &y]), false),
        ("no x", ec2(&[ec, es256, p256, &y]), false),
        ("no y", ec2(&[ec, es256, p256, &x]), false),
        ("short x", ec2(&[ec, es256, p256, &bytes(0x21, 31, 1), &y]), false),
        ("long y", ec2(&[ec, es256, p256, &x, &bytes(0x22, 33, 1)]), false),
        ("compressed y", ec2(&[ec, es256, p256, &x, &[0x22, 0xf5]]), false),
        ("P-384", ec2(&[ec, es256, &[0x20, 2], &x, &y]), false),
        ("ES384", ec2(&[ec, &[3, 0x38, 0x22], p256, &x, &y]), false),
        ("EdDSA with EC2", ec2(&[ec, eddsa, ed25519, &x]), false),
        ("EdDSA with y", ec2(&[okp, eddsa, ed25519, &x, &y]), false),
        ("X25519", ec2(&[okp, eddsa, &[0x20, 4], &x]), false),
        ("short Ed25519", ec2(&[okp, eddsa, ed25519, &bytes(0x21, 31, 1)]), false),
        ("a private key", ec2(&[ec, es256, p256, &x, &y, &bytes(0x23, 32, 1)]), false),
        ("kid", ec2(&[ec, es256, p256, &x, &y, &[2, 0x41, 1]]), false),
        ("kty twice", ec2(&[ec, ec, es256, p256, &x, &y]), false),
        ("x twice", ec2(&[ec, es256, p256, &x, &x, &y]), false),
        ("crv and n", ec2(&[ec, es256, p256, &n(256, 0x80), &x, &y]), false),
        ("trailing byte", [&good[..], &[0]].concat(), false),
        ("open map", [&[0xbf], &good[1..], &[0xff]].concat(), false),
        ("one entry more than given", [&[0xa6], &good[1..]].concat(), false),
        ("an array", vec![0x80], false),
        ("endless", vec![0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], false),
        ("empty", vec![], false),
    ];
    for (name, cose, expect) in cases {
        let parsed = CredentialKey::parse(&cose);
        assert_eq!(parsed.is_ok(), expect, "{name}: {parsed:?}");
        assert!(parsed.is_ok() || parsed.is_err_and(|refusal| refusal.reason == Reason::BadRequest), "{name}");
    }
    let too_long = CredentialKey::parse(&[0; CREDENTIAL_KEY_BYTES_MAX + 1]).unwrap_err();
    assert!(too_long.detail.contains("1025 bytes, at most 1024"), "{too_long:?}");
    let at_limit = CredentialKey::parse(&[0; CREDENTIAL_KEY_BYTES_MAX]).unwrap_err();
    assert!(at_limit.detail.contains("not a COSE_Key"), "{at_limit:?}");
}

#[test]
fn fields_of_an_assertion_end_at_their_limit() {
    type Field = fn(&mut Assertion) -> &mut Vec<u8>;
    let fields: [(&str, usize, Field); 4] = [
        ("credential_id", CREDENTIAL_ID_BYTES_MAX, |a| &mut a.credential_id),
        ("authenticator_data", AUTHENTICATOR_DATA_BYTES_MAX, |a| &mut a.authenticator_data),
        ("client_data_json", CLIENT_DATA_BYTES_MAX, |a| &mut a.client_data_json),
        ("signature", ASSERTION_SIGNATURE_BYTES_MAX, |a| &mut a.signature),
    ];
    for (name, max, field) in fields {
        let mut assertion = Assertion::default();
        *field(&mut assertion) = vec![0; max];
        assert_eq!(check_lengths(&assertion), Ok(()), "{name}");
        field(&mut assertion).push(0);
        assert_eq!(check_lengths(&assertion), Err(bad(format!("assertion.{name}: {} bytes, at most {max}", max + 1))));
    }
    let mut assertion =
        Assertion { client_extension_results: " ".repeat(EXTENSION_RESULTS_BYTES_MAX), ..Assertion::default() };
    assert_eq!(check_lengths(&assertion), Ok(()));
    assertion.client_extension_results.push(' ');
    assert!(check_lengths(&assertion).is_err());
}
