//! Shares that the caller keeps: a release that is brought one of a lower epoch seals it anew and hands it back, and the record opens
//! both until a release is brought the newer one.

mod random;
mod refusals;

use strongroom_proto::contents::Release;
use strongroom_proto::enclave::v1::{
    CarryOut, Moved, Recover, Rehearse, Reseal, Resealed, ResealedPart, SealedShare, SharePart, request::Body as Ask,
    response::Body as Answer,
};
use strongroom_proto::id::ContentHash;
use strongroom_proto::seal::Direction;
use strongroom_proto::v1::{
    ActKind, Intent, OpenActKind, Policy, Rehearsal, RehearsalResult, RehearseAction, Role, StartRecoveryAction,
    intent::Action,
};

use prost::Message;

use crate::acts::{Backup, PASSKEY_ONLY, action, back_up, info, own_part, recover, recovery, rehearse, two_shares};
use crate::device::{Passkey, Recipient};
use crate::ejects::window;
use crate::steps::{about, carry_out, change, consents, moves};
use crate::tenant::MPC;
use crate::vault::read_under;
use crate::world::{Epoch, START, World, told};

const ROLES: [Role; 2] = [Role::Client, Role::Custodian];
const DELAYED: Policy = Policy { delay_seconds: 3600, ..PASSKEY_ONLY };

/// A world whose statement names three epochs, and a backup of the first. Its `shares` are what the caller keeps.
struct Stage {
    world: World,
    backup: Backup,
    epochs: [Epoch; 3],
}

/// KEKs by their epochs: the one that seals, and the other one.
type Keks = (u64, Option<u64>);

impl Stage {
    fn new(role: Role, seed: u64, policy: Policy) -> Self {
        let mut world = if role == Role::Client { World::new(seed) } else { World::custodian(seed) };
        let [second, third] = [2, 3].map(|number| world.make_epoch(&world.tenant, number));
        let epochs = [world.epoch.clone(), second, third];
        let backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |intent| {
            let creation = action(intent);
            for wanted in [&mut creation.client_policy, &mut creation.custodian_policy].into_iter().flatten() {
                *wanted = policy;
            }
        });
        let statement = world.tenant.statement(&epochs.each_ref().map(|epoch| &epoch.identity));
        world.statement = world.keep(world.tenant.sign(&statement));
        Self { world, backup, epochs }
    }

    fn epoch(&self, number: u64) -> &Epoch {
        &self.epochs[usize::try_from(number).unwrap() - 1]
    }

    /// To whom this role releases.
    fn recipient(&self) -> Recipient {
        Recipient::new(if self.world.role == Role::Client { 1 } else { MPC[0] })
    }

    fn intent(&self) -> Intent {
        recovery(&self.world, &self.backup, &self.recipient())
    }

    /// A recovery that is brought these shares.
    fn asks(&self, (kek, other): Keks, shares: &[SealedShare]) -> Recover {
        let act = consents(&self.intent(), &[&self.backup.passkey]);
        Recover {
            kek: Some(self.epoch(kek).kek()),
            other_kek: other.map(|other| self.epoch(other).kek()),
            shares: shares.to_vec(),
            ..recover(&self.world, act, &self.backup, &self.recipient())
        }
    }

    /// Asks, and keeps the record, but none of what is handed back.
    fn moves(&mut self, ask: Ask, kek: u64, kind: ActKind, to: &Recipient) -> Vec<SealedShare> {
        let kept = self.backup.shares.clone();
        let (moved, event) = moves(&self.world, "release", ask, &mut self.backup);
        self.backup.shares = kept;
        assert_eq!((event.kind(), event.generation), (kind, 1));
        self.check(&moved, kek, to);
        moved.shares
    }

    /// The release holds what was backed up, whatever was brought.
    fn check(&self, moved: &Moved, kek: u64, to: &Recipient) {
        let info = info(Direction::Release, self.epoch(kek), &self.backup.receipt.record_id);
        let opened = Release::decode(&to.open(&info, &moved.release).unwrap()).unwrap();
        let got = opened.shares.iter().map(|share| (share.pair.clone(), share.bytes.expose().to_vec()));
        let expect = two_shares().into_iter().map(|share| (share.pair.clone(), share.bytes.expose().to_vec()));
        assert!(got.eq(expect));
        assert!(moved.shares.iter().all(|share| (share.generation, share.epoch) == (1, kek)));
    }

    /// Recovers with these shares, and gives what is handed back.
    fn recovers(&mut self, keks: Keks, shares: &[SealedShare]) -> Vec<SealedShare> {
        let ask = Ask::Recover(self.asks(keks, shares));
        self.moves(ask, keks.0, ActKind::Recover, &self.recipient())
    }

    /// Whether a rehearsal of these shares opens. It changes nothing: it has no record to give.
    fn rehearses(&self, (kek, other): Keks, shares: &[SealedShare]) -> bool {
        let intent = about(&self.world, &self.backup, Action::Rehearse(RehearseAction { generation: 1 }));
        let ask = Rehearse {
            kek: Some(self.epoch(kek).kek()),
            other_kek: other.map(|other| self.epoch(other).kek()),
            shares: shares.to_vec(),
            ..rehearse(&self.world, consents(&intent, &[&self.backup.passkey]), &self.backup)
        };
        let Answer::Rehearsed(done) = self.world.drive(Ask::Rehearse(ask)) else { panic!("not rehearsed") };
        let told = Rehearsal::decode(done.rehearsal.unwrap().rehearsal.as_slice()).unwrap();
        told.result() == RehearsalResult::Opens
    }

    fn reseal(&self, (kek, other): Keks, shares: &[SealedShare]) -> Reseal {
        Reseal {
            tenant: self.world.tenant_id(),
            statement: Some(self.world.statement_ref()),
            kek: Some(self.epoch(kek).kek()),
            record: Some(self.backup.record.clone()),
            shares: shares.to_vec(),
            other_kek: other.map(|other| self.epoch(other).kek()),
        }
    }

    fn reseals(&mut self, keks: Keks, shares: &[SealedShare]) -> Resealed {
        match self.world.drive(Ask::Reseal(self.reseal(keks, shares))) {
            Answer::Resealed(done) => {
                self.backup.record = done.record.clone().unwrap();
                done
            }
            answer => panic!("{}", told(&answer)),
        }
    }

    /// What the record says of the shares, by pair.
    fn parts(&self) -> Vec<SharePart> {
        let record = &self.backup.record;
        read_under(&self.world, self.epoch(record.epoch), record).generations.remove(0).parts
    }

    /// What the record says is this, by pair: the bytes that stand first, and those that were sealed again.
    fn check_parts(&self, expect: &[(&SealedShare, Option<&SealedShare>)]) {
        let hash = |share: &SealedShare| ContentHash::of(&share.sealed).0.to_vec();
        let found = self.parts();
        assert_eq!(found.len(), expect.len());
        for (part, (first, again)) in found.iter().zip(expect) {
            let resealed = again.map(|it| ResealedPart { sealed_hash: hash(it), epoch: it.epoch });
            let pair = part.pair.clone();
            assert_eq!(pair.as_ref().map(|pair| &pair.id), Some(&first.pair));
            assert_eq!(part, &SharePart { pair, sealed_hash: hash(first), epoch: first.epoch, resealed });
        }
    }
}

#[test]
fn a_share_of_a_lower_epoch_is_handed_back_sealed_anew_and_both_open() {
    for role in ROLES {
        let mut stage = Stage::new(role, 0x200, PASSKEY_ONLY);
        let old = stage.backup.shares.clone();
        // Under its own epoch nothing is sealed anew.
        assert_eq!(stage.recovers((1, None), &old), []);
        stage.check_parts(&[(&old[0], None), (&old[1], None)]);
        let new = stage.recovers((2, Some(1)), &old);
        assert_eq!(new.iter().map(|share| share.pair.as_str()).collect::<Vec<_>>(), ["ed", "k1"]);
        stage.check_parts(&[(&old[0], Some(&new[0])), (&old[1], Some(&new[1]))]);
        let mixed = [old[0].clone(), new[1].clone()];
        for shares in [&old[..], &new, &mixed] {
            assert!(stage.rehearses((2, Some(1)), shares), "{role:?}");
        }
        stage.check_parts(&[(&old[0], Some(&new[0])), (&old[1], Some(&new[1]))]);
        // One of each: what was sealed anew before and not brought is named no more.
        let anew = stage.recovers((2, Some(1)), &mixed);
        assert_eq!((anew.len(), anew[0].pair.as_str()), (1, "ed"));
        assert_ne!(anew[0].sealed, new[0].sealed);
        stage.check_parts(&[(&old[0], Some(&anew[0])), (&new[1], None)]);
        assert!(!stage.rehearses((2, Some(1)), &new) && !stage.rehearses((2, Some(1)), &old));
        assert!(
            stage.rehearses((2, Some(1)), &mixed) && stage.rehearses((2, None), &[anew[0].clone(), new[1].clone()])
        );
    }
}

#[test]
fn once_the_newer_ones_are_brought_the_former_ones_are_dropped() {
    for role in ROLES {
        let mut stage = Stage::new(role, 0x201, PASSKEY_ONLY);
        let old = stage.backup.shares.clone();
        let new = stage.recovers((2, Some(1)), &old);
        // The KEK of the former epoch is not needed any more.
        assert_eq!(stage.recovers((2, None), &new), []);
        stage.check_parts(&[(&new[0], None), (&new[1], None)]);
        let ask = Ask::Recover(stage.asks((2, Some(1)), &old));
        stage.world.refused("former", ask, strongroom_proto::v1::Reason::CiphertextHashMismatch, "shares: pair ed");
        assert!(!stage.rehearses((2, Some(1)), &old) && stage.rehearses((2, None), &new));
        assert_eq!(stage.recovers((2, Some(1)), &new), []);
    }
}

#[test]
fn two_rotations_leave_what_was_brought_and_what_was_handed_back_last() {
    for role in ROLES {
        for brings_former in [true, false] {
            let mut stage = Stage::new(role, 0x202, PASSKEY_ONLY);
            let old = stage.backup.shares.clone();
            let second = stage.recovers((2, Some(1)), &old);
            // The record goes ahead, as a re-seal brings it there: a request carries two KEKs and no third.
            assert_eq!(stage.reseals((3, Some(2)), &[]).epochs, [1, 2, 3]);
            let (brought, epoch, dropped) = if brings_former { (&old, 1, &second) } else { (&second, 2, &old) };
            let third = stage.recovers((3, Some(epoch)), brought);
            stage.check_parts(&[(&brought[0], Some(&third[0])), (&brought[1], Some(&third[1]))]);
            assert!(!stage.rehearses((3, Some(3 - epoch)), dropped));
            assert!(stage.rehearses((3, Some(epoch)), brought) && stage.rehearses((3, None), &third));
            assert_eq!(stage.recovers((3, None), &third), []);
            stage.check_parts(&[(&third[0], None), (&third[1], None)]);
        }
    }
}

#[test]
fn a_reseal_opens_either_and_leaves_one() {
    for role in ROLES {
        for which in 0..3 {
            let mut stage = Stage::new(role, 0x203, PASSKEY_ONLY);
            let old = stage.backup.shares.clone();
            let new = stage.recovers((2, Some(1)), &old);
            let brought = [old.clone(), new.clone(), vec![old[0].clone(), new[1].clone()]][which].clone();
            assert_eq!(stage.reseals((2, None), &[]).epochs, [1, 2], "both epochs are in use");
            let done = stage.reseals((2, Some(1)), &brought);
            assert_eq!((done.epochs, done.shares.len()), (vec![2], 2));
            stage.check_parts(&[(&done.shares[0], None), (&done.shares[1], None)]);
            assert!(!stage.rehearses((2, Some(1)), &old) && !stage.rehearses((2, Some(1)), &new));
            assert_eq!(stage.recovers((2, None), &done.shares), []);
        }
    }
}

#[test]
fn an_eject_seals_anew_like_any_release() {
    for role in ROLES {
        let mut stage = Stage::new(role, 0x204, PASSKEY_ONLY);
        let (old, device) = (stage.backup.shares.clone(), Recipient::new(1));
        if role == Role::Custodian {
            let ask = window(&stage.world, &stage.backup, 300);
            moves(&stage.world, "window", ask, &mut stage.backup);
        }
        let mut intent = stage.intent();
        let eject = strongroom_proto::v1::RecoverAction { generation: 1, eject: true };
        intent.action = Some(Action::Recover(eject));
        own_part(&stage.world, &mut intent).recipient = device.hash();
        let act = Some(consents(&intent, &[&stage.backup.passkey]));
        let recipient_key = device.public_key.clone();
        let ask = Ask::Recover(Recover { act, recipient_key, ..stage.asks((2, Some(1)), &old) });
        let new = stage.moves(ask, 2, ActKind::Eject, &device);
        stage.check_parts(&[(&old[0], Some(&new[0])), (&old[1], Some(&new[1]))]);
    }
}

#[test]
fn a_recovery_that_waited_seals_anew_like_any_release() {
    for role in ROLES {
        let mut stage = Stage::new(role, 0x205, DELAYED);
        let old = stage.backup.shares.clone();
        let mut former = Vec::new();
        for round in 0..2 {
            let start = Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false });
            let mut intent = about(&stage.world, &stage.backup, start);
            own_part(&stage.world, &mut intent).recipient = stage.recipient().hash();
            let act = consents(&intent, &[&stage.backup.passkey]);
            let kek = Some(stage.epoch(if round == 0 { 1 } else { 2 }).kek());
            let ask = strongroom_proto::enclave::v1::Change { kek, ..change(&stage.world, act, &stage.backup) };
            moves(&stage.world, "start", Ask::Change(ask), &mut stage.backup);
            stage.world.fake.now.set(START + 3_600_000 * (round + 1));
            let due = carry_out(&stage.world, OpenActKind::Recovery, &stage.backup);
            let ask = Ask::CarryOut(CarryOut {
                kek: Some(stage.epoch(2).kek()),
                other_kek: Some(stage.epoch(1).kek()),
                recipient_key: stage.recipient().public_key,
                shares: if round == 0 { old.clone() } else { former.clone() },
                ..due
            });
            let new = stage.moves(ask, 2, ActKind::Recover, &stage.recipient());
            if round == 0 {
                stage.check_parts(&[(&old[0], Some(&new[0])), (&old[1], Some(&new[1]))]);
                former = new;
            } else {
                assert_eq!(new, []);
                stage.check_parts(&[(&former[0], None), (&former[1], None)]);
            }
        }
    }
}
