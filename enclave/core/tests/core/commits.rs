//! Commits in the client role: the pending generation becomes active on the custodian's receipt of the same put, and on nothing else.
//! The custodian is a key here, which signs what it is told.

use prost::Message;
use ring::signature::Ed25519KeyPair;
use strongroom_proto::enclave::v1::{Commit, request::Body as Ask, response::Body as Answer};
use strongroom_proto::limits::GRACE_MS;
use strongroom_proto::prefix::{self, prefixed};
use strongroom_proto::v1::{
    ActKind, ChangePolicyAction, Epoch, GenerationRef, GenerationState, Intent, Policy, Reason, Receipt, RecoverAction,
    RehearseAction, Role, RolePart, RoleStatement, SignedReceipt, Statement, intent::Action,
};

use crate::acts::{Backup, PASSKEY_ONLY, action, back_up, part, recover, rehearse, share};
use crate::device::{Passkey, Recipient};
use crate::steps::{about, change, consents, moves, put, put_shares, view_of};
use crate::tenant::{key, public};
use crate::world::{Case, START, World, reference, told};

/// Seeds of the custodian's receipt keys in epoch 1 and 2, and of one that no statement names.
pub(crate) const CUSTODIAN: [u8; 2] = [201, 202];
const STRANGER: u8 = 203;

/// A world whose statement names both roles.
pub(crate) fn two_roles(seed: u64) -> World {
    let mut world = World::new(seed);
    let mut statement = world.tenant.statement(&[&world.epoch.identity]);
    let epoch = |number: u64, seed: u8| Epoch {
        epoch: number,
        kek_id: vec![seed; 32],
        channel_key_hash: vec![seed; 32],
        receipt_key: public(&key(seed)),
    };
    let epochs = vec![epoch(1, CUSTODIAN[0]), epoch(2, CUSTODIAN[1])];
    statement.custodian = Some(RoleStatement { pcr16: vec![vec![17; 48]], epochs, lowest_epoch: 1 });
    world.statement = world.keep(world.tenant.sign(&statement));
    world
}

fn name_both(intent: &mut Intent) {
    intent.custodian = Some(RolePart { message_hash: vec![5; 32], ..RolePart::default() });
    action(intent).custodian_policy = Some(Policy { tenant_signature: true, ..Policy::default() });
}

/// A record of both roles with a put of generation 2 that waits, and that put's intent hash.
pub(crate) fn waiting(world: &World, wallet: &str) -> (Backup, Vec<u8>) {
    let mut backup = back_up(world, wallet, Passkey::eddsa(9), name_both);
    let hash = put_again(world, &mut backup, 2);
    (backup, hash)
}

fn put_again(world: &World, backup: &mut Backup, generation: u64) -> Vec<u8> {
    let shares = [share("ed", &generation.to_be_bytes())];
    let (mut intent, message) = put(world, backup, generation, &shares);
    intent.custodian = intent.client.clone();
    let act = consents(&intent, &[&backup.passkey]);
    let hash = strongroom_proto::intent::hash(&act.intent).0.to_vec();
    moves(world, "put", Ask::PutShares(put_shares(world, act, message, backup)), backup);
    hash
}

/// What the custodian says after its own commit of a put.
pub(crate) fn custodians(backup: &Backup, generation: u64, put_intent_hash: &[u8]) -> Receipt {
    Receipt {
        role: Role::Custodian.into(),
        active: Some(GenerationRef { generation, put_intent_hash: put_intent_hash.to_vec() }),
        pending: None,
        version: 9,
        head: vec![8; 32],
        ..backup.receipt.clone()
    }
}

pub(crate) fn sign(key: &Ed25519KeyPair, receipt: &Receipt) -> SignedReceipt {
    let receipt = receipt.encode_to_vec();
    let signature = key.sign(&prefixed(prefix::RECEIPT, &receipt)).as_ref().to_vec();
    SignedReceipt { receipt, signature }
}

pub(crate) fn commit(world: &World, backup: &Backup, receipt: SignedReceipt) -> Commit {
    Commit {
        tenant: world.tenant_id(),
        statement: Some(world.statement_ref()),
        kek: Some(world.epoch.kek()),
        receipt: Some(receipt),
        record: Some(backup.record.clone()),
        other_kek: None,
    }
}

#[test]
fn a_put_waits_for_its_commit_and_then_keeps_the_one_before() {
    let world = two_roles(0xa0);
    let (mut backup, hash) = waiting(&world, "wallet-1");
    let pending = backup.receipt.pending.clone().unwrap();
    assert_eq!((pending.generation, &pending.put_intent_hash), (2, &hash));
    assert_eq!(backup.receipt.active.as_ref().unwrap().generation, 1);
    let states = |backup: &Backup| -> Vec<_> {
        view_of(&world, &backup.record).generations.iter().map(|it| (it.generation, it.state())).collect()
    };
    assert_eq!(states(&backup), [(1, GenerationState::Active), (2, GenerationState::Pending)]);

    let receipt = sign(&key(CUSTODIAN[0]), &custodians(&backup, 2, &hash));
    let ask = commit(&world, &backup, receipt);
    let (moved, event) = moves(&world, "commit", Ask::Commit(ask.clone()), &mut backup);
    assert_eq!((event.kind(), event.generation, &event.intent_hash), (ActKind::Commit, 2, &hash));
    assert_eq!((moved.generations.clone(), backup.receipt.pending.is_none()), (vec![1, 2], true));
    assert_eq!(states(&backup), [(1, GenerationState::Former), (2, GenerationState::Active)]);

    // Once more: it is in force, and moves nothing.
    let again = Commit { record: moved.record.clone(), ..ask };
    let Answer::Moved(stands) = world.drive(Ask::Commit(again)) else { panic!("refused") };
    let told = Receipt::decode(stands.receipt.unwrap().receipt.as_slice()).unwrap();
    assert_eq!((stands.record, told.event.len()), (moved.record, 0));
    assert_eq!((stands.generations, stands.shares.len()), (moved.generations, 0), "the host drops none of them");
    assert_eq!((told.version, told.head, told.active), (3, backup.receipt.head.clone(), backup.receipt.active.clone()));

    // The third put keeps generation 2 as the former one; generation 1 goes at its commit.
    let hash = put_again(&world, &mut backup, 5);
    assert_eq!(states(&backup).len(), 3);
    let receipt = sign(&key(CUSTODIAN[1]), &Receipt { epoch: 2, ..custodians(&backup, 5, &hash) });
    let (moved, _) = moves(&world, "next", Ask::Commit(commit(&world, &backup, receipt)), &mut backup);
    assert_eq!(moved.generations, [2, 5]);
}

#[test]
fn a_commit_takes_only_the_other_roles_receipt_of_the_same_put() {
    let world = two_roles(0xa1);
    let (backup, hash) = waiting(&world, "wallet-1");
    let (other, others_hash) = waiting(&world, "wallet-2");
    let good = custodians(&backup, 2, &hash);
    let cases: &[Case<Receipt>] = &[
        ("another tenant", |r| r.tenant[0] ^= 1, Reason::ProofRejected, "of another tenant"),
        ("another wallet", |r| r.wallet = "wallet-2".into(), Reason::ProofRejected, "of another tenant"),
        ("another record", |r| r.record_id[0] ^= 1, Reason::ProofRejected, "of another tenant"),
        ("this role", |r| r.role = 1, Reason::ProofRejected, "of another tenant"),
        ("no role", |r| r.role = 0, Reason::ProofRejected, "of another tenant"),
        ("another put", |r| r.active.as_mut().unwrap().put_intent_hash[0] ^= 1, Reason::StateInvalid, "another put"),
        ("lower generation", |r| r.active.as_mut().unwrap().generation = 1, Reason::StateInvalid, "another"),
        ("higher generation", |r| r.active.as_mut().unwrap().generation = 3, Reason::StateInvalid, "another"),
        ("only pending there", |r| (r.pending, r.active) = (r.active.clone(), None), Reason::StateInvalid, "names no"),
        ("short hash", |r| r.active.as_mut().unwrap().put_intent_hash.truncate(31), Reason::BadRequest, "32 bytes"),
        ("unknown epoch", |r| r.epoch = 3, Reason::ProofRejected, "not in the statement"),
        ("the other epoch's key", |r| r.epoch = 2, Reason::ProofRejected, "receipt.signature"),
    ];
    for (name, change, reason, detail) in cases {
        let mut receipt = good.clone();
        change(&mut receipt);
        let ask = commit(&world, &backup, sign(&key(CUSTODIAN[0]), &receipt));
        world.refused(name, Ask::Commit(ask), *reason, detail);
    }
    let stranger = commit(&world, &backup, sign(&key(STRANGER), &good));
    world.refused("stranger's key", Ask::Commit(stranger), Reason::ProofRejected, "receipt.signature");
    let mut edited = sign(&key(CUSTODIAN[0]), &good);
    edited.receipt.extend_from_slice(&[0x28, 0x09]);
    world.refused("not canonical", Ask::Commit(commit(&world, &backup, edited)), Reason::BadRequest, "canonical");
    let crosswise = sign(&key(CUSTODIAN[0]), &custodians(&backup, 2, &others_hash));
    world.refused("crosswise", Ask::Commit(commit(&world, &backup, crosswise)), Reason::StateInvalid, "another put");
    let foreign = sign(&key(CUSTODIAN[0]), &custodians(&other, 2, &others_hash));
    world.refused("foreign", Ask::Commit(commit(&world, &backup, foreign)), Reason::ProofRejected, "of another");
    let own = backup.receipt.clone();
    let own = SignedReceipt { signature: vec![0; 64], ..sign(&key(CUSTODIAN[0]), &own) };
    world.refused("own receipt", Ask::Commit(commit(&world, &backup, own)), Reason::ProofRejected, "receipt");
    let ask = Commit { receipt: None, ..commit(&world, &backup, SignedReceipt::default()) };
    world.refused("none", Ask::Commit(ask), Reason::BadRequest, "receipt: missing");
    let answer = world.drive(Ask::Commit(commit(&world, &backup, sign(&key(CUSTODIAN[0]), &good))));
    assert!(matches!(answer, Answer::Moved(_)), "{}", told(&answer));
}

#[test]
fn an_epoch_that_the_tenant_gave_up_signs_no_receipt_to_commit_on() {
    let mut world = two_roles(0xa9);
    let (backup, hash) = waiting(&world, "wallet-1");
    let mut statement = strongroom_proto::statement::decode(&world.statement.statement).unwrap();
    statement.custodian.as_mut().unwrap().lowest_epoch = 2;
    world.statement = world.keep(world.tenant.sign(&statement));
    let old = sign(&key(CUSTODIAN[0]), &custodians(&backup, 2, &hash));
    world.refused("epoch 1", Ask::Commit(commit(&world, &backup, old)), Reason::ProofRejected, "lowest_epoch");
    let new = sign(&key(CUSTODIAN[1]), &Receipt { epoch: 2, ..custodians(&backup, 2, &hash) });
    let answer = world.drive(Ask::Commit(commit(&world, &backup, new)));
    assert!(matches!(answer, Answer::Moved(_)), "{}", told(&answer));
}

#[test]
fn puts_of_two_devices_are_not_committed_crosswise() {
    let world = two_roles(0xa2);
    // Both devices start from one record; the host gives the client role one put and the custodian the other.
    let (backup, _) = waiting(&world, "wallet-1");
    let (mut one, mut two) = (backup, None);
    let record = one.record.clone();
    let receipt = one.receipt.clone();
    let first = put_again(&world, &mut one, 3);
    two.replace(Backup { record, receipt, shares: one.shares.clone(), passkey: Passkey::eddsa(9) });
    let mut two = two.unwrap();
    let second = put_again(&world, &mut two, 3);
    assert_ne!(first, second);
    for (backup, foreign, own) in [(&one, &second, &first), (&two, &first, &second)] {
        let crosswise = sign(&key(CUSTODIAN[0]), &custodians(backup, 3, foreign));
        let ask = commit(&world, backup, crosswise);
        world.refused("crosswise", Ask::Commit(ask), Reason::StateInvalid, "another put");
        let right = sign(&key(CUSTODIAN[0]), &custodians(backup, 3, own));
        let answer = world.drive(Ask::Commit(commit(&world, backup, right)));
        assert!(matches!(answer, Answer::Moved(_)), "{}", told(&answer));
    }
}

#[test]
fn a_put_that_was_replaced_is_committed_no_more() {
    let world = two_roles(0xa3);
    let (mut backup, replaced) = waiting(&world, "wallet-1");
    let newer = put_again(&world, &mut backup, 3);
    let numbers: Vec<_> = backup.shares.iter().map(|share| share.generation).collect();
    assert!(!numbers.contains(&2), "the shares of a pending generation go with it");
    let late = sign(&key(CUSTODIAN[0]), &custodians(&backup, 2, &replaced));
    world.refused("replaced", Ask::Commit(commit(&world, &backup, late)), Reason::StateInvalid, "another");
    let right = sign(&key(CUSTODIAN[0]), &custodians(&backup, 3, &newer));
    moves(&world, "newer", Ask::Commit(commit(&world, &backup, right)), &mut backup);
}

#[test]
fn a_put_names_every_role_of_its_record() {
    let world = two_roles(0xa4);
    let both = back_up(&world, "wallet-1", Passkey::eddsa(9), name_both);
    let alone = back_up(&world, "wallet-2", Passkey::eddsa(9), |_| {});
    for (backup, names_custodian) in [(&both, false), (&alone, true)] {
        let (mut intent, message) = put(&world, backup, 2, &[share("ed", b"x")]);
        intent.custodian = intent.client.clone().filter(|_| names_custodian);
        let act = consents(&intent, &[&backup.passkey]);
        let ask = Ask::PutShares(put_shares(&world, act, message, backup));
        world.refused("roles", ask, Reason::BadRequest, "names every role");
    }
    let ask = commit(&world, &both, sign(&key(CUSTODIAN[0]), &custodians(&both, 2, &[1; 32])));
    world.refused("nothing waits", Ask::Commit(ask), Reason::StateInvalid, "another generation");
}

#[test]
fn a_receipt_counts_only_by_an_epoch_of_the_other_role() {
    let world = two_roles(0xa5);
    let (backup, hash) = waiting(&world, "wallet-1");
    let statement = Statement::decode(world.statement.statement.as_slice()).unwrap();
    let under = |change: fn(&mut Statement)| {
        let mut statement = statement.clone();
        change(&mut statement);
        let statement = reference(&world.keep(world.tenant.sign(&statement)));
        let receipt = sign(&key(CUSTODIAN[0]), &custodians(&backup, 2, &hash));
        Ask::Commit(Commit { statement: Some(statement), ..commit(&world, &backup, receipt) })
    };
    let proof = Reason::ProofRejected;
    world.refused("a role less", under(|s| s.custodian = None), proof, "does not name the other role");
    // The custodian's key is known, and its epoch is one of this role alone.
    let moved = under(|s| {
        let (client, custodian) = (s.client.as_mut().unwrap(), s.custodian.as_mut().unwrap());
        client.epochs.push(Epoch { epoch: 7, ..custodian.epochs[0].clone() });
    });
    let Ask::Commit(mut ask) = moved else { panic!() };
    ask.receipt = Some(sign(&key(CUSTODIAN[0]), &Receipt { epoch: 7, ..custodians(&backup, 2, &hash) }));
    world.refused("an epoch of this role", Ask::Commit(ask), proof, "receipt.epoch: not in the statement");
}

#[test]
fn a_receipt_is_read_up_to_eight_kibibytes() {
    let world = two_roles(0xa6);
    let (backup, hash) = waiting(&world, "wallet-1");
    for (len, expect) in [(8192, true), (8193, false)] {
        let mut receipt = Receipt { event: vec![0; 7000], ..custodians(&backup, 2, &hash) };
        receipt.event.resize(7000 + len - receipt.encode_to_vec().len(), 0);
        assert_eq!(receipt.encode_to_vec().len(), len);
        let ask = Ask::Commit(commit(&world, &backup, sign(&key(CUSTODIAN[0]), &receipt)));
        if expect {
            assert!(matches!(world.drive(ask), Answer::Moved(_)));
        } else {
            world.refused("a byte more", ask, Reason::BadRequest, "receipt: ");
        }
    }
}

#[test]
fn what_is_pending_opens_nothing() {
    let world = two_roles(0xa7);
    let (backup, _) = waiting(&world, "wallet-1");
    let recipient = Recipient::new(1);
    let mut intent = about(&world, &backup, Action::Recover(RecoverAction { generation: 2, eject: false }));
    part(&mut intent).recipient = recipient.hash();
    let ask = recover(&world, consents(&intent, &[&backup.passkey]), &backup, &recipient);
    world.refused("recover", Ask::Recover(ask), Reason::NoValidBackup, "generation 2");
    let intent = about(&world, &backup, Action::Rehearse(RehearseAction { generation: 2 }));
    let ask = rehearse(&world, consents(&intent, &[&backup.passkey]), &backup);
    world.refused("rehearse", Ask::Rehearse(ask), Reason::NoValidBackup, "generation 2");
}

#[test]
fn a_put_exceeds_every_generation_that_was_seen_and_leaves_the_former_one() {
    let world = two_roles(0xa8);
    let (mut backup, _) = waiting(&world, "wallet-1");
    put_again(&world, &mut backup, 5);
    for generation in [2, 3, 5] {
        let (mut intent, message) = put(&world, &backup, generation, &[share("ed", b"x")]);
        intent.custodian = intent.client.clone();
        let act = consents(&intent, &[&backup.passkey]);
        let ask = Ask::PutShares(put_shares(&world, act, message, &backup));
        world.refused("seen", ask, Reason::StateInvalid, "has seen 5");
    }
    let hash = put_again(&world, &mut backup, 6);
    let receipt = sign(&key(CUSTODIAN[0]), &custodians(&backup, 6, &hash));
    let ask = Ask::Commit(commit(&world, &backup, receipt));
    moves(&world, "commit", ask, &mut backup);
    // Long after: the other role may still hold generation 1 alone in common.
    world.fake.now.set(START + 2 * GRACE_MS);
    put_again(&world, &mut backup, 7);
    let numbers: Vec<_> = view_of(&world, &backup.record).generations.iter().map(|it| it.generation).collect();
    assert_eq!(numbers, [1, 6, 7]);
}

#[test]
fn a_change_of_policies_gives_each_role_its_own() {
    let world = two_roles(0xa9);
    let mut backup = back_up(&world, "wallet-1", Passkey::eddsa(9), name_both);
    let custodians = Policy { tenant_signature: true, ..PASSKEY_ONLY };
    let wanted = |client, custodian, both: bool| {
        let policies = ChangePolicyAction { client_policy: client, custodian_policy: custodian };
        let mut intent = about(&world, &backup, Action::ChangePolicy(policies));
        intent.custodian = intent.client.clone().filter(|_| both);
        Ask::Change(change(&world, consents(&intent, &[&backup.passkey]), &backup))
    };
    let delayed = Policy { delay_seconds: 60, ..PASSKEY_ONLY };
    let bad = Reason::BadRequest;
    for (name, ask) in [
        ("a role without policy", wanted(Some(delayed), None, true)),
        ("a policy without its role", wanted(Some(delayed), Some(custodians), false)),
    ] {
        world.refused(name, ask, bad, "change_policy.custodian_policy");
    }
    let other = wanted(None, Some(custodians), true);
    world.refused("the other role's alone", other, bad, "change_policy.client_policy");
    let ask = wanted(Some(delayed), Some(custodians), true);
    moves(&world, "each its own", ask, &mut backup);
    assert_eq!(view_of(&world, &backup.record).policy, Some(delayed));
}
