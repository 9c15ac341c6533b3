//! One message of each kind, with every field set to something that can be told apart.

use strongroom_proto::enclave::v1 as frames;
use strongroom_proto::enclave::v1::{request::Body as Ask, response::Body as Answer};
use strongroom_proto::v1::{
    Act, ActKind, Assertion, CreateBackupAction, CredentialRef, CredentialView, Curve, Development, Epoch, Event,
    Freshness, GenerationRef, GenerationState, GenerationView, ImageMeasurement, Intent, Manifest, NewCredential,
    OperationalKey, Pair, Policy, Reason, Receipt, RecordView, RecoverAction, Rehearsal, RehearsalResult,
    RehearseAction, Role, RolePart, RoleStatement, SecretKind, SignedReceipt, SignedRehearsal, SignedStatement,
    SignedView, Stages, Statement, TenantSignature, Trust, WalletView, intent::Action,
};

const TIME: u64 = 1_800_000_000_000;

fn pairs() -> Vec<Pair> {
    let pair = |id: &str, curve: Curve| Pair { id: id.into(), curve: curve.into() };
    vec![pair("ed", Curve::Ed25519), pair("k1", Curve::Secp256k1)]
}

fn policy() -> Policy {
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
        credential: Some(CredentialRef {
            id: b"credential".to_vec(),
            key_hash: vec![0xaa; 32],
            label: "Ann\u{e9}'s phone".into(),
        }),
    };
    intent(part(0xb1), part(0xb2), Action::CreateBackup(action))
}

pub(crate) fn recovery() -> Intent {
    intent(part(0xc1), part(0xc3), Action::Recover(RecoverAction { generation: 258 }))
}

pub(crate) fn rehearsal() -> Intent {
    let part = |byte| RolePart { recipient: Vec::new(), ..part(byte) };
    intent(part(0xc1), part(0xc3), Action::Rehearse(RehearseAction { generation: 1 }))
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

pub(crate) fn record() -> frames::Record {
    let credential = frames::Credential {
        id: b"credential".to_vec(),
        public_key: b"COSE_Key".to_vec(),
        label: "Ann's phone".into(),
        added_ms: TIME,
        backup_eligible: Some(true),
    };
    let share = |pair: Pair| frames::SharePart { pair: Some(pair), sealed_hash: vec![0x7b; 32], epoch: 1 };
    let generation = frames::Generation {
        generation: 1,
        parts: pairs().into_iter().map(share).collect(),
        put_intent_hash: vec![0x78; 32],
        added_ms: TIME,
    };
    frames::Record {
        record_id: vec![0x33; 32],
        method: "PASSKEY".into(),
        secret: SecretKind::Key.into(),
        rp_id: "wallet.example".into(),
        credentials: vec![credential],
        policy: Some(policy()),
        generations: vec![generation],
        active: 1,
        highest_generation: 1,
        roles: vec![Role::Client.into(), Role::Custodian.into()],
        statement_serial: 5,
        version: 2,
        head: vec![0xc1; 32],
    }
}

fn act() -> Act {
    let assertion = Assertion {
        credential_id: b"credential".to_vec(),
        authenticator_data: b"authenticator data".to_vec(),
        client_data_json: b"{}".to_vec(),
        signature: b"signature".to_vec(),
        client_extension_results: "{\"credProps\":{}}".into(),
    };
    let tenant_signature = TenantSignature { key: vec![0xd3; 32], signature: vec![0xd4; 64] };
    Act { intent: b"intent".to_vec(), assertions: vec![assertion], tenant_signature: Some(tenant_signature) }
}

fn statement_ref() -> frames::StatementRef {
    let signed = SignedStatement { statement: b"statement".to_vec(), signature: vec![0xd5; 64] };
    frames::StatementRef { sha256: vec![0x51; 32], signed: Some(signed) }
}

fn kek_ref() -> frames::KekRef {
    frames::KekRef { epoch: 1, sha256: vec![0x52; 32], wrapped: b"wrapped".to_vec() }
}

fn sealed_record() -> frames::SealedRecord {
    frames::SealedRecord {
        wallet: "wallet-1".into(),
        record_id: vec![0x33; 32],
        backup: "backup-1".into(),
        epoch: 1,
        sealed: b"sealed record".to_vec(),
    }
}

fn sealed_share() -> frames::SealedShare {
    frames::SealedShare { generation: 1, pair: "ed".into(), sealed: b"sealed share".to_vec() }
}

/// Label, frame id, request.
pub(crate) fn requests() -> Vec<(&'static str, u64, Ask)> {
    let tenant = || vec![0x11; 32];
    let (statement, kek, act, record) =
        (|| Some(statement_ref()), || Some(kek_ref()), || Some(act()), || Some(sealed_record()));
    let credentials = frames::SetCredentials {
        access_key_id: "id".into(),
        secret_access_key: "secret".into(),
        session_token: "token".into(),
        expires_at_ms: TIME,
    };
    let create_record = frames::CreateRecord {
        tenant: tenant(),
        statement: statement(),
        kek: kek(),
        act: act(),
        credential: Some(NewCredential { id: b"credential".to_vec(), public_key: b"COSE_Key".to_vec() }),
        message: b"message".to_vec(),
    };
    let recover = frames::Recover {
        tenant: tenant(),
        statement: statement(),
        kek: kek(),
        act: act(),
        recipient_key: b"recipient key".to_vec(),
        record: record(),
        shares: vec![sealed_share()],
    };
    let rehearse = frames::Rehearse {
        tenant: tenant(),
        statement: statement(),
        kek: kek(),
        act: act(),
        record: record(),
        shares: vec![sealed_share()],
    };
    let get_view = frames::GetView {
        tenant: tenant(),
        kek: kek(),
        wallet: "wallet-1".into(),
        nonce: vec![0x98; 32],
        records: vec![sealed_record()],
    };
    vec![
        ("request: boot", 1, Ask::Boot(frames::Boot { manifest: b"manifest".to_vec() })),
        ("request: set_credentials", 2, Ask::SetCredentials(credentials)),
        ("request: get_health", u64::MAX, Ask::GetHealth(frames::GetHealth {})),
        ("request: create_kek", 258, Ask::CreateKek(frames::CreateKek { tenant: tenant(), epoch: 1 })),
        (
            "request: get_identity",
            4,
            Ask::GetIdentity(frames::GetIdentity { tenant: tenant(), kek: kek(), nonce: vec![1; 4] }),
        ),
        ("request: get_view", 5, Ask::GetView(get_view)),
        ("request: create_record", 6, Ask::CreateRecord(create_record)),
        ("request: recover", 7, Ask::Recover(recover)),
        ("request: rehearse", 8, Ask::Rehearse(rehearse)),
    ]
}

/// Label, frame id, response.
pub(crate) fn responses() -> Vec<(&'static str, u64, Answer)> {
    let receipt = || Some(SignedReceipt { receipt: b"receipt".to_vec(), signature: vec![0xd6; 64] });
    let error =
        frames::Error { reason: Reason::RateLimited.into(), detail: "names the limit".into(), retry_after_ms: 45_000 };
    let health = frames::Health {
        missing: vec!["credentials".into(), "clock".into()],
        role: Role::Client.into(),
        release: 7,
        development: true,
        time_ms: TIME,
    };
    let view = frames::View { view: Some(SignedView { view: b"view".to_vec(), signature: vec![0xd7; 64] }) };
    let created =
        frames::RecordCreated { record: Some(sealed_record()), shares: vec![sealed_share()], receipt: receipt() };
    let recovered =
        frames::Recovered { record: Some(sealed_record()), release: b"release".to_vec(), receipt: receipt() };
    let signed = SignedRehearsal { rehearsal: b"rehearsal".to_vec(), signature: vec![0xd8; 64] };
    let proven = frames::IdentityProven { identity: b"identity".to_vec(), document: b"document".to_vec() };
    vec![
        ("response: error", 1, Answer::Error(error)),
        ("response: need", 2, Answer::Need(frames::Need { statement: true, kek: true })),
        ("response: booted", 3, Answer::Booted(frames::Booted { pcr16: vec![0x16; 48] })),
        ("response: credentials_set", 4, Answer::CredentialsSet(frames::CredentialsSet {})),
        ("response: health", 5, Answer::Health(health)),
        ("response: kek_created", 6, Answer::KekCreated(frames::KekCreated { epoch: 1, wrapped: b"wrapped".to_vec() })),
        ("response: identity_proven", 7, Answer::IdentityProven(proven)),
        ("response: view", 8, Answer::View(view)),
        ("response: record_created", 9, Answer::RecordCreated(created)),
        ("response: recovered", 10, Answer::Recovered(recovered)),
        ("response: rehearsed", 11, Answer::Rehearsed(frames::Rehearsed { rehearsal: Some(signed) })),
    ]
}
