//! Puts as the enemy would have them: another's message, an old one, a lower generation, without consents, past the limits.

use strongroom_proto::contents::encode_shares;
use strongroom_proto::enclave::v1::{PutShares, SealedRecord, request::Body as Ask};
use strongroom_proto::id::ContentHash;
use strongroom_proto::limits::{GENERATION_STEP_MAX, GENERATIONS_MAX, GRACE_MS};
use strongroom_proto::seal::Direction;
use strongroom_proto::v1::{Act, Intent, Policy, PutSharesAction, Reason, Receipt, SecretKind, intent::Action};

use crate::acts::{Backup, PASSKEY_ONLY, action, back_up, creation, info, part, sealed_message, share, sign_creation};
use crate::device::{Passkey, honest, seal};
use crate::steps::{consents, countersigned, moves, put, put_shares, view_of};
use crate::world::{Case, START, World};

fn good(world: &World, backup: &Backup, generation: u64) -> PutShares {
    let (intent, message) = put(world, backup, generation, &[share("ed", b"new")]);
    put_shares(world, consents(&intent, &[&backup.passkey]), message, backup)
}

/// A put whose intent was changed before the passkey signed it.
fn changed(world: &World, backup: &Backup, change: impl FnOnce(&mut Intent)) -> PutShares {
    let (mut intent, message) = put(world, backup, 2, &[share("ed", b"new")]);
    change(&mut intent);
    put_shares(world, consents(&intent, &[&backup.passkey]), message, backup)
}

fn action_of(intent: &mut Intent) -> &mut PutSharesAction {
    match &mut intent.action {
        Some(Action::PutShares(action)) => action,
        _ => panic!("no put"),
    }
}

#[test]
fn a_put_whose_signed_intent_breaks_a_rule_is_refused() {
    let world = World::new(0xe0);
    let backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let cases: &[Case<Intent>] = &[
        ("generation 0", |i| action_of(i).generation = 0, Reason::StateInvalid, "has seen 1"),
        ("generation 1", |i| action_of(i).generation = 1, Reason::StateInvalid, "has seen 1"),
        ("too far", |i| action_of(i).generation = 2 + GENERATION_STEP_MAX, Reason::BadRequest, "1024 above"),
        ("the last number", |i| action_of(i).generation = u64::MAX, Reason::BadRequest, "above"),
        ("no pair", |i| action_of(i).pairs.clear(), Reason::BadRequest, "put_shares.pairs"),
        ("another pair", |i| action_of(i).pairs[0].id = "k1".into(), Reason::BadRequest, "other pairs"),
        ("no curve", |i| action_of(i).pairs[0].curve = 0, Reason::BadRequest, "curve"),
        (
            "a pair twice",
            |i| {
                let pair = action_of(i).pairs[0].clone();
                action_of(i).pairs.push(pair);
            },
            Reason::BadRequest,
            "sorted",
        ),
        ("no message named", |i| part(i).message_hash.clear(), Reason::BadRequest, "intent.message_hash: missing"),
        ("another message", |i| part(i).message_hash = vec![1; 32], Reason::CiphertextHashMismatch, "message"),
        ("a recipient", |i| part(i).recipient = vec![1; 32], Reason::BadRequest, "intent.recipient"),
        ("an old head", |i| part(i).head = vec![1; 32], Reason::RecordStale, "intent.head"),
        ("another record", |i| part(i).record_id = vec![1; 32], Reason::BadRequest, "another record"),
        ("another wallet", |i| i.wallet = "wallet-2".into(), Reason::BadRequest, "another wallet"),
        ("no role", |i| i.client = None, Reason::BadRequest, "does not name"),
        ("past", |i| i.not_after_ms = START, Reason::IntentExpired, "not_after_ms"),
    ];
    for (name, change, reason, detail) in cases {
        world.refused(name, Ask::PutShares(changed(&world, &backup, change)), *reason, detail);
    }
    let ask = good(&world, &backup, 2);
    let act = Act { assertions: Vec::new(), ..ask.act.clone().unwrap() };
    let nobody = PutShares { act: Some(act), ..ask };
    world.refused("nobody", Ask::PutShares(nobody), Reason::PolicyDenied, "passkey");
}

#[test]
fn a_puts_message_opens_for_its_own_record_and_intent_only() {
    let world = World::new(0xe1);
    let mut backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let host = back_up(&world, "wallet-1", Passkey::eddsa(66), |_| {});
    let users = good(&world, &backup, 2);
    // The user's ciphertext, in a put to a record of the host's own, which the host's passkey signs.
    let mut intent = put(&world, &host, 2, &[share("ed", b"new")]).0;
    part(&mut intent).message_hash = ContentHash::of(&users.message).0.to_vec();
    let stolen = put_shares(&world, consents(&intent, &[&host.passkey]), users.message.clone(), &host);
    world.refused("host's record", Ask::PutShares(stolen), Reason::DecryptFailed, "message");
    let foreign = PutShares { record: Some(host.record.clone()), ..users.clone() };
    world.refused("host's record beside it", Ask::PutShares(foreign), Reason::BadRequest, "another record");
    let swapped = PutShares { message: good(&world, &backup, 2).message, ..users.clone() };
    world.refused("another message", Ask::PutShares(swapped), Reason::CiphertextHashMismatch, "message");
    // A release's direction, and another content.
    for (name, direction, content) in [
        ("direction", Direction::Release, encode_shares(&[share("ed", b"new")]).unwrap().to_vec()),
        ("content", Direction::Request, b"not shares".to_vec()),
    ] {
        let info = info(direction, &world.epoch, &backup.receipt.record_id);
        let message = seal(&mut world.fake.random.borrow_mut(), &world.epoch.identity.channel_key, &info, &content);
        let mut intent = put(&world, &backup, 2, &[share("ed", b"new")]).0;
        part(&mut intent).message_hash = ContentHash::of(&message).0.to_vec();
        let ask = put_shares(&world, consents(&intent, &[&backup.passkey]), message, &backup);
        let reason = if name == "content" { Reason::BadRequest } else { Reason::DecryptFailed };
        world.refused(name, Ask::PutShares(ask), reason, "message");
    }
    moves(&world, "good", Ask::PutShares(users.clone()), &mut backup);
    // Once more, and with the record of now: the head has moved.
    let again = PutShares { record: Some(backup.record.clone()), ..users };
    world.refused("replayed", Ask::PutShares(again), Reason::RecordStale, "intent.head");
}

#[test]
fn the_host_cannot_turn_a_replayed_put_into_another_version_of_the_newest_record() {
    let world = World::new(0xe2);
    let mut backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let (old, receipt) = (backup.record.clone(), backup.receipt.clone());
    let second = good(&world, &backup, 2);
    moves(&world, "second", Ask::PutShares(second.clone()), &mut backup);
    let head = backup.receipt.head.clone();
    let third = good(&world, &backup, 3);
    moves(&world, "third", Ask::PutShares(third.clone()), &mut backup);
    // On the old record the old put runs again, to the same event but for its time, and never onto the newest head.
    let replay = PutShares { record: Some(old.clone()), ..second };
    let mut fork = Backup { record: old, receipt, shares: vec![], passkey: Passkey::eddsa(9) };
    world.fake.now.set(START + 1);
    moves(&world, "replay", Ask::PutShares(replay), &mut fork);
    assert_eq!(fork.receipt.version, 2);
    assert_ne!(fork.receipt.head, head, "two heads at one version prove the fork");
    let onto_fork = PutShares { record: Some(fork.record.clone()), ..third };
    world.refused("third onto the fork", Ask::PutShares(onto_fork), Reason::RecordStale, "intent.head");
}

#[test]
fn generations_are_bounded_and_go_after_their_grace() {
    let world = World::new(0xe3);
    let mut backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let last = u64::try_from(GENERATIONS_MAX).unwrap();
    for generation in 2..=last {
        let ask = Ask::PutShares(good(&world, &backup, generation));
        moves(&world, "put", ask, &mut backup);
    }
    assert_eq!(view_of(&world, &backup.record).generations.len(), GENERATIONS_MAX);
    let one_more = Ask::PutShares(good(&world, &backup, last + 1));
    world.refused("one more", one_more, Reason::StateInvalid, "generations");
    world.fake.now.set(START + GRACE_MS - 1);
    world.refused("within the grace", Ask::PutShares(good(&world, &backup, last + 1)), Reason::StateInvalid, "");
    world.fake.now.set(START + GRACE_MS);
    let ask = Ask::PutShares(good(&world, &backup, last + 1));
    let (moved, _) = moves(&world, "after the grace", ask, &mut backup);
    assert_eq!(moved.generations, [last, last + 1], "the active one before, and the new one");
    let ask = Ask::PutShares(good(&world, &backup, last + 1 + GENERATION_STEP_MAX));
    moves(&world, "the farthest step", ask, &mut backup);
}

#[test]
fn the_grace_of_a_generation_starts_when_another_takes_its_place() {
    let world = World::new(0xe6);
    let mut backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    world.fake.now.set(START + GRACE_MS);
    for (generation, expect) in [(2, &[1, 2][..]), (3, &[1, 2, 3])] {
        let ask = Ask::PutShares(good(&world, &backup, generation));
        let (moved, _) = moves(&world, "put", ask, &mut backup);
        assert_eq!(moved.generations, expect, "generation 1 is old, and was active until now");
    }
}

#[test]
fn a_put_takes_the_policys_consents_and_no_delay() {
    let world = World::new(0xe4);
    let policy = Policy { tenant_signature: true, delay_seconds: 3600, ..PASSKEY_ONLY };
    let mut backup =
        back_up(&world, "wallet-1", Passkey::eddsa(9), |intent| action(intent).client_policy = Some(policy));
    let ask = good(&world, &backup, 2);
    world.refused("passkey alone", Ask::PutShares(ask.clone()), Reason::PolicyDenied, "tenant_signature");
    let alone = Act { assertions: Vec::new(), ..countersigned(&world, ask.act.clone().unwrap()) };
    let alone = PutShares { act: Some(alone), ..ask.clone() };
    world.refused("tenant alone", Ask::PutShares(alone), Reason::PolicyDenied, "passkey");
    let act = countersigned(&world, ask.act.clone().unwrap());
    moves(&world, "both", Ask::PutShares(PutShares { act: Some(act), ..ask }), &mut backup);
}

#[test]
fn keys_in_escrow_stay_32_bytes_at_a_put() {
    let world = World::new(0xe5);
    let passkey = Passkey::eddsa(9);
    let mut intent = creation(&world, "wallet-1", &passkey);
    action(&mut intent).secret = SecretKind::Key.into();
    action(&mut intent).pairs.truncate(1);
    let message = sealed_message(&world, &intent, &[share("ed", &[5; 32])]);
    let ask = sign_creation(&world, intent, message, &passkey, &honest());
    let mut backup = Backup { record: SealedRecord::default(), shares: vec![], receipt: Receipt::default(), passkey };
    moves(&world, "create", Ask::CreateRecord(ask), &mut backup);
    for (len, expect) in [(31, false), (33, false), (32, true)] {
        let (intent, message) = put(&world, &backup, 2, &[share("ed", &vec![6; len])]);
        let ask = put_shares(&world, consents(&intent, &[&backup.passkey]), message, &backup);
        if expect {
            moves(&world, "32 bytes", Ask::PutShares(ask), &mut backup);
        } else {
            world.refused("length", Ask::PutShares(ask), Reason::BadRequest, "32 bytes");
        }
    }
}
