//! X-Wing vectors that the npm packages `@hpke/core` and `@hpke/hybridkem-x-wing` made, with the suite of `enclave/core/src/channel.rs`
//! and `sdk/src/seal.rs`.

use std::convert::Infallible;

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{
    Deserializable, HpkeError, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal_with_rng,
};
use serde_json::Value;
use strongroom_core::XWing;
use strongroom_proto::limits::{CHANNEL_KEY_BYTES, ENCAPSULATED_KEY_BYTES};

use crate::files;

/// Bytes of an encapsulated key that belong to ML-KEM-768; the rest is X25519's.
const ML_KEM_BYTES: usize = 1088;

/// About as many bytes of each part are altered.
const FLIPS: usize = 12;

#[derive(Clone)]
struct Message {
    name: String,
    seed: Vec<u8>,
    public_key: Vec<u8>,
    info: Vec<u8>,
    aad: Vec<u8>,
    plaintext: Vec<u8>,
    eseed: Vec<u8>,
    enc: Vec<u8>,
    ciphertext: Vec<u8>,
}

type Part = fn(&mut Message) -> &mut Vec<u8>;

/// What opening depends on.
const PARTS: [(&str, Part); 5] = [
    ("seed", |message| &mut message.seed),
    ("enc", |message| &mut message.enc),
    ("info", |message| &mut message.info),
    ("aad", |message| &mut message.aad),
    ("ciphertext", |message| &mut message.ciphertext),
];

impl Message {
    fn read(vector: &Value) -> Self {
        let hex = |name| files::hex(vector, name);
        Self {
            name: files::text(vector, "name").to_owned(),
            seed: hex("seed"),
            public_key: hex("public_key"),
            info: hex("info"),
            aad: hex("aad"),
            plaintext: hex("plaintext"),
            eseed: hex("eseed"),
            enc: hex("enc"),
            ciphertext: hex("ciphertext"),
        }
    }

    fn open(&self) -> Result<Vec<u8>, HpkeError> {
        let key = <XWing as Kem>::PrivateKey::from_bytes(&self.seed)?;
        let enc = <XWing as Kem>::EncappedKey::from_bytes(&self.enc)?;
        let (info, aad) = (&self.info, &self.aad);
        single_shot_open::<AesGcm256, HkdfSha256, XWing>(&OpModeR::Base, &key, &enc, info, &self.ciphertext, aad)
    }

    /// Seals again with the same randomness: enc and ciphertext.
    fn seal(&self) -> Result<(Vec<u8>, Vec<u8>), HpkeError> {
        let key = <XWing as Kem>::PublicKey::from_bytes(&self.public_key)?;
        let mut random = Given(self.eseed.clone());
        let (info, aad) = (&self.info, &self.aad);
        let (enc, ciphertext) = single_shot_seal_with_rng::<AesGcm256, HkdfSha256, XWing>(
            &OpModeS::Base,
            &key,
            info,
            &self.plaintext,
            aad,
            &mut random,
        )?;
        assert!(random.0.is_empty(), "{}: not all of eseed was used", self.name);
        Ok((enc.to_bytes().to_vec(), ciphertext))
    }
}

/// Randomness that is given.
pub(crate) struct Given(pub(crate) Vec<u8>);

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("KEMs draw bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("KEMs draw bytes")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(self.0.drain(..out.len()).as_slice());
        Ok(())
    }
}

impl TryCryptoRng for Given {}

fn messages() -> Vec<Message> {
    files::read("hpke/xwing.json")["vectors"].as_array().unwrap().iter().map(Message::read).collect()
}

#[test]
fn what_another_implementation_sealed_opens() {
    let messages = messages();
    assert_eq!(messages.len(), 12);
    for message in messages {
        let name = &message.name;
        let key = <XWing as Kem>::PrivateKey::from_bytes(&message.seed).unwrap();
        assert_eq!(XWing::sk_to_pk(&key).to_bytes().as_slice(), message.public_key, "{name}: public key");
        assert_eq!(message.open().as_ref(), Ok(&message.plaintext), "{name}");
        assert_eq!(message.seal(), Ok((message.enc.clone(), message.ciphertext.clone())), "{name}: sealed alike");
        assert_eq!((message.public_key.len(), message.enc.len()), (CHANNEL_KEY_BYTES, ENCAPSULATED_KEY_BYTES));
    }
}

#[test]
fn altered_messages_do_not_open() {
    let mut refused = 0;
    for message in messages() {
        for (part, of) in PARTS {
            let len = of(&mut message.clone()).len();
            let step = len.div_ceil(FLIPS).max(1);
            let ends = [0, len.wrapping_sub(1), ML_KEM_BYTES - 1, ML_KEM_BYTES];
            for at in (0..len).filter(|at| at % step == 0 || ends.contains(at)) {
                let mut altered = message.clone();
                of(&mut altered)[at] ^= 1 << (at % 8);
                assert!(altered.open().is_err(), "{}: {part}, byte {at}", message.name);
                refused += 1;
            }
            for longer in [false, true] {
                let mut altered = message.clone();
                let bytes = of(&mut altered);
                if longer {
                    bytes.push(0);
                } else if bytes.pop().is_none() {
                    continue;
                }
                assert!(altered.open().is_err(), "{}: {part} longer: {longer}", message.name);
                refused += 1;
            }
        }
        // X25519 itself ignores the highest bit of a point.
        let mut altered = message.clone();
        *altered.enc.last_mut().unwrap() ^= 0x80;
        assert!(altered.open().is_err(), "{}: highest bit of the point", message.name);
    }
    println!("{refused} altered messages refused");
}

#[test]
fn parts_of_two_messages_do_not_open() {
    let messages = messages();
    for (one, other) in messages.iter().flat_map(|one| messages.iter().map(move |other| (one, other))) {
        for (part, of) in PARTS {
            let mut mixed = one.clone();
            of(&mut mixed).clone_from(of(&mut other.clone()));
            let same = of(&mut mixed) == of(&mut one.clone());
            assert_eq!(mixed.open().is_ok(), same, "{} with the {part} of {}", one.name, other.name);
        }
    }
}
