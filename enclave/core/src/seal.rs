//! Sealing at rest: AES-256-GCM with a key used once, derived from the KEK, a random salt and the place.

use alloc::vec::Vec;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;
use strongroom_proto::id::RecordId;
use strongroom_proto::seal::{Place, SEAL_FORMAT, SealKind};
use strongroom_proto::secret::SecretBuffer;

use crate::kek::{self, Kek};
use crate::platform::{Platform, Unavailable};
use crate::suite::Suite;

const SALT_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// Bytes before the ciphertext.
const HEAD_BYTES: usize = 1 + SALT_BYTES;
/// Sealing adds this many bytes.
pub(crate) const SEAL_OVERHEAD: usize = HEAD_BYTES + TAG_BYTES;

/// Sealed bytes do not open at this place: altered, moved, or under another KEK. One error for all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct NotOpened;

/// What names the sealed bytes of one record, apart from the KEK.
#[derive(Clone, Copy)]
pub(crate) struct Spot<'a> {
    pub(crate) kind: SealKind,
    pub(crate) wallet: &'a str,
    pub(crate) record_id: &'a RecordId,
    pub(crate) backup: &'a str,
    pub(crate) generation: u64,
    pub(crate) pair: &'a str,
}

/// Seals `plaintext` at a place.
pub(crate) fn seal<P: Platform>(
    platform: &P,
    kek: &Kek<P::Suite>,
    spot: &Spot<'_>,
    plaintext: &[u8],
) -> Result<Vec<u8>, Unavailable> {
    let aad = aad(kek, spot);
    let mut salt = [0; SALT_BYTES];
    platform.random(&mut salt)?;
    // Erased where sealing fails: until then it holds the plaintext.
    let mut out = SecretBuffer::new(Vec::with_capacity(plaintext.len().saturating_add(SEAL_OVERHEAD)));
    out.push(SEAL_FORMAT);
    out.extend_from_slice(&salt);
    out.extend_from_slice(plaintext);
    let (_, body) = out.split_at_mut(HEAD_BYTES);
    let tag = key_used_once(kek, &salt, &aad)
        .and_then(|key| key.seal_in_place_separate_tag(zero_nonce(), Aad::from(&aad), body).map_err(|_| NotOpened))
        .map_err(|NotOpened| Unavailable("sealing failed"))?;
    out.extend_from_slice(tag.as_ref());
    Ok(out.into_public())
}

/// Opens what [`seal`] gave for the same place.
pub(crate) fn open<S: Suite>(kek: &Kek<S>, spot: &Spot<'_>, sealed: &[u8]) -> Result<SecretBuffer, NotOpened> {
    let (format, rest) = sealed.split_first().ok_or(NotOpened)?;
    if *format != SEAL_FORMAT {
        return Err(NotOpened);
    }
    let (salt, body) = rest.split_first_chunk::<SALT_BYTES>().ok_or(NotOpened)?;
    let aad = aad(kek, spot);
    let key = key_used_once(kek, salt, &aad)?;
    let mut body = SecretBuffer::new(body.to_vec());
    let len = key.open_in_place(zero_nonce(), Aad::from(&aad), &mut body).map_err(|_| NotOpened)?.len();
    body.truncate(len);
    Ok(body)
}

fn aad<S: Suite>(kek: &Kek<S>, spot: &Spot<'_>) -> Vec<u8> {
    Place {
        kind: spot.kind,
        tenant: &kek.context.tenant,
        role: kek.context.role,
        kek_id: &kek.id,
        wallet: spot.wallet,
        record_id: spot.record_id,
        backup: spot.backup,
        generation: spot.generation,
        pair: spot.pair,
    }
    .aad()
}

fn key_used_once<S: Suite>(kek: &Kek<S>, salt: &[u8], aad: &[u8]) -> Result<LessSafeKey, NotOpened> {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(kek.at_rest());
    let key = kek::expand(&prk, aad).map_err(|_| NotOpened)?;
    UnboundKey::new(&AES_256_GCM, key.as_ref()).map(LessSafeKey::new).map_err(|_| NotOpened)
}

/// The key is used once, so its only nonce may be constant.
fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}
