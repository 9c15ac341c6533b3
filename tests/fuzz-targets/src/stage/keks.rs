//! What follows from a KEK, derived a second time from the design: its id, its identity, and what is sealed under it or to it.

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::Kem;
use hpke::{Deserializable, OpModeR, Serializable};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::signature::{Ed25519KeyPair, KeyPair};
use strongroom_core::{KekContext, XWing};
use strongroom_proto::enclave::v1::KekRef;
use strongroom_proto::id::{KekId, RecordId, TenantId};
use strongroom_proto::seal::{Direction, Place, channel_key_info, hpke_info, kek_id_info, receipt_key_info};
use strongroom_proto::v1::{Identity, Role};

use crate::vault::Spot;
use crate::world::kms::kek_of;

/// A KEK of this role.
pub(crate) struct Known {
    pub(crate) identity: Identity,
    tenant: TenantId,
    id: KekId,
    secret: [u8; 32],
    channel: <XWing as Kem>::PrivateKey,
}

impl Known {
    /// `None` where tenant or epoch are none.
    pub(crate) fn derive(tenant: &[u8], kek: &KekRef) -> Option<Self> {
        let (tenant, role, epoch) = (TenantId::from_slice(tenant)?, Role::Client, kek.epoch);
        let secret = kek_of(&KekContext { tenant, role, epoch }, &kek.wrapped);
        let prk = Salt::new(HKDF_SHA256, &[]).extract(&secret);
        let id = KekId(expand(&prk, &kek_id_info(&tenant, role, epoch)));
        let seed = expand(&prk, &channel_key_info(&tenant, role, epoch, &id));
        let channel = <XWing as Kem>::PrivateKey::from_bytes(&seed).ok()?;
        let seed = expand(&prk, &receipt_key_info(&tenant, role, epoch, &id));
        let receipt = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
        let identity = Identity {
            tenant: tenant.0.to_vec(),
            role: role.into(),
            epoch,
            kek_id: id.0.to_vec(),
            channel_key: XWing::sk_to_pk(&channel).to_bytes().to_vec(),
            receipt_key: receipt.public_key().as_ref().to_vec(),
            manifest: b"manifest".to_vec(),
            release: 7,
        };
        (epoch > 0).then_some(Self { identity, tenant, id, secret, channel })
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.identity.epoch
    }

    /// What is sealed at a place under this KEK.
    pub(crate) fn open(&self, spot: Spot<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
        let aad = Place {
            kind: spot.kind,
            tenant: &self.tenant,
            role: Role::Client,
            kek_id: &self.id,
            wallet: spot.wallet,
            record_id: &RecordId::from_slice(spot.record_id)?,
            backup: spot.backup,
            generation: spot.generation,
            pair: spot.pair,
        }
        .aad();
        let (salt, body) = sealed.strip_prefix(&[1])?.split_at_checked(32)?;
        let key = expand(&Salt::new(HKDF_SHA256, salt).extract(&self.secret), &aad);
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).ok()?);
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        Some(key.open_in_place(nonce, Aad::from(aad), &mut body).ok()?.to_vec())
    }

    /// HPKE info of a message about one record.
    pub(crate) fn info(&self, direction: Direction, record_id: &[u8]) -> Option<Vec<u8>> {
        Some(hpke_info(direction, Role::Client, &self.tenant, &self.id, &RecordId::from_slice(record_id)?))
    }

    /// A message to the channel key, about one record.
    pub(crate) fn open_message(&self, record_id: &[u8], message: &[u8]) -> Option<Vec<u8>> {
        let (encapsulated, ciphertext) = message.split_at_checked(1120)?;
        let encapsulated = <XWing as Kem>::EncappedKey::from_bytes(encapsulated).ok()?;
        let (mode, info) = (&OpModeR::Base, self.info(Direction::Request, record_id)?);
        let key = &self.channel;
        hpke::single_shot_open::<AesGcm256, HkdfSha256, XWing>(mode, key, &encapsulated, &info, ciphertext, b"").ok()
    }
}

fn expand(prk: &Prk, info: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    prk.expand(&[info], HKDF_SHA256).and_then(|okm| okm.fill(&mut out)).expect("32 bytes are not too many");
    out
}
