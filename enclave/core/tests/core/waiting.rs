//! What waits, as the enemy would have it: carried out too early, too late, twice, for another, or without the newest head.

use strongroom_proto::enclave::v1::{CarryOut, request::Body as Ask};
use strongroom_proto::limits::{DELAY_SECONDS_MAX, DELETE_DUE_MS_MAX, DUE_MS_MAX, GRACE_MS};
use strongroom_proto::v1::{
    Act, CancelAction, CarryOutAction, ChangePolicyAction, DeleteBackupAction, Intent, OpenActKind, Policy, Reason,
    RemovePasskeyAction, StartRecoveryAction, intent::Action,
};

use crate::acts::{Backup, PASSKEY_ONLY, action, back_up, part};
use crate::device::{Passkey, Recipient};
use crate::steps::{about, carry_out, change, consents, countersigned, moves, view_of};
use crate::tenant::{Tenant, consent};
use crate::world::{START, World};

const DELAY_MS: u64 = 3600 * 1000;
const DELAYED: Policy = Policy { delay_seconds: 3600, ..PASSKEY_ONLY };
const NEWEST_HEAD: Policy = Policy { tenant_signature: true, newest_head: true, ..DELAYED };

/// What is changed of something that would pass.
type Change<'a, T> = &'a dyn Fn(&mut T);

struct Stage {
    world: World,
    backup: Backup,
    recipient: Recipient,
    /// Hash of the intent that started the recovery.
    started: Vec<u8>,
}

/// A recovery that waits.
fn stage(seed: u64, policy: Policy) -> Stage {
    let world = World::new(seed);
    let mut backup =
        back_up(&world, "wallet-1", Passkey::eddsa(9), |intent| action(intent).client_policy = Some(policy));
    let recipient = Recipient::new(1);
    let act = countersigned(&world, consents(&start(&world, &backup, &recipient, 1), &[&backup.passkey]));
    let started = strongroom_proto::intent::hash(&act.intent).0.to_vec();
    let ask = Ask::Change(change(&world, act, &backup));
    moves(&world, "start", ask, &mut backup);
    Stage { world, backup, recipient, started }
}

fn start(world: &World, backup: &Backup, recipient: &Recipient, generation: u64) -> Intent {
    let mut intent = about(world, backup, Action::StartRecovery(StartRecoveryAction { generation, eject: false }));
    part(&mut intent).recipient = recipient.hash();
    intent
}

impl Stage {
    fn at(&self, ms: u64) {
        self.world.fake.now.set(ms);
    }

    fn release(&self) -> CarryOut {
        CarryOut {
            recipient_key: self.recipient.public_key.clone(),
            ..carry_out(&self.world, OpenActKind::Recovery, &self.backup)
        }
    }

    fn refused(&self, name: &str, ask: CarryOut, reason: Reason, detail: &str) {
        self.world.refused(name, Ask::CarryOut(ask), reason, detail);
    }
}

#[test]
fn what_waits_is_due_from_its_time_and_for_three_days() {
    for (name, at, refusal) in [
        ("at once", START, Some(Reason::RecoveryDelayed)),
        ("a millisecond early", START + DELAY_MS - 1, Some(Reason::RecoveryDelayed)),
        ("in time", START + DELAY_MS, None),
        ("at the last moment", START + DELAY_MS + DUE_MS_MAX - 1, None),
        ("expired", START + DELAY_MS + DUE_MS_MAX, Some(Reason::StateInvalid)),
    ] {
        let mut stage = stage(0xd0, DELAYED);
        stage.at(at);
        if let Some(reason) = refusal {
            stage.refused(name, stage.release(), reason, "record.open_acts");
        } else {
            let ask = Ask::CarryOut(stage.release());
            moves(&stage.world, name, ask, &mut stage.backup);
        }
    }
}

#[test]
fn a_deletion_that_is_due_can_be_carried_out_for_thirty_days() {
    for (at, expect) in [(GRACE_MS + DELETE_DUE_MS_MAX - 1, true), (GRACE_MS + DELETE_DUE_MS_MAX, false)] {
        let world = World::new(0xd1);
        let mut backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
        let act = consents(&about(&world, &backup, Action::DeleteBackup(DeleteBackupAction {})), &[&backup.passkey]);
        let ask = Ask::Change(change(&world, act, &backup));
        moves(&world, "delete", ask, &mut backup);
        world.fake.now.set(START + at);
        let ask = Ask::CarryOut(carry_out(&world, OpenActKind::Delete, &backup));
        if expect {
            moves(&world, "due", ask, &mut backup);
        } else {
            world.refused("expired", ask, Reason::StateInvalid, "expired");
        }
    }
}

#[test]
fn what_is_carried_out_is_what_was_started() {
    let stage = stage(0xd2, DELAYED);
    let elsewhere = back_up(&stage.world, "wallet-2", Passkey::eddsa(9), |_| {});
    stage.at(START + DELAY_MS);
    let other = Recipient::new(2);
    let cases: &[(&str, Change<'_, CarryOut>, Reason, &str)] = &[
        (
            "another recipient",
            &|r| r.recipient_key.clone_from(&other.public_key),
            Reason::RecipientNotAllowed,
            "recipient_key",
        ),
        ("no recipient", &|r| r.recipient_key.clear(), Reason::RecipientNotAllowed, "recipient_key"),
        ("another kind", &|r| r.kind = OpenActKind::Delete.into(), Reason::StateInvalid, "none of this kind"),
        ("no kind", &|r| r.kind = 0, Reason::BadRequest, "kind"),
        ("an unknown kind", &|r| r.kind = 99, Reason::BadRequest, "kind"),
        ("another record", &|r| r.record = Some(elsewhere.record.clone()), Reason::StateInvalid, "none of this kind"),
        ("no record", &|r| r.record = None, Reason::BadRequest, "record: missing"),
        (
            "another record's shares",
            &|r| r.shares.clone_from(&elsewhere.shares),
            Reason::CiphertextHashMismatch,
            "shares",
        ),
        ("no shares", &|r| r.shares.clear(), Reason::NoValidBackup, "shares"),
        ("no statement", &|r| r.statement = None, Reason::BadRequest, "statement: missing"),
    ];
    for (name, change, reason, detail) in cases {
        let mut ask = stage.release();
        change(&mut ask);
        stage.refused(name, ask, *reason, detail);
    }
}

#[test]
fn the_second_signature_names_what_waits_and_the_head_of_now() {
    let mut stage = stage(0xd3, NEWEST_HEAD);
    stage.at(START + DELAY_MS);
    let kind = OpenActKind::Recovery.into();
    let second = |stage: &Stage, change: &dyn Fn(&mut Intent)| {
        let action = Action::CarryOut(CarryOutAction { kind, intent_hash: stage.started.clone() });
        let mut intent = about(&stage.world, &stage.backup, action);
        change(&mut intent);
        consents(&intent, &[])
    };
    let with = |stage: &Stage, act: Act| CarryOut { act: Some(act), ..stage.release() };
    let signed = |stage: &Stage, change: &dyn Fn(&mut Intent)| countersigned(&stage.world, second(stage, change));
    let to = |intent: &mut Intent, kind: i32, intent_hash: Vec<u8>| {
        intent.action = Some(Action::CarryOut(CarryOutAction { kind, intent_hash }));
    };
    let cases: &[(&str, Change<'_, Intent>, Reason, &str)] = &[
        ("an older head", &|i| part(i).head = vec![7; 32], Reason::RecordStale, "intent.head"),
        ("another record", &|i| part(i).record_id = vec![7; 32], Reason::BadRequest, "another record"),
        ("another wallet", &|i| i.wallet = "wallet-2".into(), Reason::BadRequest, "another wallet"),
        ("another start", &|i| to(i, kind, vec![7; 32]), Reason::StateInvalid, "not the intent"),
        ("another kind", &|i| to(i, 4, stage.started.clone()), Reason::StateInvalid, "not the intent"),
        ("a recipient", &|i| part(i).recipient = vec![7; 32], Reason::BadRequest, "intent.recipient"),
        (
            "another act",
            &|i| i.action = Some(Action::DeleteBackup(DeleteBackupAction {})),
            Reason::BadRequest,
            "not carry_out",
        ),
        ("too late", &|i| i.not_after_ms = START, Reason::IntentExpired, "not_after"),
        ("an older statement's tenant", &|i| i.tenant = vec![1; 32], Reason::BadRequest, "another tenant"),
    ];
    for (name, change, reason, detail) in cases {
        stage.refused(name, with(&stage, signed(&stage, change)), *reason, detail);
    }
    stage.refused("nobody", with(&stage, second(&stage, &|_| {})), Reason::PolicyDenied, "tenant_signature");
    let by_passkey =
        consents(&strongroom_proto::intent::decode(&second(&stage, &|_| {}).intent).unwrap(), &[&stage.backup.passkey]);
    stage.refused("by the passkey", with(&stage, by_passkey), Reason::PolicyDenied, "tenant_signature");
    for (name, key) in [
        ("a foreign tenant's key", Tenant::new(2).operational),
        ("an expired key", Tenant::new(1).expired),
        ("the root key", Tenant::new(1).root),
    ] {
        let act = second(&stage, &|_| {});
        let act = Act { tenant_signature: Some(consent(&key, &act.intent)), ..act };
        stage.refused(name, with(&stage, act), Reason::ProofRejected, "tenant_signature");
    }
    // The head moves on (a cancelled deletion): the signature over the head of before is worth nothing.
    let before = signed(&stage, &|_| {});
    let delete = about(&stage.world, &stage.backup, Action::DeleteBackup(DeleteBackupAction {}));
    let ask = Ask::Change(change(&stage.world, consents(&delete, &[&stage.backup.passkey]), &stage.backup));
    moves(&stage.world, "delete", ask, &mut stage.backup);
    stage.refused("the head of before", with(&stage, before), Reason::RecordStale, "intent.head");
    let now = with(&stage, signed(&stage, &|_| {}));
    moves(&stage.world, "the head of now", Ask::CarryOut(now), &mut stage.backup);
}

#[test]
fn one_act_of_a_kind_waits_at_a_time_until_it_expires() {
    let mut stage = stage(0xd4, DELAYED);
    let again = |stage: &Stage| {
        let intent = start(&stage.world, &stage.backup, &Recipient::new(2), 1);
        Ask::Change(change(&stage.world, consents(&intent, &[&stage.backup.passkey]), &stage.backup))
    };
    stage.world.refused("second", again(&stage), Reason::StateInvalid, "cancel it first");
    stage.at(START + DELAY_MS + DUE_MS_MAX);
    let ask = again(&stage);
    moves(&stage.world, "after it expired", ask, &mut stage.backup);
    assert_eq!(view_of(&stage.world, &stage.backup.record).open_acts.len(), 1);
}

#[test]
fn cancelling_takes_a_credential_or_the_tenant_and_names_what_it_cancels() {
    let mut stage = stage(0xd5, DELAYED);
    let Stage { world, backup, started, .. } = &stage;
    let cancel = |kind: OpenActKind, intent_hash: &[u8]| {
        about(world, backup, Action::Cancel(CancelAction { kind: kind.into(), intent_hash: intent_hash.to_vec() }))
    };
    let good = cancel(OpenActKind::Recovery, started);
    let own = &backup.passkey;
    let stranger = Passkey::eddsa(66);
    for (name, act, reason, detail) in [
        ("nobody", consents(&good, &[]), Reason::PolicyDenied, "takes a passkey"),
        ("a stranger", consents(&good, &[&stranger]), Reason::ProofRejected, "no credential"),
        ("two", consents(&good, &[own, own]), Reason::BadRequest, "takes one"),
        (
            "another start",
            consents(&cancel(OpenActKind::Recovery, &[7; 32]), &[own]),
            Reason::StateInvalid,
            "another intent",
        ),
        ("another kind", consents(&cancel(OpenActKind::Delete, started), &[own]), Reason::StateInvalid, "none of this"),
        ("no kind", consents(&cancel(OpenActKind::Unspecified, started), &[own]), Reason::BadRequest, "kind"),
    ] {
        world.refused(name, Ask::Change(change(world, act, backup)), reason, detail);
    }
    let ask = Ask::Change(change(world, countersigned(world, consents(&good, &[])), backup));
    moves(&stage.world, "by the tenant", ask, &mut stage.backup);
    stage.at(START + DELAY_MS);
    stage.refused("cancelled", stage.release(), Reason::StateInvalid, "none of this kind");
}

#[test]
fn neither_policy_nor_passkey_goes_without_consents_and_delay() {
    let world = World::new(0xd6);
    let policy = Policy { tenant_signature: true, ..DELAYED };
    let mut backup =
        back_up(&world, "wallet-1", Passkey::eddsa(9), |intent| action(intent).client_policy = Some(policy));
    let weaker = |policy| Action::ChangePolicy(ChangePolicyAction { client_policy: policy, custodian_policy: None });
    let ask = |act: Act| Ask::Change(change(&world, act, &backup));
    let own = &backup.passkey;
    let good = about(&world, &backup, weaker(Some(PASSKEY_ONLY)));
    world.refused("no consent", ask(consents(&good, &[])), Reason::PolicyDenied, "passkey");
    world.refused("passkey alone", ask(consents(&good, &[own])), Reason::PolicyDenied, "tenant_signature");
    let tenant = countersigned(&world, consents(&good, &[]));
    world.refused("tenant alone", ask(tenant), Reason::PolicyDenied, "passkey");
    let long = Policy { delay_seconds: DELAY_SECONDS_MAX + 1, ..PASSKEY_ONLY };
    for (name, policy, reason, detail) in [
        ("none", None, Reason::BadRequest, "client_policy"),
        ("empty", Some(Policy::default()), Reason::PolicyDenied, "neither passkey nor"),
        (
            "without passkey",
            Some(Policy { passkey: false, tenant_signature: true, ..DELAYED }),
            Reason::PolicyDenied,
            "passkey",
        ),
        (
            "head without tenant",
            Some(Policy { newest_head: true, ..PASSKEY_ONLY }),
            Reason::PolicyDenied,
            "newest_head",
        ),
        ("too long a delay", Some(long), Reason::PolicyDenied, "delay_seconds"),
    ] {
        let intent = about(&world, &backup, weaker(policy));
        world.refused(name, ask(countersigned(&world, consents(&intent, &[own]))), reason, detail);
    }
    let remove = Action::RemovePasskey(RemovePasskeyAction { credential_id: own.id.clone() });
    let intent = about(&world, &backup, remove);
    world.refused("passkey alone", ask(consents(&intent, &[own])), Reason::LastPasskey, "last");
    // Both consents: it waits, and the policy of before stays in force meanwhile.
    let act = countersigned(&world, consents(&good, &[own]));
    let asked = ask(act);
    moves(&world, "both", asked, &mut backup);
    assert_eq!(view_of(&world, &backup.record).policy, Some(policy));
    let early = Ask::CarryOut(carry_out(&world, OpenActKind::PolicyChange, &backup));
    world.refused("early", early, Reason::RecoveryDelayed, "due in");
}

#[test]
fn a_recovery_starts_only_under_a_delay_and_for_a_generation_that_opens() {
    let world = World::new(0xd7);
    let at_once = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let delayed = back_up(&world, "wallet-2", Passkey::eddsa(9), |intent| action(intent).client_policy = Some(DELAYED));
    let recipient = Recipient::new(1);
    let ask =
        |intent: &Intent, backup: &Backup| Ask::Change(change(&world, consents(intent, &[&backup.passkey]), backup));
    let no_delay = start(&world, &at_once, &recipient, 1);
    world.refused("no delay", ask(&no_delay, &at_once), Reason::StateInvalid, "no delay");
    for (generation, reason) in [(0, Reason::NoValidBackup), (2, Reason::NoValidBackup)] {
        let intent = start(&world, &delayed, &recipient, generation);
        world.refused("generation", ask(&intent, &delayed), reason, "generation");
    }
    let mut nobody = start(&world, &delayed, &recipient, 1);
    part(&mut nobody).recipient.clear();
    world.refused("no recipient", ask(&nobody, &delayed), Reason::BadRequest, "intent.recipient: missing");
}
