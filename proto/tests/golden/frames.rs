//! Frames and the content of a record.

use strongroom_proto::enclave::v1 as frames;
use strongroom_proto::enclave::v1::{request::Body as Ask, response::Body as Answer};
use strongroom_proto::v1::{
    Act, Assertion, NewCredential, OpenActKind, Pair, Reason, Role, SecretKind, SignedReceipt, SignedRehearsal,
    SignedStatement, SignedView, TenantSignature,
};

use super::{TIME, open_act, pairs, policy};

pub(crate) fn record() -> frames::Record {
    let credential = frames::Credential {
        id: b"credential".to_vec(),
        public_key: b"COSE_Key".to_vec(),
        label: "Ann's phone".into(),
        added_ms: TIME,
        backup_eligible: Some(true),
    };
    let again = frames::ResealedPart { sealed_hash: vec![0x7d; 32], epoch: 2 };
    let share = |pair: Pair| {
        let resealed = (pair.id == "ed").then(|| again.clone());
        frames::SharePart { pair: Some(pair), sealed_hash: vec![0x7b; 32], epoch: 1, resealed }
    };
    let generation = frames::Generation {
        generation: 1,
        parts: pairs().into_iter().map(share).collect(),
        put_intent_hash: vec![0x78; 32],
        added_ms: TIME,
        superseded_ms: TIME + 1,
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
        pending: 2,
        open_acts: vec![open_act()],
        closed: true,
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

fn other_kek() -> frames::KekRef {
    frames::KekRef { epoch: 2, sha256: vec![0x53; 32], wrapped: b"other wrapped".to_vec() }
}

fn new_credential() -> NewCredential {
    NewCredential { id: b"credential".to_vec(), public_key: b"COSE_Key".to_vec() }
}

fn receipt() -> SignedReceipt {
    SignedReceipt { receipt: b"receipt".to_vec(), signature: vec![0xd6; 64] }
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
    frames::SealedShare { generation: 1, pair: "ed".into(), sealed: b"sealed share".to_vec(), epoch: 1 }
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
        credential: Some(new_credential()),
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
        other_kek: Some(other_kek()),
    };
    let rehearse = frames::Rehearse {
        tenant: tenant(),
        statement: statement(),
        kek: kek(),
        act: act(),
        record: record(),
        shares: vec![sealed_share()],
        other_kek: Some(other_kek()),
    };
    let get_view = frames::GetView {
        tenant: tenant(),
        kek: kek(),
        wallet: "wallet-1".into(),
        nonce: vec![0x98; 32],
        records: vec![sealed_record()],
        other_kek: Some(other_kek()),
    };
    vec![
        ("request: boot", 1, Ask::Boot(frames::Boot { manifest: b"manifest".to_vec() })),
        ("request: set_credentials", 2, Ask::SetCredentials(credentials)),
        ("request: get_health", u64::MAX, Ask::GetHealth(frames::GetHealth {})),
        ("request: get_events", 4, Ask::GetEvents(frames::GetEvents { after: 300 })),
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

/// As [`requests`]: those that change a record without a release at once.
pub(crate) fn changes() -> Vec<(&'static str, u64, Ask)> {
    let tenant = || vec![0x11; 32];
    let (statement, kek, act, record) =
        (|| Some(statement_ref()), || Some(kek_ref()), || Some(act()), || Some(sealed_record()));
    let put_shares = frames::PutShares {
        tenant: tenant(),
        statement: statement(),
        kek: kek(),
        act: act(),
        record: record(),
        message: b"message".to_vec(),
        other_kek: Some(other_kek()),
    };
    let commit = frames::Commit {
        tenant: tenant(),
        statement: statement(),
        kek: kek(),
        receipt: Some(receipt()),
        record: record(),
        other_kek: Some(other_kek()),
    };
    let change = frames::Change {
        tenant: tenant(),
        statement: statement(),
        kek: kek(),
        act: act(),
        record: record(),
        credential: Some(new_credential()),
        other_kek: Some(other_kek()),
    };
    let carry_out = frames::CarryOut {
        tenant: tenant(),
        statement: statement(),
        kek: kek(),
        act: act(),
        record: record(),
        kind: OpenActKind::Recovery.into(),
        recipient_key: b"recipient key".to_vec(),
        shares: vec![sealed_share()],
        other_kek: Some(other_kek()),
    };
    let reseal = frames::Reseal {
        tenant: tenant(),
        statement: statement(),
        kek: kek(),
        record: record(),
        shares: vec![sealed_share()],
        other_kek: Some(other_kek()),
    };
    vec![
        ("request: put_shares", 9, Ask::PutShares(put_shares)),
        ("request: commit", 10, Ask::Commit(commit)),
        ("request: change", 11, Ask::Change(change)),
        ("request: carry_out", 12, Ask::CarryOut(carry_out)),
        ("request: reseal", 13, Ask::Reseal(reseal)),
    ]
}

/// Label, frame id, response.
pub(crate) fn responses() -> Vec<(&'static str, u64, Answer)> {
    let error =
        frames::Error { reason: Reason::RateLimited.into(), detail: "names the limit".into(), retry_after_ms: 45_000 };
    let health = frames::Health {
        missing: vec!["credentials".into(), "clock".into()],
        role: Role::Client.into(),
        release: 7,
        development: true,
        time_ms: TIME,
    };
    let events = frames::Events {
        events: vec![frames::Event { seq: 301, uptime_ms: 1234, line: "phase: Serving".into() }],
        oldest: 46,
        next: 302,
        uptime_ms: 5678,
    };
    let view = frames::View { view: Some(SignedView { view: b"view".to_vec(), signature: vec![0xd7; 64] }) };
    let moved = frames::Moved {
        record: Some(sealed_record()),
        shares: vec![sealed_share()],
        receipt: Some(receipt()),
        generations: vec![1, 2],
        release: b"release".to_vec(),
    };
    let resealed = frames::Resealed { record: Some(sealed_record()), shares: vec![sealed_share()], epochs: vec![1, 2] };
    let signed = SignedRehearsal { rehearsal: b"rehearsal".to_vec(), signature: vec![0xd8; 64] };
    let proven = frames::IdentityProven { identity: b"identity".to_vec(), document: b"document".to_vec() };
    vec![
        ("response: error", 1, Answer::Error(error)),
        ("response: need", 2, Answer::Need(frames::Need { statement: true, kek: true, other_kek: true })),
        ("response: booted", 3, Answer::Booted(frames::Booted { pcr16: vec![0x16; 48] })),
        ("response: credentials_set", 4, Answer::CredentialsSet(frames::CredentialsSet {})),
        ("response: health", 5, Answer::Health(health)),
        ("response: events", 12, Answer::Events(events)),
        ("response: kek_created", 6, Answer::KekCreated(frames::KekCreated { epoch: 1, wrapped: b"wrapped".to_vec() })),
        ("response: identity_proven", 7, Answer::IdentityProven(proven)),
        ("response: view", 8, Answer::View(view)),
        ("response: moved", 9, Answer::Moved(moved)),
        ("response: resealed", 10, Answer::Resealed(resealed)),
        ("response: rehearsed", 11, Answer::Rehearsed(frames::Rehearsed { rehearsal: Some(signed) })),
    ]
}
