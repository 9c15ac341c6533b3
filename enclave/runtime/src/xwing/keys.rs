//! The keys of X-Wing and its ciphertexts, as bytes and as aws-lc holds them.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::agreement::{self, X25519};
use aws_lc_rs::kem::{DecapsulationKey, ML_KEM_768};
use hpke::hybrid_array::typenum::{Prod, Sum, U3, U32, U64, U1024};
use hpke::{Deserializable, HpkeError, Serializable};
#[expect(deprecated, reason = "aws-lc-rs takes an ML-KEM key in its expanded form only")]
use ml_kem::ExpandedKeyEncoding;
use ml_kem::ml_kem_768;
use shake::{ExtendableOutput, Shake256, Update, XofReader};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::{ML_KEM_CIPHERTEXT_BYTES, ML_KEM_PUBLIC_BYTES, SECRET_BYTES};

/// Bytes of a public key: ML-KEM's, then X25519's.
const PUBLIC_BYTES: usize = ML_KEM_PUBLIC_BYTES + SECRET_BYTES;

/// Bytes of an encapsulated key: ML-KEM's ciphertext, then X25519's ephemeral public key.
const ENCAPPED_BYTES: usize = ML_KEM_CIPHERTEXT_BYTES + SECRET_BYTES;

/// Bytes of the seed of an ML-KEM key (FIPS 203: d, then z).
const ML_KEM_SEED_BYTES: usize = 64;

/// The modulus of ML-KEM. Each coefficient of a public key is below it.
const Q: u16 = 3329;

/// Every X25519 public key of low order, the highest bit cleared, as RFC 7748 reads it: 0, 1, the two points of order 8, and
/// p - 1, p and p + 1 with p = 2^255 - 19.
pub(super) const LOW_ORDER: [[u8; SECRET_BYTES]; 7] = [
    [0; SECRET_BYTES],
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09,
        0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44,
        0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
    near_p(0xec),
    near_p(0xed),
    near_p(0xee),
];

const fn near_p(first: u8) -> [u8; SECRET_BYTES] {
    let mut point = [0xff; SECRET_BYTES];
    point[0] = first;
    point[SECRET_BYTES - 1] = 0x7f;
    point
}

/// A private key: the seed, and what it expands to. Clones share the one copy, which erases itself with the last of them.
#[derive(Clone)]
pub struct PrivateKey(Arc<Expanded>);

/// aws-lc clears whatever it frees, and so both of its keys.
struct Expanded {
    seed: Zeroizing<[u8; SECRET_BYTES]>,
    ml_kem: DecapsulationKey,
    x25519: agreement::PrivateKey,
    public: PublicKey,
}

impl PrivateKey {
    /// Expands a seed: SHAKE256 to the seeds of both halves, and those to keys. Takes tens of microseconds, so it is done once.
    pub(super) fn expand(seed: &[u8; SECRET_BYTES]) -> Result<Self, HpkeError> {
        let mut stream = Shake256::default().chain(seed).finalize_xof();
        let mut ml_kem_seed = Zeroizing::new([0; ML_KEM_SEED_BYTES]);
        stream.read(ml_kem_seed.as_mut());
        let mut x25519_seed = Zeroizing::new([0; SECRET_BYTES]);
        stream.read(x25519_seed.as_mut());

        let expanded = ml_kem_768::DecapsulationKey::from_seed((*ml_kem_seed).into());
        #[expect(deprecated, reason = "as above")]
        let bytes = Zeroizing::new(expanded.to_expanded_bytes());
        let ml_kem = DecapsulationKey::new(&ML_KEM_768, &bytes).map_err(|_| HpkeError::ValidationError)?;
        let x25519 = agreement::PrivateKey::from_private_key(&X25519, x25519_seed.as_ref())
            .map_err(|_| HpkeError::ValidationError)?;
        let x25519_public = x25519.compute_public_key().map_err(|_| HpkeError::ValidationError)?;
        let ml_kem_public = ml_kem::KeyExport::to_bytes(expanded.encapsulation_key());
        let public = PublicKey(join(&ml_kem_public, x25519_public.as_ref()));
        Ok(Self(Arc::new(Expanded { seed: Zeroizing::new(*seed), ml_kem, x25519, public })))
    }

    pub(super) fn ml_kem(&self) -> &DecapsulationKey {
        &self.0.ml_kem
    }

    pub(super) fn x25519(&self) -> &agreement::PrivateKey {
        &self.0.x25519
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.0.public
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey([redacted])")
    }
}

impl ConstantTimeEq for PrivateKey {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.seed.ct_eq(other.0.seed.as_ref())
    }
}

impl Serializable for PrivateKey {
    type OutputSize = U32;

    fn write_exact(&self, buf: &mut [u8]) {
        buf.copy_from_slice(self.0.seed.as_ref());
    }
}

impl Deserializable for PrivateKey {
    fn from_bytes(encoded: &[u8]) -> Result<Self, HpkeError> {
        Self::expand(sized(encoded)?)
    }
}

/// A public key whose both halves were checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicKey([u8; PUBLIC_BYTES]);

impl PublicKey {
    pub(super) fn ml_kem(&self) -> &[u8] {
        &self.0[..ML_KEM_PUBLIC_BYTES]
    }

    pub(super) fn x25519(&self) -> &[u8] {
        &self.0[ML_KEM_PUBLIC_BYTES..]
    }
}

impl Serializable for PublicKey {
    type OutputSize = Sum<U1024, Prod<U64, U3>>;

    fn write_exact(&self, buf: &mut [u8]) {
        buf.copy_from_slice(&self.0);
    }
}

impl Deserializable for PublicKey {
    fn from_bytes(encoded: &[u8]) -> Result<Self, HpkeError> {
        let key = Self(*sized(encoded)?);
        let is_key = is_reduced(key.ml_kem()) && !is_low_order(key.x25519());
        if is_key { Ok(key) } else { Err(HpkeError::ValidationError) }
    }
}

/// An encapsulated key. Which ones do not open is seen when they are opened.
#[derive(Clone, Debug)]
pub struct EncappedKey([u8; ENCAPPED_BYTES]);

impl EncappedKey {
    pub(super) fn join(ml_kem: &[u8], x25519: &[u8]) -> Self {
        Self(join(ml_kem, x25519))
    }

    pub(super) fn ml_kem(&self) -> &[u8] {
        &self.0[..ML_KEM_CIPHERTEXT_BYTES]
    }

    pub(super) fn x25519(&self) -> &[u8] {
        &self.0[ML_KEM_CIPHERTEXT_BYTES..]
    }
}

impl Serializable for EncappedKey {
    type OutputSize = Sum<Sum<U1024, U64>, U32>;

    fn write_exact(&self, buf: &mut [u8]) {
        buf.copy_from_slice(&self.0);
    }
}

impl Deserializable for EncappedKey {
    fn from_bytes(encoded: &[u8]) -> Result<Self, HpkeError> {
        sized(encoded).map(|bytes| Self(*bytes))
    }
}

fn sized<const N: usize>(encoded: &[u8]) -> Result<&[u8; N], HpkeError> {
    encoded.try_into().map_err(|_| HpkeError::IncorrectInputLength(N, encoded.len()))
}

/// Two halves that aws-lc or `ml-kem` made, whose lengths are those of the algorithms.
fn join<const N: usize>(ml_kem: &[u8], x25519: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let (first, second) = out.split_at_mut(N - SECRET_BYTES);
    first.copy_from_slice(ml_kem);
    second.copy_from_slice(x25519);
    out
}

/// The modulus check of FIPS 203, section 7.2: each 12-bit coefficient is below q. What follows them is a seed.
fn is_reduced(ml_kem: &[u8]) -> bool {
    ml_kem[..ML_KEM_PUBLIC_BYTES - SECRET_BYTES].chunks_exact(3).all(|three| {
        let [low, middle, high] = [three[0], three[1], three[2]].map(u16::from);
        low | (middle & 0x0f) << 8 < Q && middle >> 4 | high << 4 < Q
    })
}

fn is_low_order(x25519: &[u8]) -> bool {
    let (last, rest) = x25519.split_last().expect("32 bytes");
    LOW_ORDER.iter().any(|point| point[SECRET_BYTES - 1] == last & 0x7f && point[..SECRET_BYTES - 1] == *rest)
}
