//! Assertions in all three algorithms, through the core's verifier.

use std::collections::BTreeMap;

use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use strongroom_core::webauthn::{CredentialKey, Expected, verify};
use strongroom_fuzz_targets::mutate::assertion::{Signed, mutated};
use strongroom_proto::id::sha256;
use strongroom_proto::v1::Assertion;

use super::settings;

const RP_ID: &str = "wallet.example";
const ORIGIN: &str = "https://wallet.example";

/// An honest ceremony; `sign` gives the signature over the bytes.
fn signed(key: Vec<u8>, challenge: u8, sign: impl Fn(&[u8]) -> Vec<u8>) -> Signed {
    let digit = ["BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc", "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg"];
    let text = digit[usize::from(challenge - 7)];
    let client_data =
        format!(r#"{{"type":"webauthn.get","challenge":"{text}","origin":"{ORIGIN}","crossOrigin":false}}"#);
    let authenticator_data = [&sha256(&[RP_ID.as_bytes()])[..], &[0x1d, 0, 0, 0, challenge]].concat();
    let message = [authenticator_data.as_slice(), &sha256(&[client_data.as_bytes()])].concat();
    Signed {
        key,
        client_data: client_data.into_bytes(),
        signature: sign(&message),
        authenticator_data,
        challenge: vec![challenge; 32],
        rp_id: RP_ID.into(),
        origin: ORIGIN.into(),
    }
}

fn es256(challenge: u8) -> Signed {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let cose = [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32], x, &[0x22, 0x58, 32], y].concat();
    signed(cose, challenge, |message| key.sign(&random, message).unwrap().as_ref().to_vec())
}

fn eddsa(challenge: u8) -> Signed {
    let key = Ed25519KeyPair::from_seed_unchecked(&[challenge; 32]).unwrap();
    let cose = [&[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32], key.public_key().as_ref()].concat();
    signed(cose, challenge, |message| key.sign(message).as_ref().to_vec())
}

fn rs256(challenge: u8) -> Signed {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    // RSAPublicKey (RFC 8017): two heads of four bytes, a zero byte, and the modulus.
    let modulus = &key.public_key().as_ref()[9..265];
    let cose = [&[0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59, 1, 0], modulus, &[0x21, 0x43, 1, 0, 1]].concat();
    signed(cose, challenge, |message| {
        let mut out = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &aws_lc_rs::rand::SystemRandom::new(), message, &mut out).unwrap();
        out
    })
}

/// Why it is refused.
fn refusal(signed: &Signed) -> Option<String> {
    let assertion = Assertion {
        credential_id: Vec::new(),
        authenticator_data: signed.authenticator_data.clone(),
        client_data_json: signed.client_data.clone(),
        signature: signed.signature.clone(),
        client_extension_results: String::new(),
    };
    let origins = [signed.origin.clone()];
    let expected = Expected { challenge: &signed.challenge, rp_id: &signed.rp_id, origins: &origins, top_origins: &[] };
    let verified = CredentialKey::parse(&signed.key).and_then(|key| verify(&assertion, &key, &expected));
    verified.err().map(|refusal| refusal.detail)
}

#[test]
fn no_mutated_assertion_is_accepted() {
    let (count, mut random) = settings();
    let known = [es256, eddsa, rs256].map(|make| [make(7), make(8)]);
    for signed in known.iter().flatten() {
        assert_eq!(refusal(signed), None, "the assertion that is mutated holds");
    }
    let mut reasons = BTreeMap::<String, usize>::new();
    let mut tried = 0;
    while tried < count {
        let pair = random.one_of(&known);
        let (signed, other) = if random.below(2) == 0 { (&pair[0], &pair[1]) } else { (&pair[1], &pair[0]) };
        let mutation = mutated(&mut random, signed, other);
        if mutation == *signed {
            continue;
        }
        tried += 1;
        let refusal = refusal(&mutation).unwrap_or_else(|| panic!("mutation {tried} is accepted: {mutation:?}"));
        *reasons.entry(refusal.split(':').next().unwrap().to_owned()).or_default() += 1;
    }
    println!("{tried} mutated assertions: {reasons:?}");
    let deep = reasons["assertion.signature"];
    assert!(deep > count / 5, "only {deep} of {count} reached the signature");
}
