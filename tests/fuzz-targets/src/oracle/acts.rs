//! Acts that bring or release shares, and what was put off and is due.

use strongroom_proto::enclave::v1::{
    CarryOut, CreateRecord, Credential, Generation, Moved, PutShares, Record, Recover, SealedRecord,
};
use strongroom_proto::id::ContentHash;
use strongroom_proto::intent::hash;
use strongroom_proto::names::{is_id, is_label, is_method};
use strongroom_proto::v1::{Act, ActKind, Event, Intent, OpenAct, OpenActKind, Role, RolePart, intent::Action};

use super::changes::{removed, with_policy};
use super::consents::{Consents, Needs, find};
use super::moved::{self, Done};
use super::scene::Scene;
use super::shares::{Given, brought, check_release, raised, stored};
use crate::world::START;

const GENERATIONS_MAX: usize = 8;
const GRACE_MS: u64 = 7 * 24 * 3600 * 1000;

fn intent_hash(act: Option<&Act>) -> Vec<u8> {
    hash(&act.expect("an act").intent).0.to_vec()
}

/// The roles that an intent names, ascending.
fn roles(intent: &Intent) -> Vec<i32> {
    let named = [(Role::Client, intent.client.is_some()), (Role::Custodian, intent.custodian.is_some())];
    named.into_iter().filter(|(_, named)| *named).map(|(role, _)| role.into()).collect()
}

fn check_message(part: &RolePart, message: &[u8]) {
    assert_eq!(part.message_hash, ContentHash::of(message).0, "another message than was signed for");
    assert!(part.recipient.is_empty(), "a put releases nothing");
}

pub(super) fn creation(scene: &Scene<'_>, asked: &CreateRecord, moved: &Moved) {
    let (intent, part) = scene.creation(asked.act.as_ref());
    let Some(Action::CreateBackup(action)) = &intent.action else { panic!("another act than was signed for") };
    check_message(&part, &asked.message);
    let (wanted, new) = (action.credential.as_ref().expect("named"), asked.credential.as_ref().expect("given"));
    assert_eq!(
        (&wanted.id, &*wanted.key_hash),
        (&new.id, &ContentHash::of(&new.public_key).0[..]),
        "another credential"
    );
    assert!(is_id(&intent.wallet) && is_id(&action.backup) && is_method(&action.method) && is_label(&wanted.label));
    assert_eq!((action.generation, action.custodian_policy.is_some()), (1, intent.custodian.is_some()));
    let policy = action.client_policy.expect("a policy");
    scene.check_policy(policy);
    let record_id = strongroom_proto::intent::record_id(&intent).0.to_vec();
    let credential = Credential {
        id: new.id.clone(),
        public_key: new.public_key.clone(),
        label: wanted.label.clone(),
        added_ms: START,
        backup_eligible: None,
    };
    let mut after = Record {
        record_id: record_id.clone(),
        method: action.method.clone(),
        secret: action.secret,
        rp_id: scene.statement().rp_id.clone(),
        credentials: vec![credential],
        policy: Some(policy),
        active: 1,
        highest_generation: 1,
        roles: roles(&intent),
        head: record_id.clone(),
        ..Record::default()
    };
    let signed = asked.act.as_ref().expect("an act");
    let consents = find(scene, signed, &after, None, Needs::Creation);
    after.credentials[0].backup_eligible = consents.backup_eligible;
    let names =
        SealedRecord { wallet: intent.wallet, record_id, backup: action.backup.clone(), ..SealedRecord::default() };
    let intent_hash = intent_hash(asked.act.as_ref());
    let what = (1, action.pairs.as_slice(), action.secret);
    after.generations = vec![brought(scene, &names, what, &asked.message, intent_hash.clone(), moved)];
    assert!(moved.release.is_empty(), "a creation releases nothing");
    let event = Event { kind: ActKind::CreateBackup.into(), generation: 1, ..Event::default() };
    moved::check(scene, Done { names: &names, after, intent_hash, consents, event }, moved);
}

pub(super) fn put(scene: &Scene<'_>, asked: &PutShares, moved: &Moved) {
    let before = scene.subject(asked.record.as_ref());
    let (intent, part) = scene.about(asked.act.as_ref(), asked.record.as_ref(), &before);
    let Some(Action::PutShares(action)) = &intent.action else { panic!("another act than was signed for") };
    check_message(&part, &asked.message);
    assert_eq!(roles(&intent), before.roles, "a put names every role of the record");
    let number = action.generation;
    assert!(number > before.highest_generation && number - before.highest_generation <= 1024, "generation {number}");
    let act = asked.act.as_ref().expect("an act");
    let consents = find(scene, act, &before, None, Needs::Policy);
    let (names, intent_hash) = (asked.record.as_ref().expect("a record"), intent_hash(asked.act.as_ref()));
    let what = (number, action.pairs.as_slice(), before.secret);
    let new = brought(scene, names, what, &asked.message, intent_hash.clone(), moved);
    let mut after = Record { highest_generation: number, pending: 0, ..before.clone() };
    let alone = before.roles == [i32::from(Role::Client)];
    let in_grace = |it: &Generation| it.superseded_ms == 0 || START < it.superseded_ms.saturating_add(GRACE_MS);
    let stays = |it: &Generation| !alone || in_grace(it) || Some(it.generation) == awaited(&before);
    after.generations.retain(|it| it.generation != before.pending && stays(it));
    after.generations.push(new);
    assert!(after.generations.len() <= GENERATIONS_MAX, "more generations than a record holds");
    if alone {
        after.active = number;
        supersede(&mut after, before.active);
    } else {
        after.pending = number;
    }
    assert!(moved.release.is_empty(), "a put releases nothing");
    let event = Event { kind: ActKind::PutShares.into(), generation: number, ..Event::default() };
    moved::check(scene, Done { names, after, intent_hash, consents, event }, moved);
}

/// The generation that a recovery waits for: nothing takes it away.
pub(super) fn awaited(record: &Record) -> Option<u64> {
    let waits = |it: &&OpenAct| it.kind() == OpenActKind::Recovery && START < it.expires_ms;
    record.open_acts.iter().find(waits).map(|it| it.generation)
}

/// Another generation takes this one's place.
pub(super) fn supersede(record: &mut Record, number: u64) {
    for former in record.generations.iter_mut().filter(|it| it.generation == number) {
        former.superseded_ms = START;
    }
}

/// The generation of this number, if it is one that opens.
pub(super) fn openable(record: &Record, number: u64) -> &Generation {
    let found = record.generations.iter().find(|it| it.generation == number);
    found.filter(|_| number != record.pending).expect("a generation that opens")
}

pub(super) fn recovery(scene: &Scene<'_>, asked: &Recover, moved: &Moved) {
    let before = scene.subject(asked.record.as_ref());
    let (intent, part) = scene.about(asked.act.as_ref(), asked.record.as_ref(), &before);
    let Some(Action::Recover(action)) = &intent.action else { panic!("another act than was signed for") };
    assert!(part.message_hash.is_empty(), "a recovery brings nothing");
    assert_eq!(before.policy.expect("a policy").delay_seconds, 0, "a delay that was not waited for");
    let act = asked.act.as_ref().expect("an act");
    let consents = find(scene, act, &before, None, Needs::Policy);
    let (names, intent_hash) = (asked.record.as_ref().expect("a record"), intent_hash(asked.act.as_ref()));
    let generation = openable(&before, action.generation).clone();
    let given = Given {
        recipient: &part.recipient,
        key: &asked.recipient_key,
        generation: action.generation,
        intent_hash: &intent_hash,
        shares: stored(scene, names, &generation, &asked.shares).expect("shares that open"),
    };
    check_release(scene, &before.record_id, &given, &moved.release);
    let raised = raised(scene, names, (&generation, &asked.shares), &given.shares, moved);
    let event = released(action.generation, part.recipient, action.eject);
    let after = with_generation(before, &raised);
    moved::check(scene, Done { names, after, intent_hash, consents, event }, moved);
}

/// The record with another content of one generation.
fn with_generation(mut record: Record, generation: &Generation) -> Record {
    for known in record.generations.iter_mut().filter(|it| it.generation == generation.generation) {
        known.parts.clone_from(&generation.parts);
    }
    record
}

fn released(generation: u64, recipient: Vec<u8>, eject: bool) -> Event {
    let kind = if eject { ActKind::Eject } else { ActKind::Recover };
    Event { kind: kind.into(), generation, recipient, ..Event::default() }
}

pub(super) fn carried_out(scene: &Scene<'_>, asked: &CarryOut, moved: &Moved) {
    let before = scene.subject(asked.record.as_ref());
    let names = asked.record.as_ref().expect("a record");
    let open = before.open_acts.iter().find(|open| open.kind == asked.kind).expect("what waits").clone();
    assert!((open.not_before_ms..open.expires_ms).contains(&START), "not due");
    let policy = before.policy.expect("a policy");
    let consents = match &asked.act {
        Some(act) => second(scene, act, asked, &before, &open),
        None => Consents::none(),
    };
    let signed_over_head = consents.freshness == strongroom_proto::v1::Freshness::CallerReceipt;
    assert!(!policy.newest_head || signed_over_head, "the tenant did not sign over the newest head");
    let mut after = before.clone();
    after.open_acts.retain(|it| it.kind != open.kind);
    let is_release = open.kind() == OpenActKind::Recovery;
    assert!(is_release || (moved.release.is_empty() && moved.shares.is_empty()), "only a recovery releases");
    let event = match open.kind() {
        OpenActKind::Recovery => {
            let generation = openable(&before, open.generation);
            let given = Given {
                recipient: &open.recipient,
                key: &asked.recipient_key,
                generation: open.generation,
                intent_hash: &open.intent_hash,
                shares: stored(scene, names, generation, &asked.shares).expect("open shares"),
            };
            check_release(scene, &before.record_id, &given, &moved.release);
            let raised = raised(scene, names, (generation, &asked.shares), &given.shares, moved);
            after = with_generation(after, &raised);
            released(open.generation, open.recipient.clone(), open.eject)
        }
        OpenActKind::PolicyChange => with_policy(scene, &mut after, open.policy.expect("a policy")),
        OpenActKind::PasskeyRemoval => removed(&mut after, &open.credential_id),
        OpenActKind::Delete => {
            (after.generations, after.credentials, after.open_acts) = (Vec::new(), Vec::new(), Vec::new());
            (after.active, after.pending, after.closed) = (0, 0, true);
            Event { kind: ActKind::Delete.into(), ..Event::default() }
        }
        OpenActKind::EjectWindow | OpenActKind::Unspecified => panic!("an act that is never carried out"),
    };
    moved::check(scene, Done { names, after, intent_hash: open.intent_hash, consents, event }, moved);
}

/// The tenant's second signature: over this record at this head, and what waits in it.
fn second(scene: &Scene<'_>, act: &Act, asked: &CarryOut, before: &Record, open: &OpenAct) -> Consents {
    let (intent, part) = scene.about(Some(act), asked.record.as_ref(), before);
    let Some(Action::CarryOut(action)) = &intent.action else { panic!("another act than was signed for") };
    assert_eq!((action.kind, &action.intent_hash), (open.kind, &open.intent_hash), "another act that waits");
    assert!(part.message_hash.is_empty() && part.recipient.is_empty());
    find(scene, act, before, None, Needs::Tenant)
}
