//! A tenant, an enclave's keys and a record with fixed seeds, for the tests of this crate. Each part is made good, so that a test
//! can break one field and sign it again.

use prost::Message;
use strongroom_attestation::{Image, Time};
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
use crate::seal::{MpcKey, RecipientKey};
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
    receipt_key_of(Role::Client)
}

/// What a role's secrets are made from: no two roles have one in common.
fn seed(role: Role, client: u8) -> u8 {
    if role == Role::Custodian { client + 100 } else { client }
}

pub(crate) fn receipt_key_of(role: Role) -> SigningKey {
    key(KeyUse::Operational, seed(role, 3))
}

/// The tenant's, in force at [`NOW_MS`].
pub(crate) fn operational_key() -> SigningKey {
    key(KeyUse::Operational, 9)
}

/// The enclave's channel key: opening with it is what an enclave does.
pub(crate) fn channel_key() -> RecipientKey {
    channel_key_of(Role::Client)
}

pub(crate) fn channel_key_of(role: Role) -> RecipientKey {
    RecipientKey::from_seed(Zeroizing::new([seed(role, 4); 32])).unwrap()
}

/// An MPC server's, which the statement of both roles lists.
pub(crate) fn mpc_key() -> MpcKey {
    MpcKey::from_seed(Zeroizing::new([44; 32])).unwrap()
}

pub(crate) fn tenant() -> TenantId {
    TenantId::of(root().public_key(), standby().public_key())
}

pub(crate) fn manifest() -> Manifest {
    manifest_of(Role::Client)
}

pub(crate) fn manifest_of(role: Role) -> Manifest {
    Manifest {
        role: role.into(),
        kms_key_arn: format!("arn:aws:kms:eu-central-1:111122223333:key/{}", i32::from(role)),
        region: "eu-central-1".to_owned(),
        release: 7,
        development: None,
    }
}

pub(crate) fn identity() -> Identity {
    identity_of(Role::Client)
}

pub(crate) fn identity_of(role: Role) -> Identity {
    Identity {
        tenant: tenant().0.to_vec(),
        role: role.into(),
        epoch: 2,
        kek_id: kek_id_of(role).0.to_vec(),
        channel_key: channel_key_of(role).public_key().to_vec(),
        receipt_key: receipt_key_of(role).public_key().to_vec(),
        manifest: manifest_of(role).encode_to_vec(),
        release: 7,
    }
}

pub(crate) fn role_identity() -> RoleIdentity {
    role_identity_of(Role::Client)
}

pub(crate) fn role_identity_of(role: Role) -> RoleIdentity {
    let identity = identity_of(role);
    let bytes = identity.encode_to_vec();
    let hash = signed::identity_hash(&bytes);
    let pcr16 = manifest_pcr16(&identity.manifest);
    let vouched = Vouched { user_data: Some(&hash.0), public_key: None, nonce: None, pcr16: Some(&pcr16) };
    check(&bytes, &vouched, None, false).unwrap()
}

pub(crate) fn epoch(number: u64) -> Epoch {
    epoch_of(Role::Client, number)
}

fn epoch_of(role: Role, number: u64) -> Epoch {
    Epoch {
        epoch: number,
        kek_id: kek_id_of(role).0.to_vec(),
        channel_key_hash: ContentHash::of(channel_key_of(role).public_key()).0.to_vec(),
        receipt_key: receipt_key_of(role).public_key().to_vec(),
    }
}

fn role_statement(role: Role) -> RoleStatement {
    RoleStatement {
        pcr16: vec![manifest_pcr16(&manifest_of(role).encode_to_vec()).to_vec()],
        epochs: vec![epoch_of(role, 1), epoch_of(role, 2)],
        lowest_epoch: 2,
    }
}

/// The image that [`statement`] accepts.
pub(crate) fn image() -> Image {
    Image { pcr0: [1; 48], pcr1: [2; 48], pcr2: [3; 48] }
}

/// The statement of a tenant that uses both roles.
pub(crate) fn statement_of_both() -> Statement {
    let mpc_recipients = vec![mpc_key().hash().0.to_vec()];
    Statement { custodian: Some(role_statement(Role::Custodian)), mpc_recipients, ..statement() }
}

pub(crate) fn verified_statement_of_both() -> VerifiedStatement {
    VerifiedStatement::verify(&sign(&statement_of_both(), &root()).unwrap(), tenant()).unwrap()
}

pub(crate) fn statement() -> Statement {
    let image = ImageMeasurement { pcr0: vec![1; 48], pcr1: vec![2; 48], pcr2: vec![3; 48] };
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
        client: Some(role_statement(Role::Client)),
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

/// As [`record_view`], of a backup in both roles.
pub(crate) fn record_view_of_both() -> RecordView {
    RecordView { roles: vec![Role::Client.into(), Role::Custodian.into()], ..record_view() }
}

/// The same backup's in the custodian role: its head and its version are its own.
pub(crate) fn custodian_view() -> RecordView {
    RecordView { head: vec![111; 32], version: 9, ..record_view_of_both() }
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
    wallet_view_of(Role::Client, nonce)
}

pub(crate) fn wallet_view_of(role: Role, nonce: &[u8]) -> WalletView {
    WalletView {
        tenant: tenant().0.to_vec(),
        role: role.into(),
        epoch: 2,
        wallet: WALLET.to_owned(),
        nonce: nonce.to_vec(),
        time_ms: NOW_MS,
        records: vec![record_view()],
        stages: Some(stages()),
    }
}

pub(crate) fn sign_view(view: &WalletView) -> SignedView {
    sign_view_as(Role::Client, view)
}

pub(crate) fn sign_view_as(role: Role, view: &WalletView) -> SignedView {
    let view = view.encode_to_vec();
    let signature = receipt_key_of(role).sign(prefix::VIEW, &view).unwrap();
    SignedView { view, signature }
}

pub(crate) fn sign_receipt(receipt: Vec<u8>) -> SignedReceipt {
    sign_receipt_as(Role::Client, receipt)
}

pub(crate) fn sign_receipt_as(role: Role, receipt: Vec<u8>) -> SignedReceipt {
    let signature = receipt_key_of(role).sign(prefix::RECEIPT, &receipt).unwrap();
    SignedReceipt { receipt, signature }
}

pub(crate) fn now() -> Time {
    Time::from_unix_ms(NOW_MS)
}

pub(crate) fn kek_id() -> KekId {
    kek_id_of(Role::Client)
}

pub(crate) fn kek_id_of(role: Role) -> KekId {
    KekId([seed(role, 5); 32])
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
