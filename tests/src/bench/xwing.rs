//! HPKE (RFC 9180, base mode, X-Wing, HKDF-SHA256, AES-256-GCM) over aws-lc, for the floor alone.
//!
//! Nothing that runs in a product links it; a test holds it against the crate `hpke` in both directions.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, EphemeralPrivateKey, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::digest::{Context, Digest, SHA3_256};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768};
use aws_lc_rs::rand::SystemRandom;

use super::floor::hmac_sha256;

const ML_KEM_KEY_BYTES: usize = 1184;
const ML_KEM_CIPHERTEXT_BYTES: usize = 1088;
const X25519_BYTES: usize = 32;
/// The label of X-Wing's combiner (draft-connolly-cfrg-xwing-kem).
const LABEL: &[u8] = b"\\.//^\\";
/// "HPKE-v1" and the suite: KEM 0x647a, KDF 1, AEAD 2.
const SUITE: &[u8] = b"HPKE-v1HPKE\x64\x7a\x00\x01\x00\x02";

/// A key pair of X-Wing.
pub(super) struct Recipient {
    ml_kem: DecapsulationKey,
    x25519: PrivateKey,
    /// ML-KEM-768 encapsulation key ‖ X25519 public key.
    pub(super) public: Vec<u8>,
}

impl Recipient {
    pub(super) fn generate() -> Result<Self, Unspecified> {
        let (ml_kem, x25519) = (DecapsulationKey::generate(&ML_KEM_768)?, PrivateKey::generate(&X25519)?);
        let mut public = ml_kem.encapsulation_key()?.key_bytes()?.as_ref().to_vec();
        public.extend_from_slice(x25519.compute_public_key()?.as_ref());
        Ok(Self { ml_kem, x25519, public })
    }
}

/// Encapsulated key ‖ ciphertext.
pub(super) fn seal(public: &[u8], info: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let (ml_kem, x25519) = public.split_at_checked(ML_KEM_KEY_BYTES).ok_or(Unspecified)?;
    let (ciphertext, ml_kem_secret) =
        EncapsulationKey::new(&ML_KEM_768, ml_kem).map_err(|_| Unspecified)?.encapsulate()?;
    let ephemeral = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new())?;
    let ephemeral_public = ephemeral.compute_public_key()?;
    let peer = agreement::UnparsedPublicKey::new(&X25519, x25519);
    let shared = agreement::agree_ephemeral(ephemeral, peer, Unspecified, |secret| {
        Ok(combine(ml_kem_secret.as_ref(), secret, ephemeral_public.as_ref(), x25519))
    })?;
    let (key, nonce) = schedule(shared.as_ref(), info)?;
    let tag_len = AES_256_GCM.tag_len();
    let mut out = Vec::with_capacity(ML_KEM_CIPHERTEXT_BYTES + X25519_BYTES + plaintext.len() + tag_len);
    out.extend_from_slice(ciphertext.as_ref());
    out.extend_from_slice(ephemeral_public.as_ref());
    let start = out.len();
    out.extend_from_slice(plaintext);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), out.get_mut(start..).ok_or(Unspecified)?)?;
    out.extend_from_slice(tag.as_ref());
    Ok(out)
}

/// Opens what [`seal`] gave.
pub(super) fn open(recipient: &Recipient, info: &[u8], message: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let (ml_kem, rest) = message.split_at_checked(ML_KEM_CIPHERTEXT_BYTES).ok_or(Unspecified)?;
    let (x25519, sealed) = rest.split_at_checked(X25519_BYTES).ok_or(Unspecified)?;
    let ml_kem_secret = recipient.ml_kem.decapsulate(Ciphertext::from(ml_kem))?;
    let own = recipient.public.get(ML_KEM_KEY_BYTES..).ok_or(Unspecified)?;
    let peer = UnparsedPublicKey::new(&X25519, x25519);
    let shared = agreement::agree(&recipient.x25519, peer, Unspecified, |secret| {
        Ok(combine(ml_kem_secret.as_ref(), secret, x25519, own))
    })?;
    let (key, nonce) = schedule(shared.as_ref(), info)?;
    let mut out = sealed.to_vec();
    let len = key.open_in_place(nonce, Aad::empty(), &mut out)?.len();
    out.truncate(len);
    Ok(out)
}

fn combine(ml_kem: &[u8], x25519: &[u8], ephemeral: &[u8], public: &[u8]) -> Digest {
    let mut context = Context::new(&SHA3_256);
    for part in [ml_kem, x25519, ephemeral, public, LABEL] {
        context.update(part);
    }
    context.finish()
}

/// RFC 9180, section 5.1, mode base.
fn schedule(shared: &[u8], info: &[u8]) -> Result<(LessSafeKey, Nonce), Unspecified> {
    let psk_id_hash = hmac_sha256(&[], &[SUITE, b"psk_id_hash"]);
    let info_hash = hmac_sha256(&[], &[SUITE, b"info_hash", info]);
    let secret = hmac_sha256(shared, &[SUITE, b"secret"]);
    let expand = |length: [u8; 2], label: &[u8]| {
        let context = [&[0], psk_id_hash.as_ref(), info_hash.as_ref()];
        hmac_sha256(secret.as_ref(), &[&length, SUITE, label, context[0], context[1], context[2], &[1]])
    };
    let (key, nonce) = (expand([0, 32], b"key"), expand([0, 12], b"base_nonce"));
    let key = UnboundKey::new(&AES_256_GCM, key.as_ref())?;
    let nonce = nonce.as_ref().first_chunk::<12>().ok_or(Unspecified)?;
    Ok((LessSafeKey::new(key), Nonce::assume_unique_for_key(*nonce)))
}

#[cfg(test)]
mod tests {
    use hpke::aead::AesGcm256;
    use hpke::kdf::HkdfSha256;
    use hpke::kem::{Kem, XWing};
    use hpke::{Deserializable, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal};

    use super::*;

    const INFO: &[u8] = b"an info";

    fn check(message: &[u8], open: impl Fn(&[u8]) -> Option<Vec<u8>>) {
        assert_eq!(open(message).as_deref(), Some(&b"a share"[..]));
        for at in [0, ML_KEM_CIPHERTEXT_BYTES, ML_KEM_CIPHERTEXT_BYTES + X25519_BYTES, message.len() - 1] {
            let mut altered = message.to_vec();
            altered[at] ^= 1;
            assert_eq!(open(&altered), None, "byte {at}");
        }
        assert_eq!(open(&message[..message.len() - 1]), None);
    }

    #[test]
    fn what_the_floor_seals_the_crate_opens() {
        let (private, public) = XWing::derive_keypair(&[7; 32]);
        let message = seal(&public.to_bytes(), INFO, b"a share").unwrap();
        check(&message, |message| {
            let (encapsulated, ciphertext) = message.split_at(ML_KEM_CIPHERTEXT_BYTES + X25519_BYTES);
            let encapsulated = <XWing as Kem>::EncappedKey::from_bytes(encapsulated).ok()?;
            let mode = OpModeR::Base;
            single_shot_open::<AesGcm256, HkdfSha256, XWing>(&mode, &private, &encapsulated, INFO, ciphertext, b"").ok()
        });
    }

    #[test]
    fn what_the_crate_seals_the_floor_opens() {
        let recipient = Recipient::generate().unwrap();
        let public = <XWing as Kem>::PublicKey::from_bytes(&recipient.public).unwrap();
        let mode = OpModeS::Base;
        let (encapsulated, ciphertext) =
            single_shot_seal::<AesGcm256, HkdfSha256, XWing>(&mode, &public, INFO, b"a share", b"").unwrap();
        let message = [encapsulated.to_bytes().as_slice(), &ciphertext].concat();
        check(&message, |message| open(&recipient, INFO, message).ok());
    }
}
