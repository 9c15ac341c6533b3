//! The acts on an existing record, each as it should go: what moves in record, event, receipt and view.

use strongroom_proto::contents::Release;
use strongroom_proto::enclave::v1::{CarryOut, Change, Recover, request::Body as Ask};
use strongroom_proto::limits::GRACE_MS;
use strongroom_proto::seal::Direction;
use strongroom_proto::v1::{
    ActKind, AddPasskeyAction, CancelAction, CarryOutAction, ChangePolicyAction, DeleteBackupAction, Freshness,
    GenerationState, OpenActKind, Policy, Reason, RecoverAction, RemovePasskeyAction, RenamePasskeyAction,
    StartRecoveryAction, intent::Action,
};

use crate::acts::{Backup, PASSKEY_ONLY, action, back_up, info, part, recover, share};
use crate::device::{Passkey, Recipient};
use crate::steps::{
    about, carry_out, change, consents, countersigned, moves, named, put, put_shares, registration, view_of,
};
use crate::world::{START, World};

const DELAY_MS: u64 = 3600 * 1000;

/// A backup under a policy with a delay of an hour.
fn delayed(world: &World, newest_head: bool) -> Backup {
    back_up(world, "wallet-1", Passkey::eddsa(9), |intent| {
        action(intent).client_policy =
            Some(Policy { delay_seconds: 3600, newest_head, tenant_signature: newest_head, ..PASSKEY_ONLY });
    })
}

/// One change by the backup's own passkey.
fn changes(world: &World, name: &str, backup: &mut Backup, action: Action) -> strongroom_proto::v1::Event {
    let act = consents(&about(world, backup, action), &[&backup.passkey]);
    let ask = Ask::Change(change(world, act, backup));
    moves(world, name, ask, backup).1
}

#[test]
fn a_put_brings_a_generation_and_the_one_before_still_opens() {
    let world = World::new(0x90);
    let mut backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let shares = [share("ed", b"second generation of ed"), share("k1", b"second generation of k1")];
    let (intent, message) = put(&world, &backup, 2, &shares);
    let act = consents(&intent, &[&backup.passkey]);
    let hash = strongroom_proto::intent::hash(&act.intent).0.to_vec();
    let (moved, event) = moves(&world, "put", Ask::PutShares(put_shares(&world, act, message, &backup)), &mut backup);
    assert_eq!((event.kind(), event.generation, event.version), (ActKind::PutShares, 2, 2));
    assert_eq!((moved.generations, moved.shares.len()), (vec![1, 2], 2));
    let active = backup.receipt.active.clone().unwrap();
    assert_eq!((active.generation, active.put_intent_hash), (2, hash));
    assert!(backup.receipt.pending.is_none(), "a record of one role commits at the put");
    let view = view_of(&world, &backup.record);
    let states: Vec<_> = view.generations.iter().map(|it| (it.generation, it.state())).collect();
    assert_eq!(states, [(1, GenerationState::Former), (2, GenerationState::Active)]);
    assert_eq!(view.highest_generation, 2);
    for (generation, expect) in [(2, &b"second generation of ed"[..]), (1, b"planted secret of the ed25519 pair")] {
        let recipient = Recipient::new(1);
        let mut intent = about(&world, &backup, Action::Recover(RecoverAction { generation, eject: false }));
        part(&mut intent).recipient = recipient.hash();
        let act = consents(&intent, &[&backup.passkey]);
        let ask = Ask::Recover(recover(&world, act, &backup, &recipient));
        let (moved, _) = moves(&world, "recover", ask, &mut backup);
        let info = info(Direction::Release, &world.epoch, &backup.receipt.record_id);
        let release = Release::decode(&recipient.open(&info, &moved.release).unwrap()).unwrap();
        assert_eq!((release.generation, release.shares[0].bytes.expose()), (generation, expect));
    }
}

#[test]
fn a_passkey_is_added_by_two_assertions_renamed_and_removed() {
    let world = World::new(0x91);
    let mut backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let second = Passkey::es256();
    let intent = about(&world, &backup, Action::AddPasskey(AddPasskeyAction { credential: Some(named(&second)) }));
    let act = consents(&intent, &[&backup.passkey, &second]);
    let request = Change { credential: Some(registration(&second)), ..change(&world, act, &backup) };
    let (_, event) = moves(&world, "add", Ask::Change(request), &mut backup);
    assert_eq!((event.kind(), &event.subject_credential_id), (ActKind::AddPasskey, &second.id));
    assert_eq!(event.credential_id, backup.passkey.id, "the one that was there authorised it");

    let first = std::mem::replace(&mut backup.passkey, second);
    let rename = RenamePasskeyAction { credential_id: first.id.clone(), label: "Old phone".into() };
    let event = changes(&world, "rename by the newcomer", &mut backup, Action::RenamePasskey(rename));
    assert_eq!((event.kind(), &event.subject_credential_id), (ActKind::RenamePasskey, &first.id));
    let labels: Vec<_> = view_of(&world, &backup.record).credentials.into_iter().map(|it| it.label).collect();
    assert_eq!(labels, ["Old phone", "Bob's laptop"]);

    let remove = RemovePasskeyAction { credential_id: first.id.clone() };
    let event = changes(&world, "remove", &mut backup, Action::RemovePasskey(remove));
    assert_eq!((event.kind(), &event.subject_credential_id), (ActKind::RemovePasskey, &first.id));
    let ids: Vec<_> = view_of(&world, &backup.record).credentials.into_iter().map(|it| it.id).collect();
    assert_eq!(ids, std::slice::from_ref(&backup.passkey.id));
    let again = consents(&about(&world, &backup, Action::DeleteBackup(DeleteBackupAction {})), &[&first]);
    let ask = Ask::Change(change(&world, again, &backup));
    world.refused("the removed one", ask, Reason::ProofRejected, "no credential of the record");
    let own = RemovePasskeyAction { credential_id: backup.passkey.id.clone() };
    let act = consents(&about(&world, &backup, Action::RemovePasskey(own)), &[&backup.passkey]);
    world.refused("last", Ask::Change(change(&world, act, &backup)), Reason::LastPasskey, "last passkey");
}

#[test]
fn a_recovery_with_a_delay_waits_and_goes_to_the_recipient_that_was_fixed() {
    let world = World::new(0x92);
    let mut backup = delayed(&world, false);
    let (recipient, other) = (Recipient::new(1), Recipient::new(2));
    let at_once = {
        let mut intent = about(&world, &backup, Action::Recover(RecoverAction { generation: 1, eject: false }));
        part(&mut intent).recipient = recipient.hash();
        Ask::Recover(Recover { ..recover(&world, consents(&intent, &[&backup.passkey]), &backup, &recipient) })
    };
    world.refused("at once", at_once, Reason::RecoveryDelayed, "delay");
    let mut intent = about(&world, &backup, Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false }));
    part(&mut intent).recipient = recipient.hash();
    let act = consents(&intent, &[&backup.passkey]);
    let started = strongroom_proto::intent::hash(&act.intent);
    let ask = Ask::Change(change(&world, act, &backup));
    let (_, event) = moves(&world, "start", ask, &mut backup);
    assert_eq!((event.kind(), event.not_before_ms), (ActKind::StartRecovery, START + DELAY_MS));
    assert_eq!((event.recipient, event.generation), (recipient.hash(), 1));
    let open = view_of(&world, &backup.record).open_acts.remove(0);
    assert_eq!((open.kind(), open.not_before_ms), (OpenActKind::Recovery, START + DELAY_MS));

    let release = |key: &Recipient, backup: &Backup| CarryOut {
        recipient_key: key.public_key.clone(),
        ..carry_out(&world, OpenActKind::Recovery, backup)
    };
    let early = Ask::CarryOut(release(&recipient, &backup));
    let error = world.refused("early", early, Reason::RecoveryDelayed, "due in");
    assert_eq!(u64::from(error.retry_after_ms), DELAY_MS);
    world.fake.now.set(START + DELAY_MS);
    let wrong = Ask::CarryOut(release(&other, &backup));
    world.refused("other recipient", wrong, Reason::RecipientNotAllowed, "recipient_key");
    let ask = Ask::CarryOut(release(&recipient, &backup));
    let (moved, event) = moves(&world, "release", ask, &mut backup);
    assert_eq!((event.kind(), event.intent_hash), (ActKind::Recover, started.0.to_vec()));
    let info = info(Direction::Release, &world.epoch, &backup.receipt.record_id);
    let opened = Release::decode(&recipient.open(&info, &moved.release).unwrap()).unwrap();
    assert_eq!((opened.intent, opened.shares.len()), (started, 2));
    assert!(view_of(&world, &backup.record).open_acts.is_empty());
    let twice = Ask::CarryOut(release(&recipient, &backup));
    world.refused("twice", twice, Reason::StateInvalid, "none of this kind");
}

#[test]
fn a_policy_changes_at_once_or_after_the_delay_in_force() {
    let world = World::new(0x93);
    let mut backup = delayed(&world, false);
    let weaker =
        |policy| Action::ChangePolicy(ChangePolicyAction { client_policy: Some(policy), custodian_policy: None });
    let event = changes(&world, "weaken", &mut backup, weaker(PASSKEY_ONLY));
    assert_eq!((event.kind(), event.not_before_ms), (ActKind::StartChangePolicy, START + DELAY_MS));
    assert_eq!(view_of(&world, &backup.record).policy.unwrap().delay_seconds, 3600, "nothing has changed yet");
    world.fake.now.set(START + DELAY_MS);
    let ask = Ask::CarryOut(carry_out(&world, OpenActKind::PolicyChange, &backup));
    let (_, event) = moves(&world, "due", ask, &mut backup);
    assert_eq!(event.kind(), ActKind::ChangePolicy);
    assert_eq!(view_of(&world, &backup.record).policy, Some(PASSKEY_ONLY));
    let stronger = Policy { tenant_signature: true, newest_head: true, ..PASSKEY_ONLY };
    let event = changes(&world, "strengthen", &mut backup, weaker(stronger));
    assert_eq!((event.kind(), event.not_before_ms), (ActKind::ChangePolicy, 0));
    assert_eq!(view_of(&world, &backup.record).policy, Some(stronger));
}

#[test]
fn a_removal_waits_unless_the_tenant_signs_too_and_what_waits_is_cancelled() {
    let world = World::new(0x94);
    let mut backup = delayed(&world, false);
    let second = Passkey::es256();
    let intent = about(&world, &backup, Action::AddPasskey(AddPasskeyAction { credential: Some(named(&second)) }));
    let act = consents(&intent, &[&backup.passkey, &second]);
    let request = Change { credential: Some(registration(&second)), ..change(&world, act, &backup) };
    moves(&world, "add", Ask::Change(request), &mut backup);
    let remove = Action::RemovePasskey(RemovePasskeyAction { credential_id: second.id.clone() });
    let event = changes(&world, "remove", &mut backup, remove.clone());
    assert_eq!((event.kind(), event.not_before_ms), (ActKind::StartRemovePasskey, START + DELAY_MS));
    // The one that is to go cancels it.
    let kind = OpenActKind::PasskeyRemoval;
    let cancel = Action::Cancel(CancelAction { kind: kind.into(), intent_hash: event.intent_hash });
    let act = consents(&about(&world, &backup, cancel), &[&second]);
    let ask = Ask::Change(change(&world, act, &backup));
    let (_, event) = moves(&world, "cancel", ask, &mut backup);
    assert_eq!((event.kind(), event.credential_id), (ActKind::Cancel, second.id.clone()));
    world.fake.now.set(START + DELAY_MS);
    let ask = Ask::CarryOut(carry_out(&world, kind, &backup));
    world.refused("cancelled", ask, Reason::StateInvalid, "none of this kind");
    // With the tenant's signature it does not wait.
    let act = countersigned(&world, consents(&about(&world, &backup, remove), &[&backup.passkey]));
    let ask = Ask::Change(change(&world, act, &backup));
    let (_, event) = moves(&world, "remove with the tenant", ask, &mut backup);
    assert_eq!((event.kind(), event.not_before_ms), (ActKind::RemovePasskey, 0));
    assert_eq!(view_of(&world, &backup.record).credentials.len(), 1);
}

#[test]
fn what_ripened_under_newest_head_needs_a_second_signature_over_the_head_of_now() {
    let world = World::new(0x95);
    let mut backup = delayed(&world, true);
    let recipient = Recipient::new(1);
    let mut intent = about(&world, &backup, Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false }));
    part(&mut intent).recipient = recipient.hash();
    let act = countersigned(&world, consents(&intent, &[&backup.passkey]));
    let intent_hash = strongroom_proto::intent::hash(&act.intent).0.to_vec();
    let ask = Ask::Change(change(&world, act, &backup));
    moves(&world, "start", ask, &mut backup);
    world.fake.now.set(START + DELAY_MS);
    let request =
        CarryOut { recipient_key: recipient.public_key.clone(), ..carry_out(&world, OpenActKind::Recovery, &backup) };
    let without = Ask::CarryOut(request.clone());
    world.refused("without", without, Reason::PolicyDenied, "newest head");
    let kind = OpenActKind::Recovery.into();
    let second = about(&world, &backup, Action::CarryOut(CarryOutAction { kind, intent_hash }));
    let act = Some(countersigned(&world, consents(&second, &[])));
    moves(&world, "with", Ask::CarryOut(CarryOut { act, ..request }), &mut backup);
    assert_eq!(backup.receipt.stages.as_ref().unwrap().freshness(), Freshness::CallerReceipt);
}

#[test]
fn a_deletion_waits_for_its_grace_and_closes_the_record() {
    let world = World::new(0x96);
    let mut backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let delete = about(&world, &backup, Action::DeleteBackup(DeleteBackupAction {}));
    let act = countersigned(&world, consents(&delete, &[]));
    let ask = Ask::Change(change(&world, act, &backup));
    let (_, event) = moves(&world, "by the tenant alone", ask, &mut backup);
    assert_eq!((event.kind(), event.not_before_ms), (ActKind::StartDelete, START + GRACE_MS));
    let ask = || Ask::CarryOut(carry_out(&world, OpenActKind::Delete, &backup));
    world.fake.now.set(START + GRACE_MS - 1);
    world.refused("early", ask(), Reason::RecoveryDelayed, "due in 1 ms");
    world.fake.now.set(START + GRACE_MS);
    let ask = ask();
    let (moved, event) = moves(&world, "due", ask, &mut backup);
    assert_eq!((event.kind(), moved.generations.len(), backup.shares.len()), (ActKind::Delete, 0, 0));
    let view = view_of(&world, &backup.record);
    assert!(view.closed && view.generations.is_empty() && view.credentials.is_empty() && view.open_acts.is_empty());
    let act = consents(&about(&world, &backup, Action::DeleteBackup(DeleteBackupAction {})), &[&backup.passkey]);
    world.refused("closed", Ask::Change(change(&world, act, &backup)), Reason::StateInvalid, "closed");
}
