//! Mutated frames: nothing panics, and nothing comes out that the passkey did not sign for.

use prost::Message;
use strongroom_core::{Incoming, parse};
use strongroom_proto::contents::Release;
use strongroom_proto::enclave::v1::{
    CarryOut, Change, GetView, Request, Reseal, request::Body as Ask, response::Body as Answer,
};
use strongroom_proto::seal::Direction;
use strongroom_proto::v1::{AddPasskeyAction, OpenActKind, Policy, StartRecoveryAction, WalletView, intent::Action};

use crate::acts::{
    Backup, PASSKEY_ONLY, act, action, back_up, creation, info, part, recover, recovery, rehearsal, rehearse,
    sealed_message, sign_creation, two_shares,
};
use crate::device::{Passkey, Recipient, honest};
use crate::steps::{about, carry_out, change, consents, moves, named, put, put_shares, registration};
use crate::world::{Random, START, World, encode, references, told};

const MUTATIONS: usize = 3_000;
/// Bytes that lie at the edges of protobuf, CBOR and ASCII.
const EDGES: [u8; 8] = [0, 1, 0x0a, 0x22, 0x7f, 0x80, 0xa0, 0xff];

struct Stage {
    world: World,
    backup: Backup,
    waiting: Backup,
    recipient: Recipient,
    /// Requests that pass, with all bytes in them.
    good: Vec<Ask>,
}

fn stage() -> Stage {
    let mut world = World::new(0x90);
    let second = world.make_epoch(&world.tenant, 2);
    let statement = world.tenant.statement(&[&world.epoch.identity, &second.identity]);
    world.statement = world.keep(world.tenant.sign(&statement));
    let backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let recipient = Recipient::new(1);
    let waiting = waiting(&world, &recipient);
    let passkey = &backup.passkey;
    let mut consented = act(&recovery(&world, &backup, &recipient), passkey, &honest());
    consented.tenant_signature = Some(world.tenant.consent(&consented.intent));
    let rehearsal = act(&rehearsal(&world, &backup), passkey, &honest());
    let intent = creation(&world, "wallet-1", passkey);
    let message = sealed_message(&world, &intent, &two_shares());
    let view = GetView {
        tenant: world.tenant_id(),
        kek: Some(world.epoch.kek()),
        wallet: "wallet-1".into(),
        nonce: vec![4; 32],
        records: vec![backup.record.clone()],
        other_kek: None,
    };
    let (put_intent, put_message) = put(&world, &backup, 2, &two_shares());
    let newcomer = Passkey::eddsa(10);
    let add = Action::AddPasskey(AddPasskeyAction { credential: Some(named(&newcomer)) });
    let add = consents(&about(&world, &backup, add), &[passkey, &newcomer]);
    let reseal = Reseal {
        tenant: world.tenant_id(),
        statement: Some(world.statement_ref()),
        kek: Some(second.kek()),
        record: Some(backup.record.clone()),
        shares: backup.shares.clone(),
        other_kek: Some(world.epoch.kek()),
    };
    let due =
        CarryOut { recipient_key: recipient.public_key.clone(), ..carry_out(&world, OpenActKind::Recovery, &waiting) };
    let mut good = vec![
        Ask::PutShares(put_shares(&world, consents(&put_intent, &[passkey]), put_message, &backup)),
        Ask::Change(Change { credential: Some(registration(&newcomer)), ..change(&world, add, &backup) }),
        Ask::CarryOut(due),
        Ask::Reseal(reseal),
        Ask::Recover(recover(&world, consented, &backup, &recipient)),
        Ask::CreateRecord(sign_creation(&world, intent, message, passkey, &honest())),
        Ask::GetView(view),
        Ask::Rehearse(rehearse(&world, rehearsal, &backup)),
    ];
    for ask in &mut good {
        let (statement, kek, other) = references(ask);
        if let Some(statement) = statement {
            statement.signed = Some(world.statement.clone());
        }
        for kek in [kek, other].into_iter().flatten() {
            let epoch = if kek.epoch == 2 { &second } else { &world.epoch };
            kek.wrapped.clone_from(&epoch.wrapped);
        }
    }
    Stage { world, backup, waiting, recipient, good }
}

/// A backup whose recovery is due.
fn waiting(world: &World, recipient: &Recipient) -> Backup {
    let policy = Policy { delay_seconds: 1, ..PASSKEY_ONLY };
    let mut backup =
        back_up(world, "wallet-2", Passkey::eddsa(9), |intent| action(intent).client_policy = Some(policy));
    let mut start = about(world, &backup, Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false }));
    part(&mut start).recipient = recipient.hash();
    let ask = Ask::Change(change(world, consents(&start, &[&backup.passkey]), &backup));
    moves(world, "start", ask, &mut backup);
    world.fake.now.set(START + 1000);
    backup
}

/// One to three changes of a frame.
fn mutate(random: &mut Random, frame: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=random.below(3) {
        let at = random.below(frame.len().max(1)).min(frame.len().saturating_sub(1));
        let len = 1 + random.below(40);
        let end = (at + len).min(frame.len());
        match random.below(8) {
            0 | 1 if !frame.is_empty() => frame[at] ^= 1 << random.below(8),
            2 if !frame.is_empty() => frame[at] = EDGES[random.below(EDGES.len())],
            3 if !frame.is_empty() => frame[at] = frame[at].wrapping_add(1),
            4 => frame.truncate(at),
            5 => drop(frame.splice(at..at, [EDGES[random.below(EDGES.len())]])),
            6 => drop(frame.drain(at..end)),
            _ => {
                let from = random.below(other.len());
                let piece = other[from..(from + len).min(other.len())].to_vec();
                drop(frame.splice(at..end, piece));
            }
        }
    }
}

impl Stage {
    /// What came out of `frame`, which was once `original`, is what its passkey signed for, or nothing.
    fn check(&self, original: &Ask, frame: &[u8]) -> bool {
        // Control is the runtime's: such a frame never reaches the core.
        if matches!(parse(frame), Ok(Incoming::Control(_))) {
            return false;
        }
        let answer = self.world.once(frame);
        if matches!(answer, Answer::Error(_) | Answer::Need(_)) {
            return false;
        }
        let asked = Request::decode(frame).unwrap().body.unwrap();
        match (original, asked, answer) {
            (Ask::Recover(original), Ask::Recover(asked), Answer::Moved(done)) => {
                let (act, signed) = (asked.act.unwrap(), original.act.clone().unwrap());
                assert_eq!((act.intent, act.assertions), (signed.intent, signed.assertions));
                assert_eq!(
                    (asked.tenant, asked.recipient_key),
                    (original.tenant.clone(), original.recipient_key.clone())
                );
                assert_eq!(asked.record, original.record);
                let info = info(Direction::Release, &self.world.epoch, &self.backup.receipt.record_id);
                let release = Release::decode(&self.recipient.open(&info, &done.release).unwrap()).unwrap();
                let got: Vec<_> = release.shares.iter().map(|share| (&share.pair, share.bytes.expose())).collect();
                let shares = two_shares();
                let expect: Vec<_> = shares.iter().map(|share| (&share.pair, share.bytes.expose())).collect();
                assert_eq!(got, expect);
            }
            (Ask::PutShares(original), Ask::PutShares(asked), Answer::Moved(_)) => {
                assert_eq!(asked.act.unwrap().intent, original.act.clone().unwrap().intent);
                assert_eq!((&asked.message, &asked.record), (&original.message, &original.record));
            }
            (Ask::Change(original), Ask::Change(asked), Answer::Moved(_)) => {
                assert_eq!(asked.act.unwrap().intent, original.act.clone().unwrap().intent);
                assert_eq!((&asked.credential, &asked.record), (&original.credential, &original.record));
            }
            (Ask::CarryOut(original), Ask::CarryOut(asked), Answer::Moved(done)) => {
                assert_eq!((&asked.record, &asked.recipient_key), (&original.record, &original.recipient_key));
                let info = info(Direction::Release, &self.world.epoch, &self.waiting.receipt.record_id);
                assert!(self.recipient.open(&info, &done.release).is_some(), "to the recipient that was fixed");
            }
            (Ask::Reseal(original), Ask::Reseal(asked), Answer::Resealed(done)) => {
                assert_eq!(asked.record, original.record);
                assert!(done.record.unwrap().epoch == 2 || asked.kek.unwrap().epoch == 1);
            }
            (Ask::CreateRecord(original), Ask::CreateRecord(asked), Answer::Moved(_)) => {
                assert_eq!(asked.act.unwrap().intent, original.act.clone().unwrap().intent);
                assert_eq!((asked.message, asked.credential), (original.message.clone(), original.credential.clone()));
            }
            (Ask::Rehearse(original), Ask::Rehearse(asked), Answer::Rehearsed(_)) => {
                assert_eq!(asked.act.unwrap().intent, original.act.clone().unwrap().intent);
                assert_eq!(asked.record, original.record);
            }
            // A view is asked for without consent: it tells of unaltered records, and repeats what it was asked.
            (_, Ask::GetView(asked), Answer::View(answer)) => {
                let view = WalletView::decode(answer.view.unwrap().view.as_slice()).unwrap();
                assert_eq!((view.wallet, view.nonce), (asked.wallet, asked.nonce));
                assert!(asked.records.iter().all(|record| *record == self.backup.record));
            }
            (_, Ask::GetIdentity(_), Answer::IdentityProven(_)) | (_, Ask::CreateKek(_), Answer::KekCreated(_)) => {}
            (_, _, answer) => panic!("another act than was asked for: {}", told(&answer)),
        }
        true
    }
}

#[test]
fn nothing_comes_out_of_a_mutated_frame_that_was_not_signed_for() {
    let stage = stage();
    let count = std::env::var("STRONGROOM_MUTATIONS").map_or(MUTATIONS, |count| count.parse().unwrap());
    let seed = std::env::var("STRONGROOM_SEED").map_or(0x5eed, |seed| seed.parse().unwrap());
    let mut random = Random::new(seed);
    let frames: Vec<Vec<u8>> = stage.good.iter().map(|ask| encode(ask.clone())).collect();
    for (ask, frame) in stage.good.iter().zip(&frames) {
        assert!(stage.check(ask, frame), "the frame that is mutated passes");
    }
    let mut passed = 0;
    for round in 0..count {
        let which = random.below(frames.len());
        let other = random.below(frames.len());
        let mut frame = frames[which].clone();
        mutate(&mut random, &mut frame, &frames[other]);
        if random.below(4) == 0 || round % 50 == 0 {
            stage.world.fake.forget();
        }
        passed += usize::from(stage.check(&stage.good[which], &frame));
    }
    println!("{count} mutations, {passed} answered as if unchanged");
    assert!(passed < count / 5, "{passed} of {count} passed: the mutations miss what matters");
}

#[test]
fn a_frame_cut_anywhere_is_answered() {
    let stage = stage();
    for ask in &stage.good {
        let frame = encode(ask.clone());
        for end in (0..frame.len()).step_by(7) {
            let cut = &frame[..end];
            assert!(!stage.check(ask, cut), "cut at {end}");
        }
    }
}
