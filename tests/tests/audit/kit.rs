//! A tenant, an enclave of two epochs, and the history of one backup that they signed.

use std::sync::Arc;

use prost::Message;
use ring::digest::{SHA384, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};
use strongroom_proto::id::{ContentHash, Head, TenantId};
use strongroom_proto::signed::{identity_hash, next_head};
use strongroom_proto::v1::{
    ActKind, AuditExport, Epoch, Event, Freshness, GenerationRef, Identity, ImageMeasurement, Manifest, Receipt, Role,
    RoleAttestation, RoleStatement, SignedReceipt, SignedStatement, Stages, Statement, Trust,
};
use strongroom_proto::{limits, prefix};
use strongroom_runtime::nsm::{AttestRequest, Nsm};
use strongroom_sdk::identity::manifest_pcr16;
use strongroom_sdk::keys::{KeyUse, SigningKey};
use strongroom_sdk::statement;
use strongroom_simulated::{Authority, Measurements, SimulatedNsm};

use super::Given;

/// When everything took place: long before any auditor looks.
const MADE_MS: u64 = 1_700_000_000_000;

pub(crate) struct Kit {
    authority: Authority,
    nsm: SimulatedNsm,
    image: Measurements,
    root: SigningKey,
    standby: SigningKey,
}

/// What a receipt says.
pub(crate) fn decode(signed: &SignedReceipt) -> Receipt {
    Receipt::decode(signed.receipt.as_slice()).unwrap()
}

fn receipt_key(epoch: u64) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[u8::try_from(epoch).unwrap(); 32]).unwrap()
}

fn manifest() -> Vec<u8> {
    Manifest {
        role: Role::Client.into(),
        kms_key_arn: "arn:aws:kms:eu-central-1:111122223333:key/1".to_owned(),
        region: "eu-central-1".to_owned(),
        release: 7,
        development: None,
    }
    .encode_to_vec()
}

impl Kit {
    pub(crate) fn new() -> Self {
        let authority = Authority::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        authority.save(&dir.path().join("authority")).unwrap();
        let copy = Authority::load(&dir.path().join("authority")).unwrap();
        let image = Measurements::of_bytes(b"an image");
        let nsm = SimulatedNsm::with_clock(copy, &image, Arc::new(|| MADE_MS)).unwrap();
        nsm.extend_pcr(16, digest(&SHA384, &manifest()).as_ref()).unwrap();
        nsm.lock_pcr(16).unwrap();
        let key = |purpose| SigningKey::generate(purpose).unwrap();
        Self { authority, nsm, image, root: key(KeyUse::Root), standby: key(KeyUse::Standby) }
    }

    pub(crate) fn root_der(&self) -> &[u8] {
        self.authority.root_der()
    }

    pub(crate) fn tenant(&self) -> TenantId {
        TenantId::of(self.root.public_key(), self.standby.public_key())
    }

    fn identity(&self, epoch: u64) -> Vec<u8> {
        Identity {
            tenant: self.tenant().0.to_vec(),
            role: Role::Client.into(),
            epoch,
            kek_id: vec![u8::try_from(epoch).unwrap(); 32],
            channel_key: vec![5; limits::CHANNEL_KEY_BYTES],
            receipt_key: receipt_key(epoch).public_key().as_ref().to_vec(),
            manifest: manifest(),
            release: 7,
        }
        .encode_to_vec()
    }

    fn attestation(&self, epoch: u64) -> RoleAttestation {
        let identity = self.identity(epoch);
        let user_data = identity_hash(&identity).0;
        let request = AttestRequest { public_key: None, user_data: Some(&user_data), nonce: None };
        let document = self.nsm.attest(&request).unwrap();
        RoleAttestation { role: Role::Client.into(), identity, document }
    }

    fn statement(&self, serial: u64, epochs: u64, change: impl FnOnce(&mut Statement)) -> SignedStatement {
        let epoch = |number| Epoch {
            epoch: number,
            kek_id: vec![u8::try_from(number).unwrap(); 32],
            channel_key_hash: ContentHash::of(&[5; limits::CHANNEL_KEY_BYTES]).0.to_vec(),
            receipt_key: receipt_key(number).public_key().as_ref().to_vec(),
        };
        let image = &self.image;
        let mut statement = Statement {
            root_key: self.root.public_key().to_vec(),
            standby_key: self.standby.public_key().to_vec(),
            serial,
            operational_keys: Vec::new(),
            images: vec![ImageMeasurement {
                pcr0: image.pcr0.to_vec(),
                pcr1: image.pcr1.to_vec(),
                pcr2: image.pcr2.to_vec(),
            }],
            client: Some(RoleStatement {
                pcr16: vec![manifest_pcr16(&manifest()).to_vec()],
                epochs: (1..=epochs).map(epoch).collect(),
                lowest_epoch: epochs,
            }),
            custodian: None,
            mpc_recipients: Vec::new(),
            rp_id: "wallet.example".to_owned(),
            origins: vec!["https://wallet.example".to_owned()],
            top_origins: Vec::new(),
        };
        change(&mut statement);
        statement::sign(&statement, &self.root).unwrap()
    }

    /// The second statement with another key under epoch 1.
    pub(crate) fn statement_with_other_keys(&self) -> SignedStatement {
        self.statement(2, 2, |statement| statement.client.as_mut().unwrap().epochs[0].kek_id = vec![77; 32])
    }

    /// Another statement with the serial of the second one.
    pub(crate) fn second_statement_two(&self) -> SignedStatement {
        self.statement(2, 2, |statement| statement.origins = vec!["https://other.example".to_owned()])
    }

    /// Six acts under two epochs and two statements.
    pub(crate) fn export(&self) -> AuditExport {
        let kinds = [
            ActKind::CreateBackup,
            ActKind::PutShares,
            ActKind::AddPasskey,
            ActKind::Recover,
            ActKind::StartChangePolicy,
            ActKind::ChangePolicy,
        ];
        let mut before = Receipt { record_id: vec![10; 32], head: vec![10; 32], ..Receipt::default() };
        let mut receipts = Vec::new();
        for kind in kinds {
            before = self.next(&before, kind, u8::try_from(receipts.len()).unwrap());
            receipts.push(Self::sign(&before));
        }
        AuditExport {
            statements: vec![self.statement(1, 1, |_| {}), self.statement(2, 2, |_| {})],
            attestations: vec![self.attestation(1), self.attestation(2)],
            receipts,
        }
    }

    /// The receipt of an act after another; `intent` tells acts apart.
    pub(crate) fn next(&self, before: &Receipt, kind: ActKind, intent: u8) -> Receipt {
        let version = before.version + 1;
        let epoch = if version <= 3 { 1 } else { 2 };
        let puts = matches!(kind, ActKind::CreateBackup | ActKind::PutShares);
        let intent_hash = vec![intent; 32];
        let event = Event {
            version,
            kind: kind.into(),
            intent_hash: intent_hash.clone(),
            time_ms: MADE_MS + version,
            generation: if puts { version } else { 0 },
            recipient: Vec::new(),
            credential_id: b"credential".to_vec(),
            tenant_key: Vec::new(),
            statement_serial: epoch,
            subject_credential_id: Vec::new(),
            not_before_ms: 0,
            cancelled_intent_hash: Vec::new(),
        };
        let put = GenerationRef { generation: version, put_intent_hash: intent_hash.clone() };
        Receipt {
            tenant: self.tenant().0.to_vec(),
            wallet: "w1".to_owned(),
            role: Role::Client.into(),
            record_id: before.record_id.clone(),
            version,
            head: next_head(&Head::from_slice(&before.head).unwrap(), &event.encode_to_vec()).0.to_vec(),
            event: event.encode_to_vec(),
            active: if puts { Some(put) } else { before.active.clone() },
            pending: None,
            intent_hash,
            identity_hash: identity_hash(&self.identity(epoch)).0.to_vec(),
            sealed_hashes: Vec::new(),
            epoch,
            time_ms: event.time_ms,
            stages: Some(Stages { trusted: vec![Trust::KeyAdmin.into()], freshness: Freshness::None.into() }),
            resealed_hashes: Vec::new(),
        }
    }

    /// A receipt of how the record stands, which moves nothing.
    pub(crate) fn stated(at: &Receipt) -> Receipt {
        Receipt { event: Vec::new(), time_ms: at.time_ms + 1, ..at.clone() }
    }

    /// The receipt, signed by the key of the epoch that it says.
    pub(crate) fn sign(receipt: &Receipt) -> SignedReceipt {
        Self::sign_bytes(receipt.encode_to_vec(), receipt.epoch)
    }

    pub(crate) fn sign_bytes(receipt: Vec<u8>, epoch: u64) -> SignedReceipt {
        let signature = receipt_key(epoch).sign(&prefix::prefixed(prefix::RECEIPT, &receipt)).as_ref().to_vec();
        SignedReceipt { receipt, signature }
    }

    /// Changes one receipt and its event, and signs it again.
    pub(crate) fn alter(given: &mut Given, index: usize, change: fn(&mut Receipt, &mut Event)) {
        let mut receipt = decode(&given.export.receipts[index]);
        let mut event = Event::decode(receipt.event.as_slice()).unwrap();
        change(&mut receipt, &mut event);
        receipt.event = event.encode_to_vec();
        given.export.receipts[index] = Self::sign(&receipt);
    }
}
