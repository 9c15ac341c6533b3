//! A tenant: root, standby and operational keys, and the statements that they sign.

use ring::signature::{Ed25519KeyPair, KeyPair};
use strongroom_proto::id::{ContentHash, TenantId};
use strongroom_proto::prefix::{self, prefixed};
use strongroom_proto::v1::{
    Epoch, Identity, ImageMeasurement, OperationalKey, Role, RoleStatement, SignedStatement, Statement, TenantSignature,
};

use prost::Message;

use crate::device::Recipient;
use crate::world::START;

pub(crate) const RP_ID: &str = "wallet.example";
pub(crate) const ORIGIN: &str = "https://wallet.example";
pub(crate) const TOP_ORIGIN: &str = "https://partner.example";
pub(crate) const APP_ORIGIN: &str = "android:apk-key-hash:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Seeds of the MPC recipients of every statement that names the custodian role.
pub(crate) const MPC: [u8; 2] = [51, 52];

const DAY_MS: u64 = 24 * 3600 * 1000;

pub(crate) struct Tenant {
    pub(crate) root: Ed25519KeyPair,
    pub(crate) standby: Ed25519KeyPair,
    /// In the statement, and in time.
    pub(crate) operational: Ed25519KeyPair,
    /// In the statement, and expired.
    pub(crate) expired: Ed25519KeyPair,
    /// In the statement, and not yet begun.
    pub(crate) future: Ed25519KeyPair,
}

pub(crate) fn key(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

pub(crate) fn public(key: &Ed25519KeyPair) -> Vec<u8> {
    key.public_key().as_ref().to_vec()
}

impl Tenant {
    pub(crate) fn new(number: u8) -> Self {
        let key = |i| key(number * 16 + i);
        Self { root: key(1), standby: key(2), operational: key(3), expired: key(4), future: key(5) }
    }

    pub(crate) fn id(&self) -> TenantId {
        TenantId::of(self.root.public_key().as_ref(), self.standby.public_key().as_ref())
    }

    /// Statement 5, which names these epochs, each in its role, and the MPC recipients where the custodian role is one.
    pub(crate) fn statement(&self, epochs: &[&Identity]) -> Statement {
        let operational = |key, from, to| OperationalKey { key: public(key), not_before_ms: from, not_after_ms: to };
        let mut operational_keys = vec![
            operational(&self.operational, START - DAY_MS, START + DAY_MS),
            operational(&self.expired, START - DAY_MS, START - 1),
            operational(&self.future, START + 1, START + DAY_MS),
        ];
        operational_keys.sort_by(|a, b| a.key.cmp(&b.key));
        let of = |role: Role| {
            let epochs: Vec<_> = epochs.iter().filter(|it| it.role() == role).map(|it| epoch(it)).collect();
            (!epochs.is_empty()).then(|| RoleStatement { pcr16: vec![vec![16; 48]], epochs, lowest_epoch: 1 })
        };
        let (client, custodian) = (of(Role::Client), of(Role::Custodian));
        let mpc = MPC.iter().filter(|_| custodian.is_some());
        let mut mpc_recipients: Vec<_> = mpc.map(|seed| Recipient::new(*seed).hash()).collect();
        mpc_recipients.sort();
        Statement {
            root_key: public(&self.root),
            standby_key: public(&self.standby),
            serial: 5,
            operational_keys,
            images: vec![ImageMeasurement { pcr0: vec![1; 48], pcr1: vec![2; 48], pcr2: vec![3; 48] }],
            client,
            custodian,
            mpc_recipients,
            rp_id: RP_ID.into(),
            origins: vec![APP_ORIGIN.into(), ORIGIN.into()],
            top_origins: vec![TOP_ORIGIN.into()],
        }
    }

    pub(crate) fn sign(&self, statement: &Statement) -> SignedStatement {
        self.sign_bytes(statement.encode_to_vec())
    }

    pub(crate) fn sign_bytes(&self, statement: Vec<u8>) -> SignedStatement {
        sign_statement(&self.root, statement)
    }

    /// The consent of the operational key.
    pub(crate) fn consent(&self, intent: &[u8]) -> TenantSignature {
        consent(&self.operational, intent)
    }
}

pub(crate) fn consent(key: &Ed25519KeyPair, intent: &[u8]) -> TenantSignature {
    TenantSignature { key: public(key), signature: key.sign(&prefixed(prefix::TENANT, intent)).as_ref().to_vec() }
}

pub(crate) fn sign_statement(key: &Ed25519KeyPair, statement: Vec<u8>) -> SignedStatement {
    let signature = key.sign(&prefixed(prefix::STATEMENT, &statement)).as_ref().to_vec();
    SignedStatement { statement, signature }
}

pub(crate) fn epoch(identity: &Identity) -> Epoch {
    Epoch {
        epoch: identity.epoch,
        kek_id: identity.kek_id.clone(),
        channel_key_hash: ContentHash::of(&identity.channel_key).0.to_vec(),
        receipt_key: identity.receipt_key.clone(),
    }
}
