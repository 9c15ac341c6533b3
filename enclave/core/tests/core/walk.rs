//! A random walk against a second, plain model of records: the host shows any record of its history to any device, mixes what belongs to
//! other records and to the other role into requests, commits on any receipt, and each enclave must decide each time as the model does.
//!
//! `STRONGROOM_STEPS` sets the number of steps, `STRONGROOM_SEED` the seed.

mod asking;
mod model;

use prost::Message;
use strongroom_proto::contents::{Release, Share};
use strongroom_proto::enclave::v1::{Moved, response::Body as Answer};
use strongroom_proto::id::IntentHash;
use strongroom_proto::limits::OPERATIONAL_KEY_MS_MAX;
use strongroom_proto::seal::Direction;
use strongroom_proto::v1::{Policy, Receipt, Role, SignedReceipt, Statement, intent::Action};

use crate::acts::{Backup, PASSKEY_ONLY, action, back_up, info, share};
use crate::both::{Both, TENANT_ONLY, without_passkey};
use crate::device::{Passkey, Recipient};
use crate::steps::view_of;
use crate::tenant::{MPC, public};
use crate::world::{Random, START, World, told};
use model::{Asked, Model};

const STEPS: usize = 2_000;
/// Passkeys and recipients by their seeds.
const PASSKEYS: [u8; 4] = [9, 10, 11, 12];
const RECIPIENTS: [u8; 3] = [1, 2, MPC[0]];

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

/// One more delivery: to the newest record of this role, with the receipt of a commit.
type Next = (Role, Asked, Option<SignedReceipt>);

struct Walk {
    both: Both,
    random: Random,
    history: Vec<Snapshot>,
    /// How many of them are first ones.
    records: usize,
    /// What was asked before, newest last: the host sends it again, or for the first time to the other role.
    sent: Vec<Asked>,
    receipts: Vec<(SignedReceipt, Receipt)>,
    /// What an honest host would do next.
    next: Vec<Next>,
    accepted: usize,
    /// By role, and of them the ejects.
    released: [usize; 2],
    ejected: usize,
    committed: [usize; 2],
}

#[test]
fn the_enclave_decides_as_a_plain_model_does_whatever_the_host_mixes() {
    let steps = std::env::var("STRONGROOM_STEPS").map_or(STEPS, |count| count.parse().unwrap());
    let seed = std::env::var("STRONGROOM_SEED").map_or(0x3a1c, |seed| seed.parse().unwrap());
    let mut walk = Walk::new(seed);
    for step in 0..steps {
        walk.step(step);
    }
    let Walk { accepted, released, ejected, committed, .. } = walk;
    println!(
        "{steps} steps, {accepted} accepted, {released:?} releases by role, {ejected} ejects, {committed:?} commits"
    );
    assert!(accepted > steps / 10, "the walk hardly moves");
    assert!(released.iter().sum::<usize>() > steps / 100, "the walk hardly releases");
    let rare = [released[0], released[1], ejected, committed[0], committed[1]];
    assert!(steps < STEPS || rare.iter().all(|count| *count > 0), "the walk leaves something out");
}

impl Walk {
    /// Records of one role and of both, with a passkey and without.
    fn new(seed: u64) -> Self {
        let mut both = Both::new(0xf8);
        let mut statement = Statement::decode(both.client.statement.statement.as_slice()).unwrap();
        for key in
            statement.operational_keys.iter_mut().filter(|key| key.key == public(&both.client.tenant.operational))
        {
            (key.not_before_ms, key.not_after_ms) = (START, START + OPERATIONAL_KEY_MS_MAX);
        }
        let signed = both.client.tenant.sign(&statement);
        for world in [&mut both.client, &mut both.custodian] {
            world.statement = world.keep(signed.clone());
        }
        let mut history = Vec::new();
        let mut keep = |backup: Backup, paired, passkeys: &[u8], policy| {
            let model = Model::new(&backup.receipt, paired, passkeys, policy);
            history.push(Snapshot { backup, model });
        };
        let alone = |world: &World, wallet, policy: Policy| {
            back_up(world, wallet, Passkey::eddsa(9), |intent| {
                let creation = action(intent);
                for wanted in [&mut creation.client_policy, &mut creation.custodian_policy].into_iter().flatten() {
                    *wanted = policy;
                }
            })
        };
        let own = &PASSKEYS[..1];
        keep(alone(&both.client, "wallet-1", PASSKEY_ONLY), false, own, PASSKEY_ONLY);
        keep(alone(&both.client, "wallet-2", PASSKEY_ONLY), false, own, PASSKEY_ONLY);
        keep(alone(&both.custodian, "wallet-1", TENANT_ONLY), false, own, TENANT_ONLY);
        keep(without_passkey(&both.custodian, "wallet-3", TENANT_ONLY), false, &[], TENANT_ONLY);
        for wallet in ["wallet-1", "wallet-4"] {
            let pair = both.back_up(wallet, PASSKEY_ONLY);
            keep(pair.client, true, own, PASSKEY_ONLY);
            keep(pair.custodian, true, own, PASSKEY_ONLY);
        }
        let (random, records) = (Random::new(seed), history.len());
        let (sent, receipts, next) = Default::default();
        Self {
            both,
            random,
            history,
            records,
            sent,
            receipts,
            next,
            accepted: 0,
            released: [0; 2],
            ejected: 0,
            committed: [0; 2],
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len())]
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.random.below(one_in) == 0
    }

    /// A snapshot: more often the newest of some record than any other.
    fn any(&mut self) -> usize {
        if self.chance(4) {
            return self.random.below(self.history.len());
        }
        let first = &self.history[self.random.below(self.records)];
        self.newest(&first.backup.receipt.record_id, first.model.role).unwrap()
    }

    /// The newest snapshot of a record in a role.
    fn newest(&self, record_id: &[u8], role: Role) -> Option<usize> {
        let is = |it: &Snapshot| it.model.role == role && it.backup.receipt.record_id == record_id;
        self.history.iter().rposition(is)
    }

    fn step(&mut self, step: usize) {
        let wait = self.pick(&[0, 0, 0, 1_000, 59_000, 3_600_000]);
        // As long as the tenant's key lives.
        self.both.set_now((self.both.now() + wait).min(START + OPERATIONAL_KEY_MS_MAX));
        if self.chance(20) {
            self.both.client.fake.forget();
            self.both.custodian.fake.forget();
        }
        let shown = self.any();
        // Now and then the host gives another record, or another's shares, than the device was shown.
        let given = if self.chance(8) { self.any() } else { shown };
        let (given, asked, on) = self.again().unwrap_or_else(|| {
            let (asked, on) = self.asked(shown);
            (given, asked, on)
        });
        let shares_of = if self.chance(8) { self.any() } else { given };
        let mut stored = self.history[given].clone();
        stored.backup.shares.clone_from(&self.history[shares_of].backup.shares);
        let own = &self.history[given].backup.shares;
        let whole = |number: u64| {
            own.iter().filter(|share| share.generation == number).all(|share| stored.backup.shares.contains(share))
        };
        let whole: Vec<u64> = (1..=stored.model.highest).filter(|number| whole(*number)).collect();
        let world = self.both.world(stored.model.role);
        let ask = asking::request(world, &asked, on, &stored.backup);
        let expected = stored.model.decide(&asked, &stored.backup, &whole, self.both.now());
        let answer = world.drive(ask);
        if asked.intent.is_some() {
            self.sent.push(asked.clone());
        }
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

    /// What an honest host would do next, or something that was signed before, to the newest record of one of the roles that it names.
    fn again(&mut self) -> Option<(usize, Asked, Option<SignedReceipt>)> {
        if let Some((role, asked, on)) = self.next.pop().filter(|_| !self.chance(6)) {
            let named = asked.intent.as_ref().and_then(|it| strongroom_proto::intent::part(it, role));
            let record_id = named.map(|part| &part.record_id).or(asked.commit.as_ref().map(|it| &it.record_id))?;
            return Some((self.newest(record_id, role)?, asked, on));
        }
        if self.sent.is_empty() || !self.chance(8) {
            return None;
        }
        let recent = self.sent.len().min(6);
        let asked = self.sent[self.sent.len() - 1 - self.random.below(recent)].clone();
        let intent = asked.intent.as_ref()?;
        let role = self.pick(&[Role::Client, Role::Custodian]);
        let part = strongroom_proto::intent::part(intent, role)?;
        Some((self.newest(&part.record_id, role)?, asked, None))
    }

    /// A put goes to the other role too; then the custodian commits on the client's receipt, and the client on the custodian's.
    fn follow(&mut self, role: Role, asked: &Asked, signed: &SignedReceipt, receipt: &Receipt) {
        let commit = |role| (role, Asked { commit: Some(receipt.clone()), ..Asked::default() }, Some(signed.clone()));
        if asked.commit.is_some() && role == Role::Custodian {
            self.next = vec![commit(Role::Client)];
        } else if asked.intent.as_ref().is_some_and(|it| matches!(it.action, Some(Action::PutShares(_)))) {
            match role {
                Role::Client => self.next = vec![commit(Role::Custodian), (Role::Custodian, asked.clone(), None)],
                _ if self.next.is_empty() => self.next = vec![(Role::Client, asked.clone(), None)],
                _ => {}
            }
        }
    }

    /// Keeps what the host would keep, and compares what the device is told with the model.
    fn keep(&mut self, before: usize, asked: &Asked, after: Model, moved: &Moved) {
        let before = self.history[before].clone();
        let at = usize::from(after.role == Role::Custodian);
        let signed = moved.receipt.clone().unwrap();
        let receipt = Receipt::decode(signed.receipt.as_slice()).unwrap();
        if before.model.paired {
            self.follow(after.role, asked, &signed, &receipt);
        }
        self.receipts.push((signed, receipt.clone()));
        self.accepted += 1;
        if after == before.model && asked.commit.is_some() {
            // In force already: the receipt says how the record stands.
            assert_eq!((receipt.version, receipt.event.len()), (before.backup.receipt.version, 0));
            return;
        }
        self.committed[at] += usize::from(asked.commit.is_some());
        assert_eq!(receipt.version, before.backup.receipt.version + 1);
        let mut shares = before.backup.shares.clone();
        shares.extend(moved.shares.clone());
        shares.retain(|share| moved.generations.contains(&share.generation));
        if !moved.release.is_empty() {
            self.released[at] += 1;
            self.check_release(&before, asked, moved);
        }
        let backup = Backup { record: moved.record.clone().unwrap(), shares, receipt, passkey: Passkey::eddsa(9) };
        after.check(&view_of(self.both.world(after.role), &backup.record));
        self.history.push(Snapshot { backup, model: after });
    }

    /// A release opens for the recipient that was consented to, and holds the generation that was asked for; the custodian's goes to a
    /// recipient of the statement, or is an eject.
    fn check_release(&mut self, before: &Snapshot, asked: &Asked, moved: &Moved) {
        let role = before.model.role;
        let info = info(Direction::Release, &self.both.world(role).epoch, &before.backup.receipt.record_id);
        let (generation, intent, eject) = before.model.release_of(asked);
        self.ejected += usize::from(eject && role == Role::Custodian);
        assert!(role == Role::Client || eject || MPC.contains(&asked.recipient), "an unlisted recipient");
        for seed in RECIPIENTS {
            let opened = Recipient::new(seed).open(&info, &moved.release);
            assert_eq!(opened.is_some(), seed == asked.recipient);
            let Some(opened) = opened else { continue };
            let release = Release::decode(&opened).unwrap();
            assert_eq!((release.generation, release.intent), (generation, IntentHash::from_slice(&intent).unwrap()));
            if generation > 1 {
                assert_eq!(release.shares[0].bytes.expose(), content(role, generation).bytes.expose());
            }
        }
    }
}

/// What a put of this generation brings to a role.
fn content(role: Role, generation: u64) -> Share {
    share("ed", format!("{} share of generation {generation}", role.as_str_name()).as_bytes())
}
