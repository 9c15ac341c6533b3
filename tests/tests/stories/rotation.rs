//! A KEK is rotated while users work: nobody is refused, nothing is lost, and the old epoch retires.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use strongroom_host::keys;
use strongroom_host::store::{SqliteStore, Store};
use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{Kek, KekState, Role};
use strongroom_sdk::client::{ApiKey, Client};
use strongroom_sdk::device::Device;
use strongroom_sdk::{Error, Trust};
use strongroom_tests::rotation::{list, publish, rotate};
use strongroom_tests::stack::Stack;
use strongroom_tests::user::{User, shares, tenant, trust};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::{rounds, stack};

const WALLETS: usize = 30;
const TASKS: usize = 3;
/// Most backups that the load makes of one wallet.
const BACKUPS_MAX: usize = 8;
/// Most rotations until the kill has fallen into a sweep.
const ROTATIONS_MAX: usize = 8;
/// Where a story that hangs ends.
const STORY_MAX: Duration = Duration::from_mins(10);

/// What the load's tasks see of the stack.
#[derive(Clone)]
struct Surroundings {
    api: watch::Receiver<String>,
    stop: watch::Receiver<bool>,
    key: ApiKey,
    tenant: TenantId,
    trust: Trust,
    /// Rounds done, by task.
    rounds: Arc<[AtomicUsize; TASKS]>,
}

impl Surroundings {
    async fn reconnect(&mut self, user: &mut User) {
        loop {
            let api = self.api.borrow_and_update().clone();
            if let Ok(client) = Client::connect(&api, self.key.clone()).await {
                user.device = Device::new(client.clone(), self.tenant, self.trust.clone());
                user.client = client;
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until every task has begun and ended a round from now on.
    async fn everybody_goes_on(&self) {
        let before: Vec<usize> = self.rounds.iter().map(|rounds| rounds.load(Ordering::Relaxed)).collect();
        while self.rounds.iter().zip(&before).any(|(rounds, before)| rounds.load(Ordering::Relaxed) < before + 2) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn secrets(user: &User, backup: &str) -> [Vec<u8>; 2] {
    [
        format!("first of {} {backup}", user.wallet).into_bytes(),
        format!("second of {} {backup}", user.wallet).into_bytes(),
    ]
}

async fn back_up(user: &User, backup: &str) -> Result<(), Error> {
    let [first, second] = secrets(user, backup);
    let prepared = user.device.prepare(&user.wallet).await?;
    let creation = user.creation_of(backup);
    user.device.backup(&prepared, &creation, shares([&first, &second]), &mut user.asked()).await.map(drop)
}

async fn recover(user: &User, backup: &str) -> Result<(), Error> {
    let prepared = user.device.prepare(&user.wallet).await?;
    let recovered = user.device.recover(&prepared, Some(backup), &mut user.asked()).await?;
    let found: Vec<&[u8]> = recovered.shares.iter().map(|share| share.bytes.expose()).collect();
    assert_eq!(found, secrets(user, backup), "{} {backup}", user.wallet);
    Ok(())
}

/// Backs up and recovers, one wallet after the other, until it is stopped. What is refused ends it; a lost connection is made anew.
async fn work(mut users: Vec<User>, task: usize, around: Surroundings) -> Vec<(User, Vec<String>)> {
    let mut made = vec![vec!["main".to_owned()]; users.len()];
    let mut lost = 0;
    while !*around.stop.borrow() {
        let round = around.rounds[task].load(Ordering::Relaxed);
        let (user, made) = (&mut users[round % WALLETS.div_ceil(TASKS)], &mut made[round % WALLETS.div_ceil(TASKS)]);
        let done = if round.is_multiple_of(3) && made.len() < BACKUPS_MAX {
            let backup = format!("b{round}-{lost}");
            let done = back_up(user, &backup).await;
            done.map(|()| made.push(backup))
        } else {
            recover(user, &made[round % made.len()]).await
        };
        match done {
            Ok(()) => drop(around.rounds[task].fetch_add(1, Ordering::Relaxed)),
            Err(Error::Lost(_) | Error::Connection { .. }) => {
                lost += 1;
                let mut around = around.clone();
                for user in &mut users {
                    around.reconnect(user).await;
                }
            }
            Err(error) => panic!("round {round} of task {task}, wallet {}: {error}", user.wallet),
        }
    }
    users.into_iter().zip(made).collect()
}

fn of(keks: &[Kek], epoch: u64) -> &Kek {
    keks.iter().find(|kek| kek.epoch == epoch).unwrap()
}

/// Kills the host once the sweep has moved some of an epoch's records and not yet all. Says whether it came in time.
async fn kill_in_the_sweep(stack: &mut Stack, epoch: u64, api: &watch::Sender<String>) -> bool {
    let before = of(&list(stack).await.unwrap(), epoch).records;
    loop {
        let left = of(&list(stack).await.unwrap(), epoch).records;
        if left == 0 {
            return false;
        }
        if left < before {
            break;
        }
    }
    kill(stack.host().unwrap().id());
    let store = SqliteStore::open(&stack.database()).unwrap();
    let queue = keys::listed(&tenant(stack).unwrap(), Role::Client, epoch);
    let queued = store.scan(queue, None, 1).await.unwrap();
    drop(store);
    stack.restart_host().await.unwrap();
    api.send_replace(stack.api().unwrap());
    !queued.is_empty()
}

/// Kills a process as a power failure would, and waits until it is dead.
fn kill(id: u32) {
    assert!(Command::new("kill").args(["-9", &id.to_string()]).status().unwrap().success());
    let is_dead = |status: String| status.lines().any(|line| line.starts_with("State:\tZ"));
    while !std::fs::read_to_string(format!("/proc/{id}/status")).map_or(true, is_dead) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

async fn retired(stack: &Stack, epoch: u64) {
    loop {
        let kek = *of(&list(stack).await.unwrap(), epoch);
        if kek.state() == KekState::Retired {
            assert_eq!((kek.records, kek.shares), (0, 0));
            return;
        }
        assert_eq!(kek.state(), KekState::Retiring);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_under_load_and_a_kill_9_refuses_nobody_and_loses_nothing() {
    tokio::time::timeout(STORY_MAX, story()).await.unwrap();
}

async fn story() {
    let (_folder, mut stack) = stack().await;
    let mut users: Vec<Vec<User>> = (0..TASKS).map(|_| Vec::new()).collect();
    for number in 0..WALLETS {
        let user = User::new(&stack, &format!("w-{number}")).await.unwrap();
        back_up(&user, "main").await.unwrap();
        users[number % TASKS].push(user);
    }
    let (api, stop) = (watch::Sender::new(stack.api().unwrap()), watch::Sender::new(false));
    let around = Surroundings {
        api: api.subscribe(),
        stop: stop.subscribe(),
        key: ApiKey::read(&stack.api_key_file()).unwrap(),
        tenant: tenant(&stack).unwrap(),
        trust: trust(&stack).unwrap(),
        rounds: Arc::default(),
    };
    let mut tasks = JoinSet::new();
    for (task, users) in users.into_iter().enumerate() {
        tasks.spawn(work(users, task, around.clone()));
    }

    let (mut killed, mut newest) = (0, 1);
    for _ in 0..ROTATIONS_MAX {
        let old = newest;
        newest = rotate(&stack).await.unwrap();
        let waiting = rotate(&stack).await.unwrap_err().to_string();
        assert!(waiting.contains("waits for its statement"), "{waiting}");
        // Devices that hold the statement before still seal to the old epoch, for as long as their intents last.
        publish(&stack, Some(old)).await.unwrap();
        killed += usize::from(kill_in_the_sweep(&mut stack, old, &api).await);
        unless_ended(&mut tasks, around.everybody_goes_on()).await;
        publish(&stack, None).await.unwrap();
        unless_ended(&mut tasks, around.everybody_goes_on()).await;
        unless_ended(&mut tasks, retired(&stack, old)).await;
        if killed >= rounds(1, 3) {
            break;
        }
    }
    assert!(killed > 0, "no kill fell into a sweep");

    stop.send_replace(true);
    let (mut recovered, mut made) = (0, 0);
    while let Some(users) = tasks.join_next().await {
        for (mut user, backups) in users.unwrap() {
            around.clone().reconnect(&mut user).await;
            for backup in &backups {
                recover(&user, backup).await.unwrap();
            }
            (recovered, made) = (recovered + 1, made + backups.len());
        }
    }
    assert_eq!(recovered, WALLETS);
    let rounds: usize = around.rounds.iter().map(|rounds| rounds.load(Ordering::Relaxed)).sum();
    println!("{rounds} rounds through {} rotations and {killed} kills; {made} backups recovered", newest - 1);
    let keks = list(&stack).await.unwrap();
    assert_eq!(of(&keks, newest).state(), KekState::Current);
    let current = of(&keks, newest);
    assert!(current.records >= made as u64 && current.shares == 2 * current.records, "{current:?}");
}

/// Waits, and ends with the first task that ends, which no task should.
async fn unless_ended<T: 'static>(tasks: &mut JoinSet<T>, wait: impl Future<Output = ()>) {
    tokio::select! {
        () = wait => {}
        Some(ended) = tasks.join_next() => {
            drop(ended.unwrap());
            panic!("a task of the load ended by itself");
        }
    }
}
