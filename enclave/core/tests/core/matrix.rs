//! Two matrices: every action's intent in every kind of request, in both roles, and every stored blob in the place of every other one.

use prost::Message;
use strongroom_proto::enclave::v1::{
    CarryOut, CreateRecord, Rehearse, Reseal, SealedRecord, SealedShare, request::Body as Ask, response::Body as Answer,
};
use strongroom_proto::id::ContentHash;
use strongroom_proto::v1::{
    Act, AddPasskeyAction, CancelAction, CarryOutAction, ChangePolicyAction, DeleteBackupAction, OpenActKind,
    OpenEjectWindowAction, Policy, PutSharesAction, RecoverAction, Rehearsal, RehearsalResult, RehearseAction,
    RemovePasskeyAction, RenamePasskeyAction, Role, StartRecoveryAction, intent::Action,
};

use crate::acts::{
    Backup, PASSKEY_ONLY, action, back_up, creation, part, recover, rehearse, sealed_message, share, sign_creation,
    two_shares,
};
use crate::both::Both;
use crate::device::{Passkey, Recipient, honest};
use crate::ejects::window;
use crate::steps::{about, carry_out, change, consents, countersigned, moves, named, put, put_shares};
use crate::tenant::{MPC, Tenant};
use crate::world::{Epoch, World, told};

/// Which kind of request carries an action out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Create,
    Recover,
    Rehearse,
    Put,
    Change,
    CarryOut,
}

const KINDS: [Kind; 6] = [Kind::Create, Kind::Recover, Kind::Rehearse, Kind::Put, Kind::Change, Kind::CarryOut];

/// Every action on a record whose recovery waits since `started`, with the request that carries it out.
fn actions(world: &World, backup: &Backup, started: &[u8]) -> Vec<(&'static str, Kind, Action)> {
    let newcomer = Passkey::eddsa(10);
    let policy = |role| (world.role == role).then_some(PASSKEY_ONLY);
    let policies =
        ChangePolicyAction { client_policy: policy(Role::Client), custodian_policy: policy(Role::Custodian) };
    let (kind, intent_hash) = (OpenActKind::Recovery.into(), started.to_vec());
    let own = backup.passkey.id.clone();
    vec![
        ("recover", Kind::Recover, Action::Recover(RecoverAction { generation: 1, eject: false })),
        ("rehearse", Kind::Rehearse, Action::Rehearse(RehearseAction { generation: 1 })),
        ("put_shares", Kind::Put, Action::PutShares(PutSharesAction { generation: 2, pairs: Vec::new() })),
        ("add", Kind::Change, Action::AddPasskey(AddPasskeyAction { credential: Some(named(&newcomer)) })),
        ("remove", Kind::Change, Action::RemovePasskey(RemovePasskeyAction { credential_id: own.clone() })),
        (
            "rename",
            Kind::Change,
            Action::RenamePasskey(RenamePasskeyAction { credential_id: own, label: String::new() }),
        ),
        ("policy", Kind::Change, Action::ChangePolicy(policies)),
        ("start", Kind::Change, Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false })),
        ("eject", Kind::Recover, Action::Recover(RecoverAction { generation: 1, eject: true })),
        ("start eject", Kind::Change, Action::StartRecovery(StartRecoveryAction { generation: 1, eject: true })),
        ("window", Kind::Change, Action::OpenEjectWindow(OpenEjectWindowAction { duration_seconds: 60 })),
        ("delete", Kind::Change, Action::DeleteBackup(DeleteBackupAction {})),
        ("cancel", Kind::Change, Action::Cancel(CancelAction { kind, intent_hash: intent_hash.clone() })),
        ("carry_out", Kind::CarryOut, Action::CarryOut(CarryOutAction { kind, intent_hash })),
    ]
}

/// A request of a kind with somebody else's act in it, and everything else as it should be.
fn request(world: &World, kind: Kind, act: Act, message: Vec<u8>, backup: &Backup, recipient: &Recipient) -> Ask {
    match kind {
        Kind::Create => {
            let intent = creation(world, "wallet-1", &backup.passkey);
            let good = sign_creation(world, intent, message, &backup.passkey, &honest());
            Ask::CreateRecord(CreateRecord { act: Some(act), ..good })
        }
        Kind::Recover => Ask::Recover(recover(world, act, backup, recipient)),
        Kind::Rehearse => Ask::Rehearse(rehearse(world, act, backup)),
        Kind::Put => Ask::PutShares(put_shares(world, act, message, backup)),
        Kind::Change => Ask::Change(change(world, act, backup)),
        Kind::CarryOut => Ask::CarryOut(CarryOut {
            act: Some(act),
            recipient_key: recipient.public_key.clone(),
            ..carry_out(world, OpenActKind::Recovery, backup)
        }),
    }
}

#[test]
fn an_intent_serves_only_the_request_that_carries_its_action_out() {
    check_actions(&World::new(0xf0));
}

#[test]
fn an_intent_serves_only_its_request_in_the_custodian_role_too() {
    check_actions(&Both::new(0xf3).custodian);
}

fn check_actions(world: &World) {
    let policy = Policy { tenant_signature: true, newest_head: true, delay_seconds: 60, ..PASSKEY_ONLY };
    let mut backup = back_up(world, "wallet-1", Passkey::eddsa(9), |i| {
        let creation = action(i);
        for wanted in [&mut creation.client_policy, &mut creation.custodian_policy].into_iter().flatten() {
            *wanted = policy;
        }
    });
    // Both roles release to an MPC recipient, and in an open window anything to anybody: no refusal rests on the recipient.
    let recipient = Recipient::new(MPC[0]);
    if world.role == Role::Custodian {
        moves(world, "window", window(world, &backup, 300), &mut backup);
    }
    let mut start = about(world, &backup, Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false }));
    part(&mut start).recipient = recipient.hash();
    let act = countersigned(world, consents(&start, &[&backup.passkey]));
    let started = strongroom_proto::intent::hash(&act.intent).0;
    let ask = Ask::Change(change(world, act, &backup));
    moves(world, "start", ask, &mut backup);
    world.fake.now.set(world.fake.now.get() + 60_000);

    let mut tried = 0;
    for (name, own, action) in actions(world, &backup, &started) {
        // As the action's own request wants it, and as every other request would want it.
        for (message, with_recipient) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut intent = about(world, &backup, action.clone());
            let (_, bytes) = put(world, &backup, 2, &two_shares());
            if message {
                part(&mut intent).message_hash = ContentHash::of(&bytes).0.to_vec();
            }
            if with_recipient {
                part(&mut intent).recipient = recipient.hash();
            }
            let act = countersigned(world, consents(&intent, &[&backup.passkey]));
            for kind in KINDS.into_iter().filter(|kind| *kind != own) {
                tried += 1;
                match world.drive(request(world, kind, act.clone(), bytes.clone(), &backup, &recipient)) {
                    Answer::Error(_) => {}
                    answer => panic!("{name} as {kind:?} was done: {}", told(&answer)),
                }
            }
        }
    }
    // A creation in the place of everything else.
    let mut creation = creation(world, "wallet-1", &backup.passkey);
    let message = sealed_message(world, &creation, &two_shares());
    part(&mut creation).message_hash = ContentHash::of(&message).0.to_vec();
    let act = countersigned(world, consents(&creation, &[&backup.passkey]));
    for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Create) {
        tried += 1;
        let answer = world.drive(request(world, kind, act.clone(), message.clone(), &backup, &recipient));
        assert!(matches!(answer, Answer::Error(_)), "creation as {kind:?}: {}", told(&answer));
    }
    assert_eq!(tried, 14 * 4 * 5 + 5);
}

/// A stored blob with the names that the host keeps it under.
#[derive(Clone)]
enum Blob {
    Record(SealedRecord),
    Share(usize, SealedShare),
}

impl Blob {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Record(record) => &record.sealed,
            Self::Share(_, share) => &share.sealed,
        }
    }
}

/// One tenant's records: two wallets with two backups each, two generations of two pairs; and one more under the second epoch.
struct Books {
    world: World,
    second: Epoch,
    backups: Vec<Backup>,
}

fn books(mut world: World) -> Books {
    let second = world.make_epoch(&world.tenant, 2);
    let statement = world.tenant.statement(&[&world.epoch.identity, &second.identity]);
    world.statement = world.keep(world.tenant.sign(&statement));
    let mut backups = Vec::new();
    for (wallet, name) in [("wallet-1", "a"), ("wallet-1", "b"), ("wallet-2", "a"), ("wallet-2", "b")] {
        let mut backup = back_up(&world, wallet, Passkey::eddsa(9), |i| action(i).backup = name.into());
        let shares = [share("ed", b"next of ed"), share("k1", b"next of k1")];
        let (intent, message) = put(&world, &backup, 2, &shares);
        let act = consents(&intent, &[&backup.passkey]);
        let ask = Ask::PutShares(put_shares(&world, act, message, &backup));
        moves(&world, "put", ask, &mut backup);
        backups.push(backup);
    }
    let moved = resealed(&world, &backups[0], &second);
    backups.push(moved);
    Books { world, second, backups }
}

fn resealed(world: &World, backup: &Backup, epoch: &Epoch) -> Backup {
    let (mut record, mut shares) = (backup.record.clone(), Vec::new());
    for generation in [1, 2] {
        let ask = Reseal {
            tenant: world.tenant_id(),
            statement: Some(world.statement_ref()),
            kek: Some(epoch.kek()),
            record: Some(record),
            shares: backup.shares.iter().filter(|share| share.generation == generation).cloned().collect(),
            other_kek: Some(world.epoch.kek()),
        };
        let Answer::Resealed(done) = world.drive(Ask::Reseal(ask)) else { panic!("not re-sealed") };
        record = done.record.unwrap();
        shares.extend(done.shares);
    }
    Backup { record, shares, receipt: backup.receipt.clone(), passkey: Passkey::eddsa(9) }
}

impl Books {
    fn blobs(&self) -> Vec<Blob> {
        let of = |(index, backup): (usize, &Backup)| {
            let shares = backup.shares.iter().cloned().map(move |share| Blob::Share(index, share));
            [Blob::Record(backup.record.clone())].into_iter().chain(shares).collect::<Vec<_>>()
        };
        self.backups.iter().enumerate().flat_map(of).collect()
    }

    /// Whether `bytes` open in the place of `blob`: a rehearsal by an enclave that has both KEKs, with everything else in its place.
    fn opens(&self, blob: &Blob, bytes: &[u8]) -> bool {
        let (index, generation) = match blob {
            Blob::Record(record) => {
                let found = self.backups.iter().position(|backup| backup.record == *record);
                (found.unwrap(), 1)
            }
            Blob::Share(index, share) => (*index, share.generation),
        };
        let backup = &self.backups[index];
        let intent = about(&self.world, backup, Action::Rehearse(RehearseAction { generation }));
        let mut ask = rehearse(&self.world, consents(&intent, &[&backup.passkey]), backup);
        if backup.record.epoch == 2 {
            (ask.kek, ask.other_kek) = (Some(self.second.kek()), Some(self.world.epoch.kek()));
        }
        match blob {
            Blob::Record(_) => ask.record.as_mut().unwrap().sealed = bytes.to_vec(),
            Blob::Share(_, share) => {
                let place = |it: &&mut SealedShare| it.generation == share.generation && it.pair == share.pair;
                ask.shares.iter_mut().find(place).unwrap().sealed = bytes.to_vec();
            }
        }
        rehearsed(&self.world, ask)
    }
}

fn rehearsed(world: &World, ask: Rehearse) -> bool {
    match world.drive(Ask::Rehearse(ask)) {
        Answer::Rehearsed(done) => {
            let told = Rehearsal::decode(done.rehearsal.unwrap().rehearsal.as_slice()).unwrap();
            told.result() == RehearsalResult::Opens
        }
        _ => false,
    }
}

#[test]
fn every_stored_blob_opens_in_its_own_place_and_in_no_other() {
    let one = books(World::new(0xf1));
    let two = books(World::of(Tenant::new(2), 0xf2));
    let all: Vec<Blob> = one.blobs().into_iter().chain(two.blobs()).collect();
    assert_eq!(all.len(), 2 * 5 * (1 + 4));
    let mut tried = 0;
    for books in [&one, &two] {
        for place in books.blobs() {
            for blob in &all {
                tried += 1;
                assert_eq!(books.opens(&place, blob.bytes()), blob.bytes() == place.bytes());
            }
        }
    }
    assert_eq!(tried, 50 * 50);
}
