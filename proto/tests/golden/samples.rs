//! One message of each kind, with every field set to something that can be told apart.

use strongroom_proto::v1::{
    ActKind, AddPasskeyAction, BuiltWith, CancelAction, CarryOutAction, ChangePolicyAction, CreateBackupAction,
    CredentialRef, CredentialView, Curve, DeleteBackupAction, Development, Epoch, Event, Freshness, GenerationRef,
    GenerationState, GenerationView, ImageMeasurement, Intent, Manifest, OpenAct, OpenActKind, OpenEjectWindowAction,
    OperationalKey, Pair, Policy, PublishedRelease, PutSharesAction, Receipt, RecordView, RecoverAction, Rehearsal,
    RehearsalResult, RehearseAction, ReleaseFile, RemovePasskeyAction, RenamePasskeyAction, Role, RolePart,
    RoleStatement, SecretKind, Stages, StartRecoveryAction, Statement, Trust, WalletView, intent::Action,
};

pub(crate) mod frames;

pub(crate) const TIME: u64 = 1_800_000_000_000;

pub(crate) fn pairs() -> Vec<Pair> {
    let pair = |id: &str, curve: Curve| Pair { id: id.into(), curve: curve.into() };
    vec![pair("ed", Curve::Ed25519), pair("k1", Curve::Secp256k1)]
}

pub(crate) fn policy() -> Policy {
    Policy { passkey: true, tenant_signature: true, delay_seconds: 86_400, newest_head: true }
}

fn part(byte: u8) -> RolePart {
    RolePart {
        record_id: vec![0x33; 32],
        head: vec![byte; 32],
        message_hash: Vec::new(),
        recipient: vec![byte + 1; 32],
    }
}

fn intent(client: RolePart, custodian: RolePart, action: Action) -> Intent {
    Intent {
        tenant: vec![0x11; 32],
        wallet: "wallet-1".into(),
        statement_serial: 5,
        client: Some(client),
        custodian: Some(custodian),
        not_after_ms: TIME,
        nonce: vec![0x99; 32],
        action: Some(action),
    }
}

fn credential() -> CredentialRef {
    CredentialRef { id: b"credential".to_vec(), key_hash: vec![0xaa; 32], label: "Ann\u{e9}'s phone".into() }
}

pub(crate) fn open_act() -> OpenAct {
    OpenAct {
        kind: OpenActKind::Recovery.into(),
        intent_hash: vec![0x76; 32],
        not_before_ms: TIME,
        expires_ms: TIME + 1,
        generation: 1,
        recipient: vec![0xc2; 32],
        policy: Some(policy()),
        credential_id: b"credential".to_vec(),
        eject: true,
    }
}

pub(crate) fn creation() -> Intent {
    let part = |byte| RolePart { message_hash: vec![byte; 32], ..RolePart::default() };
    let action = CreateBackupAction {
        backup: "backup-1".into(),
        method: "PASSKEY".into(),
        secret: SecretKind::Share.into(),
        pairs: pairs(),
        generation: 1,
        client_policy: Some(policy()),
        custodian_policy: Some(Policy { tenant_signature: true, ..Policy::default() }),
        credential: Some(credential()),
    };
    intent(part(0xb1), part(0xb2), Action::CreateBackup(action))
}

pub(crate) fn recovery() -> Intent {
    intent(part(0xc1), part(0xc3), Action::Recover(RecoverAction { generation: 258, eject: true }))
}

pub(crate) fn rehearsal() -> Intent {
    let part = |byte| RolePart { recipient: Vec::new(), ..part(byte) };
    intent(part(0xc1), part(0xc3), Action::Rehearse(RehearseAction { generation: 1 }))
}

/// The acts that came after the first three, by the names of their fields.
pub(crate) fn changes() -> Vec<(&'static str, Intent)> {
    let none = |byte| RolePart { recipient: Vec::new(), ..part(byte) };
    let message = |byte| RolePart { message_hash: vec![byte + 2; 32], ..none(byte) };
    let plain = |action| intent(none(0xc1), none(0xc3), action);
    let (kind, intent_hash) = (OpenActKind::Recovery.into(), vec![0x76; 32]);
    let put = PutSharesAction { generation: 2, pairs: pairs() };
    let change = ChangePolicyAction { client_policy: Some(policy()), custodian_policy: Some(policy()) };
    let rename = RenamePasskeyAction { credential_id: b"credential".to_vec(), label: "Bob's phone".into() };
    let window = Action::OpenEjectWindow(OpenEjectWindowAction { duration_seconds: 300 });
    let start = Action::StartRecovery(StartRecoveryAction { generation: 1, eject: true });
    vec![
        ("put_shares", intent(message(0xc1), message(0xc5), Action::PutShares(put))),
        ("add_passkey", plain(Action::AddPasskey(AddPasskeyAction { credential: Some(credential()) }))),
        ("remove_passkey", plain(Action::RemovePasskey(RemovePasskeyAction { credential_id: b"credential".to_vec() }))),
        ("rename_passkey", plain(Action::RenamePasskey(rename))),
        ("change_policy", plain(Action::ChangePolicy(change))),
        ("start_recovery", intent(part(0xc1), part(0xc3), start)),
        ("delete_backup", plain(Action::DeleteBackup(DeleteBackupAction {}))),
        ("cancel", plain(Action::Cancel(CancelAction { kind, intent_hash: intent_hash.clone() }))),
        ("carry_out", plain(Action::CarryOut(CarryOutAction { kind, intent_hash }))),
        ("open_eject_window", Intent { client: None, ..plain(window) }),
    ]
}

pub(crate) fn statement() -> Statement {
    let role = |byte| RoleStatement {
        pcr16: vec![vec![byte; 48]],
        epochs: vec![Epoch {
            epoch: 1,
            kek_id: vec![0x22; 32],
            channel_key_hash: vec![byte + 1; 32],
            receipt_key: vec![byte + 2; 32],
        }],
        lowest_epoch: 1,
    };
    Statement {
        root_key: vec![0xd1; 32],
        standby_key: vec![0xd2; 32],
        serial: 5,
        operational_keys: vec![OperationalKey { key: vec![0xd3; 32], not_before_ms: TIME, not_after_ms: TIME + 1 }],
        images: vec![ImageMeasurement { pcr0: vec![0xe0; 48], pcr1: vec![0xe1; 48], pcr2: vec![0xe2; 48] }],
        client: Some(role(0xf0)),
        custodian: Some(role(0xf4)),
        mpc_recipients: vec![vec![0xc4; 32]],
        rp_id: "wallet.example".into(),
        origins: vec!["https://wallet.example".into()],
        top_origins: vec!["https://partner.example".into()],
    }
}

pub(crate) fn event() -> Event {
    Event {
        version: 2,
        kind: ActKind::Recover.into(),
        intent_hash: vec![0x77; 32],
        time_ms: TIME,
        generation: 1,
        recipient: vec![0xc2; 32],
        credential_id: b"credential".to_vec(),
        tenant_key: vec![0xd3; 32],
        statement_serial: 5,
        subject_credential_id: b"newcomer".to_vec(),
        not_before_ms: TIME + 2,
        cancelled_intent_hash: vec![0x76; 32],
    }
}

pub(crate) fn receipt() -> Receipt {
    Receipt {
        tenant: vec![0x11; 32],
        wallet: "wallet-1".into(),
        role: Role::Client.into(),
        record_id: vec![0x33; 32],
        version: 2,
        head: vec![0xc1; 32],
        event: b"event".to_vec(),
        active: Some(GenerationRef { generation: 1, put_intent_hash: vec![0x78; 32] }),
        pending: Some(GenerationRef { generation: 2, put_intent_hash: vec![0x79; 32] }),
        intent_hash: vec![0x77; 32],
        identity_hash: vec![0x7a; 32],
        sealed_hashes: vec![vec![0x7b; 32], vec![0x7c; 32]],
        epoch: 1,
        time_ms: TIME,
        stages: Some(stages()),
        resealed_hashes: vec![vec![0x7d; 32]],
    }
}

fn stages() -> Stages {
    Stages { trusted: vec![Trust::KeyAdmin.into()], freshness: Freshness::CallerReceipt.into() }
}

pub(crate) fn view() -> WalletView {
    let credential = CredentialView {
        id: b"credential".to_vec(),
        key_hash: vec![0xaa; 32],
        label: "Ann's phone".into(),
        added_ms: TIME,
    };
    let generation = GenerationView {
        generation: 1,
        state: GenerationState::Active.into(),
        pairs: pairs(),
        put_intent_hash: vec![0x78; 32],
        added_ms: TIME,
    };
    let record = RecordView {
        record_id: vec![0x33; 32],
        head: vec![0xc1; 32],
        version: 2,
        backup: "backup-1".into(),
        method: "PASSKEY".into(),
        secret: SecretKind::Share.into(),
        rp_id: "wallet.example".into(),
        credentials: vec![credential],
        policy: Some(policy()),
        generations: vec![generation],
        roles: vec![Role::Client.into(), Role::Custodian.into()],
        statement_serial: 5,
        highest_generation: 3,
        open_acts: vec![open_act()],
        closed: true,
    };
    WalletView {
        tenant: vec![0x11; 32],
        role: Role::Client.into(),
        epoch: 1,
        wallet: "wallet-1".into(),
        nonce: vec![0x98; 32],
        time_ms: TIME,
        records: vec![record],
        stages: Some(stages()),
    }
}

pub(crate) fn rehearsal_report() -> Rehearsal {
    Rehearsal {
        tenant: vec![0x11; 32],
        wallet: "wallet-1".into(),
        role: Role::Client.into(),
        record_id: vec![0x33; 32],
        head: vec![0xc1; 32],
        generation: 1,
        intent_hash: vec![0x77; 32],
        result: RehearsalResult::Opens.into(),
        epoch: 1,
        time_ms: TIME,
        stages: Some(stages()),
    }
}

pub(crate) fn manifest() -> Manifest {
    Manifest {
        role: Role::Client.into(),
        kms_key_arn: "arn:aws:kms:eu-central-1:111122223333:key/key-1".into(),
        region: "eu-central-1".into(),
        release: 7,
        development: Some(Development { kms_root_der: b"certificate".to_vec() }),
    }
}

pub(crate) fn release_file() -> ReleaseFile {
    let tool = |name: &str, version: &str| BuiltWith { name: name.into(), version: version.into() };
    let release = |release: u64, byte: u8| PublishedRelease {
        release,
        version: format!("0.{release}.0"),
        image: Some(ImageMeasurement { pcr0: vec![byte; 48], pcr1: vec![byte + 1; 48], pcr2: vec![byte + 2; 48] }),
        image_hash: vec![byte + 3; 32],
        kernel_hash: vec![byte + 4; 32],
        built_with: vec![tool("gcc", "cc 14.2.0"), tool("libc.a", "5e1f"), tool("rustc", "1.94.0")],
    };
    ReleaseFile { serial: 3, lowest_release: 7, date_ms: TIME, releases: vec![release(7, 0x21), release(8, 0x31)] }
}
