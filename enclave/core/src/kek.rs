//! A KEK and what follows from it: its id, the channel key, the receipt key, the identity.

use alloc::vec::Vec;

use hpke::kem::Kem;
use hpke::{Deserializable, Serializable};
use prost::Message;
use ring::hkdf;
use strongroom_proto::id::{ContentHash, KekId};
use strongroom_proto::secret::Secret;
use strongroom_proto::v1::Identity;
use strongroom_proto::{prefix, seal, signed};
use zeroize::Zeroizing;

use crate::enclave::Deployment;
use crate::step::KekContext;
use crate::suite::{Signer, Suite};

/// Length of a KEK in bytes.
const KEK_BYTES: usize = 32;

/// One epoch of a tenant in this role, ready for use.
pub(crate) struct Kek<S: Suite> {
    pub(crate) context: KekContext,
    pub(crate) id: KekId,
    pub(crate) channel: <S::Kem as Kem>::PrivateKey,
    pub(crate) channel_key_hash: ContentHash,
    pub(crate) identity: Vec<u8>,
    pub(crate) identity_hash: ContentHash,
    receipt: S::Signer,
    at_rest: Secret,
}

/// The bytes are not a KEK, or a derivation failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BadKek;

impl<S: Suite> Kek<S> {
    /// Derives everything that follows from a KEK.
    pub(crate) fn derive(kek: Secret, context: KekContext, deployment: &Deployment) -> Result<Self, BadKek> {
        if kek.expose().len() != KEK_BYTES {
            return Err(BadKek);
        }
        let KekContext { tenant, role, epoch } = context;
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(kek.expose());
        let id = KekId(*expand(&prk, &seal::kek_id_info(&tenant, role, epoch))?);
        let channel_seed = expand(&prk, &seal::channel_key_info(&tenant, role, epoch, &id))?;
        let channel = <S::Kem as Kem>::PrivateKey::from_bytes(channel_seed.as_ref()).map_err(|_| BadKek)?;
        let channel_key = S::Kem::sk_to_pk(&channel).to_bytes().to_vec();
        let receipt_seed = expand(&prk, &seal::receipt_key_info(&tenant, role, epoch, &id))?;
        let receipt = S::Signer::from_seed(&receipt_seed).ok_or(BadKek)?;
        let channel_key_hash = ContentHash::of(&channel_key);
        let identity = Identity {
            tenant: tenant.0.to_vec(),
            role: role.into(),
            epoch,
            kek_id: id.0.to_vec(),
            channel_key,
            receipt_key: receipt.public_key().to_vec(),
            manifest: deployment.manifest.clone(),
            release: deployment.release,
        }
        .encode_to_vec();
        let identity_hash = signed::identity_hash(&identity);
        Ok(Self { context, id, channel, channel_key_hash, identity, identity_hash, receipt, at_rest: kek })
    }

    /// The Ed25519 public key of the epoch.
    pub(crate) fn receipt_key(&self) -> &[u8] {
        self.receipt.public_key()
    }

    /// Signs `prefix` ‖ `bytes` with the receipt key.
    pub(crate) fn sign(&self, prefix: &[u8], bytes: &[u8]) -> Vec<u8> {
        self.receipt.sign(&prefix::prefixed(prefix, bytes)).to_vec()
    }

    /// The key material that sealed bytes at rest are derived from.
    pub(crate) fn at_rest(&self) -> &[u8] {
        self.at_rest.expose()
    }
}

/// A debug line names the epoch and no key.
impl<S: Suite> core::fmt::Debug for Kek<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Kek({:?})", self.context)
    }
}

struct Len32;

impl hkdf::KeyType for Len32 {
    fn len(&self) -> usize {
        KEK_BYTES
    }
}

/// 32 bytes of HKDF-Expand.
pub(crate) fn expand(prk: &hkdf::Prk, info: &[u8]) -> Result<Zeroizing<[u8; KEK_BYTES]>, BadKek> {
    let mut out = Zeroizing::new([0; KEK_BYTES]);
    let info = [info];
    prk.expand(&info, Len32).and_then(|okm| okm.fill(out.as_mut())).map_err(|_| BadKek)?;
    Ok(out)
}
