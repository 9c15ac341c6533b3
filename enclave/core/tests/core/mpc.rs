//! Releases of the custodian role: to the MPC recipients of the statement alone, by the record's own policy, all pairs in one.

use prost::Message;
use strongroom_proto::contents::Release;
use strongroom_proto::enclave::v1::{CarryOut, Moved, request::Body as Ask};
use strongroom_proto::seal::Direction;
use strongroom_proto::v1::{
    Act, ActKind, Freshness, Intent, OpenActKind, Policy, Reason, Receipt, RecoverAction, Role, StartRecoveryAction,
    Statement, intent::Action,
};

use crate::acts::{Backup, PASSKEY_ONLY, action, back_up, info, own_part, recover, two_shares};
use crate::both::{Both, Pair, TENANT_ONLY, custodians_shares, without_passkey};
use crate::device::{Passkey, Recipient};
use crate::steps::{about, carry_out, change, consents, countersigned, moves};
use crate::tenant::MPC;
use crate::vault::read;
use crate::world::{Case, World};

/// What a recipient finds in a release: the generation, and each pair's share.
pub(crate) fn opened(world: &World, record_id: &[u8], release: &[u8], by: &Recipient) -> Option<Release> {
    let bytes = by.open(&info(Direction::Release, &world.epoch, record_id), release)?;
    Some(Release::decode(&bytes).unwrap())
}

/// A recovery that names both records, with a recipient for each.
fn recovery_of_both(both: &Both, pair: &Pair, to: [&Recipient; 2]) -> Intent {
    let mut intent = both.about(pair, Action::Recover(RecoverAction { generation: 1, eject: false }));
    for (world, to) in [&both.client, &both.custodian].into_iter().zip(to) {
        own_part(world, &mut intent).recipient = to.hash();
    }
    intent
}

fn check_release(world: &World, moved: &Moved, before: &Receipt, act: &Act, by: &Recipient, others: &[Recipient]) {
    let shares = if world.role == Role::Client { two_shares() } else { custodians_shares() };
    let release = opened(world, &before.record_id, &moved.release, by).expect("the recipient opens it");
    assert_eq!((release.generation, release.intent), (1, strongroom_proto::intent::hash(&act.intent)));
    assert_eq!(release.shares.len(), 2, "every curve in one release");
    for (got, expect) in release.shares.iter().zip(shares) {
        assert_eq!((&got.pair, got.bytes.expose()), (&expect.pair, expect.bytes.expose()));
    }
    assert!(others.iter().all(|it| opened(world, &before.record_id, &moved.release, it).is_none()));
}

#[test]
fn one_intent_releases_the_clients_shares_to_the_device_and_the_custodians_to_the_mpc_server() {
    let both = Both::new(0x110);
    let mut pair = both.back_up("wallet-1", Policy { tenant_signature: true, ..PASSKEY_ONLY });
    let (device, mpc) = (Recipient::new(1), Recipient::new(MPC[0]));
    let intent = recovery_of_both(&both, &pair, [&device, &mpc]);
    let act = countersigned(&both.client, consents(&intent, &[&pair.client.passkey]));
    for (world, backup, to, other) in
        [(&both.client, &mut pair.client, &device, MPC[0]), (&both.custodian, &mut pair.custodian, &mpc, 1)]
    {
        let before = backup.receipt.clone();
        let ask = Ask::Recover(recover(world, act.clone(), backup, to));
        let (moved, event) = moves(world, "recover", ask, backup);
        assert_eq!((event.kind(), &event.recipient), (ActKind::Recover, &to.hash()));
        check_release(world, &moved, &before, &act, to, &[Recipient::new(other), Recipient::new(MPC[1])]);
    }
    // Each has moved, so the one assertion and signature give nothing more.
    for (world, backup, to) in [(&both.client, &pair.client, &device), (&both.custodian, &pair.custodian, &mpc)] {
        let ask = Ask::Recover(recover(world, act.clone(), backup, to));
        world.refused("again", ask, Reason::RecordStale, "intent.head");
    }
}

#[test]
fn each_role_looks_at_its_own_part_alone() {
    let both = Both::new(0x111);
    let (device, mpc) = (Recipient::new(1), Recipient::new(MPC[1]));
    let spoilt: &[Case<Intent>] = &[
        ("head", |i| i.custodian.as_mut().unwrap().head[0] ^= 1, Reason::RecordStale, "intent.head"),
        ("record", |i| i.custodian.as_mut().unwrap().record_id[0] ^= 1, Reason::BadRequest, "intent.record_id"),
        ("recipient", |i| i.custodian.as_mut().unwrap().recipient.clear(), Reason::BadRequest, "intent.recipient"),
        ("message", |i| i.custodian.as_mut().unwrap().message_hash = vec![1; 32], Reason::BadRequest, "message_hash"),
        ("role", |i| i.custodian = None, Reason::BadRequest, "does not name the ROLE_CUSTODIAN"),
    ];
    for (name, spoil, reason, detail) in spoilt {
        let mut pair = both.back_up("wallet-1", PASSKEY_ONLY);
        let mut intent = recovery_of_both(&both, &pair, [&device, &mpc]);
        spoil(&mut intent);
        let act = consents(&intent, &[&pair.client.passkey]);
        let ask = Ask::Recover(recover(&both.custodian, act.clone(), &pair.custodian, &mpc));
        both.custodian.refused(name, ask, *reason, detail);
        let ask = Ask::Recover(recover(&both.client, act, &pair.client, &device));
        moves(&both.client, name, ask, &mut pair.client);
        // The other way round.
        let mut intent = recovery_of_both(&both, &pair, [&device, &mpc]);
        std::mem::swap(&mut intent.client, &mut intent.custodian);
        spoil(&mut intent);
        std::mem::swap(&mut intent.client, &mut intent.custodian);
        let act = consents(&intent, &[&pair.client.passkey]);
        let ask = Ask::Recover(recover(&both.client, act.clone(), &pair.client, &device));
        both.client.refused(name, ask, *reason, &detail.replace("CUSTODIAN", "CLIENT"));
        let ask = Ask::Recover(recover(&both.custodian, act, &pair.custodian, &mpc));
        moves(&both.custodian, name, ask, &mut pair.custodian);
    }
}

/// A release to a recipient, at once or put off, as the record's policy wants it; both consents given.
pub(crate) fn release_to(world: &World, backup: &Backup, to: &Recipient, eject: bool) -> Ask {
    let delayed = read(world, &backup.record).policy.unwrap().delay_seconds > 0;
    let action = if delayed {
        Action::StartRecovery(StartRecoveryAction { generation: 1, eject })
    } else {
        Action::Recover(RecoverAction { generation: 1, eject })
    };
    let mut intent = about(world, backup, action);
    own_part(world, &mut intent).recipient = to.hash();
    let passkey = Some(&backup.passkey).filter(|_| !read(world, &backup.record).credentials.is_empty());
    let act = countersigned(world, consents(&intent, &passkey.into_iter().collect::<Vec<_>>()));
    if delayed { Ask::Change(change(world, act, backup)) } else { Ask::Recover(recover(world, act, backup, to)) }
}

/// A later statement of the same tenant.
pub(crate) fn restate(world: &mut World, serial: u64, edit: impl FnOnce(&mut Statement)) {
    let mut statement = Statement::decode(world.statement.statement.as_slice()).unwrap();
    statement.serial = serial;
    edit(&mut statement);
    world.statement = world.keep(world.tenant.sign(&statement));
}

#[test]
fn a_custodian_share_goes_to_no_key_that_the_statement_does_not_list() {
    let both = Both::new(0x112);
    let mut world = both.custodian;
    let delayed = Policy { delay_seconds: 60, ..PASSKEY_ONLY };
    for policy in [PASSKEY_ONLY, delayed, TENANT_ONLY, Policy { passkey: true, ..TENANT_ONLY }] {
        let mut backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |intent| {
            action(intent).custodian_policy = Some(policy);
        });
        for seed in [1, 2, 50, 53] {
            let ask = release_to(&world, &backup, &Recipient::new(seed), false);
            world.refused("a device", ask, Reason::RecipientNotAllowed, "not one of the statement's mpc_recipients");
        }
        let Ask::Recover(mut swapped) = release_to(&world, &backup, &Recipient::new(MPC[0]), false) else {
            let ask = release_to(&world, &backup, &Recipient::new(MPC[0]), false);
            moves(&world, "listed", ask, &mut backup);
            continue;
        };
        for seed in [1, MPC[1]] {
            swapped.recipient_key = Recipient::new(seed).public_key;
            let ask = Ask::Recover(swapped.clone());
            world.refused("another key", ask, Reason::RecipientNotAllowed, "not the recipient that the intent names");
        }
        for seed in MPC {
            let ask = release_to(&world, &backup, &Recipient::new(seed), false);
            moves(&world, "listed", ask, &mut backup);
        }
    }
    let backup = without_passkey(&world, "wallet-2", TENANT_ONLY);
    restate(&mut world, 6, |statement| statement.mpc_recipients.clear());
    let ask = release_to(&world, &backup, &Recipient::new(MPC[0]), false);
    world.refused("no list", ask, Reason::RecipientNotAllowed, "mpc_recipients");
}

#[test]
fn a_release_that_waited_goes_only_to_a_key_that_is_still_listed() {
    let mut world = Both::new(0x113).custodian;
    let delayed = Policy { delay_seconds: 60, ..TENANT_ONLY };
    let mut backup = without_passkey(&world, "wallet-1", delayed);
    let (fixed, other) = (Recipient::new(MPC[0]), Recipient::new(MPC[1]));
    let ask = release_to(&world, &backup, &fixed, false);
    let (_, event) = moves(&world, "start", ask, &mut backup);
    assert_eq!(event.kind(), ActKind::StartRecovery);
    world.fake.now.set(world.fake.now.get() + 60_000);
    let due = |world: &World, key: &Recipient| {
        let due = carry_out(world, OpenActKind::Recovery, &backup);
        Ask::CarryOut(CarryOut { recipient_key: key.public_key.clone(), ..due })
    };
    world.refused("another listed key", due(&world, &other), Reason::RecipientNotAllowed, "not the recipient");
    restate(&mut world, 6, |statement| statement.mpc_recipients.retain(|it| *it != fixed.hash()));
    world.refused("no longer listed", due(&world, &fixed), Reason::RecipientNotAllowed, "mpc_recipients");
    restate(&mut world, 7, |statement| {
        statement.mpc_recipients.push(fixed.hash());
        statement.mpc_recipients.sort();
    });
    let ask = due(&world, &fixed);
    let (moved, event) = moves(&world, "listed again", ask, &mut backup);
    assert_eq!((event.kind(), event.recipient), (ActKind::Recover, fixed.hash()));
    let record_id = &backup.receipt.record_id;
    assert_eq!(opened(&world, record_id, &moved.release, &fixed).unwrap().shares.len(), 2);
}

#[test]
fn a_release_takes_the_consents_of_the_custodians_own_policy() {
    let world = Both::new(0x114).custodian;
    let both_needed = Policy { passkey: true, ..TENANT_ONLY };
    let newest = Policy { newest_head: true, ..both_needed };
    // By the policy: what is given without consent, with the passkey's, with the tenant's, and with both.
    let denied = |detail| Some((Reason::PolicyDenied, detail));
    let (passkey, tenant) = (denied("act.assertions"), denied("act.tenant_signature"));
    let table = [
        (PASSKEY_ONLY, [passkey, None, passkey, None]),
        (TENANT_ONLY, [tenant, tenant, None, None]),
        (both_needed, [passkey, tenant, passkey, None]),
        (newest, [passkey, tenant, passkey, None]),
        (Policy { delay_seconds: 1, ..PASSKEY_ONLY }, [Some((Reason::RecoveryDelayed, "delay")); 4]),
    ];
    for (policy, row) in table {
        for (consent, expect) in row.into_iter().enumerate() {
            let mut backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |intent| {
                action(intent).custodian_policy = Some(policy);
            });
            let to = Recipient::new(MPC[0]);
            let action = Action::Recover(RecoverAction { generation: 1, eject: false });
            let mut intent = about(&world, &backup, action);
            own_part(&world, &mut intent).recipient = to.hash();
            let by: Vec<_> = (consent & 1 == 1).then_some(&backup.passkey).into_iter().collect();
            let act = consents(&intent, &by);
            let act = if consent & 2 == 2 { countersigned(&world, act) } else { act };
            let ask = Ask::Recover(recover(&world, act, &backup, &to));
            if let Some((reason, detail)) = expect {
                world.refused("consents", ask, reason, detail);
                continue;
            }
            moves(&world, "consents", ask, &mut backup);
            let freshness = backup.receipt.stages.as_ref().unwrap().freshness();
            assert_eq!(freshness == Freshness::CallerReceipt, policy.newest_head);
        }
    }
}
