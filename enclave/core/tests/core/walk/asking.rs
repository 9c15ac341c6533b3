//! What the devices, the tenant and the host of a walk ask for.

use strongroom_proto::enclave::v1::{CarryOut, Change, Commit, request::Body as Ask};
use strongroom_proto::id::ContentHash;
use strongroom_proto::v1::{
    Act, AddPasskeyAction, CancelAction, ChangePolicyAction, DeleteBackupAction, Intent, OpenActKind,
    OpenEjectWindowAction, Policy, RecoverAction, RemovePasskeyAction, Role, SignedReceipt, StartRecoveryAction,
    intent::Action,
};

use super::model::Asked;
use super::{PASSKEYS, RECIPIENTS, Walk, content};
use crate::acts::{Backup, PASSKEY_ONLY, own_part, recover};
use crate::both::{TENANT_ONLY, message, place};
use crate::device::{Passkey, Recipient};
use crate::steps::{about, carry_out, change, consents, countersigned, named, put, put_shares, registration};
use crate::tenant::MPC;
use crate::world::World;

const KINDS: [OpenActKind; 4] =
    [OpenActKind::Recovery, OpenActKind::PolicyChange, OpenActKind::PasskeyRemoval, OpenActKind::EjectWindow];

impl Walk {
    /// An act that a device and a tenant agree to, as well as they know; or what a host asks for by itself, with the receipt of a commit.
    pub(super) fn asked(&mut self, shown: usize) -> (Asked, Option<SignedReceipt>) {
        let paired = self.history[shown].model.paired;
        if paired && !self.receipts.is_empty() && self.chance(3) {
            let recent = if self.chance(3) { self.receipts.len() } else { self.receipts.len().min(8) };
            let (signed, receipt) = &self.receipts[self.receipts.len() - 1 - self.random.below(recent)];
            return (Asked { commit: Some(receipt.clone()), ..Asked::default() }, Some(signed.clone()));
        }
        (self.act(shown), None)
    }

    fn act(&mut self, shown: usize) -> Asked {
        let (role, highest) = (self.history[shown].model.role, self.history[shown].model.highest);
        let waiting = self.history[shown].model.any_waiting();
        let generation = if self.chance(3) { highest.saturating_sub(1).max(1) } else { highest };
        let window = matches!(waiting, Some((OpenActKind::EjectWindow, _)));
        let eject = if window { !self.chance(4) } else { self.chance(8) };
        let listed = role == Role::Custodian && !eject && !self.chance(4);
        let recipient = if listed { MPC[0] } else { self.pick(&RECIPIENTS) };
        let delayed = self.history[shown].model.is_delayed() && !self.chance(4);
        let kind = self.pick(&KINDS);
        let policy = self.pick(&[
            PASSKEY_ONLY,
            PASSKEY_ONLY,
            PASSKEY_ONLY,
            TENANT_ONLY,
            TENANT_ONLY,
            Policy { tenant_signature: true, newest_head: true, ..PASSKEY_ONLY },
            Policy { delay_seconds: 60, ..PASSKEY_ONLY },
            Policy { tenant_signature: true, ..PASSKEY_ONLY },
            Policy { tenant_signature: true, newest_head: true, delay_seconds: 60, ..PASSKEY_ONLY },
        ]);
        let of = |wanted: Role| (wanted == role).then_some(policy);
        let which = self.pick(&PASSKEYS);
        let passkey = Passkey::eddsa(which);
        let due = waiting.is_some() && self.chance(if window { 20 } else { 2 });
        let paired = self.history[shown].model.paired;
        let choice = match () {
            () if due => 10,
            () if window && self.chance(2) => 0,
            () if paired && self.chance(4) => 2,
            () => self.random.below(10),
        };
        let (action, newcomer) = match choice {
            0 | 1 if delayed => (Some(Action::StartRecovery(StartRecoveryAction { generation, eject })), None),
            0 | 1 => (Some(Action::Recover(RecoverAction { generation, eject })), None),
            2 => (None, None),
            3 => {
                let add = AddPasskeyAction { credential: Some(named(&passkey)) };
                (Some(Action::AddPasskey(add)), Some(which))
            }
            4 => (Some(Action::RemovePasskey(RemovePasskeyAction { credential_id: passkey.id })), None),
            5 => {
                let (client_policy, custodian_policy) = (of(Role::Client), of(Role::Custodian));
                (Some(Action::ChangePolicy(ChangePolicyAction { client_policy, custodian_policy })), None)
            }
            6 => (Some(Action::StartRecovery(StartRecoveryAction { generation, eject })), None),
            7 => {
                let intent_hash = waiting.map_or_else(|| vec![7; 32], |(_, hash)| hash);
                (Some(Action::Cancel(CancelAction { kind: kind.into(), intent_hash })), None)
            }
            8 => {
                let duration_seconds = self.pick(&[60, 3_600, 86_400]);
                (Some(Action::OpenEjectWindow(OpenEjectWindowAction { duration_seconds })), None)
            }
            9 if self.chance(10) => (Some(Action::DeleteBackup(DeleteBackupAction {})), None),
            _ => {
                let kind = waiting.map_or(kind, |(kind, _)| kind);
                return Asked { carry_out: Some(kind), recipient, ..Asked::default() };
            }
        };
        self.signed(shown, action, newcomer, recipient)
    }

    fn signed(&mut self, shown: usize, action: Option<Action>, newcomer: Option<u8>, recipient: u8) -> Asked {
        let (mut intent, messages) = match action {
            Some(action) => {
                let snapshot = &self.history[shown];
                (about(self.both.world(snapshot.model.role), &snapshot.backup, action), Default::default())
            }
            None => self.put(shown),
        };
        let snapshot = &self.history[shown];
        if matches!(intent.action, Some(Action::Recover(_) | Action::StartRecovery(_))) {
            own_part(self.both.world(snapshot.model.role), &mut intent).recipient = Recipient::new(recipient).hash();
        }
        let members = snapshot.model.passkeys.clone();
        let by = if members.is_empty() && !self.chance(8) || self.chance(10) {
            Vec::new()
        } else if members.is_empty() || self.chance(8) {
            vec![self.pick(&PASSKEYS)]
        } else {
            vec![self.pick(&members)]
        };
        let tenant = !self.chance(3);
        Asked { intent: Some(intent), messages, by, newcomer, tenant, recipient, ..Asked::default() }
    }

    /// A put in every role that the record's creation named, from the newest record of the other.
    fn put(&self, shown: usize) -> (Intent, [Vec<u8>; 2]) {
        let (backup, model) = (&self.history[shown].backup, &self.history[shown].model);
        let generation = model.highest + 1;
        let (mut intent, own) =
            put(self.both.world(model.role), backup, generation, &[content(model.role, generation)]);
        let other = if model.role == Role::Client { Role::Custodian } else { Role::Client };
        let mut theirs = Vec::new();
        let newest = self.newest(&backup.receipt.record_id, other).filter(|_| model.paired);
        if let Some(newest) = newest {
            let world = self.both.world(other);
            theirs = message(world, &backup.receipt.record_id, &[content(other, generation)]);
            let mut part = place(&self.history[newest].backup.receipt);
            part.message_hash = ContentHash::of(&theirs).0.to_vec();
            let slot = if other == Role::Client { &mut intent.client } else { &mut intent.custodian };
            *slot = Some(part);
        }
        (intent, if model.role == Role::Client { [own, theirs] } else { [theirs, own] })
    }
}

/// The request as the host sends it, about this record.
pub(super) fn request(world: &World, asked: &Asked, on: Option<SignedReceipt>, backup: &Backup) -> Ask {
    let recipient = Recipient::new(asked.recipient);
    if let Some(receipt) = on {
        return Ask::Commit(Commit {
            tenant: world.tenant_id(),
            statement: Some(world.statement_ref()),
            kek: Some(world.epoch.kek()),
            receipt: Some(receipt),
            record: Some(backup.record.clone()),
            other_kek: None,
        });
    }
    let Some(intent) = &asked.intent else {
        return Ask::CarryOut(CarryOut {
            recipient_key: recipient.public_key,
            ..carry_out(world, asked.carry_out.unwrap(), backup)
        });
    };
    let act = act(world, asked, intent);
    match &intent.action {
        Some(Action::Recover(_)) => Ask::Recover(recover(world, act, backup, &recipient)),
        Some(Action::PutShares(_)) => {
            let message = asked.messages[usize::from(world.role == Role::Custodian)].clone();
            Ask::PutShares(put_shares(world, act, message, backup))
        }
        _ => {
            let credential = asked.newcomer.map(|seed| registration(&Passkey::eddsa(seed)));
            Ask::Change(Change { credential, ..change(world, act, backup) })
        }
    }
}

fn act(world: &World, asked: &Asked, intent: &Intent) -> Act {
    let passkeys: Vec<Passkey> = asked.by.iter().chain(&asked.newcomer).map(|seed| Passkey::eddsa(*seed)).collect();
    let act = consents(intent, &passkeys.iter().collect::<Vec<_>>());
    if asked.tenant { countersigned(world, act) } else { act }
}
