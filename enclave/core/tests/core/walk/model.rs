//! What a record of either role is and does, written a second time from the design, without cryptography.

use prost::Message;
use strongroom_proto::limits::{CREDENTIALS_MAX, DELETE_DUE_MS_MAX, DUE_MS_MAX, GENERATIONS_MAX, GRACE_MS};
use strongroom_proto::v1::{
    GenerationRef, GenerationState, Intent, OpenActKind, Policy, Receipt, RecordView, Role, intent::Action,
};

use crate::acts::Backup;
use crate::device::{Passkey, Recipient};
use crate::tenant::MPC;

/// What is asked for, and by whom.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// What waits is to be carried out; no intent then.
    pub(super) carry_out: Option<OpenActKind>,
    /// A commit on this receipt; no intent then either.
    pub(super) commit: Option<Receipt>,
    pub(super) intent: Option<Intent>,
    /// Of a put, by role.
    pub(super) messages: [Vec<u8>; 2],
    /// Seeds of the passkeys that assert, and of the one that is added.
    pub(super) by: Vec<u8>,
    pub(super) newcomer: Option<u8>,
    pub(super) tenant: bool,
    pub(super) recipient: u8,
}

#[derive(Clone, Debug, PartialEq)]
struct Waiting {
    kind: OpenActKind,
    intent_hash: Vec<u8>,
    not_before: u64,
    expires: u64,
    generation: u64,
    recipient: Vec<u8>,
    policy: Option<Policy>,
    passkey: Vec<u8>,
    eject: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Generation {
    named: GenerationRef,
    /// When another took its place.
    since: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Model {
    pub(super) role: Role,
    /// The other role has a record of the backup too.
    pub(super) paired: bool,
    pub(super) passkeys: Vec<u8>,
    pub(super) highest: u64,
    policy: Policy,
    generations: Vec<Generation>,
    active: u64,
    pending: u64,
    waiting: Vec<Waiting>,
    closed: bool,
}

impl Model {
    /// A new record, whose creation this receipt proves.
    pub(super) fn new(made: &Receipt, paired: bool, passkeys: &[u8], policy: Policy) -> Self {
        let named = GenerationRef { generation: 1, put_intent_hash: made.intent_hash.clone() };
        Self {
            role: made.role(),
            paired,
            passkeys: passkeys.to_vec(),
            highest: 1,
            policy,
            generations: vec![Generation { named, since: None }],
            active: 1,
            pending: 0,
            waiting: Vec::new(),
            closed: false,
        }
    }

    pub(super) fn is_delayed(&self) -> bool {
        self.policy.delay_seconds > 0
    }

    /// One thing that waits, if any does.
    pub(super) fn any_waiting(&self) -> Option<(OpenActKind, Vec<u8>)> {
        self.waiting.first().map(|waiting| (waiting.kind, waiting.intent_hash.clone()))
    }

    /// Generation, intent and kind of release: an eject or not.
    pub(super) fn release_of(&self, asked: &Asked) -> (u64, Vec<u8>, bool) {
        if let Some(intent) = &asked.intent {
            let Some(Action::Recover(action)) = &intent.action else { panic!("no release") };
            return (action.generation, hash(intent), action.eject);
        }
        let waiting = self.find(OpenActKind::Recovery).unwrap();
        (waiting.generation, waiting.intent_hash.clone(), waiting.eject)
    }

    /// The record after the act; `None` where it must be refused. `whole` has the generations whose stored shares are the record's own.
    pub(super) fn decide(&self, asked: &Asked, stored: &Backup, whole: &[u64], now: u64) -> Option<Self> {
        if self.closed {
            return None;
        }
        let mut after = self.clone();
        if let Some(receipt) = &asked.commit {
            return after.commit(receipt, stored, now).then_some(after);
        }
        let Some(intent) = &asked.intent else {
            return after.carry_out(asked, whole, now).then_some(after);
        };
        let part = strongroom_proto::intent::part(intent, self.role)?;
        let late = intent.not_after_ms <= now;
        if late || part.head != stored.receipt.head || part.record_id != stored.receipt.record_id {
            return None;
        }
        after.act(asked, intent, whole, now).then_some(after)
    }

    fn find(&self, kind: OpenActKind) -> Option<&Waiting> {
        self.waiting.iter().find(|waiting| waiting.kind == kind)
    }

    pub(super) fn opens(&self, number: u64) -> bool {
        number != self.pending && self.generations.iter().any(|it| it.named.generation == number)
    }

    fn known(&self, asked: &Asked) -> bool {
        asked.by.iter().all(|seed| self.passkeys.contains(seed))
    }

    /// Whether the policy's consents are there, and nothing false beside them.
    fn consented(&self, asked: &Asked) -> bool {
        let passkey = !asked.by.is_empty() || !self.policy.passkey;
        self.known(asked) && passkey && (asked.tenant || !self.policy.tenant_signature)
    }

    /// Whether a release to this recipient may be asked for so.
    fn may_release(&self, asked: &Asked, eject: bool, now: u64) -> bool {
        if self.role == Role::Client {
            return self.consented(asked);
        }
        if !eject {
            return MPC.contains(&asked.recipient) && self.consented(asked);
        }
        let open = self.find(OpenActKind::EjectWindow).is_some_and(|it| (it.not_before..it.expires).contains(&now));
        open && self.known(asked) && !asked.by.is_empty() && (asked.tenant || !self.policy.newest_head)
    }

    /// Whether a policy can be kept by this record.
    fn may_have(&self, policy: Policy) -> bool {
        (policy.passkey || self.role == Role::Custodian) && (!policy.passkey || !self.passkeys.is_empty())
    }

    fn act(&mut self, asked: &Asked, intent: &Intent, whole: &[u64], now: u64) -> bool {
        let delay = u64::from(self.policy.delay_seconds) * 1000;
        let consented = self.consented(asked);
        match intent.action.clone().unwrap() {
            Action::Recover(action) => {
                self.may_release(asked, action.eject, now)
                    && delay == 0
                    && self.opens(action.generation)
                    && whole.contains(&action.generation)
            }
            Action::PutShares(action) => consented && self.put(action.generation, intent, now),
            Action::AddPasskey(_) => {
                let newcomer = asked.newcomer.unwrap();
                let room = self.passkeys.len() < CREDENTIALS_MAX;
                let allowed = consented && !asked.by.is_empty() && room && !self.passkeys.contains(&newcomer);
                self.passkeys.push(newcomer);
                allowed
            }
            Action::RemovePasskey(action) => {
                let allowed = consented && self.can_remove(&action.credential_id);
                if delay == 0 || asked.tenant {
                    self.remove(&action.credential_id);
                    return allowed;
                }
                allowed && self.wait(OpenActKind::PasskeyRemoval, intent, now, delay)
            }
            Action::ChangePolicy(action) => {
                let wanted = policy_of(&action, self.role);
                if !consented || !self.may_have(wanted) {
                    return false;
                }
                if delay == 0 {
                    self.policy = wanted;
                    return true;
                }
                self.wait(OpenActKind::PolicyChange, intent, now, delay)
            }
            Action::StartRecovery(action) => {
                self.may_release(asked, action.eject, now)
                    && delay > 0
                    && self.opens(action.generation)
                    && self.wait(OpenActKind::Recovery, intent, now, delay)
            }
            Action::DeleteBackup(_) => {
                self.known(asked)
                    && (!asked.by.is_empty() || asked.tenant)
                    && self.wait(OpenActKind::Delete, intent, now, GRACE_MS)
            }
            Action::Cancel(action) => {
                let found = self.find(action.kind()).is_some_and(|it| it.intent_hash == action.intent_hash);
                self.waiting.retain(|it| it.kind != action.kind());
                found && self.known(asked) && (!asked.by.is_empty() || asked.tenant)
            }
            Action::OpenEjectWindow(_) => {
                let allowed = self.role == Role::Custodian && !self.passkeys.is_empty();
                allowed && self.known(asked) && asked.tenant && self.wait(OpenActKind::EjectWindow, intent, now, 0)
            }
            _ => false,
        }
    }

    /// The generation that a recovery waits for.
    fn awaited(&self, now: u64) -> Option<u64> {
        self.find(OpenActKind::Recovery).filter(|it| now < it.expires).map(|it| it.generation)
    }

    fn put(&mut self, number: u64, intent: &Intent, now: u64) -> bool {
        let (awaited, pending, paired) = (self.awaited(now), self.pending, self.paired);
        self.generations.retain(|it| {
            let passed = it.since.is_some_and(|since| now >= since + GRACE_MS);
            it.named.generation != pending && (paired || !passed || Some(it.named.generation) == awaited)
        });
        if number <= self.highest || self.generations.len() >= GENERATIONS_MAX {
            return false;
        }
        let named = GenerationRef { generation: number, put_intent_hash: hash(intent) };
        self.generations.push(Generation { named, since: None });
        (self.highest, self.pending) = (number, number);
        if !paired {
            self.activate(now);
        }
        true
    }

    /// What is pending becomes active.
    fn activate(&mut self, now: u64) {
        let before = self.active;
        self.generations.iter_mut().filter(|it| it.named.generation == before).for_each(|it| it.since = Some(now));
        (self.active, self.pending) = (self.pending, 0);
    }

    fn commit(&mut self, receipt: &Receipt, stored: &Backup, now: u64) -> bool {
        let other = if self.role == Role::Client { Role::Custodian } else { Role::Client };
        let about = (receipt.role(), &receipt.record_id) == (other, &stored.receipt.record_id);
        let (named, kept) = match self.role {
            Role::Client => (&receipt.active, self.named(self.active)),
            _ => (&receipt.pending, receipt.active.clone()),
        };
        let (true, Some(named)) = (about, named) else { return false };
        if self.named(self.active).as_ref() == Some(named) {
            return true;
        }
        let kept =
            kept.filter(|kept| self.opens(kept.generation) && self.named(kept.generation).as_ref() == Some(kept));
        let (Some(kept), true) = (kept, self.named(self.pending).as_ref() == Some(named)) else { return false };
        let stay = [Some(self.pending), Some(kept.generation), self.awaited(now)];
        self.generations.retain(|it| stay.contains(&Some(it.named.generation)));
        self.activate(now);
        true
    }

    fn named(&self, number: u64) -> Option<GenerationRef> {
        self.generations.iter().find(|it| it.named.generation == number).map(|it| it.named.clone())
    }

    fn can_remove(&self, id: &[u8]) -> bool {
        self.passkeys.len() > 1 && self.passkeys.iter().any(|seed| Passkey::eddsa(*seed).id == id)
    }

    fn remove(&mut self, id: &[u8]) {
        self.passkeys.retain(|seed| Passkey::eddsa(*seed).id != id);
        self.waiting.retain(|waiting| waiting.passkey != id);
    }

    fn wait(&mut self, kind: OpenActKind, intent: &Intent, now: u64, delay: u64) -> bool {
        self.waiting.retain(|it| now < it.expires);
        if self.find(kind).is_some() {
            return false;
        }
        let (generation, policy, passkey, eject) = match intent.action.clone().unwrap() {
            Action::StartRecovery(action) => (action.generation, None, Vec::new(), action.eject),
            Action::ChangePolicy(action) => (0, Some(policy_of(&action, self.role)), Vec::new(), false),
            Action::RemovePasskey(action) => (0, None, action.credential_id, false),
            _ => (0, None, Vec::new(), false),
        };
        let due = match (kind, &intent.action) {
            (OpenActKind::Delete, _) => DELETE_DUE_MS_MAX,
            (_, Some(Action::OpenEjectWindow(action))) => u64::from(action.duration_seconds) * 1000,
            _ => DUE_MS_MAX,
        };
        let recipient = strongroom_proto::intent::part(intent, self.role).unwrap().recipient.clone();
        let (not_before, expires, intent_hash) = (now + delay, now + delay + due, hash(intent));
        let waiting = Waiting { kind, intent_hash, not_before, expires, generation, recipient, policy, passkey, eject };
        self.waiting.push(waiting);
        self.waiting.sort_by_key(|it| it.kind);
        true
    }

    fn carry_out(&mut self, asked: &Asked, whole: &[u64], now: u64) -> bool {
        let kind = asked.carry_out.unwrap();
        let Some(waiting) = self.find(kind).cloned() else { return false };
        self.waiting.retain(|it| it.kind != kind);
        // No second signature is given here, so what needs one is refused.
        if !(waiting.not_before..waiting.expires).contains(&now) || self.policy.newest_head {
            return false;
        }
        match kind {
            OpenActKind::Recovery => {
                waiting.recipient == Recipient::new(asked.recipient).hash()
                    && self.opens(waiting.generation)
                    && whole.contains(&waiting.generation)
            }
            OpenActKind::PolicyChange => {
                self.policy = waiting.policy.unwrap();
                true
            }
            OpenActKind::PasskeyRemoval => {
                let allowed = self.can_remove(&waiting.passkey);
                self.remove(&waiting.passkey);
                allowed
            }
            OpenActKind::Delete => {
                (self.active, self.pending, self.closed) = (0, 0, true);
                self.passkeys.clear();
                self.generations.clear();
                self.waiting.clear();
                true
            }
            OpenActKind::EjectWindow | OpenActKind::Unspecified => false,
        }
    }

    /// Compares with what a device is told.
    pub(super) fn check(&self, view: &RecordView) {
        let passkeys: Vec<_> = self.passkeys.iter().map(|seed| Passkey::eddsa(*seed).id).collect();
        let told: Vec<_> = view.credentials.iter().map(|it| it.id.clone()).collect();
        assert_eq!(told, passkeys);
        assert_eq!((view.policy, view.highest_generation), (Some(self.policy), self.highest));
        assert_eq!(view.closed, self.closed);
        let told: Vec<_> = view.generations.iter().map(|it| (it.generation, it.state())).collect();
        let state = |it: &Generation| match it.named.generation {
            number if number == self.active => (number, GenerationState::Active),
            number if number == self.pending => (number, GenerationState::Pending),
            number => (number, GenerationState::Former),
        };
        assert_eq!(told, self.generations.iter().map(state).collect::<Vec<_>>());
        let told: Vec<_> =
            view.open_acts.iter().map(|it| (it.kind(), it.not_before_ms, it.expires_ms, it.eject)).collect();
        let waiting: Vec<_> = self.waiting.iter().map(|it| (it.kind, it.not_before, it.expires, it.eject)).collect();
        assert_eq!(told, waiting);
    }
}

fn policy_of(action: &strongroom_proto::v1::ChangePolicyAction, role: Role) -> Policy {
    if role == Role::Client { action.client_policy.unwrap() } else { action.custodian_policy.unwrap() }
}

fn hash(intent: &Intent) -> Vec<u8> {
    strongroom_proto::intent::hash(&intent.encode_to_vec()).0.to_vec()
}
