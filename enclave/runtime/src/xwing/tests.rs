//! Held against the draft's vectors and against `hpke`'s own X-Wing.

use std::collections::HashMap;
use std::convert::Infallible;

use aws_lc_rs::digest::SHA256;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::rand_core::{Rng, TryCryptoRng, TryRng};
use hpke::{Deserializable, OpModeR, OpModeS};
use subtle::ConstantTimeEq;

use super::*;

type Plain = hpke::kem::XWing;

/// Rounds of the random tests.
const ROUNDS: u32 = 300;

/// Bytes of an encapsulated key.
const ENCAPPED_BYTES: usize = ML_KEM_CIPHERTEXT_BYTES + SECRET_BYTES;

/// Given bytes first, and SHA-256 in counter mode of a seed after them.
struct Random {
    first: Vec<u8>,
    seed: [u8; 32],
    count: u64,
}

impl Random {
    /// From a seed that is printed.
    fn new(test: &str) -> Self {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).unwrap();
        println!("{test}: seed {}", hex::encode(seed));
        Self { first: Vec::new(), seed, count: 0 }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill_bytes(&mut out);
        out
    }

    fn below(&mut self, max: usize) -> usize {
        usize::try_from(u64::from_be_bytes(self.bytes()) % u64::try_from(max).unwrap()).unwrap()
    }
}

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.bytes()))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for byte in out {
            if self.first.is_empty() {
                self.count += 1;
                let block = [&self.seed[..], &self.count.to_be_bytes()].concat();
                self.first = digest::digest(&SHA256, &block).as_ref().to_vec();
            }
            *byte = self.first.remove(0);
        }
        Ok(())
    }
}

impl TryCryptoRng for Random {}

fn private<K: Kem>(seed: &[u8]) -> K::PrivateKey {
    K::PrivateKey::from_bytes(seed).unwrap()
}

fn public<K: Kem>(bytes: &[u8]) -> K::PublicKey {
    K::PublicKey::from_bytes(bytes).unwrap()
}

/// The secret that an encapsulated key leads to.
fn decapsulate<K: Kem>(seed: &[u8], encapped: &[u8]) -> Result<Vec<u8>, HpkeError> {
    let encapped = K::EncappedKey::from_bytes(encapped).unwrap();
    K::decap(&private::<K>(seed), None, &encapped).map(|secret| secret.0.to_vec())
}

fn seal<K: Kem>(to: &[u8], info: &[u8], message: &[u8], random: &mut Random) -> Vec<u8> {
    let (encapped, sealed) = hpke::single_shot_seal_with_rng::<AesGcm256, HkdfSha256, K>(
        &OpModeS::Base,
        &public::<K>(to),
        info,
        message,
        b"",
        random,
    )
    .unwrap();
    [&encapped.to_bytes()[..], &sealed].concat()
}

fn open<K: Kem>(key: &K::PrivateKey, info: &[u8], sealed: &[u8]) -> Result<Vec<u8>, HpkeError> {
    let (encapped, sealed) = sealed.split_at(ENCAPPED_BYTES);
    let encapped = K::EncappedKey::from_bytes(encapped)?;
    hpke::single_shot_open::<AesGcm256, HkdfSha256, K>(&OpModeR::Base, key, &encapped, info, sealed, b"")
}

#[test]
fn the_drafts_vectors_hold_here_and_in_the_other_code() {
    let text = include_str!("vectors.txt");
    let vectors: Vec<HashMap<&str, Vec<u8>>> = text
        .split("\n\n")
        .skip(1)
        .map(|vector| {
            let fields = vector.lines().map(|line| line.split_once(" = ").unwrap());
            fields.map(|(name, value)| (name, hex::decode(value).unwrap())).collect()
        })
        .collect();
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        assert_eq!(XWing::sk_to_pk(&private::<XWing>(&vector["sk"])).to_bytes()[..], vector["pk"]);
        assert_eq!(decapsulate::<XWing>(&vector["sk"], &vector["ct"]).unwrap(), vector["ss"]);

        assert_eq!(Plain::sk_to_pk(&private::<Plain>(&vector["sk"])).to_bytes()[..], vector["pk"]);
        let mut random = Random { first: vector["eseed"].clone(), seed: [0; 32], count: 0 };
        let (secret, encapped) = Plain::encap_with_rng(&public::<Plain>(&vector["pk"]), None, &mut random).unwrap();
        assert_eq!((&secret.0[..], &encapped.to_bytes()[..]), (&vector["ss"][..], &vector["ct"][..]));
    }
}

#[test]
fn what_one_seals_the_other_opens() {
    let mut random = Random::new("what_one_seals_the_other_opens");
    for round in 0..ROUNDS {
        let seed: [u8; 32] = random.bytes();
        let (ours, plain) = (private::<XWing>(&seed), private::<Plain>(&seed));
        let key = XWing::sk_to_pk(&ours).to_bytes();
        assert_eq!(key, Plain::sk_to_pk(&plain).to_bytes(), "round {round}");
        assert_eq!(ours.to_bytes()[..], seed);
        let (info, mut message): ([u8; 40], Vec<u8>) = (random.bytes(), random.bytes::<256>().into());
        message.truncate(random.below(257));

        let by_us = seal::<XWing>(&key, &info, &message, &mut random);
        assert_eq!(open::<Plain>(&plain, &info, &by_us).unwrap(), message, "round {round}");
        let by_plain = seal::<Plain>(&key, &info, &message, &mut random);
        assert_eq!(open::<XWing>(&ours, &info, &by_plain).unwrap(), message, "round {round}");
        assert!(open::<XWing>(&ours, &info[1..], &by_plain).is_err(), "round {round}");

        // Both halves of an altered ciphertext lead to a secret, the same one in both codes, and it opens nothing.
        let (at, bit) = (random.below(by_plain.len()), random.below(8));
        let mut altered = by_plain.clone();
        altered[at] ^= 1 << bit;
        assert!(open::<XWing>(&ours, &info, &altered).is_err(), "round {round}: byte {at}");
        let encapped = &altered[..ENCAPPED_BYTES];
        assert_eq!(
            decapsulate::<XWing>(&seed, encapped),
            decapsulate::<Plain>(&seed, encapped),
            "round {round}: byte {at}"
        );
    }
}

/// Sets a 12-bit coefficient of a public key.
fn set_coefficient(key: &mut [u8], index: usize, value: u16) {
    let at = index / 2 * 3;
    let [low, high] = value.to_le_bytes();
    if index.is_multiple_of(2) {
        (key[at], key[at + 1]) = (low, key[at + 1] & 0xf0 | high);
    } else {
        (key[at + 1], key[at + 2]) = (key[at + 1] & 0x0f | low << 4, low >> 4 | high << 4);
    }
}

#[test]
fn public_keys_are_refused_as_the_other_code_refuses_them() {
    let mut random = Random::new("public_keys_are_refused_as_the_other_code_refuses_them");
    let good = XWing::sk_to_pk(&private::<XWing>(&random.bytes::<32>())).to_bytes().to_vec();
    let check = |key: &[u8], expect: Option<HpkeError>, what: &str| {
        let ours = <XWing as Kem>::PublicKey::from_bytes(key).err();
        assert_eq!(ours, expect, "{what}");
        assert_eq!(ours, <Plain as Kem>::PublicKey::from_bytes(key).err(), "{what}");
    };
    check(&good, None, "good");
    for length in [0, 32, 1184, 1215] {
        check(&good[..length], Some(HpkeError::IncorrectInputLength(1216, length)), "truncated");
    }
    check(&[&good[..], &[0]].concat(), Some(HpkeError::IncorrectInputLength(1216, 1217)), "longer");
    let coefficients = 3 * 256;
    let random_ones: Vec<usize> = (0..ROUNDS).map(|_| random.below(coefficients)).collect();
    for index in [0, 1, 2, coefficients - 2, coefficients - 1].into_iter().chain(random_ones) {
        for (value, is_good) in [(0, true), (3328, true), (3329, false), (3330, false), (4095, false)] {
            let mut key = good.clone();
            set_coefficient(&mut key, index, value);
            check(&key, (!is_good).then_some(HpkeError::ValidationError), &format!("coefficient {index} is {value}"));
        }
    }
}

/// X25519 points whose product with any private key is zero, with the highest bit clear and set.
fn low_order_points() -> Vec<[u8; 32]> {
    let both = |point: &[u8; 32]| {
        let mut set = *point;
        set[31] |= 0x80;
        [*point, set]
    };
    keys::LOW_ORDER.iter().flat_map(both).collect()
}

#[test]
fn points_of_low_order_are_refused_where_the_other_code_takes_them() {
    let mut random = Random::new("points_of_low_order_are_refused_where_the_other_code_takes_them");
    let seed: [u8; 32] = random.bytes();
    let key = XWing::sk_to_pk(&private::<XWing>(&seed)).to_bytes().to_vec();
    let sealed = seal::<Plain>(&key, b"", b"", &mut random);
    for point in low_order_points() {
        let key = [&key[..ML_KEM_PUBLIC_BYTES], &point].concat();
        assert_eq!(<XWing as Kem>::PublicKey::from_bytes(&key).err(), Some(HpkeError::ValidationError), "{point:02x?}");
        assert!(<Plain as Kem>::PublicKey::from_bytes(&key).is_ok());
        let encapped = [&sealed[..ML_KEM_CIPHERTEXT_BYTES], &point].concat();
        assert_eq!(decapsulate::<XWing>(&seed, &encapped), Err(HpkeError::DecapError), "{point:02x?}");
        assert!(decapsulate::<Plain>(&seed, &encapped).is_ok());
    }
    // The neighbours of each are keys like any other.
    for point in low_order_points() {
        let mut near = point;
        near[0] ^= 0x10;
        let key = [&key[..ML_KEM_PUBLIC_BYTES], &near].concat();
        assert!(<XWing as Kem>::PublicKey::from_bytes(&key).is_ok(), "{near:02x?}");
    }
}

#[test]
fn no_sender_is_authenticated_and_no_other_length_is_read() {
    let mut random = Random::new("no_sender_is_authenticated_and_no_other_length_is_read");
    let (key, public) = XWing::derive_keypair(&random.bytes::<32>());
    assert!(matches!(XWing::encap_with_rng(&public, Some((&key, &public)), &mut random), Err(HpkeError::EncapError)));
    let (_, encapped) = XWing::encap_with_rng(&public, None, &mut random).unwrap();
    assert!(matches!(XWing::decap(&key, Some(&public), &encapped), Err(HpkeError::DecapError)));
    for length in [0, 31, 33, 64] {
        let refused = <XWing as Kem>::PrivateKey::from_bytes(&vec![1; length]).err();
        assert_eq!(refused, Some(HpkeError::IncorrectInputLength(32, length)));
    }
    for length in [0, 32, 1088, 1119, 1121] {
        assert!(<XWing as Kem>::EncappedKey::from_bytes(&vec![1; length]).is_err());
        assert!(<Plain as Kem>::EncappedKey::from_bytes(&vec![1; length]).is_err());
    }
}

#[test]
fn a_derived_key_is_the_other_codes_and_none_is_printed() {
    let mut random = Random::new("a_derived_key_is_the_other_codes_and_none_is_printed");
    let ikm: [u8; 32] = random.bytes();
    let ((ours, public), (plain, _)) = (XWing::derive_keypair(&ikm), Plain::derive_keypair(&ikm));
    assert_eq!(ours.to_bytes(), plain.to_bytes());
    assert_eq!(public, XWing::sk_to_pk(&ours));
    assert_eq!(format!("{ours:?}"), "PrivateKey([redacted])");
    assert!(bool::from(ours.ct_eq(&ours.clone())));
    assert!(!bool::from(ours.ct_eq(&XWing::derive_keypair(&[1; 32]).0)));
    assert_eq!(<XWing as Kem>::KEM_ID, <Plain as Kem>::KEM_ID);
}
