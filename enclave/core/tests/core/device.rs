//! A device: its passkey, what it seals and what it opens.

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::Kem;
use hpke::{Deserializable, OpModeR, OpModeS, Serializable};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use strongroom_core::XWing;
use strongroom_proto::id::sha256;
use strongroom_proto::v1::Assertion;

use crate::tenant::{ORIGIN, RP_ID};
use crate::world::Random;

pub(crate) const UP: u8 = 0x01;
pub(crate) const UV: u8 = 0x04;
pub(crate) const BE: u8 = 0x08;
pub(crate) const BS: u8 = 0x10;
pub(crate) const AT: u8 = 0x40;
pub(crate) const ED: u8 = 0x80;

/// The key of RFC 6979, appendix A.2.5: private scalar, and the point without its leading 4.
const P256_SCALAR: &str = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
const P256_POINT: &str = "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
                          7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    let alphabet: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']).collect();
    let bits: Vec<bool> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1 == 1)).collect();
    bits.chunks(6)
        .map(|chunk| alphabet[(0..6).fold(0, |n, i| n << 1 | usize::from(*chunk.get(i).unwrap_or(&false)))])
        .collect()
}

enum Signer {
    Es256(Box<EcdsaKeyPair>),
    EdDsa(Ed25519KeyPair),
}

/// A software passkey.
pub(crate) struct Passkey {
    pub(crate) id: Vec<u8>,
    signer: Signer,
}

/// What the client and the authenticator of one assertion do. Each test changes one thing of the honest one.
#[derive(Clone)]
pub(crate) struct Ceremony {
    pub(crate) r#type: &'static str,
    /// Other bytes than the intent's hash.
    pub(crate) challenge: Option<Vec<u8>>,
    pub(crate) origin: String,
    /// Members after the origin, as JSON with leading commas.
    pub(crate) members: String,
    pub(crate) rp_id: &'static str,
    pub(crate) flags: u8,
    /// What follows the counter.
    pub(crate) tail: Vec<u8>,
    pub(crate) extension_results: String,
}

pub(crate) fn honest() -> Ceremony {
    Ceremony {
        r#type: "webauthn.get",
        challenge: None,
        origin: ORIGIN.into(),
        members: r#","crossOrigin":false"#.into(),
        rp_id: RP_ID,
        flags: UP | UV | BE | BS,
        tail: Vec::new(),
        extension_results: String::new(),
    }
}

impl Passkey {
    pub(crate) fn es256() -> Self {
        let point = [vec![4], unhex(P256_POINT)].concat();
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let key = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &unhex(P256_SCALAR), &point, &random);
        Self { id: b"the user's passkey".to_vec(), signer: Signer::Es256(Box::new(key.unwrap())) }
    }

    /// Its signatures are deterministic.
    pub(crate) fn eddsa(seed: u8) -> Self {
        let key = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        Self { id: vec![seed; 16], signer: Signer::EdDsa(key) }
    }

    pub(crate) fn cose(&self) -> Vec<u8> {
        match &self.signer {
            Signer::Es256(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32], x, &[0x22, 0x58, 32], y].concat()
            }
            Signer::EdDsa(key) => [&[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32], key.public_key().as_ref()].concat(),
        }
    }

    pub(crate) fn key_hash(&self) -> Vec<u8> {
        sha256(&[&self.cose()]).to_vec()
    }

    pub(crate) fn assert(&self, intent: &[u8], ceremony: &Ceremony) -> Assertion {
        let hash = strongroom_proto::intent::hash(intent).0;
        let challenge = base64url(ceremony.challenge.as_deref().unwrap_or(&hash));
        let client_data_json = format!(
            r#"{{"type":"{}","challenge":"{challenge}","origin":"{}"{}}}"#,
            ceremony.r#type, ceremony.origin, ceremony.members
        )
        .into_bytes();
        let mut authenticator_data = sha256(&[ceremony.rp_id.as_bytes()]).to_vec();
        authenticator_data.push(ceremony.flags);
        authenticator_data.extend_from_slice(&[0; 4]);
        authenticator_data.extend_from_slice(&ceremony.tail);
        let signed = [&authenticator_data, digest(&SHA256, &client_data_json).as_ref()].concat();
        let signature = match &self.signer {
            Signer::Es256(key) => key.sign(&SystemRandom::new(), &signed).unwrap().as_ref().to_vec(),
            Signer::EdDsa(key) => key.sign(&signed).as_ref().to_vec(),
        };
        Assertion {
            credential_id: self.id.clone(),
            authenticator_data,
            client_data_json,
            signature,
            client_extension_results: ceremony.extension_results.clone(),
        }
    }
}

/// A key pair that releases are sealed to.
pub(crate) struct Recipient {
    secret: <XWing as Kem>::PrivateKey,
    pub(crate) public_key: Vec<u8>,
}

impl Recipient {
    pub(crate) fn new(seed: u8) -> Self {
        let secret = <XWing as Kem>::PrivateKey::from_bytes(&[seed; 32]).unwrap();
        let public_key = XWing::sk_to_pk(&secret).to_bytes().to_vec();
        Self { secret, public_key }
    }

    pub(crate) fn hash(&self) -> Vec<u8> {
        strongroom_proto::signed::recipient_hash(&self.public_key).unwrap().0.to_vec()
    }

    pub(crate) fn open(&self, info: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (encapsulated, ciphertext) = sealed.split_at_checked(1120)?;
        let encapsulated = <XWing as Kem>::EncappedKey::from_bytes(encapsulated).ok()?;
        let mode = &OpModeR::Base;
        hpke::single_shot_open::<AesGcm256, HkdfSha256, XWing>(mode, &self.secret, &encapsulated, info, ciphertext, b"")
            .ok()
    }
}

/// Seals to any X-Wing public key.
pub(crate) fn seal(random: &mut Random, public_key: &[u8], info: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let key = <XWing as Kem>::PublicKey::from_bytes(public_key).unwrap();
    let mode = &OpModeS::Base;
    let (encapsulated, ciphertext) =
        hpke::single_shot_seal_with_rng::<AesGcm256, HkdfSha256, XWing>(mode, &key, info, plaintext, b"", random)
            .unwrap();
    [encapsulated.to_bytes().to_vec(), ciphertext].concat()
}
