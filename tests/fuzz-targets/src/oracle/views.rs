//! What an enclave says and does not do: identities, views, rehearsals.

use prost::Message;
use strongroom_proto::enclave::v1::{GetIdentity, GetView, IdentityProven, Rehearse, Rehearsed, SealedRecord, View};
use strongroom_proto::id::ContentHash;
use strongroom_proto::intent::hash;
use strongroom_proto::names::is_id;
use strongroom_proto::signed::identity_hash;
use strongroom_proto::v1::{
    CredentialView, Freshness, GenerationState, GenerationView, RecordView, Rehearsal, RehearsalResult, Role,
    WalletView, intent::Action,
};
use strongroom_proto::{prefix, signed};

use super::acts::openable;
use super::consents::{Needs, find};
use super::moved::stages;
use super::scene::Scene;
use super::shares::stored;
use crate::world::START;

pub(super) fn identity(scene: &Scene<'_>, asked: &GetIdentity, proven: &IdentityProven) {
    let identity = scene.own.identity.encode_to_vec();
    assert_eq!(proven.identity, identity, "another identity");
    assert!(asked.nonce.len() <= 64, "a nonce without end");
    let nonce = if asked.nonce.is_empty() { b"none" } else { asked.nonce.as_slice() };
    // As the platform of the core's tests writes it.
    let document = [b"document|", &identity_hash(&identity).0[..], b"|", nonce].concat();
    assert_eq!(proven.document, document, "a document over something else");
}

pub(super) fn view(scene: &Scene<'_>, asked: &GetView, answer: &View) {
    let given = answer.view.as_ref().expect("a view");
    let key = &scene.own.identity.receipt_key;
    signed::verify(prefix::VIEW, &given.view, key, &given.signature).expect("the view is signed");
    assert_eq!((asked.nonce.len(), asked.records.len() <= 16), (32, true), "a short nonce, or too many records");
    assert!(is_id(&asked.wallet), "a wallet that is none");
    let mut records: Vec<RecordView> = asked.records.iter().map(|record| shown(scene, asked, record)).collect();
    records.sort_by(|a, b| a.record_id.cmp(&b.record_id));
    assert!(records.windows(2).all(|two| two[0].record_id != two[1].record_id), "a record twice");
    let view = WalletView {
        tenant: scene.tenant.clone(),
        role: Role::Client.into(),
        epoch: scene.own.epoch(),
        wallet: asked.wallet.clone(),
        nonce: asked.nonce.clone(),
        time_ms: START,
        records,
        stages: Some(stages(Freshness::None)),
    };
    assert_eq!(WalletView::decode(given.view.as_slice()).expect("a view decodes"), view, "another view");
    assert_eq!(given.view, view.encode_to_vec(), "a view has one encoding");
}

fn shown(scene: &Scene<'_>, asked: &GetView, sealed: &SealedRecord) -> RecordView {
    assert_eq!(sealed.wallet, asked.wallet, "another wallet's record");
    let record = scene.record(sealed);
    let credentials = record.credentials.into_iter().map(|it| CredentialView {
        id: it.id,
        key_hash: ContentHash::of(&it.public_key).0.to_vec(),
        label: it.label,
        added_ms: it.added_ms,
    });
    let state = |number| {
        if number == record.active {
            GenerationState::Active
        } else if number == record.pending {
            GenerationState::Pending
        } else {
            GenerationState::Former
        }
    };
    let generations = record.generations.into_iter().map(|it| GenerationView {
        generation: it.generation,
        state: state(it.generation).into(),
        pairs: it.parts.into_iter().filter_map(|part| part.pair).collect(),
        put_intent_hash: it.put_intent_hash,
        added_ms: it.added_ms,
    });
    RecordView {
        record_id: record.record_id,
        head: record.head,
        version: record.version,
        backup: sealed.backup.clone(),
        method: record.method,
        secret: record.secret,
        rp_id: record.rp_id,
        credentials: credentials.collect(),
        policy: record.policy,
        generations: generations.collect(),
        roles: record.roles,
        statement_serial: record.statement_serial,
        highest_generation: record.highest_generation,
        open_acts: record.open_acts,
        closed: record.closed,
    }
}

pub(super) fn rehearsal(scene: &Scene<'_>, asked: &Rehearse, done: &Rehearsed) {
    let record = scene.subject(asked.record.as_ref());
    let (intent, part) = scene.about(asked.act.as_ref(), asked.record.as_ref(), &record);
    let Some(Action::Rehearse(action)) = &intent.action else { panic!("another act than was signed for") };
    assert!(part.message_hash.is_empty() && part.recipient.is_empty(), "a rehearsal releases nothing");
    let act = asked.act.as_ref().expect("an act");
    let consents = find(scene, act, &record, None, Needs::Policy);
    let names = asked.record.as_ref().expect("a record");
    let opened = stored(scene, names, openable(&record, action.generation), &asked.shares);
    let result = if opened.is_some() { RehearsalResult::Opens } else { RehearsalResult::Damaged };
    let given = done.rehearsal.as_ref().expect("a rehearsal");
    let key = &scene.own.identity.receipt_key;
    signed::verify(prefix::REHEARSAL, &given.rehearsal, key, &given.signature).expect("it is signed");
    let rehearsal = Rehearsal {
        tenant: scene.tenant.clone(),
        wallet: names.wallet.clone(),
        role: Role::Client.into(),
        record_id: record.record_id,
        head: record.head,
        generation: action.generation,
        intent_hash: hash(&act.intent).0.to_vec(),
        result: result.into(),
        epoch: scene.own.epoch(),
        time_ms: START,
        stages: Some(stages(consents.freshness)),
    };
    assert_eq!(Rehearsal::decode(given.rehearsal.as_slice()).expect("it decodes"), rehearsal, "another report");
}
