//! The event of every act, compared whole: what an auditor reads is what was done, by whom, and to what.

use strongroom_proto::enclave::v1::{CarryOut, Change, Moved, request::Body as Ask};
use strongroom_proto::limits::GRACE_MS;
use strongroom_proto::v1::{
    ActKind, AddPasskeyAction, CancelAction, ChangePolicyAction, DeleteBackupAction, Event, GenerationState,
    OpenActKind, Policy, RecoverAction, RemovePasskeyAction, RenamePasskeyAction, Role, StartRecoveryAction, Statement,
    intent::Action,
};

use crate::acts::{Backup, PASSKEY_ONLY, part, share};
use crate::commits::{CUSTODIAN, commit, custodians, sign, two_roles, waiting};
use crate::device::{Passkey, Recipient};
use crate::steps::{
    about, carry_out, change, consents, countersigned, moves, named, put, put_shares, registration, view_of,
};
use crate::tenant::{key, public};
use crate::world::{START, World};

const DELAY_MS: u64 = 60 * 1000;
const DELAYED: Policy = Policy { delay_seconds: 60, ..PASSKEY_ONLY };

/// A record whose acts follow each other a second apart.
struct Stage {
    world: World,
    backup: Backup,
    version: u64,
}

impl Stage {
    fn later(&self, ms: u64) {
        self.world.fake.now.set(self.world.fake.now.get() + ms);
    }

    /// The event of an act that the record's passkey signed for, but for what is particular to the act.
    fn expected(&self, kind: ActKind) -> Event {
        Event {
            version: self.version,
            kind: kind.into(),
            time_ms: self.world.fake.now.get(),
            credential_id: self.backup.passkey.id.clone(),
            statement_serial: 6,
            ..Event::default()
        }
    }

    /// Does it, and compares the event; the intent's hash, where none is given, with the act's own.
    fn check(&mut self, name: &str, ask: Ask, expect: impl FnOnce(&Self) -> Event) -> Moved {
        self.version += 1;
        let intent_hash = own_intent(&ask);
        let (moved, event) = moves(&self.world, name, ask, &mut self.backup);
        let mut expect = expect(self);
        if expect.intent_hash.is_empty() {
            expect.intent_hash = intent_hash;
        }
        assert_eq!(event, expect, "{name}");
        self.later(1000);
        moved
    }

    /// A change by the record's passkey, with the tenant's signature where `tenant` is set.
    fn changes(&mut self, name: &str, action: Action, tenant: bool, expect: impl FnOnce(&Self) -> Event) {
        let mut intent = about(&self.world, &self.backup, action);
        if matches!(intent.action, Some(Action::StartRecovery(_))) {
            part(&mut intent).recipient = Recipient::new(1).hash();
        }
        let mut act = consents(&intent, &[&self.backup.passkey]);
        if tenant {
            act = countersigned(&self.world, act);
        }
        let ask = Ask::Change(change(&self.world, act, &self.backup));
        self.check(name, ask, expect);
    }

    fn adds(&mut self, newcomer: &Passkey) {
        let add = Action::AddPasskey(AddPasskeyAction { credential: Some(named(newcomer)) });
        let act = consents(&about(&self.world, &self.backup, add), &[&self.backup.passkey, newcomer]);
        let ask = Change { credential: Some(registration(newcomer)), ..change(&self.world, act, &self.backup) };
        self.check("add", Ask::Change(ask), |stage| Event {
            subject_credential_id: newcomer.id.clone(),
            ..stage.expected(ActKind::AddPasskey)
        });
    }

    /// Carries out what `started`: nobody signs again.
    fn due(
        &mut self,
        name: &str,
        kind: OpenActKind,
        act: ActKind,
        started: &[u8],
        expect: impl FnOnce(Event) -> Event,
    ) {
        let recipient_key = Recipient::new(1).public_key;
        let ask = CarryOut { recipient_key, ..carry_out(&self.world, kind, &self.backup) };
        self.check(name, Ask::CarryOut(ask), |stage| {
            let event = Event { credential_id: vec![], intent_hash: started.to_vec(), ..stage.expected(act) };
            expect(event)
        });
    }
}

fn policy(wanted: Policy) -> Action {
    Action::ChangePolicy(ChangePolicyAction { client_policy: Some(wanted), custodian_policy: None })
}

fn own_intent(ask: &Ask) -> Vec<u8> {
    let act = match ask {
        Ask::Recover(ask) => ask.act.as_ref(),
        Ask::PutShares(ask) => ask.act.as_ref(),
        Ask::Change(ask) => ask.act.as_ref(),
        _ => None,
    };
    act.map(|act| strongroom_proto::intent::hash(&act.intent).0.to_vec()).unwrap_or_default()
}

/// A record of both roles that was made under statement 5, with a second generation in force; statement 6 is the newest.
fn stage(seed: u64) -> Stage {
    let mut world = two_roles(seed);
    let (backup, put_hash) = waiting(&world, "wallet-1");
    let mut statement: Statement = prost::Message::decode(world.statement.statement.as_slice()).unwrap();
    statement.serial = 6;
    world.statement = world.keep(world.tenant.sign(&statement));
    let mut stage = Stage { world, backup, version: 2 };
    stage.later(1000);
    let receipt = sign(&key(CUSTODIAN[0]), &custodians(&stage.backup, 2, &put_hash));
    let ask = Ask::Commit(commit(&stage.world, &stage.backup, receipt));
    stage.check("commit", ask, |stage| Event {
        generation: 2,
        credential_id: vec![],
        intent_hash: put_hash.clone(),
        ..stage.expected(ActKind::Commit)
    });
    stage
}

#[test]
fn acts_at_once() {
    let mut stage = stage(0x130);
    let recipient = Recipient::new(1);
    let mut intent = about(&stage.world, &stage.backup, Action::Recover(RecoverAction { generation: 1, eject: false }));
    part(&mut intent).recipient = recipient.hash();
    let act = countersigned(&stage.world, consents(&intent, &[&stage.backup.passkey]));
    let ask = crate::acts::recover(&stage.world, act, &stage.backup, &recipient);
    stage.check("a former generation", Ask::Recover(ask), |stage| Event {
        generation: 1,
        recipient: recipient.hash(),
        tenant_key: public(&stage.world.tenant.operational),
        ..stage.expected(ActKind::Recover)
    });
    let (mut intent, message) = put(&stage.world, &stage.backup, 4, &[share("ed", b"x"), share("k1", b"y")]);
    intent.custodian = intent.client.clone();
    let act = consents(&intent, &[&stage.backup.passkey]);
    let ask = Ask::PutShares(put_shares(&stage.world, act, message, &stage.backup));
    stage.check("put", ask, |stage| Event { generation: 4, ..stage.expected(ActKind::PutShares) });

    let second = Passkey::eddsa(10);
    stage.adds(&second);
    let subject = |kind, id: Vec<u8>| move |stage: &Stage| Event { subject_credential_id: id, ..stage.expected(kind) };
    let rename = RenamePasskeyAction { credential_id: second.id.clone(), label: "x".into() };
    let renamed = subject(ActKind::RenamePasskey, second.id.clone());
    stage.changes("rename", Action::RenamePasskey(rename), false, renamed);
    stage.changes("policy", policy(PASSKEY_ONLY), false, |stage| stage.expected(ActKind::ChangePolicy));
    check_view(&stage, &second);
    let remove = RemovePasskeyAction { credential_id: second.id.clone() };
    let removed = subject(ActKind::RemovePasskey, second.id);
    stage.changes("remove", Action::RemovePasskey(remove), false, removed);
}

/// What a device is told of the record then.
fn check_view(stage: &Stage, second: &Passkey) {
    let view = view_of(&stage.world, &stage.backup.record);
    assert_eq!((view.version, view.highest_generation, view.statement_serial), (stage.version, 4, 6));
    assert_eq!(view.roles, [i32::from(Role::Client), i32::from(Role::Custodian)]);
    let generations: Vec<_> = view.generations.iter().map(|it| (it.generation, it.state(), it.added_ms)).collect();
    let (former, active, pending) = (GenerationState::Former, GenerationState::Active, GenerationState::Pending);
    assert_eq!(generations, [(1, former, START), (2, active, START), (4, pending, START + 3000)]);
    let pairs: Vec<_> = view.generations[2].pairs.iter().map(|pair| (pair.id.as_str(), pair.curve)).collect();
    assert_eq!(pairs, [("ed", 1), ("k1", 2)]);
    assert_eq!(view.generations[2].put_intent_hash, stage.backup.receipt.pending.as_ref().unwrap().put_intent_hash);
    let credentials: Vec<_> = view.credentials.iter().map(|it| (it.id.clone(), it.added_ms)).collect();
    assert_eq!(credentials, [(stage.backup.passkey.id.clone(), START), (second.id.clone(), START + 4000)]);
    assert_eq!(view.credentials[1].key_hash, second.key_hash());
}

#[test]
fn acts_that_wait_and_their_carrying_out() {
    let mut stage = stage(0x131);
    stage.changes("policy", policy(DELAYED), false, |stage| stage.expected(ActKind::ChangePolicy));
    let second = Passkey::eddsa(10);
    stage.adds(&second);
    let waits = |stage: &Stage, kind| {
        let event = stage.expected(kind);
        Event { not_before_ms: event.time_ms + DELAY_MS, ..event }
    };
    let recipient = Recipient::new(1).hash();
    let start = Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false });
    stage.changes("recovery", start, true, |stage| Event {
        generation: 1,
        recipient: recipient.clone(),
        tenant_key: public(&stage.world.tenant.operational),
        ..waits(stage, ActKind::StartRecovery)
    });
    let recovery = stage.backup.receipt.intent_hash.clone();
    let remove = Action::RemovePasskey(RemovePasskeyAction { credential_id: second.id.clone() });
    stage.changes("removal", remove, false, |stage| Event {
        subject_credential_id: second.id.clone(),
        ..waits(stage, ActKind::StartRemovePasskey)
    });
    let removal = stage.backup.receipt.intent_hash.clone();
    stage.changes("policy", policy(PASSKEY_ONLY), false, |stage| waits(stage, ActKind::StartChangePolicy));
    let weaker = stage.backup.receipt.intent_hash.clone();
    let delete = || Action::DeleteBackup(DeleteBackupAction {});
    let grace = |stage: &Stage| {
        let event = stage.expected(ActKind::StartDelete);
        Event { not_before_ms: event.time_ms + GRACE_MS, ..event }
    };
    stage.changes("delete", delete(), false, grace);
    let cancelled = stage.backup.receipt.intent_hash.clone();
    let cancel = CancelAction { kind: OpenActKind::Delete.into(), intent_hash: cancelled.clone() };
    stage.changes("cancel", Action::Cancel(cancel), false, |stage| Event {
        cancelled_intent_hash: cancelled,
        ..stage.expected(ActKind::Cancel)
    });

    stage.later(DELAY_MS);
    stage.due("recovery", OpenActKind::Recovery, ActKind::Recover, &recovery, |event| Event {
        generation: 1,
        recipient,
        ..event
    });
    stage.due("removal", OpenActKind::PasskeyRemoval, ActKind::RemovePasskey, &removal, |event| Event {
        subject_credential_id: second.id.clone(),
        ..event
    });
    stage.due("policy", OpenActKind::PolicyChange, ActKind::ChangePolicy, &weaker, |event| event);
    stage.changes("delete", delete(), false, grace);
    let deletion = stage.backup.receipt.intent_hash.clone();
    stage.later(GRACE_MS);
    stage.due("delete", OpenActKind::Delete, ActKind::Delete, &deletion, |event| event);
}
