//! What a record of one role is and does, written a second time from the design, without cryptography.

use prost::Message;
use strongroom_proto::limits::{CREDENTIALS_MAX, DELETE_DUE_MS_MAX, DUE_MS_MAX, GENERATIONS_MAX, GRACE_MS};
use strongroom_proto::v1::{Intent, OpenActKind, Policy, RecordView, intent::Action};

use crate::acts::{Backup, PASSKEY_ONLY};
use crate::device::{Passkey, Recipient};

/// What is asked for, and by whom.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// What waits is to be carried out; no intent then.
    pub(super) carry_out: Option<OpenActKind>,
    pub(super) intent: Option<Intent>,
    pub(super) message: Vec<u8>,
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
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Model {
    pub(super) passkeys: Vec<u8>,
    pub(super) highest: u64,
    policy: Policy,
    /// Number, and when another took its place.
    generations: Vec<(u64, Option<u64>)>,
    waiting: Vec<Waiting>,
    closed: bool,
}

impl Model {
    pub(super) fn new(passkeys: &[u8]) -> Self {
        Self {
            passkeys: passkeys.to_vec(),
            highest: 1,
            policy: PASSKEY_ONLY,
            generations: vec![(1, None)],
            waiting: Vec::new(),
            closed: false,
        }
    }

    /// One thing that waits, if any does.
    pub(super) fn any_waiting(&self) -> Option<(OpenActKind, Vec<u8>)> {
        self.waiting.first().map(|waiting| (waiting.kind, waiting.intent_hash.clone()))
    }

    /// Generation and intent that a release is made for.
    pub(super) fn release_of(&self, asked: &Asked) -> (u64, Vec<u8>) {
        if let Some(intent) = &asked.intent {
            let Some(Action::Recover(action)) = &intent.action else { panic!("no release") };
            return (action.generation, hash(intent));
        }
        let waiting = self.find(OpenActKind::Recovery).unwrap();
        (waiting.generation, waiting.intent_hash.clone())
    }

    /// The record after the act; `None` where it must be refused. `whole` has the generations whose stored shares are the record's own.
    pub(super) fn decide(&self, asked: &Asked, stored: &Backup, whole: &[u64], now: u64) -> Option<Self> {
        if self.closed {
            return None;
        }
        let mut after = self.clone();
        let Some(intent) = &asked.intent else {
            return after.carry_out(asked, whole, now).then_some(after);
        };
        let part = intent.client.as_ref()?;
        if part.head != stored.receipt.head || part.record_id != stored.receipt.record_id {
            return None;
        }
        after.act(asked, intent, whole, now).then_some(after)
    }

    fn find(&self, kind: OpenActKind) -> Option<&Waiting> {
        self.waiting.iter().find(|waiting| waiting.kind == kind)
    }

    fn opens(&self, generation: u64) -> bool {
        self.generations.iter().any(|(number, _)| *number == generation)
    }

    fn known(&self, asked: &Asked) -> bool {
        asked.by.iter().all(|seed| self.passkeys.contains(seed))
    }

    /// Whether the policy's consents are there, and nothing false beside them.
    fn consented(&self, asked: &Asked) -> bool {
        self.known(asked) && !asked.by.is_empty() && (asked.tenant || !self.policy.tenant_signature)
    }

    fn act(&mut self, asked: &Asked, intent: &Intent, whole: &[u64], now: u64) -> bool {
        let delay = u64::from(self.policy.delay_seconds) * 1000;
        let consented = self.consented(asked);
        match intent.action.clone().unwrap() {
            Action::Recover(action) => {
                consented && delay == 0 && self.opens(action.generation) && whole.contains(&action.generation)
            }
            Action::PutShares(action) => {
                let awaited = self.find(OpenActKind::Recovery).filter(|it| now < it.expires).map(|it| it.generation);
                self.generations.retain(|(number, since)| {
                    since.is_none_or(|since| now < since + GRACE_MS) || Some(*number) == awaited
                });
                if !consented || action.generation <= self.highest || self.generations.len() >= GENERATIONS_MAX {
                    return false;
                }
                self.generations.iter_mut().filter(|(_, since)| since.is_none()).for_each(|it| it.1 = Some(now));
                self.generations.push((action.generation, None));
                self.highest = action.generation;
                true
            }
            Action::AddPasskey(_) => {
                let newcomer = asked.newcomer.unwrap();
                let room = self.passkeys.len() < CREDENTIALS_MAX;
                let allowed = consented && room && !self.passkeys.contains(&newcomer);
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
                if delay == 0 {
                    self.policy = action.client_policy.unwrap();
                    return consented;
                }
                consented && self.wait(OpenActKind::PolicyChange, intent, now, delay)
            }
            Action::StartRecovery(action) => {
                consented
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
            _ => false,
        }
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
        let due = if kind == OpenActKind::Delete { DELETE_DUE_MS_MAX } else { DUE_MS_MAX };
        let (generation, policy, passkey) = match intent.action.clone().unwrap() {
            Action::StartRecovery(action) => (action.generation, None, Vec::new()),
            Action::ChangePolicy(action) => (0, action.client_policy, Vec::new()),
            Action::RemovePasskey(action) => (0, None, action.credential_id),
            _ => (0, None, Vec::new()),
        };
        let recipient = intent.client.as_ref().unwrap().recipient.clone();
        let (not_before, expires) = (now + delay, now + delay + due);
        let intent_hash = hash(intent);
        self.waiting.push(Waiting { kind, intent_hash, not_before, expires, generation, recipient, policy, passkey });
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
                self.closed = true;
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
        let told: Vec<_> = view.generations.iter().map(|it| it.generation).collect();
        assert_eq!(told, self.generations.iter().map(|(number, _)| *number).collect::<Vec<_>>());
        let told: Vec<_> = view.open_acts.iter().map(|it| (it.kind(), it.not_before_ms, it.expires_ms)).collect();
        let waiting: Vec<_> = self.waiting.iter().map(|it| (it.kind, it.not_before, it.expires)).collect();
        assert_eq!(told, waiting);
    }
}

fn hash(intent: &Intent) -> Vec<u8> {
    strongroom_proto::intent::hash(&intent.encode_to_vec()).0.to_vec()
}
