//! Re-seals and steps over two epochs: a record only ever moves to a higher epoch, and nothing but the sealing changes.

use prost::Message;
use strongroom_proto::contents::Release;
use strongroom_proto::enclave::v1::{
    Commit, GetView, KekRef, PutShares, Recover, Rehearse, Reseal, Resealed, request::Body as Ask,
    response::Body as Answer,
};
use strongroom_proto::seal::Direction;
use strongroom_proto::v1::{
    Reason, RecoverAction, Rehearsal, RehearsalResult, RehearseAction, SignedStatement, Statement, WalletView,
    intent::Action,
};

use crate::acts::{Backup, back_up, info, part, recover, rehearse, share};
use crate::commits::{CUSTODIAN, commit, custodians, sign, two_roles, waiting};
use crate::device::{Passkey, Recipient};
use crate::steps::{about, consents, moves, put, put_shares, view_of};
use crate::tenant::{epoch, key};
use crate::world::{Epoch, World, reference, told};

/// What is changed of a re-seal that would pass.
type Change<'a> = &'a dyn Fn(&mut Reseal);

/// A world with three epochs; the statement in force names the first two.
struct Stage {
    world: World,
    backup: Backup,
    second: Epoch,
    third: Epoch,
}

fn stage(seed: u64) -> Stage {
    let mut world = World::new(seed);
    let backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let (second, third) = (world.make_epoch(&world.tenant, 2), world.make_epoch(&world.tenant, 3));
    let statement = world.tenant.statement(&[&world.epoch.identity, &second.identity]);
    world.statement = world.keep(world.tenant.sign(&statement));
    Stage { world, backup, second, third }
}

impl Stage {
    fn reseal(&self) -> Reseal {
        Reseal {
            tenant: self.world.tenant_id(),
            statement: Some(self.world.statement_ref()),
            kek: Some(self.second.kek()),
            record: Some(self.backup.record.clone()),
            shares: self.backup.shares.clone(),
            other_kek: Some(self.world.epoch.kek()),
        }
    }

    fn resealed(&self, ask: Reseal) -> Resealed {
        match self.world.drive(Ask::Reseal(ask)) {
            Answer::Resealed(done) => done,
            answer => panic!("{}", told(&answer)),
        }
    }

    /// Asks for a recovery of generation 1 with these KEKs, and opens what comes.
    fn recovers(&self, backup: &Backup, kek: &Epoch, other_kek: Option<KekRef>) -> Vec<u8> {
        let recipient = Recipient::new(1);
        let mut intent = about(&self.world, backup, Action::Recover(RecoverAction { generation: 1, eject: false }));
        part(&mut intent).recipient = recipient.hash();
        let act = consents(&intent, &[&backup.passkey]);
        let ask = recover(&self.world, act, backup, &recipient);
        let ask = Recover { kek: Some(kek.kek()), other_kek, ..ask };
        let Answer::Moved(moved) = self.world.drive(Ask::Recover(ask)) else { panic!("not recovered") };
        let info = info(Direction::Release, kek, &backup.receipt.record_id);
        Release::decode(&recipient.open(&info, &moved.release).unwrap()).unwrap().shares[0].bytes.expose().to_vec()
    }

    /// A statement with another lowest epoch, or with other epochs.
    fn statement(&self, epochs: &[&Epoch], lowest: u64) -> SignedStatement {
        let identities: Vec<_> = epochs.iter().map(|epoch| &epoch.identity).collect();
        let mut statement = self.world.tenant.statement(&identities);
        statement.client.as_mut().unwrap().lowest_epoch = lowest;
        self.world.keep(self.world.tenant.sign(&statement))
    }
}

#[test]
fn a_reseal_moves_record_and_shares_and_neither_version_nor_head() {
    let mut stage = stage(0xb0);
    let before = view_of(&stage.world, &stage.backup.record);
    let done = stage.resealed(stage.reseal());
    assert_eq!((done.epochs, done.record.as_ref().unwrap().epoch), (vec![2], 2));
    assert!(done.shares.iter().all(|share| share.epoch == 2 && share.generation == 1));
    let backup = Backup {
        record: done.record.unwrap(),
        shares: done.shares,
        receipt: stage.backup.receipt.clone(),
        passkey: Passkey::eddsa(9),
    };
    let old = std::mem::replace(&mut stage.backup, backup);
    let first = std::mem::replace(&mut stage.world.epoch, stage.second.clone());
    assert_eq!(view_of(&stage.world, &stage.backup.record), before);
    let second = stage.second.clone();
    assert_eq!(stage.recovers(&stage.backup, &second, None), b"planted secret of the ed25519 pair");
    // What was sealed before still opens under the KEK of its epoch.
    assert_eq!(stage.recovers(&old, &first, None), b"planted secret of the ed25519 pair");
}

#[test]
fn a_record_can_go_ahead_of_its_shares() {
    let stage = stage(0xb1);
    let done = stage.resealed(Reseal { shares: Vec::new(), ..stage.reseal() });
    assert_eq!((done.epochs, done.shares.len()), (vec![1, 2], 0));
    let backup = Backup {
        record: done.record.unwrap(),
        shares: stage.backup.shares.clone(),
        receipt: stage.backup.receipt.clone(),
        passkey: Passkey::eddsa(9),
    };
    let other = Some(stage.world.epoch.kek());
    assert_eq!(stage.recovers(&backup, &stage.second, other), b"planted secret of the ed25519 pair");
    let recipient = Recipient::new(1);
    let mut intent = about(&stage.world, &backup, Action::Recover(RecoverAction { generation: 1, eject: false }));
    part(&mut intent).recipient = recipient.hash();
    let ask = recover(&stage.world, consents(&intent, &[&backup.passkey]), &backup, &recipient);
    let ask = Recover { kek: Some(stage.second.kek()), ..ask };
    stage.world.refused("without the other KEK", Ask::Recover(ask), Reason::BadRequest, "sealed under epoch 1");
}

#[test]
fn a_reseal_that_breaks_a_rule_is_refused() {
    let stage = stage(0xb2);
    let other = back_up(&stage.world, "wallet-2", Passkey::eddsa(9), |_| {});
    let up = stage.resealed(stage.reseal());
    let only_first = stage.statement(&[&stage.world.epoch], 1);
    let (first, third) = (stage.world.epoch.kek(), stage.third.kek());
    let cases: &[(&str, Change<'_>, Reason, &str)] = &[
        (
            "downwards",
            &|r| {
                r.record.clone_from(&up.record);
                r.shares.clone_from(&up.shares);
                (r.kek, r.other_kek) = (r.other_kek.clone(), r.kek.clone());
            },
            Reason::BadRequest,
            "other_kek.epoch",
        ),
        (
            "shares downwards",
            &|r| {
                r.shares.clone_from(&up.shares);
                (r.kek, r.other_kek) = (r.other_kek.clone(), r.kek.clone());
            },
            Reason::BadRequest,
            "other_kek.epoch",
        ),
        ("epoch not in the statement", &|r| r.kek = Some(third.clone()), Reason::EpochNotInStatement, "epoch 3"),
        (
            "no statement names it",
            &|r| r.statement = Some(reference(&only_first)),
            Reason::EpochNotInStatement,
            "epoch 2",
        ),
        ("one epoch twice", &|r| r.other_kek.clone_from(&r.kek), Reason::BadRequest, "other_kek.epoch"),
        ("without the old KEK", &|r| r.other_kek = None, Reason::BadRequest, "record.epoch: 1"),
        ("record missing", &|r| r.record = None, Reason::BadRequest, "record: missing"),
        ("a share missing", &|r| drop(r.shares.pop()), Reason::NoValidBackup, "none for pair"),
        ("a share of another record", &|r| r.shares.clone_from(&other.shares), Reason::CiphertextHashMismatch, "pair"),
        ("another generation", &|r| r.shares[0].generation = 2, Reason::BadRequest, "shares.generation"),
        ("an altered share", &|r| r.shares[0].sealed[40] ^= 1, Reason::CiphertextHashMismatch, "pair ed"),
        ("an altered record", &|r| r.record.as_mut().unwrap().sealed[40] ^= 1, Reason::DecryptFailed, "record"),
        ("another wallet", &|r| r.record.as_mut().unwrap().wallet = "wallet-2".into(), Reason::DecryptFailed, "record"),
        ("another epoch's name", &|r| r.record.as_mut().unwrap().epoch = 2, Reason::DecryptFailed, "record"),
        (
            "the first KEK under the second's name",
            &|r| {
                r.kek = Some(KekRef { epoch: 2, ..first.clone() });
            },
            Reason::DecryptFailed,
            "kek.wrapped",
        ),
    ];
    for (name, change, reason, detail) in cases {
        let mut ask = stage.reseal();
        change(&mut ask);
        stage.world.refused(name, Ask::Reseal(ask), *reason, detail);
    }
    stage.resealed(stage.reseal());
}

#[test]
fn a_statement_older_than_the_record_has_seen_names_no_epoch_to_seal_to() {
    let mut stage = stage(0xb6);
    for (serial, expect) in [(4, false), (5, true), (6, true)] {
        let mut statement = stage.world.tenant.statement(&[&stage.world.epoch.identity, &stage.second.identity]);
        statement.serial = serial;
        stage.world.statement = stage.world.keep(stage.world.tenant.sign(&statement));
        let ask = stage.reseal();
        if expect {
            stage.resealed(ask);
        } else {
            stage.world.refused("older", Ask::Reseal(ask), Reason::StatementStale, "has seen statement 5");
        }
    }
}

#[test]
fn the_lower_epoch_alone_opens_nothing_of_the_higher() {
    let stage = stage(0xb9);
    let (kek, up) = (Some(stage.world.epoch.kek()), stage.resealed(stage.reseal()));
    let down = Reseal { kek, other_kek: None, record: up.record, shares: up.shares, ..stage.reseal() };
    stage.world.refused("record", Ask::Reseal(down.clone()), Reason::BadRequest, "record.epoch: 2");
    let record = Some(stage.backup.record.clone());
    let shares = Ask::Reseal(Reseal { record, ..down });
    stage.world.refused("shares", shares, Reason::CiphertextHashMismatch, "pair ed");
}

#[test]
fn below_the_lowest_epoch_nothing_new_is_sealed_and_everything_opens() {
    let mut stage = stage(0xb3);
    stage.world.statement = stage.statement(&[&stage.world.epoch, &stage.second], 2);
    let recipient = Recipient::new(1);
    let mut intent = about(&stage.world, &stage.backup, Action::Recover(RecoverAction { generation: 1, eject: false }));
    part(&mut intent).recipient = recipient.hash();
    let act = consents(&intent, &[&stage.backup.passkey]);
    let ask = Ask::Recover(recover(&stage.world, act, &stage.backup, &recipient));
    stage.world.refused("under the old epoch", ask, Reason::EpochNotInStatement, "lowest_epoch");
    // A put's message that was sealed to the old channel key is refused too: the device prepares anew.
    let (intent, message) = put(&stage.world, &stage.backup, 2, &[share("ed", b"x")]);
    let ask = put_shares(&stage.world, consents(&intent, &[&stage.backup.passkey]), message, &stage.backup);
    let ask = PutShares { kek: Some(stage.second.kek()), other_kek: Some(stage.world.epoch.kek()), ..ask };
    stage.world.refused("old message", Ask::PutShares(ask), Reason::EpochNotInStatement, "epoch 1");
    let other = Some(stage.world.epoch.kek());
    assert_eq!(stage.recovers(&stage.backup, &stage.second, other), b"planted secret of the ed25519 pair");
}

#[test]
fn a_message_to_the_epoch_before_is_stored_under_the_new_one() {
    let mut stage = stage(0xb4);
    let (intent, message) = put(&stage.world, &stage.backup, 2, &[share("ed", b"sealed to epoch 1")]);
    let ask = put_shares(&stage.world, consents(&intent, &[&stage.backup.passkey]), message, &stage.backup);
    let ask = PutShares { kek: Some(stage.second.kek()), other_kek: Some(stage.world.epoch.kek()), ..ask };
    let (moved, _) = moves(&stage.world, "put", Ask::PutShares(ask), &mut stage.backup);
    assert_eq!((moved.record.unwrap().epoch, moved.shares[0].epoch), (2, 2));
    assert_eq!(stage.backup.receipt.epoch, 2, "the newer epoch signs");
}

#[test]
fn a_rehearsal_tells_of_shares_under_two_epochs_only_with_both_keks() {
    let stage = stage(0xb7);
    let done = stage.resealed(Reseal { shares: Vec::new(), ..stage.reseal() });
    let intent = about(&stage.world, &stage.backup, Action::Rehearse(RehearseAction { generation: 1 }));
    let ask = rehearse(&stage.world, consents(&intent, &[&stage.backup.passkey]), &stage.backup);
    let ask = Rehearse { kek: Some(stage.second.kek()), record: done.record, ..ask };
    // The host's omission says nothing about the share.
    let without = Ask::Rehearse(ask.clone());
    stage.world.refused("without the other KEK", without, Reason::BadRequest, "sealed under epoch 1");
    // Which epoch a share is of, the record says, and not the host.
    let mut renamed = ask.shares.clone();
    for share in &mut renamed {
        share.epoch = 2;
    }
    let ask = Rehearse { other_kek: Some(stage.world.epoch.kek()), shares: renamed, ..ask };
    let Answer::Rehearsed(done) = stage.world.drive(Ask::Rehearse(ask)) else { panic!("not rehearsed") };
    let told = Rehearsal::decode(done.rehearsal.unwrap().rehearsal.as_slice()).unwrap();
    assert_eq!((told.result(), told.epoch, told.generation), (RehearsalResult::Opens, 2, 1));
}

#[test]
fn a_generation_moves_alone_and_a_pending_one_moves_too() {
    let mut world = two_roles(0xb8);
    let (mut backup, put_hash) = waiting(&world, "wallet-1");
    let second = world.make_epoch(&world.tenant, 2);
    let mut statement = Statement::decode(world.statement.statement.as_slice()).unwrap();
    statement.client.as_mut().unwrap().epochs.push(epoch(&second.identity));
    world.statement = world.keep(world.tenant.sign(&statement));
    let (pending, active): (Vec<_>, Vec<_>) = backup.shares.drain(..).partition(|share| share.generation == 2);
    let ask = Reseal {
        tenant: world.tenant_id(),
        statement: Some(world.statement_ref()),
        kek: Some(second.kek()),
        record: Some(backup.record.clone()),
        shares: pending,
        other_kek: Some(world.epoch.kek()),
    };
    let Answer::Resealed(done) = world.drive(Ask::Reseal(ask)) else { panic!("not re-sealed") };
    assert_eq!((done.epochs, done.shares.len()), (vec![1, 2], 1));
    (backup.record, backup.shares) = (done.record.unwrap(), [active, done.shares].concat());
    let receipt = sign(&key(CUSTODIAN[0]), &custodians(&backup, 2, &put_hash));
    let ask =
        Commit { kek: Some(second.kek()), other_kek: Some(world.epoch.kek()), ..commit(&world, &backup, receipt) };
    moves(&world, "commit", Ask::Commit(ask), &mut backup);
    for generation in [1, 2] {
        let intent = about(&world, &backup, Action::Rehearse(RehearseAction { generation }));
        let ask = rehearse(&world, consents(&intent, &[&backup.passkey]), &backup);
        let ask = Rehearse { kek: Some(second.kek()), other_kek: Some(world.epoch.kek()), ..ask };
        let Answer::Rehearsed(done) = world.drive(Ask::Rehearse(ask)) else { panic!("not rehearsed") };
        let told = Rehearsal::decode(done.rehearsal.unwrap().rehearsal.as_slice()).unwrap();
        assert_eq!((told.result(), told.generation), (RehearsalResult::Opens, generation));
    }
}

#[test]
fn a_message_to_the_newer_epoch_is_not_stored_under_the_one_before() {
    let mut stage = stage(0xb6);
    let first = std::mem::replace(&mut stage.world.epoch, stage.second.clone());
    let (intent, message) = put(&stage.world, &stage.backup, 2, &[share("ed", b"sealed to epoch 2")]);
    let ask = put_shares(&stage.world, consents(&intent, &[&stage.backup.passkey]), message, &stage.backup);
    let lower = PutShares { kek: Some(first.kek()), other_kek: Some(stage.second.kek()), ..ask.clone() };
    stage.world.refused("with both", Ask::PutShares(lower), Reason::BadRequest, "other_kek.epoch");
    let alone = PutShares { kek: Some(first.kek()), ..ask.clone() };
    stage.world.refused("with the lower alone", Ask::PutShares(alone), Reason::DecryptFailed, "message");
    let ask = PutShares { other_kek: Some(first.kek()), ..ask };
    let (moved, _) = moves(&stage.world, "put", Ask::PutShares(ask), &mut stage.backup);
    assert_eq!((moved.record.unwrap().epoch, moved.shares[0].epoch), (2, 2));
    // From here on the higher KEK alone opens it.
    let intent = about(&stage.world, &stage.backup, Action::Rehearse(RehearseAction { generation: 2 }));
    let ask = rehearse(&stage.world, consents(&intent, &[&stage.backup.passkey]), &stage.backup);
    let Answer::Rehearsed(done) = stage.world.drive(Ask::Rehearse(ask)) else { panic!("not rehearsed") };
    let told = Rehearsal::decode(done.rehearsal.unwrap().rehearsal.as_slice()).unwrap();
    assert_eq!(told.result(), RehearsalResult::Opens);
}

#[test]
fn a_view_opens_records_of_two_epochs() {
    let stage = stage(0xb5);
    let up = stage.resealed(stage.reseal()).record.unwrap();
    let old = back_up(&stage.world, "wallet-1", Passkey::eddsa(9), |_| {}).record;
    let view = |kek: &Epoch, other_kek| GetView {
        tenant: stage.world.tenant_id(),
        kek: Some(kek.kek()),
        wallet: "wallet-1".into(),
        nonce: vec![7; 32],
        records: vec![up.clone(), old.clone()],
        other_kek,
    };
    let ask = view(&stage.second, Some(stage.world.epoch.kek()));
    let Answer::View(answer) = stage.world.drive(Ask::GetView(ask)) else { panic!("no view") };
    let seen = WalletView::decode(answer.view.unwrap().view.as_slice()).unwrap();
    assert_eq!((seen.epoch, seen.records.len()), (2, 2));
    let without = Ask::GetView(view(&stage.second, None));
    stage.world.refused("without the other KEK", without, Reason::BadRequest, "record.epoch: 1");
    let below = Ask::GetView(view(&stage.world.epoch, Some(stage.second.kek())));
    stage.world.refused("signed by the lower", below, Reason::BadRequest, "other_kek.epoch");
    let alone = Ask::GetView(view(&stage.world.epoch, None));
    stage.world.refused("by the lower alone", alone, Reason::BadRequest, "record.epoch: 2");
}
