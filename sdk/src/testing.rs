//! A tenant, an enclave's keys and a record with fixed seeds, for the tests of this crate. Each part is made good, so that a test
//! can break one field and sign it again.

use prost::Message;
use strongroom_attestation::Time;
use strongroom_proto::id::{ContentHash, KekId, RecordId, TenantId};
use strongroom_proto::v1::{
    CreateBackupAction, CredentialRef, CredentialView, Curve, Epoch, Freshness, GenerationState, GenerationView,
    Identity, ImageMeasurement, Intent, Manifest, OpenAct, OpenActKind, OperationalKey, Pair, Policy, RecordView, Role,
    RolePart, RoleStatement, SecretKind, SignedReceipt, SignedStatement, SignedView, Stages, Statement, Trust,
    WalletView, intent::Action,
};
use strongroom_proto::{prefix, signed};
use zeroize::Zeroizing;

use crate::identity::{RoleIdentity, Vouched, check, manifest_pcr16};
use crate::intent::EncodedIntent;
use crate::keys::{KeyUse, SigningKey};
use crate::seal::RecipientKey;
use crate::statement::{VerifiedStatement, sign};

/// The enclave's time in every view.
pub(crate) const NOW_MS: u64 = 1_800_000_000_000;
pub(crate) const WALLET: &str = "wallet-1";
pub(crate) const CREDENTIAL: &[u8] = b"credential";

pub(crate) fn key(purpose: KeyUse, seed: u8) -> SigningKey {
    SigningKey::from_seed(purpose, Zeroizing::new([seed; 32])).unwrap()
}

pub(crate) fn root() -> SigningKey {
    key(KeyUse::Root, 1)
}

pub(crate) fn standby() -> SigningKey {
    key(KeyUse::Standby, 2)
}

pub(crate) fn receipt_key() -> SigningKey {
    key(KeyUse::Operational, 3)
}

/// The tenant's, in force at [`NOW_MS`].
pub(crate) fn operational_key() -> SigningKey {
    key(KeyUse::Operational, 9)
}

/// The enclave's channel key: opening with it is what an enclave does.
pub(crate) fn channel_key() -> RecipientKey {
    RecipientKey::from_seed(Zeroizing::new([4; 32])).unwrap()
}

pub(crate) fn tenant() -> TenantId {
    TenantId::of(root().public_key(), standby().public_key())
}

pub(crate) fn manifest() -> Manifest {
    Manifest {
        role: Role::Client.into(),
        kms_key_arn: "arn:aws:kms:eu-central-1:111122223333:key/1".to_owned(),
        region: "eu-central-1".to_owned(),
        release: 7,
        development: None,
    }
}

pub(crate) fn identity() -> Identity {
    Identity {
        tenant: tenant().0.to_vec(),
        role: Role::Client.into(),
        epoch: 2,
        kek_id: vec![5; 32],
        channel_key: channel_key().public_key().to_vec(),
        receipt_key: receipt_key().public_key().to_vec(),
        manifest: manifest().encode_to_vec(),
        release: 7,
    }
}

pub(crate) fn role_identity() -> RoleIdentity {
    let identity = identity();
    let bytes = identity.encode_to_vec();
    let hash = signed::identity_hash(&bytes);
    let pcr16 = manifest_pcr16(&identity.manifest);
    let vouched = Vouched { user_data: Some(&hash.0), public_key: None, nonce: None, pcr16: Some(&pcr16) };
    check(&bytes, &vouched, None, false).unwrap()
}

pub(crate) fn epoch(number: u64) -> Epoch {
    Epoch {
        epoch: number,
        kek_id: vec![5; 32],
        channel_key_hash: ContentHash::of(channel_key().public_key()).0.to_vec(),
        receipt_key: receipt_key().public_key().to_vec(),
    }
}

pub(crate) fn statement() -> Statement {
    let image = ImageMeasurement { pcr0: vec![1; 48], pcr1: vec![2; 48], pcr2: vec![3; 48] };
    let role = RoleStatement {
        pcr16: vec![manifest_pcr16(&manifest().encode_to_vec()).to_vec()],
        epochs: vec![epoch(1), epoch(2)],
        lowest_epoch: 2,
    };
    let operational = OperationalKey {
        key: operational_key().public_key().to_vec(),
        not_before_ms: NOW_MS - 1_000_000,
        not_after_ms: NOW_MS + 1_000_000,
    };
    Statement {
        root_key: root().public_key().to_vec(),
        standby_key: standby().public_key().to_vec(),
        serial: 3,
        operational_keys: vec![operational],
        images: vec![image],
        client: Some(role),
        custodian: None,
        mpc_recipients: Vec::new(),
        rp_id: "wallet.example".to_owned(),
        origins: vec!["https://wallet.example".to_owned()],
        top_origins: Vec::new(),
    }
}

pub(crate) fn signed_statement() -> SignedStatement {
    sign(&statement(), &root()).unwrap()
}

pub(crate) fn verified_statement() -> VerifiedStatement {
    VerifiedStatement::verify(&signed_statement(), tenant()).unwrap()
}

pub(crate) fn stages() -> Stages {
    Stages { trusted: vec![Trust::KeyAdmin.into()], freshness: Freshness::None.into() }
}

pub(crate) fn pairs() -> Vec<Pair> {
    [("a", Curve::Secp256k1), ("b", Curve::Ed25519)]
        .into_iter()
        .map(|(id, curve)| Pair { id: id.to_owned(), curve: curve.into() })
        .collect()
}

pub(crate) fn record_view() -> RecordView {
    RecordView {
        record_id: vec![10; 32],
        head: vec![11; 32],
        version: 4,
        backup: "main".to_owned(),
        method: "PASSKEY".to_owned(),
        secret: SecretKind::Share.into(),
        rp_id: "wallet.example".to_owned(),
        credentials: vec![CredentialView {
            id: CREDENTIAL.to_vec(),
            key_hash: vec![12; 32],
            label: "phone".to_owned(),
            added_ms: NOW_MS - 1,
        }],
        policy: Some(Policy { passkey: true, ..Policy::default() }),
        generations: vec![GenerationView {
            generation: 1,
            state: GenerationState::Active.into(),
            pairs: pairs(),
            put_intent_hash: vec![13; 32],
            added_ms: NOW_MS - 1,
        }],
        roles: vec![Role::Client.into()],
        statement_serial: 3,
        highest_generation: 1,
        open_acts: Vec::new(),
        closed: false,
    }
}

/// A recovery that waits, due at [`NOW_MS`] plus a second.
pub(crate) fn open_recovery() -> OpenAct {
    OpenAct {
        kind: OpenActKind::Recovery.into(),
        intent_hash: vec![31; 32],
        not_before_ms: NOW_MS + 1000,
        expires_ms: NOW_MS + 2000,
        generation: 1,
        recipient: vec![32; 32],
        policy: None,
        credential_id: Vec::new(),
        eject: false,
    }
}

pub(crate) fn wallet_view(nonce: &[u8]) -> WalletView {
    WalletView {
        tenant: tenant().0.to_vec(),
        role: Role::Client.into(),
        epoch: 2,
        wallet: WALLET.to_owned(),
        nonce: nonce.to_vec(),
        time_ms: NOW_MS,
        records: vec![record_view()],
        stages: Some(stages()),
    }
}

pub(crate) fn sign_view(view: &WalletView) -> SignedView {
    let view = view.encode_to_vec();
    let signature = receipt_key().sign(prefix::VIEW, &view).unwrap();
    SignedView { view, signature }
}

pub(crate) fn sign_receipt(receipt: Vec<u8>) -> SignedReceipt {
    let signature = receipt_key().sign(prefix::RECEIPT, &receipt).unwrap();
    SignedReceipt { receipt, signature }
}

pub(crate) fn now() -> Time {
    Time::from_unix_ms(NOW_MS)
}

pub(crate) fn kek_id() -> KekId {
    KekId([5; 32])
}

pub(crate) fn creation() -> (EncodedIntent, RecordId) {
    let action = Action::CreateBackup(CreateBackupAction {
        backup: "main".to_owned(),
        method: "PASSKEY".to_owned(),
        secret: SecretKind::Share.into(),
        pairs: pairs(),
        generation: 1,
        client_policy: Some(Policy { passkey: true, ..Policy::default() }),
        custodian_policy: None,
        credential: Some(CredentialRef { id: CREDENTIAL.to_vec(), key_hash: vec![12; 32], label: String::new() }),
    });
    let intent = Intent {
        tenant: tenant().0.to_vec(),
        wallet: WALLET.to_owned(),
        statement_serial: 3,
        client: Some(RolePart { message_hash: vec![14; 32], ..RolePart::default() }),
        custodian: None,
        not_after_ms: NOW_MS + 600_000,
        nonce: vec![15; 32],
        action: Some(action),
    };
    let record_id = strongroom_proto::intent::record_id(&intent);
    (EncodedIntent::new(intent).unwrap(), record_id)
}
