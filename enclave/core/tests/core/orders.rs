//! The rule of put and commit, checked exhaustively over the real core: two roles, two devices, and a host that delivers every put, every
//! commit and every receipt that was ever signed in any order, or never. In every state that can be reached some generation opens in both
//! roles, and it is opened.
//!
//! States are told apart by what their records say of generations, and each record that differs so is asked
//! everything once: a step depends on record and request alone. A put's intent names heads, which forbid most orders; here every record
//! has one head, so that none is left out. Two puts of one number are two generations. `STRONGROOM_GENERATIONS` sets the highest number.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use prost::Message;
use strongroom_proto::enclave::v1::{Commit, request::Body as Ask, response::Body as Answer};
use strongroom_proto::id::ContentHash;
use strongroom_proto::v1::{
    Act, Pair as Curve, PutSharesAction, Reason, Receipt, RecoverAction, Role, SignedReceipt, intent::Action,
};

use crate::acts::{Backup, PASSKEY_ONLY, own_part, recover, share};
use crate::both::{Both, Pair, message};
use crate::device::{Passkey, Recipient};
use crate::mpc::opened;
use crate::steps::{about, consents, put_shares};
use crate::tenant::MPC;
use crate::vault::{edit, read};
use crate::world::{World, told};

/// The head of every record here, before every act.
const HEAD: [u8; 32] = [9; 32];
const ROLES: [Role; 2] = [Role::Client, Role::Custodian];
/// The highest number that is put, where nothing else is asked for.
const HIGHEST: u64 = 4;

/// A put: its number, and the device that made it. The creation's is device 0's.
type Generation = (u64, usize);

/// What a record says of its generations.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Plain {
    active: Generation,
    former: Vec<Generation>,
    pending: Option<Generation>,
    highest: u64,
}

impl Plain {
    fn opens(&self) -> BTreeSet<Generation> {
        self.former.iter().copied().chain([self.active]).collect()
    }
}

/// What a receipt tells the other role: whose it is, what is active there and what is pending.
type Told = (i32, Generation, Option<Generation>);

/// What a host can ask a role for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Step {
    Put(Generation),
    Commit(Told),
}

/// The records of both roles, and every receipt that was signed.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct State {
    records: [Plain; 2],
    receipts: BTreeSet<Told>,
}

/// One put by one device: the same signed bytes for both roles, and each role's message.
struct Put {
    act: Act,
    messages: [Vec<u8>; 2],
}

/// How a record stands after a step, and what the receipt tells; nothing where the step is refused.
type Outcome = Option<(Plain, Told)>;

struct Check {
    both: Both,
    puts: BTreeMap<Generation, Put>,
    by_hash: BTreeMap<Vec<u8>, Generation>,
    /// One receipt of each content.
    receipts: BTreeMap<Told, SignedReceipt>,
    /// One record of each content, by role.
    records: [BTreeMap<Plain, Backup>; 2],
    outcomes: [BTreeMap<(Plain, Step), Outcome>; 2],
}

fn content(generation: Generation) -> Vec<u8> {
    format!("generation {} of device {}", generation.0, generation.1).into_bytes()
}

impl Check {
    /// With a record of both roles in which generation 1 is active.
    fn new(seed: u64, highest: u64) -> (Self, State) {
        let both = Both::new(seed);
        let mut pair = both.back_up("wallet-1", PASSKEY_ONLY);
        for (world, backup) in [(&both.client, &mut pair.client), (&both.custodian, &mut pair.custodian)] {
            rewind(world, backup);
        }
        let by_hash = [(pair.client.receipt.intent_hash.clone(), (1, 0))].into();
        let (puts, receipts, records, outcomes) = Default::default();
        let mut check = Self { both, puts, by_hash, receipts, records, outcomes };
        for generation in (2..=highest).flat_map(|number| [(number, 1), (number, 2)]) {
            let put = check.put(&pair, generation);
            let hash = strongroom_proto::intent::hash(&put.act.intent).0.to_vec();
            check.by_hash.insert(hash, generation);
            check.puts.insert(generation, put);
        }
        let Pair { client, custodian } = pair;
        let records = [check.kept(0, client), check.kept(1, custodian)];
        (check, State { records, receipts: BTreeSet::new() })
    }

    fn world(&self, at: usize) -> &World {
        self.both.world(ROLES[at])
    }

    /// Keeps a record, and says how it stands.
    fn kept(&mut self, at: usize, backup: Backup) -> Plain {
        let plain = self.plain(self.world(at), &backup);
        self.records[at].entry(plain.clone()).or_insert(backup);
        plain
    }

    fn put(&self, pair: &Pair, generation: Generation) -> Put {
        let pairs = vec![Curve { id: "ed".into(), curve: 2 }];
        let action = Action::PutShares(PutSharesAction { generation: generation.0, pairs });
        let mut intent = self.both.about(pair, action);
        let messages = ROLES.map(|role| {
            let world = self.both.world(role);
            let message = message(world, &pair.client.receipt.record_id, &[share("ed", &content(generation))]);
            own_part(world, &mut intent).message_hash = ContentHash::of(&message).0.to_vec();
            message
        });
        Put { act: consents(&intent, &[&pair.client.passkey]), messages }
    }

    fn plain(&self, world: &World, backup: &Backup) -> Plain {
        let record = read(world, &backup.record);
        let named = |number: u64| {
            let it = record.generations.iter().find(|it| it.generation == number)?;
            Some(self.by_hash[&it.put_intent_hash])
        };
        let former = record.generations.iter().map(|it| it.generation);
        let former = former.filter(|it| ![record.active, record.pending].contains(it)).filter_map(named).collect();
        let active = named(record.active).unwrap();
        Plain { active, former, pending: named(record.pending), highest: record.highest_generation }
    }

    fn request(&self, at: usize, backup: &Backup, step: Step) -> Ask {
        let world = self.world(at);
        match step {
            Step::Put(generation) => {
                let put = &self.puts[&generation];
                Ask::PutShares(put_shares(world, put.act.clone(), put.messages[at].clone(), backup))
            }
            Step::Commit(told) => Ask::Commit(Commit {
                tenant: world.tenant_id(),
                statement: Some(world.statement_ref()),
                kek: Some(world.epoch.kek()),
                receipt: Some(self.receipts[&told].clone()),
                record: Some(backup.record.clone()),
                other_kek: None,
            }),
        }
    }

    /// Asks one role, unless its record was asked the same before.
    fn outcome(&mut self, at: usize, plain: &Plain, step: Step) -> Outcome {
        let key = (plain.clone(), step);
        if let Some(known) = self.outcomes[at].get(&key) {
            return known.clone();
        }
        let outcome = self.ask(at, plain, step);
        self.outcomes[at].insert(key, outcome.clone());
        outcome
    }

    fn ask(&mut self, at: usize, plain: &Plain, step: Step) -> Outcome {
        let backup = &self.records[at][plain];
        let moved = match self.world(at).drive(self.request(at, backup, step)) {
            Answer::Moved(moved) => moved,
            Answer::Error(error) => {
                assert!([Reason::StateInvalid, Reason::ProofRejected].contains(&error.reason()), "{error:?}");
                return None;
            }
            answer => panic!("{}", told(&answer)),
        };
        let Backup { shares, receipt, .. } = backup;
        let mut after = Backup {
            record: moved.record.unwrap(),
            shares: shares.iter().cloned().chain(moved.shares).collect(),
            receipt: receipt.clone(),
            passkey: Passkey::eddsa(9),
        };
        after.shares.retain(|share| moved.generations.contains(&share.generation));
        rewind(self.world(at), &mut after);
        let signed = moved.receipt.unwrap();
        let receipt = Receipt::decode(signed.receipt.as_slice()).unwrap();
        let name = |it: strongroom_proto::v1::GenerationRef| self.by_hash[&it.put_intent_hash];
        let told = (receipt.role, receipt.active.map(name).unwrap(), receipt.pending.map(name));
        self.receipts.entry(told).or_insert(signed);
        Some((self.kept(at, after), told))
    }

    /// Opens every generation that should open in each role, and none that should not.
    fn check_opens(&self, records: &[Plain; 2]) {
        for (at, plain) in records.iter().enumerate() {
            let (world, backup) = (self.world(at), &self.records[at][plain]);
            let to = Recipient::new(if at == 0 { 1 } else { MPC[0] });
            for generation in plain.opens().into_iter().chain(plain.pending) {
                let action = Action::Recover(RecoverAction { generation: generation.0, eject: false });
                let mut intent = about(world, backup, action);
                own_part(world, &mut intent).recipient = to.hash();
                let ask = recover(world, consents(&intent, &[&backup.passkey]), backup, &to);
                if Some(generation) == plain.pending {
                    world.refused("pending", Ask::Recover(ask), Reason::NoValidBackup, "none that opens");
                    continue;
                }
                let Answer::Moved(moved) = world.drive(Ask::Recover(ask)) else { panic!("{generation:?}: {plain:?}") };
                let release = opened(world, &backup.receipt.record_id, &moved.release, &to).unwrap();
                if generation != (1, 0) {
                    assert_eq!(release.shares[0].bytes.expose(), content(generation), "another device's share");
                }
            }
        }
    }
}

/// Gives a record the one head, so that every put can be delivered in every state.
fn rewind(world: &World, backup: &mut Backup) {
    edit(world, &mut backup.record, |record| record.head = HEAD.to_vec());
    backup.receipt.head = HEAD.to_vec();
}

#[test]
fn a_generation_opens_in_both_roles_whatever_comes_in_whatever_order() {
    let highest = std::env::var("STRONGROOM_GENERATIONS").map_or(HIGHEST, |number| number.parse().unwrap());
    let (mut check, start) = Check::new(0x130, highest);
    let (mut seen, mut queue) = (BTreeSet::from([start.clone()]), VecDeque::from([start]));
    let (mut opened, mut transitions, mut refused) = (BTreeSet::new(), 0, 0);
    while let Some(state) = queue.pop_front() {
        let [client, custodian] = &state.records;
        assert!(!client.opens().is_disjoint(&custodian.opens()), "nothing opens in both roles: {state:?}");
        assert!(custodian.opens().contains(&client.active), "no further put could be committed: {state:?}");
        if opened.insert(state.records.clone()) {
            check.check_opens(&state.records);
        }
        let puts: Vec<_> = check.puts.keys().copied().map(Step::Put).collect();
        for step in puts.into_iter().chain(state.receipts.iter().copied().map(Step::Commit)) {
            for (at, plain) in state.records.iter().enumerate() {
                let Some((after, told)) = check.outcome(at, plain, step) else {
                    refused += 1;
                    continue;
                };
                transitions += 1;
                let mut next = state.clone();
                next.records[at] = after;
                next.receipts.insert(told);
                if seen.insert(next.clone()) {
                    queue.push_back(next);
                }
            }
        }
    }
    let asked = check.outcomes.iter().map(BTreeMap::len).sum::<usize>();
    println!(
        "generations to {highest} by two devices: {} states, {} pairs of records, {transitions} transitions and {refused} refusals \
         by {asked} steps of the core",
        seen.len(),
        opened.len()
    );
    let through = |state: &State| state.records.iter().all(|plain| plain.active.0 == highest);
    assert!(seen.iter().any(through), "no put comes through in both roles");
    assert!(seen.len() > 500 || highest < HIGHEST, "the host has hardly any choice");
}
