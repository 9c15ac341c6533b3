//! A random walk against a second, plain model of a record: the host shows any record of its history to any device, mixes what belongs to
//! other records into requests, and the enclave must decide each time as the model does.
//!
//! `STRONGROOM_STEPS` sets the number of steps, `STRONGROOM_SEED` the seed.

mod model;

use prost::Message;
use strongroom_proto::contents::{Release, Share};
use strongroom_proto::enclave::v1::{CarryOut, Change, Moved, request::Body as Ask, response::Body as Answer};
use strongroom_proto::id::IntentHash;
use strongroom_proto::limits::OPERATIONAL_KEY_MS_MAX;
use strongroom_proto::seal::Direction;
use strongroom_proto::v1::{
    Act, AddPasskeyAction, CancelAction, ChangePolicyAction, DeleteBackupAction, Intent, OpenActKind, Policy, Receipt,
    RecoverAction, RemovePasskeyAction, StartRecoveryAction, intent::Action,
};

use crate::acts::{Backup, PASSKEY_ONLY, back_up, info, part, recover, share};
use crate::device::{Passkey, Recipient};
use crate::steps::{about, carry_out, change, consents, countersigned, named, put, put_shares, registration, view_of};
use crate::tenant::public;
use crate::world::{Random, START, World, told};
use model::{Asked, Model};

const STEPS: usize = 1_000;
/// Passkeys and recipients by their seeds.
const PASSKEYS: [u8; 4] = [9, 10, 11, 12];
const RECIPIENTS: [u8; 3] = [1, 2, 3];

/// A record at one moment of its history, as the host keeps it, and what the model says of it.
struct Snapshot {
    backup: Backup,
    model: Model,
}

impl Clone for Snapshot {
    fn clone(&self) -> Self {
        let Backup { record, shares, receipt, .. } = &self.backup;
        let (record, shares, receipt) = (record.clone(), shares.clone(), receipt.clone());
        Self { backup: Backup { record, shares, receipt, passkey: Passkey::eddsa(9) }, model: self.model.clone() }
    }
}

struct Walk {
    world: World,
    random: Random,
    history: Vec<Snapshot>,
    accepted: usize,
    released: usize,
}

#[test]
fn the_enclave_decides_as_a_plain_model_does_whatever_the_host_mixes() {
    let steps = std::env::var("STRONGROOM_STEPS").map_or(STEPS, |count| count.parse().unwrap());
    let seed = std::env::var("STRONGROOM_SEED").map_or(0x3a1c, |seed| seed.parse().unwrap());
    let mut world = World::new(0xf8);
    let mut statement = world.tenant.statement(&[&world.epoch.identity]);
    for key in statement.operational_keys.iter_mut().filter(|key| key.key == public(&world.tenant.operational)) {
        (key.not_before_ms, key.not_after_ms) = (START, START + OPERATIONAL_KEY_MS_MAX);
    }
    world.statement = world.keep(world.tenant.sign(&statement));
    let mut walk = Walk { world, random: Random::new(seed), history: Vec::new(), accepted: 0, released: 0 };
    for wallet in ["wallet-1", "wallet-2"] {
        let backup = back_up(&walk.world, wallet, Passkey::eddsa(9), |_| {});
        let model = Model::new(&PASSKEYS[..1]);
        walk.history.push(Snapshot { backup, model });
    }
    for step in 0..steps {
        walk.step(step);
    }
    println!("{steps} steps, {} accepted, {} releases", walk.accepted, walk.released);
    assert!(walk.accepted > steps / 10, "the walk hardly moves");
    assert!(walk.released > steps / 100, "the walk hardly releases");
}

impl Walk {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len())]
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.random.below(one_in) == 0
    }

    /// A snapshot, more often a late one than an early one.
    fn any(&mut self) -> usize {
        let count = self.history.len();
        let recent = if self.chance(3) { count } else { count.min(12) };
        count - 1 - self.random.below(recent)
    }

    fn step(&mut self, step: usize) {
        let wait = self.pick(&[0, 0, 1_000, 59_000, 3_600_000]);
        // As long as the tenant's key lives.
        self.world.fake.now.set((self.world.fake.now.get() + wait).min(START + OPERATIONAL_KEY_MS_MAX));
        if self.chance(20) {
            self.world.fake.forget();
        }
        let shown = self.any();
        // Now and then the host gives another record, or another's shares, than the device was shown.
        let given = if self.chance(8) { self.any() } else { shown };
        let shares_of = if self.chance(8) { self.any() } else { given };
        let asked = self.asked(shown);
        let mut stored = self.history[given].clone();
        stored.backup.shares.clone_from(&self.history[shares_of].backup.shares);
        let own = &self.history[given].backup.shares;
        let whole = |number: u64| {
            own.iter().filter(|share| share.generation == number).all(|share| stored.backup.shares.contains(share))
        };
        let whole: Vec<u64> = (1..=stored.model.highest).filter(|number| whole(*number)).collect();
        let ask = self.request(&asked, &stored.backup);
        let now = self.world.fake.now.get();
        let expected = stored.model.decide(&asked, &stored.backup, &whole, now);
        let answer = self.world.drive(ask);
        match (expected, answer) {
            (Some(after), Answer::Moved(moved)) => self.keep(given, &asked, after, &moved),
            (None, Answer::Error(_)) => {}
            (expected, answer) => {
                panic!(
                    "step {step}: {asked:?} on {:?}: model {}, core {}",
                    stored.model,
                    expected.is_some(),
                    told(&answer)
                )
            }
        }
    }

    /// An act that a device and a tenant agree to, as well as they know.
    fn asked(&mut self, shown: usize) -> Asked {
        let recipient = self.pick(&RECIPIENTS);
        let highest = self.history[shown].model.highest;
        let waiting = self.history[shown].model.any_waiting();
        let generation = if self.chance(4) { highest.saturating_sub(1) } else { highest };
        let kind = self.pick(&[OpenActKind::Recovery, OpenActKind::PolicyChange, OpenActKind::PasskeyRemoval]);
        let policy = self.pick(&[
            PASSKEY_ONLY,
            Policy { delay_seconds: 60, ..PASSKEY_ONLY },
            Policy { tenant_signature: true, ..PASSKEY_ONLY },
            Policy { tenant_signature: true, newest_head: true, delay_seconds: 60, ..PASSKEY_ONLY },
        ]);
        let which = self.pick(&PASSKEYS);
        let passkey = Passkey::eddsa(which);
        let choice = if waiting.is_some() && self.chance(2) { 9 } else { self.random.below(9) };
        let (action, newcomer) = match choice {
            0 | 1 => (Some(Action::Recover(RecoverAction { generation, eject: false })), None),
            2 => (None, None),
            3 => {
                let add = AddPasskeyAction { credential: Some(named(&passkey)) };
                (Some(Action::AddPasskey(add)), Some(which))
            }
            4 => (Some(Action::RemovePasskey(RemovePasskeyAction { credential_id: passkey.id })), None),
            5 => {
                let change = ChangePolicyAction { client_policy: Some(policy), custodian_policy: None };
                (Some(Action::ChangePolicy(change)), None)
            }
            6 => (Some(Action::StartRecovery(StartRecoveryAction { generation, eject: false })), None),
            7 => {
                let intent_hash = waiting.map_or_else(|| vec![7; 32], |(_, hash)| hash);
                (Some(Action::Cancel(CancelAction { kind: kind.into(), intent_hash })), None)
            }
            8 if self.chance(10) => (Some(Action::DeleteBackup(DeleteBackupAction {})), None),
            _ => {
                let kind = waiting.map_or(kind, |(kind, _)| kind);
                return Asked { carry_out: Some(kind), recipient, intent: None, ..Asked::default() };
            }
        };
        self.signed(shown, action, newcomer, recipient)
    }

    fn signed(&mut self, shown: usize, action: Option<Action>, newcomer: Option<u8>, recipient: u8) -> Asked {
        let backup = &self.history[shown].backup;
        let highest = self.history[shown].model.highest;
        let (mut intent, message) = match action {
            Some(action) => (about(&self.world, backup, action), Vec::new()),
            None => put(&self.world, backup, highest + 1, &[content(highest + 1)]),
        };
        if matches!(intent.action, Some(Action::Recover(_) | Action::StartRecovery(_))) {
            part(&mut intent).recipient = Recipient::new(recipient).hash();
        }
        let members = self.history[shown].model.passkeys.clone();
        let known = if members.is_empty() || self.chance(8) { self.pick(&PASSKEYS) } else { self.pick(&members) };
        let by = if self.chance(10) { Vec::new() } else { vec![known] };
        let tenant = !self.chance(3);
        Asked { carry_out: None, intent: Some(intent), message, by, newcomer, tenant, recipient }
    }

    fn request(&self, asked: &Asked, backup: &Backup) -> Ask {
        let world = &self.world;
        let recipient = Recipient::new(asked.recipient);
        let Some(intent) = &asked.intent else {
            return Ask::CarryOut(CarryOut {
                recipient_key: recipient.public_key,
                ..carry_out(world, asked.carry_out.unwrap(), backup)
            });
        };
        let act = self.act(asked, intent);
        match &intent.action {
            Some(Action::Recover(_)) => Ask::Recover(recover(world, act, backup, &recipient)),
            Some(Action::PutShares(_)) => Ask::PutShares(put_shares(world, act, asked.message.clone(), backup)),
            _ => {
                let credential = asked.newcomer.map(|seed| registration(&Passkey::eddsa(seed)));
                Ask::Change(Change { credential, ..change(world, act, backup) })
            }
        }
    }

    fn act(&self, asked: &Asked, intent: &Intent) -> Act {
        let passkeys: Vec<Passkey> = asked.by.iter().chain(&asked.newcomer).map(|seed| Passkey::eddsa(*seed)).collect();
        let act = consents(intent, &passkeys.iter().collect::<Vec<_>>());
        if asked.tenant { countersigned(&self.world, act) } else { act }
    }

    /// Keeps what the host would keep, and compares what the device is told with the model.
    fn keep(&mut self, before: usize, asked: &Asked, after: Model, moved: &Moved) {
        let before = &self.history[before];
        let receipt = Receipt::decode(moved.receipt.as_ref().unwrap().receipt.as_slice()).unwrap();
        assert_eq!(receipt.version, before.backup.receipt.version + 1);
        let mut shares = before.backup.shares.clone();
        shares.extend(moved.shares.clone());
        shares.retain(|share| moved.generations.contains(&share.generation));
        if !moved.release.is_empty() {
            self.released += 1;
            self.check_release(before, asked, moved);
        }
        let backup = Backup { record: moved.record.clone().unwrap(), shares, receipt, passkey: Passkey::eddsa(9) };
        after.check(&view_of(&self.world, &backup.record));
        self.history.push(Snapshot { backup, model: after });
        self.accepted += 1;
    }

    /// A release opens for the recipient that was consented to, and holds the generation that was asked for.
    fn check_release(&self, before: &Snapshot, asked: &Asked, moved: &Moved) {
        let info = info(Direction::Release, &self.world.epoch, &before.backup.receipt.record_id);
        let (generation, intent) = before.model.release_of(asked);
        for seed in RECIPIENTS {
            let opened = Recipient::new(seed).open(&info, &moved.release);
            assert_eq!(opened.is_some(), seed == asked.recipient);
            let Some(opened) = opened else { continue };
            let release = Release::decode(&opened).unwrap();
            assert_eq!((release.generation, release.intent), (generation, IntentHash::from_slice(&intent).unwrap()));
            if generation > 1 {
                assert_eq!(release.shares[0].bytes.expose(), content(generation).bytes.expose());
            }
        }
    }
}

/// What a put of this generation brings.
fn content(generation: u64) -> Share {
    share("ed", format!("share of generation {generation}").as_bytes())
}
