//! X-Wing (draft-connolly-cfrg-xwing-kem-10; KEM 0x647a of HPKE) with the ML-KEM-768, X25519 and SHA3-256 of aws-lc.
//!
//! Interoperates both ways with `hpke`'s own, which is several times slower, and takes its place in the
//! core. It never authenticates a sender, and takes no public key or ciphertext whose X25519 half is of
//! low order: the classical half of the secret would be a constant then.

mod keys;

use aws_lc_rs::agreement::{self, UnparsedPublicKey, X25519};
use aws_lc_rs::digest::{self, SHA3_256};
use aws_lc_rs::kem::{Ciphertext, EncapsulationKey, ML_KEM_768};
use hpke::HpkeError;
use hpke::Serializable;
use hpke::hybrid_array::Array;
use hpke::hybrid_array::typenum::U32;
use hpke::kem::{Kem, SharedSecret};
use hpke::rand_core::CryptoRng;
use zeroize::Zeroizing;

pub use keys::{EncappedKey, PrivateKey, PublicKey};

/// Bytes of the secrets of both halves, of X25519's keys, and of the shared secret.
const SECRET_BYTES: usize = 32;

/// Bytes of an ML-KEM-768 public key (FIPS 203, table 3).
const ML_KEM_PUBLIC_BYTES: usize = 1184;

/// Bytes of an ML-KEM-768 ciphertext.
const ML_KEM_CIPHERTEXT_BYTES: usize = 1088;

/// Ends the combiner's input.
const LABEL: &[u8; 6] = br"\.//^\";

/// The KEM as the core takes it.
#[derive(Clone, Copy, Debug)]
pub struct XWing;

impl Kem for XWing {
    type PublicKey = PublicKey;
    type PrivateKey = PrivateKey;
    type EncappedKey = EncappedKey;
    type NSecret = U32;

    const KEM_ID: u16 = 0x647a;

    fn sk_to_pk(sk: &PrivateKey) -> PublicKey {
        sk.public().clone()
    }

    /// The seed is derived by `hpke`: nothing here is worth a second implementation.
    fn derive_keypair(ikm: &[u8]) -> (PrivateKey, PublicKey) {
        let (derived, _) = <hpke::kem::XWing as Kem>::derive_keypair(ikm);
        let mut seed = Zeroizing::new([0; SECRET_BYTES]);
        derived.write_exact(seed.as_mut());
        let key = PrivateKey::expand(&seed).expect("every seed expands unless memory is exhausted");
        let public = key.public().clone();
        (key, public)
    }

    fn decap(
        sk_recip: &PrivateKey,
        pk_sender_id: Option<&PublicKey>,
        encapped_key: &EncappedKey,
    ) -> Result<SharedSecret<Self>, HpkeError> {
        if pk_sender_id.is_some() {
            return Err(HpkeError::DecapError);
        }
        let ciphertext = Ciphertext::from(encapped_key.ml_kem());
        let ml_kem = sk_recip.ml_kem().decapsulate(ciphertext).map_err(|_| HpkeError::DecapError)?;
        let of_sender = encapped_key.x25519();
        agree(sk_recip.x25519(), of_sender, HpkeError::DecapError, |x25519| {
            combine(ml_kem.as_ref(), x25519, of_sender, sk_recip.public().x25519())
        })
    }

    /// The X25519 half draws from `csprng`; ML-KEM draws from aws-lc's own generator, which takes no other.
    fn encap_with_rng(
        pk_recip: &PublicKey,
        sender_id_keypair: Option<(&PrivateKey, &PublicKey)>,
        csprng: &mut impl CryptoRng,
    ) -> Result<(SharedSecret<Self>, EncappedKey), HpkeError> {
        if sender_id_keypair.is_some() {
            return Err(HpkeError::EncapError);
        }
        let mut seed = Zeroizing::new([0; SECRET_BYTES]);
        csprng.fill_bytes(seed.as_mut());
        let ephemeral = agreement::PrivateKey::from_private_key(&X25519, seed.as_ref()).map_err(encap_failed)?;
        let of_sender = ephemeral.compute_public_key().map_err(encap_failed)?;
        let recipient = EncapsulationKey::new(&ML_KEM_768, pk_recip.ml_kem()).map_err(encap_failed)?;
        let (ciphertext, ml_kem) = recipient.encapsulate().map_err(encap_failed)?;
        let secret = agree(&ephemeral, pk_recip.x25519(), HpkeError::EncapError, |x25519| {
            combine(ml_kem.as_ref(), x25519, of_sender.as_ref(), pk_recip.x25519())
        })?;
        Ok((secret, EncappedKey::join(ciphertext.as_ref(), of_sender.as_ref())))
    }
}

/// aws-lc says nothing more of a failure.
fn encap_failed<E>(_: E) -> HpkeError {
    HpkeError::EncapError
}

/// X25519 (RFC 7748); refuses the all-zero result.
fn agree(
    ours: &agreement::PrivateKey,
    theirs: &[u8],
    failed: HpkeError,
    combine: impl FnOnce(&[u8]) -> SharedSecret<XWing>,
) -> Result<SharedSecret<XWing>, HpkeError> {
    agreement::agree(ours, UnparsedPublicKey::new(&X25519, theirs), failed, |secret| Ok(combine(secret)))
}

/// The shared secret: SHA3-256 over both secrets, X25519's ciphertext and public key, and the label.
fn combine(ml_kem: &[u8], x25519: &[u8], of_sender: &[u8], of_recipient: &[u8]) -> SharedSecret<XWing> {
    let mut input = Zeroizing::new([0; 4 * SECRET_BYTES + LABEL.len()]);
    let mut rest = input.as_mut_slice();
    for part in [ml_kem, x25519, of_sender, of_recipient, LABEL] {
        let (place, after) = rest.split_at_mut(part.len());
        place.copy_from_slice(part);
        rest = after;
    }
    let mut secret = SharedSecret(Array::default());
    secret.0.copy_from_slice(digest::digest(&SHA3_256, input.as_slice()).as_ref());
    secret
}

#[cfg(test)]
mod tests;
