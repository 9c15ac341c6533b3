//! Ceremonies recorded from Chromium's virtual authenticator (`make record-passkeys`), through the core's verifier.
//!
//! Each file says by itself what a verifier must make of each; mutations of all that are accepted are refused.

use serde_json::Value;
use strongroom_core::Refusal;
use strongroom_core::webauthn::{CredentialKey, Expected, Verified, verify};
use strongroom_proto::v1::{Assertion, Reason};

use crate::files;

pub(crate) const FILES: [&str; 6] = ["algorithms", "users", "backups", "extensions", "origins", "forged"];

/// A ceremony, and what its file expects.
#[derive(Clone)]
pub(crate) struct Ceremony {
    name: String,
    challenge: Vec<u8>,
    rp_id: String,
    origins: Vec<String>,
    top_origins: Vec<String>,
    public_key: Vec<u8>,
    assertion: Assertion,
    expect: Result<Verified, (Reason, String)>,
}

/// A recorded registration: of the vector itself, or of the one before it.
pub(crate) fn registrations(file: &str) -> Vec<Value> {
    let vectors = files::read(&format!("passkeys/{file}.json"))["vectors"].as_array().unwrap().clone();
    let mut registration = Value::Null;
    vectors
        .into_iter()
        .map(|mut vector| {
            if vector["registration"].is_object() {
                registration = vector["registration"].clone();
            } else {
                vector["registration"] = registration.clone();
            }
            vector
        })
        .collect()
}

impl Ceremony {
    fn read(file: &str, vector: &Value) -> Self {
        let (asked, given) = (&vector["asked"], &vector["assertion"]);
        let list = |name: &str| -> Vec<String> { serde_json::from_value(asked[name].clone()).unwrap() };
        Self {
            name: format!("{file}: {}", files::text(vector, "name")),
            challenge: files::hex(asked, "challenge"),
            rp_id: files::text(asked, "rp_id").to_owned(),
            origins: list("origins"),
            top_origins: list("top_origins"),
            public_key: files::hex(&vector["registration"], "public_key"),
            assertion: Assertion {
                credential_id: files::hex(given, "credential_id"),
                authenticator_data: files::hex(given, "authenticator_data"),
                client_data_json: files::hex(given, "client_data_json"),
                signature: files::hex(given, "signature"),
                client_extension_results: files::text(given, "client_extension_results").to_owned(),
            },
            expect: expect(&vector["expect"]),
        }
    }

    fn verify(&self) -> Result<Verified, Refusal> {
        let key = CredentialKey::parse(&self.public_key)?;
        let Self { challenge, rp_id, origins, top_origins, .. } = self;
        verify(&self.assertion, &key, &Expected { challenge, rp_id, origins, top_origins })
    }
}

fn expect(expect: &Value) -> Result<Verified, (Reason, String)> {
    if let Some(accepted) = expect.get("accepted") {
        return Ok(Verified { backup_eligible: accepted["backup_eligible"].as_bool().unwrap() });
    }
    let refused = &expect["refused"];
    let reason = Reason::from_str_name(&format!("REASON_{}", files::text(refused, "reason"))).unwrap();
    Err((reason, files::text(refused, "detail").to_owned()))
}

fn ceremonies() -> Vec<Ceremony> {
    let read = |file| registrations(file).into_iter().map(move |vector| Ceremony::read(file, &vector));
    FILES.into_iter().flat_map(read).collect()
}

fn accepted() -> Vec<Ceremony> {
    ceremonies().into_iter().filter(|ceremony| ceremony.expect.is_ok()).collect()
}

#[test]
fn each_ceremony_is_decided_as_its_file_says() {
    let (mut accepted, mut refused) = (0, 0);
    for ceremony in ceremonies() {
        let name = &ceremony.name;
        match (ceremony.verify(), &ceremony.expect) {
            (Ok(got), Ok(expect)) => {
                assert_eq!(got, *expect, "{name}");
                accepted += 1;
            }
            (Err(got), Err((reason, detail))) => {
                assert_eq!(got.reason, *reason, "{name}: {}", got.detail);
                assert!(got.detail.starts_with(detail), "{name}: {} instead of {detail}", got.detail);
                refused += 1;
            }
            (got, expect) => panic!("{name}: {got:?} instead of {expect:?}"),
        }
    }
    println!("{accepted} ceremonies accepted, {refused} refused");
    assert!(accepted >= 20 && refused > accepted, "{accepted} accepted, {refused} refused");
}

#[test]
fn every_algorithm_is_among_the_accepted() {
    for kind in ["Es256", "EdDsa", "Rs256"] {
        let has = |it: &Ceremony| format!("{:?}", CredentialKey::parse(&it.public_key).unwrap()).starts_with(kind);
        assert!(accepted().iter().filter(|it| has(it)).count() >= 1, "no {kind}");
    }
}

type Part = fn(&mut Ceremony) -> &mut Vec<u8>;

/// What the signature binds, one way or the other.
const PARTS: [(&str, Part); 5] = [
    ("authenticator_data", |it| &mut it.assertion.authenticator_data),
    ("client_data_json", |it| &mut it.assertion.client_data_json),
    ("signature", |it| &mut it.assertion.signature),
    ("public_key", |it| &mut it.public_key),
    ("challenge", |it| &mut it.challenge),
];

#[test]
fn one_flipped_bit_in_any_part_is_refused() {
    let mut refused = 0;
    for ceremony in accepted() {
        for (part, of) in PARTS {
            for at in 0..of(&mut ceremony.clone()).len() {
                // Every bit of the flags, one bit of every other byte.
                let every = part == "authenticator_data" && at == 32;
                for bit in (0..8).filter(|bit| every || *bit == at % 8) {
                    let mut altered = ceremony.clone();
                    of(&mut altered)[at] ^= 1 << bit;
                    assert!(altered.verify().is_err(), "{}: {part}, byte {at}, bit {bit}", ceremony.name);
                    refused += 1;
                }
            }
        }
    }
    println!("{refused} flipped bits refused");
}

#[test]
fn longer_and_shorter_parts_are_refused() {
    for ceremony in accepted() {
        for (part, of) in PARTS {
            let whole = of(&mut ceremony.clone()).clone();
            let cut = [0, 1, whole.len() / 2, whole.len() - 1].map(|len| whole[..len].to_vec());
            let longer = [&[0], &b" "[..], &whole].map(|more| [&whole[..], more].concat());
            for other in cut.into_iter().chain(longer) {
                let mut altered = ceremony.clone();
                of(&mut altered).clone_from(&other);
                assert!(altered.verify().is_err(), "{}: {part} of {} bytes", ceremony.name, other.len());
            }
        }
    }
}

#[test]
fn parts_of_two_ceremonies_are_refused_together() {
    let accepted = accepted();
    let mut refused = 0;
    for (one, other) in accepted.iter().flat_map(|one| accepted.iter().map(move |other| (one, other))) {
        for (part, of) in PARTS {
            let mut mixed = one.clone();
            of(&mut mixed).clone_from(of(&mut other.clone()));
            // Two assertions may have the same authenticator data, and one credential has one key.
            let same = of(&mut mixed) == of(&mut one.clone());
            assert_eq!(mixed.verify().is_ok(), same, "{} with the {part} of {}", one.name, other.name);
            refused += usize::from(!same);
        }
    }
    println!("{refused} mixed ceremonies refused");
}

type Change = fn(&mut Ceremony);

#[test]
fn what_is_asked_is_part_of_the_answer() {
    for ceremony in accepted() {
        let cases: [(Reason, Change); 6] = [
            (Reason::ProofRejected, |it| it.rp_id.insert(0, 'x')),
            (Reason::ProofRejected, |it| it.rp_id.clear()),
            (Reason::OriginNotAllowed, |it| it.origins.clear()),
            (Reason::OriginNotAllowed, |it| it.origins.iter_mut().for_each(|origin| origin.push('/'))),
            (Reason::PrfResultPresent, |it| {
                it.assertion.client_extension_results = r#"{"prf":{"results":{"first":"AAAA"}}}"#.to_owned();
            }),
            (Reason::PrfResultPresent, |it| {
                it.assertion.client_extension_results = r#"{"hmacGetSecret":{"output1":"AAAA"}}"#.to_owned();
            }),
        ];
        for (index, (reason, change)) in cases.into_iter().enumerate() {
            let mut changed = ceremony.clone();
            change(&mut changed);
            let got = changed.verify().expect_err(&ceremony.name);
            assert_eq!(got.reason, reason, "{}, case {index}: {}", ceremony.name, got.detail);
        }
        let mut framed = ceremony.clone();
        let is_framed = !std::mem::take(&mut framed.top_origins).is_empty();
        assert_eq!(framed.verify().is_err(), is_framed, "{}: without top origins", ceremony.name);
    }
}
