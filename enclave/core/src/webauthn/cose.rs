//! `COSE_Key` (RFC 9052, 9053, 8230) of the three algorithms taken: ES256, EdDSA with Ed25519, RS256.

use alloc::vec::Vec;

use minicbor::Decoder;
use minicbor::data::Type;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use strongroom_proto::limits::CREDENTIAL_KEY_BYTES_MAX;

use crate::refusal::{Refusal, bad};

/// RSA moduli taken, in bits. A modulus need not fill its bytes: the W3C's vector has 3,482 bits.
const RSA_MODULUS_BITS: core::ops::RangeInclusive<usize> = 2048..=4096;
/// 65537: every authenticator's.
const RSA_EXPONENT: &[u8] = &[1, 0, 1];

const KTY: i64 = 1;
const ALG: i64 = 3;
/// `crv`, or the modulus of an RSA key.
const CRV_OR_N: i64 = -1;
/// The x coordinate, or the exponent of an RSA key.
const X_OR_E: i64 = -2;
const Y: i64 = -3;

/// A credential's public key.
#[derive(Debug, Eq, PartialEq)]
pub enum CredentialKey<'a> {
    /// ECDSA on P-256 with SHA-256: the point, uncompressed.
    Es256(Vec<u8>),
    /// Ed25519.
    EdDsa(&'a [u8]),
    /// RSASSA-PKCS1-v1_5 with SHA-256 and exponent 65537: the modulus.
    Rs256(&'a [u8]),
}

#[derive(Clone, Copy, Default)]
struct Members<'a> {
    kty: Option<i64>,
    alg: Option<i64>,
    crv: Option<i64>,
    n: Option<&'a [u8]>,
    x_or_e: Option<&'a [u8]>,
    y: Option<&'a [u8]>,
}

impl<'a> CredentialKey<'a> {
    /// Reads a `COSE_Key` with exactly the members of its algorithm.
    ///
    /// # Errors
    /// `BAD_REQUEST`, naming what does not fit.
    pub fn parse(cose: &'a [u8]) -> Result<Self, Refusal> {
        if cose.len() > CREDENTIAL_KEY_BYTES_MAX {
            return Err(bad(alloc::format!(
                "credential.public_key: {} bytes, at most {CREDENTIAL_KEY_BYTES_MAX}",
                cose.len()
            )));
        }
        let members = read(cose).ok_or_else(|| bad("credential.public_key: not a COSE_Key"))?;
        match members {
            Members { kty: Some(2), alg: Some(-7), crv: Some(1), n: None, x_or_e: Some(x), y: Some(y) }
                if x.len() == 32 && y.len() == 32 =>
            {
                Ok(Self::Es256([&[4], x, y].concat()))
            }
            Members { kty: Some(1), alg: Some(-8), crv: Some(6), n: None, x_or_e: Some(x), y: None }
                if x.len() == 32 =>
            {
                Ok(Self::EdDsa(x))
            }
            Members { kty: Some(3), alg: Some(-257), crv: None, n: Some(n), x_or_e: Some(RSA_EXPONENT), y: None }
                if bits(n).is_some_and(|bits| RSA_MODULUS_BITS.contains(&bits)) =>
            {
                Ok(Self::Rs256(n))
            }
            _ => Err(bad("credential.public_key: not ES256, EdDSA with Ed25519, or RS256 with 2,048 to 4,096 bits")),
        }
    }

    /// Whether `signature` holds over `message`: DER for ES256, 64 bytes for EdDSA, the modulus's length for RS256.
    #[must_use]
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Es256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature),
            Self::EdDsa(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            Self::Rs256(n) => {
                RsaPublicKeyComponents { n, e: &RSA_EXPONENT }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        }
        .is_ok()
    }
}

/// Length in bits of a big-endian number; `None` where it has a leading zero byte or is empty.
fn bits(number: &[u8]) -> Option<usize> {
    let first = number.first().filter(|byte| **byte != 0)?;
    number.len().checked_mul(8)?.checked_sub(usize::try_from(first.leading_zeros()).ok()?)
}

/// The members of a definite map without repeated or unknown ones, and nothing after it.
fn read(cose: &[u8]) -> Option<Members<'_>> {
    let mut decoder = Decoder::new(cose);
    let mut members = Members::default();
    for _ in 0..decoder.map().ok()?? {
        match decoder.i64().ok()? {
            KTY => set(&mut members.kty, decoder.i64().ok()?)?,
            ALG => set(&mut members.alg, decoder.i64().ok()?)?,
            CRV_OR_N if matches!(decoder.datatype().ok()?, Type::Bytes) => set(&mut members.n, decoder.bytes().ok()?)?,
            CRV_OR_N => set(&mut members.crv, decoder.i64().ok()?)?,
            X_OR_E => set(&mut members.x_or_e, decoder.bytes().ok()?)?,
            Y => set(&mut members.y, decoder.bytes().ok()?)?,
            _ => return None,
        }
    }
    (decoder.position() == cose.len()).then_some(members)
}

fn set<T>(member: &mut Option<T>, value: T) -> Option<()> {
    member.replace(value).is_none().then_some(())
}
