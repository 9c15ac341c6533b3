//! Sealing (HPKE, RFC 9180, base mode, X-Wing, HKDF-SHA256, AES-256-GCM): shares to an enclave, releases to this device.
//!
//! Whoever seals a message says nothing of who he is; the intent that names its hash, and the receipt, do.

use std::fmt;

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal};
use strongroom_proto::contents::{Release, Share, encode_shares};
use strongroom_proto::id::{ContentHash, IntentHash, KekId, RecordId, TenantId};
use strongroom_proto::limits::{ENCAPSULATED_KEY_BYTES, MESSAGE_BYTES_MAX};
use strongroom_proto::seal::{Direction, hpke_info};
use strongroom_proto::signed::recipient_hash;
use strongroom_proto::v1::{Pair, Role};
use zeroize::Zeroizing;

use crate::error::{Error, expect};
use crate::identity::RoleIdentity;
use crate::random;

mod file;
mod mpc;

pub use mpc::{MpcKey, MpcRecipient};

type PrivateKey = <XWing as Kem>::PrivateKey;
type PublicKey = <XWing as Kem>::PublicKey;
type EncappedKey = <XWing as Kem>::EncappedKey;

/// Seals shares to an attested channel key, for one record: encapsulated key (1,120 bytes) ‖ ciphertext.
///
/// # Errors
/// [`Error::Contents`] where the shares break a limit, [`Error::Seal`] where the channel key is none.
pub fn seal_shares(identity: &RoleIdentity, record_id: &RecordId, shares: &[Share]) -> Result<Vec<u8>, Error> {
    let contents = encode_shares(shares)?;
    let info = hpke_info(Direction::Request, identity.role, &identity.tenant, &identity.kek_id, record_id);
    let key = PublicKey::from_bytes(&identity.channel_key).map_err(|_| Error::Seal)?;
    let (encapsulated, ciphertext) =
        single_shot_seal::<AesGcm256, HkdfSha256, XWing>(&OpModeS::Base, &key, &info, &contents, &[])
            .map_err(|_| Error::Seal)?;
    Ok([encapsulated.to_bytes().as_slice(), &ciphertext].concat())
}

/// The key that one release is sealed to: made for it, used once, erased on drop.
pub struct RecipientKey {
    seed: Zeroizing<[u8; 32]>,
    public_key: Vec<u8>,
    hash: ContentHash,
}

/// What a release must be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The role that released.
    pub role: Role,
    /// The tenant.
    pub tenant: &'a TenantId,
    /// KEK of the epoch whose receipt vouches for the release.
    pub kek_id: &'a KekId,
    /// The record.
    pub record_id: &'a RecordId,
    /// The intent that was sent.
    pub intent: &'a IntentHash,
    /// The generation that it named.
    pub generation: u64,
    /// The pairs of that generation in the view, sorted by id.
    pub pairs: &'a [Pair],
}

impl RecipientKey {
    /// A new key.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn generate() -> Result<Self, Error> {
        Self::from_seed(Zeroizing::new(random::bytes::<32>()?))
    }

    pub(crate) fn from_seed(seed: Zeroizing<[u8; 32]>) -> Result<Self, Error> {
        let public_key = XWing::sk_to_pk(&private_key(&seed)?).to_bytes().to_vec();
        let hash = recipient_hash(&public_key).ok_or(Error::Seal)?;
        Ok(Self { seed, public_key, hash })
    }

    /// The X-Wing public key, 1,216 bytes.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// How an intent names the key.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        self.hash
    }

    /// Opens a release and checks every field inside. The caller has checked the receipt that names its hash.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::Contents`], or [`Error::Mismatch`] with the field that is another than was asked for.
    pub fn open(&self, release: &[u8], expected: &Expected<'_>) -> Result<Vec<Share>, Error> {
        if release.len() > MESSAGE_BYTES_MAX {
            return Err(Error::malformed("release", format_args!("more than {MESSAGE_BYTES_MAX} bytes")));
        }
        let (encapsulated, ciphertext) = release.split_at_checked(ENCAPSULATED_KEY_BYTES).ok_or(Error::Open)?;
        let encapsulated = EncappedKey::from_bytes(encapsulated).map_err(|_| Error::Open)?;
        let info = hpke_info(Direction::Release, expected.role, expected.tenant, expected.kek_id, expected.record_id);
        let opened = single_shot_open::<AesGcm256, HkdfSha256, XWing>(
            &OpModeR::Base,
            &private_key(&self.seed)?,
            &encapsulated,
            &info,
            ciphertext,
            &[],
        );
        let contents = Zeroizing::new(opened.map_err(|_| Error::Open)?);
        let release = Release::decode(&contents)?;
        expect("release", "intent", release.intent, *expected.intent)?;
        expect("release", "record_id", release.record_id, *expected.record_id)?;
        expect("release", "generation", release.generation, expected.generation)?;
        let ids = |pairs: Vec<&str>| pairs.join(", ");
        let found = ids(release.shares.iter().map(|share| share.pair.as_str()).collect());
        let wanted = ids(expected.pairs.iter().map(|pair| pair.id.as_str()).collect());
        expect("release", "list of pairs", found, wanted)?;
        Ok(release.shares)
    }
}

impl fmt::Debug for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecipientKey({}, [redacted])", self.hash)
    }
}

/// Seals and opens as an enclave does, for tests of what a device makes of it.
#[cfg(test)]
pub(crate) mod enclave {
    use super::*;

    pub(crate) fn seal(key: &[u8], info: &[u8], contents: &[u8]) -> Vec<u8> {
        let key = PublicKey::from_bytes(key).unwrap();
        let (encapsulated, ciphertext) =
            single_shot_seal::<AesGcm256, HkdfSha256, XWing>(&OpModeS::Base, &key, info, contents, &[]).unwrap();
        [encapsulated.to_bytes().as_slice(), &ciphertext].concat()
    }

    pub(crate) fn open(key: &RecipientKey, info: &[u8], message: &[u8]) -> Option<Vec<u8>> {
        let (encapsulated, ciphertext) = message.split_at(ENCAPSULATED_KEY_BYTES);
        let encapsulated = EncappedKey::from_bytes(encapsulated).unwrap();
        let key = private_key(&key.seed).unwrap();
        single_shot_open::<AesGcm256, HkdfSha256, XWing>(&OpModeR::Base, &key, &encapsulated, info, ciphertext, &[])
            .ok()
    }
}

/// Made for each use, so that only the seed has to be kept and erased.
fn private_key(seed: &[u8; 32]) -> Result<PrivateKey, Error> {
    PrivateKey::from_bytes(seed).map_err(|_| Error::Open)
}

#[cfg(test)]
mod tests;
