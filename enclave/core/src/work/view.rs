//! `GetView`: the records of one wallet, opened and signed for a device that gave a nonce.

use alloc::format;
use alloc::vec::Vec;

use prost::Message;
use strongroom_proto::enclave::v1::{GetView, View};
use strongroom_proto::id::ContentHash;
use strongroom_proto::limits::RECORDS_MAX;
use strongroom_proto::names::is_id;
use strongroom_proto::prefix;
use strongroom_proto::v1::{CredentialView, Freshness, GenerationView, RecordView, SignedView, WalletView};

use super::Scene;
use crate::consent;
use crate::platform::Platform;
use crate::record::Record;
use crate::refusal::{Refusal, bad};
use crate::role::RoleKind;

pub(super) fn run<P: Platform, R: RoleKind>(scene: &Scene<'_, P>, request: &GetView) -> Result<View, Refusal> {
    if !is_id(&request.wallet) {
        return Err(bad("wallet: not 1 to 64 bytes of [A-Za-z0-9._-]"));
    }
    if request.nonce.len() != 32 {
        return Err(bad("nonce: not 32 bytes"));
    }
    if request.records.len() > RECORDS_MAX {
        return Err(bad(format!("records: {}, at most {RECORDS_MAX}", request.records.len())));
    }
    let mut records = Vec::with_capacity(request.records.len());
    for sealed in &request.records {
        if sealed.wallet != request.wallet {
            return Err(bad("records: one of another wallet"));
        }
        records.push(view_of(Record::open(scene.keks(), sealed)?));
    }
    records.sort_by(|a, b| a.record_id.cmp(&b.record_id));
    if records.windows(2).any(|pair| matches!(pair, [a, b] if a.record_id == b.record_id)) {
        return Err(bad("records: one of them twice"));
    }
    let view = WalletView {
        tenant: scene.tenant.0.to_vec(),
        role: R::ROLE.into(),
        epoch: scene.kek.context.epoch,
        wallet: request.wallet.clone(),
        nonce: request.nonce.clone(),
        time_ms: scene.now.0,
        records,
        stages: Some(consent::stages(Freshness::None)),
    }
    .encode_to_vec();
    let signature = scene.kek.sign(prefix::VIEW, &view);
    Ok(View { view: Some(SignedView { view, signature }) })
}

fn view_of(record: Record) -> RecordView {
    let generations = record.content.generations.iter().map(|generation| GenerationView {
        generation: generation.generation,
        state: record.state_of(generation.generation).into(),
        pairs: generation.parts.iter().filter_map(|part| part.pair.clone()).collect(),
        put_intent_hash: generation.put_intent_hash.clone(),
        added_ms: generation.added_ms,
    });
    let generations = generations.collect();
    let content = record.content;
    let credentials = content.credentials.into_iter().map(|credential| CredentialView {
        id: credential.id,
        key_hash: ContentHash::of(&credential.public_key).0.to_vec(),
        label: credential.label,
        added_ms: credential.added_ms,
    });
    RecordView {
        record_id: record.id.0.to_vec(),
        head: record.head.0.to_vec(),
        version: content.version,
        backup: record.backup,
        method: content.method,
        secret: content.secret,
        rp_id: content.rp_id,
        credentials: credentials.collect(),
        policy: content.policy,
        generations,
        roles: content.roles,
        statement_serial: content.statement_serial,
        highest_generation: content.highest_generation,
        open_acts: content.open_acts,
        closed: content.closed,
    }
}
