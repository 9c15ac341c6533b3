//! Changes: acts without shares. Each takes its consents, and changes in the record what it says and nothing else.

use strongroom_proto::enclave::v1::{Change, Credential, Moved, Record};
use strongroom_proto::id::ContentHash;
use strongroom_proto::intent::hash;
use strongroom_proto::names::is_label;
use strongroom_proto::v1::{
    ActKind, AddPasskeyAction, ChangePolicyAction, Event, Intent, OpenAct, OpenActKind, Policy, intent::Action,
};

use super::acts::openable;
use super::consents::{Needs, find};
use super::moved::{self, Done};
use super::scene::Scene;
use crate::world::START;

const CREDENTIALS_MAX: usize = 16;
const HOUR_MS: u64 = 3600 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;

pub(super) fn check(scene: &Scene<'_>, asked: &Change, moved: &Moved) {
    let before = scene.subject(asked.record.as_ref());
    let (intent, part) = scene.about(asked.act.as_ref(), asked.record.as_ref(), &before);
    let action = intent.action.clone().expect("an action");
    let starts_recovery = matches!(action, Action::StartRecovery(_));
    assert!(part.message_hash.is_empty(), "a change brings nothing");
    assert_eq!(part.recipient.is_empty(), !starts_recovery, "a recipient exactly where a release starts");
    assert!(moved.shares.is_empty() && moved.release.is_empty(), "a change has no shares");
    let newcomer = match &action {
        Action::AddPasskey(action) => Some(newcomer(asked, &before, action)),
        _ => None,
    };
    let needs = match action {
        Action::DeleteBackup(_) | Action::Cancel(_) => Needs::Anyone,
        _ => Needs::Policy,
    };
    let act = asked.act.as_ref().expect("an act");
    let consents = find(scene, act, &before, newcomer.as_ref(), needs);
    let delay_ms = u64::from(before.policy.expect("a policy").delay_seconds) * 1000;
    let intent_hash = hash(&act.intent).0.to_vec();
    let mut case = Case {
        open: OpenAct {
            intent_hash: intent_hash.clone(),
            not_before_ms: START + delay_ms,
            expires_ms: START + delay_ms + 72 * HOUR_MS,
            ..OpenAct::default()
        },
        delay_ms,
        newcomer: newcomer.map(|it| Credential { backup_eligible: consents.backup_eligible, ..it }),
        tenant_signed: !consents.tenant_key.is_empty(),
        recipient: part.recipient,
        after: before.clone(),
        before,
    };
    let event = case.carry_out(scene, &intent, action);
    let (names, after) = (asked.record.as_ref().expect("a record"), case.after);
    moved::check(scene, Done { names, after, intent_hash, consents, event }, moved);
}

/// What a change depends on.
struct Case {
    before: Record,
    after: Record,
    delay_ms: u64,
    /// What it would look like if it waits.
    open: OpenAct,
    newcomer: Option<Credential>,
    tenant_signed: bool,
    recipient: Vec<u8>,
}

impl Case {
    /// Changes the record as the action says, and gives what is particular to the event.
    fn carry_out(&mut self, scene: &Scene<'_>, intent: &Intent, action: Action) -> Event {
        let open = self.open.clone();
        match action {
            Action::AddPasskey(_) => added(&mut self.after, self.newcomer.take().expect("a newcomer")),
            Action::RemovePasskey(action) if self.delay_ms == 0 || self.tenant_signed => {
                removed(&mut self.after, &action.credential_id)
            }
            Action::RemovePasskey(action) => {
                removed(&mut self.before.clone(), &action.credential_id);
                waits(
                    &mut self.after,
                    OpenAct { credential_id: action.credential_id, ..open },
                    OpenActKind::PasskeyRemoval,
                )
            }
            Action::RenamePasskey(action) => renamed(&mut self.after, &action.credential_id, &action.label),
            Action::ChangePolicy(action) => {
                let policy = policy_of(intent, &action);
                let event = with_policy(scene, &mut self.after, policy);
                if self.delay_ms == 0 {
                    event
                } else {
                    self.after.policy = self.before.policy;
                    waits(&mut self.after, OpenAct { policy: Some(policy), ..open }, OpenActKind::PolicyChange)
                }
            }
            Action::StartRecovery(action) => {
                assert!(self.delay_ms > 0, "a recovery that need not wait");
                openable(&self.before, action.generation);
                let recipient = self.recipient.clone();
                let open = OpenAct { generation: action.generation, recipient, eject: action.eject, ..open };
                waits(&mut self.after, open, OpenActKind::Recovery)
            }
            Action::DeleteBackup(_) => {
                let (not_before_ms, expires_ms) = (START + 7 * DAY_MS, START + 37 * DAY_MS);
                waits(&mut self.after, OpenAct { not_before_ms, expires_ms, ..open }, OpenActKind::Delete)
            }
            Action::Cancel(action) => {
                let of_kind = |it: &OpenAct| it.kind == action.kind;
                let waiting = self.before.open_acts.iter().find(|it| of_kind(it)).expect("what is cancelled waits");
                assert_eq!(waiting.intent_hash, action.intent_hash, "another act than was signed for");
                self.after.open_acts.retain(|it| !of_kind(it));
                let cancelled_intent_hash = action.intent_hash;
                Event { kind: ActKind::Cancel.into(), cancelled_intent_hash, ..Event::default() }
            }
            Action::CreateBackup(_)
            | Action::Recover(_)
            | Action::Rehearse(_)
            | Action::PutShares(_)
            | Action::CarryOut(_)
            | Action::OpenEjectWindow(_) => panic!("another act than was signed for"),
        }
    }
}

/// The credential that is added: the one that the intent names, in no record yet.
fn newcomer(asked: &Change, before: &Record, action: &AddPasskeyAction) -> Credential {
    let (named, given) = (action.credential.as_ref().expect("named"), asked.credential.as_ref().expect("given"));
    let key_hash = ContentHash::of(&given.public_key).0.to_vec();
    assert_eq!((&named.id, &named.key_hash), (&given.id, &key_hash), "another credential than was signed for");
    let known = &before.credentials;
    assert!(known.iter().all(|it| it.id != given.id && it.public_key != given.public_key), "it is there already");
    assert!(known.len() < CREDENTIALS_MAX && !given.id.is_empty() && is_label(&named.label));
    Credential {
        id: given.id.clone(),
        public_key: given.public_key.clone(),
        label: named.label.clone(),
        added_ms: START,
        backup_eligible: None,
    }
}

fn added(after: &mut Record, newcomer: Credential) -> Event {
    let event = of_credential(ActKind::AddPasskey, &newcomer.id);
    after.credentials.push(newcomer);
    event
}

fn of_credential(kind: ActKind, id: &[u8]) -> Event {
    Event { kind: kind.into(), subject_credential_id: id.to_vec(), ..Event::default() }
}

/// Without the credential of this id, which is there and is not the last.
pub(super) fn removed(after: &mut Record, id: &[u8]) -> Event {
    assert!(
        after.credentials.len() > 1 && after.credentials.iter().any(|it| it.id == id),
        "no credential, or the last"
    );
    after.credentials.retain(|it| it.id != id);
    after.open_acts.retain(|it| it.credential_id != id);
    of_credential(ActKind::RemovePasskey, id)
}

fn renamed(after: &mut Record, id: &[u8], label: &str) -> Event {
    assert!(is_label(label) && after.credentials.iter().any(|it| it.id == id), "no label, or no credential");
    for credential in after.credentials.iter_mut().filter(|it| it.id == id) {
        label.clone_into(&mut credential.label);
    }
    of_credential(ActKind::RenamePasskey, id)
}

fn policy_of(intent: &Intent, action: &ChangePolicyAction) -> Policy {
    assert_eq!(intent.custodian.is_some(), action.custodian_policy.is_some(), "a policy for each role that is named");
    action.client_policy.expect("a policy for this role")
}

pub(super) fn with_policy(scene: &Scene<'_>, after: &mut Record, policy: Policy) -> Event {
    scene.check_policy(policy);
    after.policy = Some(policy);
    Event { kind: ActKind::ChangePolicy.into(), ..Event::default() }
}

/// An act that waits from here on. What expired makes room; nothing else of its kind may wait.
fn waits(after: &mut Record, open: OpenAct, kind: OpenActKind) -> Event {
    let kind_of_event = match kind {
        OpenActKind::Recovery if open.eject => ActKind::StartEject,
        OpenActKind::Recovery => ActKind::StartRecovery,
        OpenActKind::PolicyChange => ActKind::StartChangePolicy,
        OpenActKind::PasskeyRemoval => ActKind::StartRemovePasskey,
        OpenActKind::Delete => ActKind::StartDelete,
        OpenActKind::EjectWindow | OpenActKind::Unspecified => panic!("an act of no kind"),
    };
    let open = OpenAct { kind: kind.into(), ..open };
    after.open_acts.retain(|it| START < it.expires_ms);
    assert!(after.open_acts.iter().all(|it| it.kind != open.kind), "two of a kind wait");
    let event = Event {
        kind: kind_of_event.into(),
        generation: open.generation,
        recipient: open.recipient.clone(),
        subject_credential_id: open.credential_id.clone(),
        not_before_ms: open.not_before_ms,
        ..Event::default()
    };
    after.open_acts.push(open);
    after.open_acts.sort_by_key(|it| it.kind);
    event
}
