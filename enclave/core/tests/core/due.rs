//! What is due is carried out as it was started, on the record of now: which may have moved, or lost what the act needs.

use strongroom_proto::contents::Release;
use strongroom_proto::enclave::v1::{CarryOut, Change, request::Body as Ask};
use strongroom_proto::limits::GRACE_MS;
use strongroom_proto::seal::Direction;
use strongroom_proto::v1::{
    AddPasskeyAction, CancelAction, ChangePolicyAction, DeleteBackupAction, OpenActKind, Policy, Reason, RecoverAction,
    RemovePasskeyAction, RenamePasskeyAction, StartRecoveryAction, Statement, intent::Action,
};

use crate::acts::{Backup, PASSKEY_ONLY, action, back_up, info, part, recover, share};
use crate::device::{Passkey, Recipient};
use crate::steps::{
    about, carry_out, change, consents, countersigned, moves, named, put, put_shares, registration, view_of,
};
use crate::vault::read;
use crate::world::{START, World};

const DELAY_MS: u64 = 3600 * 1000;
const DELAYED: Policy = Policy { delay_seconds: 3600, ..PASSKEY_ONLY };

fn stage(seed: u64) -> (World, Backup) {
    let world = World::new(seed);
    let backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |intent| action(intent).client_policy = Some(DELAYED));
    (world, backup)
}

/// A change by the backup's passkey, and by the tenant where it signs too.
fn changes(world: &World, backup: &mut Backup, action: Action, tenant: bool) {
    let mut intent = about(world, backup, action);
    if matches!(intent.action, Some(Action::StartRecovery(_))) {
        part(&mut intent).recipient = Recipient::new(1).hash();
    }
    let mut act = consents(&intent, &[&backup.passkey]);
    if tenant {
        act = countersigned(world, act);
    }
    let ask = Ask::Change(change(world, act, backup));
    moves(world, "change", ask, backup);
}

fn adds(world: &World, backup: &mut Backup, newcomer: &Passkey) {
    let intent = about(world, backup, Action::AddPasskey(AddPasskeyAction { credential: Some(named(newcomer)) }));
    let act = consents(&intent, &[&backup.passkey, newcomer]);
    let ask = Ask::Change(Change { credential: Some(registration(newcomer)), ..change(world, act, backup) });
    moves(world, "add", ask, backup);
}

fn kinds(world: &World, backup: &Backup) -> Vec<OpenActKind> {
    view_of(world, &backup.record).open_acts.iter().map(strongroom_proto::v1::OpenAct::kind).collect()
}

fn policy(wanted: Policy) -> Action {
    Action::ChangePolicy(ChangePolicyAction { client_policy: Some(wanted), custodian_policy: None })
}

#[test]
fn a_recovery_releases_the_generation_that_was_fixed() {
    let (world, mut backup) = stage(0x120);
    changes(&world, &mut backup, Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false }), false);
    let (intent, message) = put(&world, &backup, 2, &[share("ed", b"second")]);
    let ask = Ask::PutShares(put_shares(&world, consents(&intent, &[&backup.passkey]), message, &backup));
    moves(&world, "put", ask, &mut backup);
    // A former generation can be asked for as well.
    world.fake.now.set(START + DELAY_MS);
    let recipient = Recipient::new(1);
    for (generation, expect) in [(1, &b"planted secret of the ed25519 pair"[..]), (2, b"second"), (1, b"planted")] {
        let ask = CarryOut {
            recipient_key: recipient.public_key.clone(),
            ..carry_out(&world, OpenActKind::Recovery, &backup)
        };
        let (moved, event) = moves(&world, "release", Ask::CarryOut(ask), &mut backup);
        assert_eq!((event.generation, event.recipient), (generation, recipient.hash()));
        let info = info(Direction::Release, &world.epoch, &backup.receipt.record_id);
        let opened = Release::decode(&recipient.open(&info, &moved.release).unwrap()).unwrap();
        assert_eq!((opened.generation, opened.record_id.0.to_vec()), (generation, backup.receipt.record_id.clone()));
        assert!(opened.shares[0].bytes.expose().starts_with(expect));
        let next = 3 - generation;
        changes(
            &world,
            &mut backup,
            Action::StartRecovery(StartRecoveryAction { generation: next, eject: false }),
            false,
        );
        world.fake.now.set(world.fake.now.get() + DELAY_MS);
    }
}

#[test]
fn the_last_passkey_stays_although_its_removal_is_due() {
    let (world, mut backup) = stage(0x121);
    let second = Passkey::eddsa(10);
    adds(&world, &mut backup, &second);
    let remove = |passkey: &Passkey| Action::RemovePasskey(RemovePasskeyAction { credential_id: passkey.id.clone() });
    changes(&world, &mut backup, remove(&second), false);
    // Meanwhile the second removes the first, which the tenant signs for too.
    let first = std::mem::replace(&mut backup.passkey, second);
    changes(&world, &mut backup, remove(&first), true);
    world.fake.now.set(START + DELAY_MS);
    let ask = Ask::CarryOut(carry_out(&world, OpenActKind::PasskeyRemoval, &backup));
    world.refused("the last", ask, Reason::LastPasskey, "last passkey");
    // With a third it goes; and what has gone already is not found.
    let third = Passkey::eddsa(11);
    adds(&world, &mut backup, &third);
    let due = Ask::CarryOut(carry_out(&world, OpenActKind::PasskeyRemoval, &backup));
    let second = std::mem::replace(&mut backup.passkey, third);
    moves(&world, "not the last", due, &mut backup);
    let ids: Vec<_> = view_of(&world, &backup.record).credentials.into_iter().map(|it| it.id).collect();
    assert_eq!(ids, std::slice::from_ref(&backup.passkey.id));
    assert_ne!(ids, [second.id]);
}

#[test]
fn a_policy_that_nobody_can_satisfy_any_more_does_not_come_in_force() {
    let (mut world, mut backup) = stage(0x122);
    let wanted = Policy { tenant_signature: true, ..PASSKEY_ONLY };
    changes(&world, &mut backup, policy(wanted), false);
    world.fake.now.set(START + DELAY_MS);
    let mut statement: Statement = prost::Message::decode(world.statement.statement.as_slice()).unwrap();
    statement.serial = 6;
    let keys = std::mem::take(&mut statement.operational_keys);
    let in_force = world.statement.clone();
    world.statement = world.keep(world.tenant.sign(&statement));
    let ask = Ask::CarryOut(carry_out(&world, OpenActKind::PolicyChange, &backup));
    world.refused("without keys", ask, Reason::PolicyDenied, "no operational key in force");
    let intent = about(&world, &backup, policy(wanted));
    let ask = Ask::Change(change(&world, consents(&intent, &[&backup.passkey]), &backup));
    world.refused("nor does one start", ask, Reason::PolicyDenied, "no operational key in force");
    statement.operational_keys = keys;
    world.statement = world.keep(world.tenant.sign(&statement));
    let ask = Ask::CarryOut(carry_out(&world, OpenActKind::PolicyChange, &backup));
    moves(&world, "with keys", ask, &mut backup);
    assert_eq!(view_of(&world, &backup.record).policy, Some(wanted));
    // The record has seen statement 6 now.
    world.statement = in_force;
    let rename = RenamePasskeyAction { credential_id: backup.passkey.id.clone(), label: String::new() };
    let act =
        countersigned(&world, consents(&about(&world, &backup, Action::RenamePasskey(rename)), &[&backup.passkey]));
    let ask = Ask::Change(change(&world, act, &backup));
    world.refused("statement 5", ask, Reason::StatementStale, "seen statement 6");
}

#[test]
fn a_policy_waits_for_the_delay_in_force_however_strong_it_is() {
    let (world, mut backup) = stage(0x123);
    let stronger = Policy { delay_seconds: 7200, tenant_signature: true, newest_head: true, ..PASSKEY_ONLY };
    changes(&world, &mut backup, policy(stronger), true);
    assert_eq!(view_of(&world, &backup.record).policy, Some(DELAYED));
    // A recovery that started before keeps its time, and takes what the policy of its time asks of what is due.
    changes(&world, &mut backup, Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false }), false);
    world.fake.now.set(START + DELAY_MS);
    let ask = Ask::CarryOut(carry_out(&world, OpenActKind::PolicyChange, &backup));
    moves(&world, "policy", ask, &mut backup);
    let recipient_key = Recipient::new(1).public_key;
    let ask = CarryOut { recipient_key, ..carry_out(&world, OpenActKind::Recovery, &backup) };
    world.refused("recovery", Ask::CarryOut(ask), Reason::PolicyDenied, "newest head");
}

#[test]
fn nothing_starts_to_wait_without_every_consent_of_the_policy() {
    let world = World::new(0x127);
    let both = Policy { tenant_signature: true, ..DELAYED };
    let mut backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |intent| action(intent).client_policy = Some(both));
    let second = Passkey::eddsa(10);
    let intent = about(&world, &backup, Action::AddPasskey(AddPasskeyAction { credential: Some(named(&second)) }));
    let act = countersigned(&world, consents(&intent, &[&backup.passkey, &second]));
    let ask = Ask::Change(Change { credential: Some(registration(&second)), ..change(&world, act, &backup) });
    moves(&world, "add", ask, &mut backup);
    for (name, action) in [
        ("recovery", Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false })),
        ("policy", policy(PASSKEY_ONLY)),
        ("removal", Action::RemovePasskey(RemovePasskeyAction { credential_id: second.id.clone() })),
    ] {
        let mut intent = about(&world, &backup, action);
        if name == "recovery" {
            part(&mut intent).recipient = Recipient::new(1).hash();
        }
        let ask = |act| Ask::Change(change(&world, act, &backup));
        let (nobody, passkey) = (consents(&intent, &[]), consents(&intent, &[&backup.passkey]));
        let tenant = countersigned(&world, nobody.clone());
        world.refused(name, ask(nobody), Reason::PolicyDenied, "asks for a passkey");
        world.refused(name, ask(passkey), Reason::PolicyDenied, "act.tenant_signature");
        world.refused(name, ask(tenant), Reason::PolicyDenied, "asks for a passkey");
    }
    changes(&world, &mut backup, Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false }), true);
    assert_eq!(kinds(&world, &backup), [OpenActKind::Recovery]);
}

#[test]
fn the_shortest_delay_is_a_delay() {
    let world = World::new(0x124);
    let second = Policy { delay_seconds: 1, ..PASSKEY_ONLY };
    let mut backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |i| action(i).client_policy = Some(second));
    let recipient = Recipient::new(1);
    let mut intent = about(&world, &backup, Action::Recover(RecoverAction { generation: 1, eject: false }));
    part(&mut intent).recipient = recipient.hash();
    let ask = Ask::Recover(recover(&world, consents(&intent, &[&backup.passkey]), &backup, &recipient));
    world.refused("at once", ask, Reason::RecoveryDelayed, "delay");
    changes(&world, &mut backup, Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false }), false);
    assert_eq!(view_of(&world, &backup.record).open_acts[0].not_before_ms, START + 1000);
}

#[test]
fn acts_of_several_kinds_wait_side_by_side_and_a_deletion_ends_them_all() {
    let (world, mut backup) = stage(0x125);
    changes(&world, &mut backup, Action::DeleteBackup(DeleteBackupAction {}), false);
    changes(&world, &mut backup, policy(PASSKEY_ONLY), false);
    let changing = backup.receipt.intent_hash.clone();
    changes(&world, &mut backup, Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false }), false);
    let (recovery, change, delete) = (OpenActKind::Recovery, OpenActKind::PolicyChange, OpenActKind::Delete);
    assert_eq!(kinds(&world, &backup), [recovery, change, delete], "in the order of their kinds");
    let cancel = CancelAction { kind: change.into(), intent_hash: changing };
    changes(&world, &mut backup, Action::Cancel(cancel), false);
    assert_eq!(kinds(&world, &backup), [recovery, delete]);
    world.fake.now.set(START + GRACE_MS);
    let ask = Ask::CarryOut(carry_out(&world, delete, &backup));
    moves(&world, "delete", ask, &mut backup);
    assert_eq!(kinds(&world, &backup), []);
    let record = read(&world, &backup.record);
    assert_eq!((record.active, record.pending, record.closed), (0, 0, true));
    assert!(backup.receipt.active.is_none() && backup.receipt.pending.is_none());
}

#[test]
fn a_change_brings_neither_message_nor_recipient() {
    let (world, backup) = stage(0x126);
    let own = backup.passkey.id.clone();
    let cancel = CancelAction { kind: OpenActKind::Delete.into(), intent_hash: vec![7; 32] };
    let rename = RenamePasskeyAction { credential_id: own.clone(), label: String::new() };
    for action in [
        Action::AddPasskey(AddPasskeyAction { credential: Some(named(&Passkey::eddsa(10))) }),
        Action::RemovePasskey(RemovePasskeyAction { credential_id: own }),
        Action::RenamePasskey(rename),
        policy(PASSKEY_ONLY),
        Action::DeleteBackup(DeleteBackupAction {}),
        Action::Cancel(cancel),
        Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false }),
    ] {
        let starts = matches!(action, Action::StartRecovery(_));
        for message in [false, true].into_iter().filter(|message| *message || !starts) {
            let mut intent = about(&world, &backup, action.clone());
            if message {
                part(&mut intent).message_hash = vec![7; 32];
            }
            if starts || !message {
                part(&mut intent).recipient = Recipient::new(1).hash();
            }
            let ask = Ask::Change(change(&world, consents(&intent, &[&backup.passkey]), &backup));
            let field = if message { "intent.message_hash: this act" } else { "intent.recipient: this act" };
            world.refused(&format!("{action:?}"), ask, Reason::BadRequest, field);
        }
    }
}

#[test]
fn no_put_takes_away_the_generation_that_a_recovery_waits_for() {
    let world = World::new(0x1d0);
    let policy = Policy { delay_seconds: 10 * 24 * 3600, ..PASSKEY_ONLY };
    let mut backup =
        back_up(&world, "wallet-1", Passkey::eddsa(9), |intent| action(intent).client_policy = Some(policy));
    changes(&world, &mut backup, Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false }), false);
    // A thief's puts: the first supersedes generation 1, and the second comes after its grace.
    for (generation, at) in [(2, START), (3, START + GRACE_MS), (4, START + GRACE_MS + 1)] {
        world.fake.now.set(at);
        let (intent, message) = put(&world, &backup, generation, &[share("ed", b"x")]);
        let act = consents(&intent, &[&backup.passkey]);
        let ask = Ask::PutShares(put_shares(&world, act, message, &backup));
        moves(&world, "put", ask, &mut backup);
    }
    world.fake.now.set(START + 10 * 24 * 3600 * 1000);
    let recipient_key = Recipient::new(1).public_key;
    let ask = CarryOut { recipient_key, ..carry_out(&world, OpenActKind::Recovery, &backup) };
    moves(&world, "release", Ask::CarryOut(ask), &mut backup);
}
