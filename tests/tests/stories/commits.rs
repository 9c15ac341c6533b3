//! A put in both roles and its commit are cut off by kills at any point: afterwards one generation, the old one or the new one, is active
//! in both roles, and both shares of it come back.
//!
//! `STRONGROOM_SEED` sets the seed of the kills.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use prost::Message;
use strongroom_proto::v1::{ActKind, BackupState, Event, GetBackupRequest, Receipt, Role};
use strongroom_sdk::device::{Device, select};
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::prepare::Prepared;
use strongroom_tests::company::Company;
use strongroom_tests::stack::Stack;
use strongroom_tests::user::{User, pairs, shares};
use tokio::sync::watch;
use tokio::time::timeout;

use super::both::{creation, device, recovered, stack_of_both};
use crate::rounds;

const WALLET: &str = "wallet-1";
/// Longest wait for an answer that was lost with a process.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Longest time until one generation is active in both roles again.
const SETTLED_MAX: Duration = Duration::from_mins(1);
/// A kill falls into this many times the usual length of its phase: so some fall behind its end.
const REACH: f64 = 1.15;
const SEED: u64 = 0xc033;

/// What the device does when the kill comes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Phase {
    Prepares,
    Puts,
    Commits,
}

#[derive(Clone, Copy, Debug)]
enum Victim {
    Host,
    Enclave(Role),
    All,
}

const VICTIMS: [Victim; 4] =
    [Victim::Host, Victim::Enclave(Role::Client), Victim::Enclave(Role::Custodian), Victim::All];

/// Where a kill fell, as the receipts' times tell.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    before_put: usize,
    before_commits: usize,
    between_commits: usize,
    after_commits: usize,
}

/// `SplitMix64`: reproducible, and nothing more.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    /// A time up to this one, by steps of a thousandth.
    fn within(&mut self, span: Duration) -> Duration {
        span * u32::try_from(self.below(1001)).unwrap() / 1000
    }
}

/// What a round puts: the user's shares and the company's.
fn secrets(round: usize) -> [[Vec<u8>; 2]; 2] {
    ["client", "custodian"].map(|role| ["first", "second"].map(|it| format!("{it} of the {role} {round}").into_bytes()))
}

fn borrowed(shares: &[Vec<u8>; 2]) -> [&[u8]; 2] {
    [&shares[0], &shares[1]]
}

/// The user's device and the company, connected to the host of now.
struct Parties {
    user: User,
    company: std::sync::Arc<Company>,
    device: Device,
}

impl Parties {
    async fn of(stack: &Stack, user: User, round: usize) -> Self {
        let [_, custodian] = secrets(round);
        let company = Company::new(stack, WALLET, borrowed(&custodian)).await.unwrap();
        let device = device(stack, &user, &company);
        Self { user, company, device }
    }

    async fn returning(stack: &Stack, passkey: Passkey, round: usize) -> Self {
        Self::of(stack, User::returning(stack, WALLET, passkey).await.unwrap(), round).await
    }

    async fn put(&self, round: usize) -> Result<(), strongroom_sdk::Error> {
        let [client, _] = secrets(round);
        let prepared = self.device.prepare(WALLET).await?;
        let shares = shares(borrowed(&client));
        self.device.put(&prepared, None, &pairs(), shares, &mut self.user.asked()).await.map(drop)
    }

    async fn commit(&self) -> Result<(), strongroom_sdk::Error> {
        self.commit_prepared(&self.device.prepare(WALLET).await?).await
    }

    async fn commit_prepared(&self, prepared: &Prepared) -> Result<(), strongroom_sdk::Error> {
        self.device.commit(prepared, None).await.map(drop)
    }

    /// Both shares come back as a round put them.
    async fn check_recovery(&self, round: usize) {
        let (client, custodian) = recovered(&self.user, &self.company, &self.device).await;
        assert_eq!([client, custodian].map(|it| <[Vec<u8>; 2]>::try_from(it).unwrap()), secrets(round));
    }

    /// The number of the generation that is active, and of the one that waits, in each role.
    async fn numbers(&self) -> Result<[(u64, Option<u64>); 2], strongroom_sdk::Error> {
        let prepared = self.device.prepare(WALLET).await?;
        let backup = select(&prepared, None)?;
        let of = |role| {
            let record = backup.record(role).unwrap();
            (record.active().unwrap().number, record.pending().map(|it| it.number))
        };
        Ok([of(Role::Client), of(Role::Custodian)])
    }

    /// Waits until one generation is active in both roles. What was cut off between the commits the host finishes when it starts; where
    /// it runs on, a call does, as the device's would.
    async fn settled(&self, host_started: bool) -> (u64, Option<u64>) {
        let started = Instant::now();
        loop {
            match timeout(ANSWER_MAX, self.numbers()).await {
                Ok(Ok([client, custodian])) if client == custodian => return client,
                Ok(Ok(_)) if !host_started => drop(timeout(ANSWER_MAX, self.commit()).await),
                found => assert!(started.elapsed() < SETTLED_MAX, "not settled: {found:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// When each role committed this generation, by the newest receipts of both.
    async fn committed_ms(&self, generation: u64) -> [Option<u64>; 2] {
        let request = GetBackupRequest { wallet: WALLET.to_owned(), backup: "main".to_owned() };
        let backup = self.user.client.get_backup(&request).await.unwrap().backup.unwrap();
        let mut found = [None; 2];
        for signed in &backup.receipts {
            let receipt = Receipt::decode(signed.receipt.as_slice()).unwrap();
            let event = Event::decode(receipt.event.as_slice()).unwrap();
            let is_commit = event.kind() == ActKind::Commit && event.generation == generation;
            found[usize::from(receipt.role() == Role::Custodian)] = is_commit.then_some(event.time_ms);
        }
        let active = backup.generations.iter().filter(|it| it.state() == BackupState::Active);
        assert_eq!(active.count(), 1, "one generation is in force: {:?}", backup.generations);
        found
    }
}

/// What was acknowledged before the kill.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    put: bool,
    commit: bool,
}

/// Puts and commits until there is no answer any more.
async fn act(parties: Parties, round: usize, phase: watch::Sender<Phase>) -> (Passkey, Told) {
    let mut told = Told::default();
    phase.send_replace(Phase::Puts);
    told.put = matches!(timeout(ANSWER_MAX, parties.put(round)).await, Ok(Ok(())));
    if told.put
        && let Ok(Ok(prepared)) = timeout(ANSWER_MAX, parties.device.prepare(WALLET)).await
    {
        phase.send_replace(Phase::Commits);
        told.commit = matches!(timeout(ANSWER_MAX, parties.commit_prepared(&prepared)).await, Ok(Ok(())));
    }
    (parties.user.passkey, told)
}

/// Kills and starts again; gives the time of the kill.
async fn kill(stack: &mut Stack, victim: Victim) -> u64 {
    let at = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    match victim {
        Victim::Host => stack.restart_host().await,
        Victim::Enclave(role) => stack.restart_enclave(role).await,
        Victim::All => stack.restart_enclaves_and_host().await,
    }
    .unwrap();
    u64::try_from(at.as_millis()).unwrap()
}

impl Counts {
    fn add(&mut self, is_put: bool, [client, custodian]: [Option<u64>; 2], kill_ms: u64) {
        let before_kill = |time: Option<u64>| time.is_some_and(|time| time <= kill_ms);
        let count = match (is_put, before_kill(custodian), before_kill(client)) {
            (false, ..) => &mut self.before_put,
            (true, false, _) => &mut self.before_commits,
            (true, true, false) => &mut self.between_commits,
            (true, true, true) => &mut self.after_commits,
        };
        *count += 1;
    }
}

/// A backup of both roles, and how long a put and a commit take that nobody cuts off.
async fn backed_up(stack: &Stack) -> (Parties, [Duration; 2]) {
    let parties = Parties::of(stack, User::new(stack, WALLET).await.unwrap(), 0).await;
    let (prepared, [client, _]) = (parties.device.prepare(WALLET).await.unwrap(), secrets(0));
    let (creation, mut asked) = (creation(&parties.user), parties.user.asked());
    parties.device.backup(&prepared, &creation, shares(borrowed(&client)), &mut asked).await.unwrap();
    let started = Instant::now();
    parties.put(0).await.unwrap();
    let put = started.elapsed();
    let prepared = parties.device.prepare(WALLET).await.unwrap();
    let started = Instant::now();
    parties.commit_prepared(&prepared).await.unwrap();
    (parties, [put, started.elapsed()].map(|it| it.mul_f64(REACH)))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_generation_is_active_in_both_roles_and_opens_wherever_a_kill_cuts_a_commit_off() {
    let (_folder, mut stack) = stack_of_both().await;
    let (parties, [put, commit]) = backed_up(&stack).await;
    let seed = std::env::var("STRONGROOM_SEED").map_or(SEED, |seed| seed.parse().unwrap());
    println!("seed {seed}; a put within {put:?}, a commit within {commit:?}");
    let (mut random, mut counts, kills) = (Random(seed), Counts::default(), rounds(5, 240));
    let mut passkey = parties.user.passkey;
    // Which round put a generation.
    let mut rounds = BTreeMap::from([(2, 0)]);
    for round in 1..=kills {
        let (victim, wanted) = (VICTIMS[round % 4], [Phase::Puts, Phase::Commits, Phase::Commits][round % 3]);
        let delay = random.within(if wanted == Phase::Puts { put } else { commit });
        let (phase, mut reached) = watch::channel(Phase::Prepares);
        let parties = Parties::returning(&stack, passkey, round).await;
        let before = parties.settled(false).await;
        let acting = tokio::spawn(act(parties, round, phase));
        // It has ended where nobody tells of its phase any more.
        let _ = reached.wait_for(|phase| *phase >= wanted).await;
        tokio::time::sleep(delay).await;
        let kill_ms = kill(&mut stack, victim).await;
        let (returned, told) = acting.await.unwrap();

        let parties = Parties::returning(&stack, returned, round).await;
        let host_started = matches!(victim, Victim::Host | Victim::All);
        let (active, pending) = parties.settled(host_started).await;
        let new = [Some(active), pending].into_iter().flatten().find(|number| !rounds.contains_key(number));
        let name =
            format!("round {round}, {victim:?} {delay:?} into {wanted:?}, {told:?}: {before:?} {active} {pending:?}");
        rounds.extend(new.map(|number| (number, round)));
        assert!(new.is_some() || !told.put, "{name}: an acknowledged put is lost");
        assert!(new == Some(active) || !told.commit, "{name}: an acknowledged commit is lost");
        assert!(active == before.0 || Some(active) == new, "{name}: neither the old generation nor the new one");
        let committed_ms = parties.committed_ms(new.unwrap_or_default()).await;
        counts.add(new.is_some(), committed_ms, kill_ms);
        parties.check_recovery(rounds[&active]).await;
        // Now and then what waits is committed late, and else the next put takes its place.
        if let Some(waits) = pending.filter(|_| random.below(2) == 0) {
            parties.commit().await.unwrap();
            assert_eq!(parties.settled(false).await, (waits, None), "{name}");
            parties.check_recovery(rounds[&waits]).await;
        }
        passkey = parties.user.passkey;
    }
    println!("{kills} kills: {counts:?}");
    let Counts { before_put, before_commits, between_commits, after_commits } = counts;
    let each = [before_put, before_commits, between_commits, after_commits];
    assert!(kills < 200 || each.iter().all(|count| *count > 0), "the kills leave a place out: {counts:?}");
}
