//! Commits in the custodian role, which comes first: on the client's receipt of the put, keeping what that receipt names as active.

use prost::Message;
use strongroom_proto::enclave::v1::{CarryOut, Change, request::Body as Ask, response::Body as Answer};
use strongroom_proto::v1::{
    ActKind, Event, GenerationRef, GenerationState, OpenActKind, Policy, Reason, Receipt, RoleStatement, SignedReceipt,
    StartRecoveryAction, intent::Action,
};

use crate::acts::{Backup, PASSKEY_ONLY, own_part};
use crate::both::{Both, Pair};
use crate::commits::{CUSTODIAN, commit, sign};
use crate::device::Recipient;
use crate::mpc::restate;
use crate::steps::{about, carry_out, change, consents, moves, view_of};
use crate::tenant::{MPC, key, public};
use crate::world::{Case, World, told};

fn states(world: &World, backup: &Backup) -> Vec<(u64, GenerationState)> {
    view_of(world, &backup.record).generations.iter().map(|it| (it.generation, it.state())).collect()
}

/// Commits in the custodian role and gives its receipt.
fn commit_custodian(both: &Both, pair: &mut Pair, on: &SignedReceipt) -> (Event, Vec<u8>) {
    let ask = Ask::Commit(commit(&both.custodian, &pair.custodian, on.clone()));
    let (moved, event) = moves(&both.custodian, "custodian commits", ask, &mut pair.custodian);
    (event, moved.receipt.unwrap().encode_to_vec())
}

fn commit_client(both: &Both, pair: &mut Pair, on: &[u8]) -> Event {
    let on = SignedReceipt::decode(on).unwrap();
    let ask = Ask::Commit(commit(&both.client, &pair.client, on));
    moves(&both.client, "client commits", ask, &mut pair.client).1
}

#[test]
fn the_custodian_commits_on_the_clients_put_and_the_client_on_the_custodians_commit() {
    use GenerationState::{Active, Former, Pending};
    let both = Both::new(0x140);
    let mut pair = both.back_up("wallet-1", PASSKEY_ONLY);
    let put = both.put(&mut pair, 2);
    let hash = pair.client.receipt.intent_hash.clone();
    assert_eq!(states(&both.custodian, &pair.custodian), [(1, Active), (2, Pending)]);
    let early = Ask::Commit(commit(&both.client, &pair.client, put.clone()));
    both.client.refused("the client first", early, Reason::ProofRejected, "receipt");
    let (event, committed) = commit_custodian(&both, &mut pair, &put);
    assert_eq!((event.kind(), event.generation, &event.intent_hash), (ActKind::Commit, 2, &hash));
    assert_eq!(states(&both.custodian, &pair.custodian), [(1, Former), (2, Active)]);
    // On the same receipt again: it is in force, and moves nothing.
    let ask = commit(&both.custodian, &pair.custodian, put.clone());
    let Answer::Moved(stands) = both.custodian.drive(Ask::Commit(ask)) else { panic!("refused") };
    assert_eq!(stands.record.as_ref(), Some(&pair.custodian.record));
    let told = Receipt::decode(stands.receipt.unwrap().receipt.as_slice()).unwrap();
    assert_eq!((told.event.len(), &told.head, &told.intent_hash), (0, &pair.custodian.receipt.head, &hash));
    assert_eq!((told.active.unwrap().generation, stands.generations), (2, vec![1, 2]));
    let event = commit_client(&both, &mut pair, &committed);
    assert_eq!((event.kind(), event.generation), (ActKind::Commit, 2));
    assert_eq!(states(&both.client, &pair.client), [(1, Former), (2, Active)]);
    // The next one: what was former goes, and the first put's receipt commits nothing any more.
    let next = both.put(&mut pair, 3);
    let (_, committed) = commit_custodian(&both, &mut pair, &next);
    commit_client(&both, &mut pair, &committed);
    for (world, backup) in [(&both.client, &pair.client), (&both.custodian, &pair.custodian)] {
        assert_eq!(states(world, backup), [(2, Former), (3, Active)]);
    }
    let old = Ask::Commit(commit(&both.custodian, &pair.custodian, put));
    both.custodian.refused("an old put", old, Reason::StateInvalid, "another generation");
}

#[test]
fn a_custodian_that_commits_twice_keeps_what_the_client_still_has() {
    use GenerationState::{Active, Former};
    let both = Both::new(0x141);
    let mut pair = both.back_up("wallet-1", PASSKEY_ONLY);
    for generation in [2, 3, 4] {
        let put = both.put(&mut pair, generation);
        // The host loses every receipt of the custodian's, so the client commits nothing.
        commit_custodian(&both, &mut pair, &put);
        assert_eq!(states(&both.custodian, &pair.custodian), [(1, Former), (generation, Active)]);
    }
}

/// A custodian under a statement whose client is a key that signs what it is told; generation 2 waits.
fn forger() -> (World, Backup, Receipt) {
    let both = Both::new(0x142);
    let mut pair = both.back_up("wallet-1", PASSKEY_ONLY);
    both.put(&mut pair, 2);
    let mut world = both.custodian;
    restate(&mut world, 6, |statement| {
        let epoch = |number: u64, seed: u8| strongroom_proto::v1::Epoch {
            epoch: number,
            kek_id: vec![seed; 32],
            channel_key_hash: vec![seed; 32],
            receipt_key: public(&key(seed)),
        };
        let epochs = vec![epoch(1, CUSTODIAN[0]), epoch(2, CUSTODIAN[1])];
        statement.client = Some(RoleStatement { pcr16: vec![vec![17; 48]], epochs, lowest_epoch: 1 });
    });
    (world, pair.custodian, pair.client.receipt)
}

#[test]
fn a_custodian_commits_only_on_a_clients_put_that_names_what_opens_here() {
    let (world, backup, good) = forger();
    assert_eq!((good.active.as_ref().unwrap().generation, good.pending.as_ref().unwrap().generation), (1, 2));
    let (state, proof) = (Reason::StateInvalid, Reason::ProofRejected);
    let cases: &[Case<Receipt>] = &[
        ("another tenant", |r| r.tenant[0] ^= 1, proof, "of another tenant"),
        ("another wallet", |r| r.wallet = "wallet-2".into(), proof, "of another tenant"),
        ("another record", |r| r.record_id[0] ^= 1, proof, "of another tenant"),
        ("this role", |r| r.role = 2, proof, "of another tenant"),
        ("no role", |r| r.role = 0, proof, "of another tenant"),
        ("unknown epoch", |r| r.epoch = 3, proof, "not in the statement"),
        ("the other epoch's key", |r| r.epoch = 2, proof, "receipt.signature"),
        ("another put", |r| r.pending.as_mut().unwrap().put_intent_hash[0] ^= 1, state, "another put"),
        ("higher", |r| r.pending.as_mut().unwrap().generation = 3, state, "another generation"),
        ("lower", |r| r.pending.as_mut().unwrap().generation = 1, state, "another generation"),
        ("nothing pending", |r| r.pending = None, state, "names no generation"),
        ("committed there", |r| (r.active, r.pending) = (r.pending.clone(), None), state, "names no generation"),
        ("short hash", |r| r.pending.as_mut().unwrap().put_intent_hash.truncate(31), Reason::BadRequest, "32 bytes"),
        ("nothing active", |r| r.active = None, state, "active in the other role does not open"),
        ("unknown active", |r| r.active.as_mut().unwrap().generation = 7, state, "does not open in this one"),
        ("another's active", |r| r.active.as_mut().unwrap().put_intent_hash[0] ^= 1, state, "does not open"),
        ("active is the put", |r| r.active.clone_from(&r.pending), state, "does not open"),
        ("empty active", |r| r.active = Some(GenerationRef::default()), state, "does not open"),
    ];
    for (name, change, reason, detail) in cases {
        let mut receipt = good.clone();
        change(&mut receipt);
        let ask = commit(&world, &backup, sign(&key(CUSTODIAN[0]), &receipt));
        world.refused(name, Ask::Commit(ask), *reason, detail);
    }
    let ask = commit(&world, &backup, sign(&key(203), &good));
    world.refused("a stranger's key", Ask::Commit(ask), proof, "receipt.signature");
    let answer = world.drive(Ask::Commit(commit(&world, &backup, sign(&key(CUSTODIAN[0]), &good))));
    assert!(matches!(answer, Answer::Moved(_)), "{}", told(&answer));
}

#[test]
fn puts_of_two_devices_are_not_committed_crosswise_in_the_custodian_role() {
    let (world, backup, good) = forger();
    // Device A's put of number 2 is pending here; in the client device B's of the same number is.
    let mut crosswise = good.clone();
    crosswise.pending.as_mut().unwrap().put_intent_hash = vec![0xb; 32];
    let ask = commit(&world, &backup, sign(&key(CUSTODIAN[0]), &crosswise));
    world.refused("crosswise", Ask::Commit(ask), Reason::StateInvalid, "another put");
}

#[test]
fn a_receipt_of_an_epoch_that_the_tenant_gave_up_commits_nothing() {
    let (mut world, backup, good) = forger();
    restate(&mut world, 7, |statement| statement.client.as_mut().unwrap().lowest_epoch = 2);
    let ask = commit(&world, &backup, sign(&key(CUSTODIAN[0]), &good));
    world.refused("epoch 1", Ask::Commit(ask), Reason::ProofRejected, "lowest_epoch");
    restate(&mut world, 8, |statement| statement.client = None);
    let ask = commit(&world, &backup, sign(&key(CUSTODIAN[0]), &good));
    world.refused("no client", Ask::Commit(ask), Reason::ProofRejected, "does not name the other role");
}

#[test]
fn no_commit_takes_away_the_generation_that_a_recovery_waits_for() {
    let both = Both::new(0x143);
    let mut pair = both.back_up("wallet-1", Policy { delay_seconds: 3600, ..PASSKEY_ONLY });
    let mpc = Recipient::new(MPC[0]);
    let mut intent = about(
        &both.custodian,
        &pair.custodian,
        Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false }),
    );
    own_part(&both.custodian, &mut intent).recipient = mpc.hash();
    let ask: Change = change(&both.custodian, consents(&intent, &[&pair.client.passkey]), &pair.custodian);
    moves(&both.custodian, "start", Ask::Change(ask), &mut pair.custodian);
    for generation in [2, 3] {
        let put = both.put(&mut pair, generation);
        let (_, committed) = commit_custodian(&both, &mut pair, &put);
        commit_client(&both, &mut pair, &committed);
    }
    let opens = |backup: &Backup| states(&both.custodian, backup).into_iter().map(|it| it.0).collect::<Vec<_>>();
    assert_eq!(opens(&pair.custodian), [1, 2, 3], "1 is waited for");
    both.set_now(both.now() + 3_600_000);
    let due = carry_out(&both.custodian, OpenActKind::Recovery, &pair.custodian);
    let ask = Ask::CarryOut(CarryOut { recipient_key: mpc.public_key.clone(), ..due });
    let (_, event) = moves(&both.custodian, "due", ask, &mut pair.custodian);
    assert_eq!((event.kind(), event.generation), (ActKind::Recover, 1));
    let put = both.put(&mut pair, 4);
    commit_custodian(&both, &mut pair, &put);
    assert_eq!(opens(&pair.custodian), [3, 4], "and then no longer");
}
