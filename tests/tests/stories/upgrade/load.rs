//! Users who prepare, back up, recover and rehearse, in both roles, for as long as an upgrade takes.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use strongroom_sdk::device::{Device, Recovery, select};
use strongroom_sdk::intent::Creation;
use strongroom_tests::company::{CUSTODIAN_POLICY, Company};
use strongroom_tests::stack::Stack;
use strongroom_tests::user::{User, shares, tenant, trust};
use tokio::sync::{Mutex, RwLock, watch};
use tokio::task::JoinSet;

/// Users at the same time.
pub(super) const USERS: usize = 8;
/// Backups of one wallet, after which its user has a new one.
const BACKUPS_MAX: usize = 6;

/// What is counted.
#[derive(Default)]
struct Counts {
    requests: AtomicUsize,
    failures: Mutex<Vec<String>>,
    rounds: [AtomicUsize; USERS],
}

/// The load, until it is stopped.
pub(super) struct Load {
    users: JoinSet<Vec<Wallet>>,
    counts: Arc<Counts>,
    stop: watch::Sender<bool>,
    /// Held to read by whoever seals for both roles, and to write while the company changes its statement: its backend seals no draft that
    /// was begun under the one before.
    pub(super) statements: Arc<RwLock<()>>,
    stack: Arc<Stack>,
    /// Bytes of the host's log before the load.
    logged: usize,
}

/// A backup that was acknowledged.
#[derive(Clone)]
struct Backup {
    name: String,
    is_of_both: bool,
}

/// A user's wallet, and what was backed up of it.
struct Wallet {
    user: User,
    device: Device,
    company: Arc<Company>,
    backups: Vec<Backup>,
}

fn secrets(wallet: &str, backup: &str, whose: &str) -> [Vec<u8>; 2] {
    ["first", "second"].map(|share| format!("{whose} {share} share of {wallet}, {backup}").into_bytes())
}

impl Load {
    /// Makes the users, each with a backup in both roles, and lets them go on.
    pub(super) async fn start(stack: &Arc<Stack>) -> Self {
        let (stop, statements, counts) = (watch::Sender::new(false), Arc::new(RwLock::new(())), Arc::default());
        let logged = fs::read(&stack.host().unwrap().log).unwrap().len();
        let mut load = Self { users: JoinSet::new(), counts, stop, statements, stack: Arc::clone(stack), logged };
        for number in 0..USERS {
            let wallet = Wallet::new(stack, &format!("w{number}")).await.unwrap();
            let (stack, counts) = (Arc::clone(stack), Arc::clone(&load.counts));
            let (stop, statements) = (load.stop.subscribe(), Arc::clone(&load.statements));
            load.users.spawn(async move {
                let mut wallets = vec![wallet];
                while !*stop.borrow() {
                    let round = counts.rounds[number].load(Ordering::Relaxed);
                    match act(&stack, &statements, &mut wallets, (number, round)).await {
                        Ok(requests) => drop(counts.requests.fetch_add(requests, Ordering::Relaxed)),
                        Err(error) => counts.failures.lock().await.push(format!("{number}.{round}: {error:#}")),
                    }
                    counts.rounds[number].fetch_add(1, Ordering::Relaxed);
                }
                wallets
            });
        }
        load
    }

    /// Waits until every user has begun and ended a round of each kind from now on.
    pub(super) async fn goes_on(&self) {
        let before: Vec<usize> = self.counts.rounds.iter().map(|rounds| rounds.load(Ordering::Relaxed)).collect();
        let is_behind = |(rounds, before): (&AtomicUsize, &usize)| rounds.load(Ordering::Relaxed) < before + KINDS + 1;
        while self.counts.rounds.iter().zip(&before).any(is_behind) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops it, and recovers every backup that was acknowledged. Gives the requests and what failed of them.
    pub(super) async fn finish(mut self) -> (usize, Vec<String>) {
        self.stop.send_replace(true);
        let mut failures = Vec::new();
        while let Some(wallets) = self.users.join_next().await {
            for wallet in wallets.unwrap() {
                for backup in &wallet.backups {
                    if let Err(error) = wallet.recover(backup).await {
                        failures.push(format!("{}, {}: {error:#}", wallet.user.wallet, backup.name));
                    }
                    self.counts.requests.fetch_add(2, Ordering::Relaxed);
                }
            }
        }
        failures.append(&mut *self.counts.failures.lock().await);
        // The sdk sends anew what was unavailable: the host's log has every call that was refused.
        let log = fs::read(&self.stack.host().unwrap().log).unwrap();
        let log = String::from_utf8_lossy(&log[self.logged..]).into_owned();
        failures.extend(log.lines().filter(|line| line.contains("event=\"call\"")).map(str::to_owned));
        (self.counts.requests.load(Ordering::Relaxed), failures)
    }
}

/// What a user does in turn.
const KINDS: usize = 5;

/// One round: does what is next in turn, and gives how many requests that took.
async fn act(
    stack: &Stack,
    statements: &RwLock<()>,
    wallets: &mut Vec<Wallet>,
    (number, round): (usize, usize),
) -> Result<usize> {
    let wallet = wallets.last_mut().context("a user has a wallet")?;
    let name = format!("b{round}");
    match (number + round) % KINDS {
        0 => wallet.device.prepare(&wallet.user.wallet).await.map(drop)?,
        1 => wallet.recover(&wallet.backups[round % wallet.backups.len()]).await?,
        2 => wallet.rehearse().await?,
        3 if wallet.backups.len() < BACKUPS_MAX => wallet.back_up_alone(&name).await?,
        3 => {
            let _held = statements.read().await;
            wallets.push(Wallet::new(stack, &format!("w{number}-{round}")).await?);
        }
        _ if wallet.backups.len() < BACKUPS_MAX => {
            let _held = statements.read().await;
            wallet.meet(stack).await?;
            wallet.back_up(&name).await?;
        }
        _ => wallet.recover(&wallet.backups[0]).await?,
    }
    Ok(if (number + round).is_multiple_of(KINDS) { 1 } else { 2 })
}

impl Wallet {
    /// A new one, with a backup in both roles.
    async fn new(stack: &Stack, name: &str) -> Result<Self> {
        let user = User::new(stack, name).await?;
        let company = Company::new(stack, name, [b"", b""]).await?;
        let device = Device::new(user.client.clone(), tenant(stack)?, trust(stack)?);
        let mut wallet = Self { user, device, company, backups: Vec::new() };
        wallet.meet(stack).await?;
        wallet.back_up("main").await?;
        Ok(wallet)
    }

    /// Reaches the company's backend as it is now, with its newest statement.
    async fn meet(&mut self, stack: &Stack) -> Result<()> {
        self.company = Company::new(stack, &self.user.wallet, [b"", b""]).await?;
        let device = Device::new(self.user.client.clone(), tenant(stack)?, trust(stack)?);
        self.device = device.with_backend(Arc::clone(&self.company) as _);
        Ok(())
    }

    async fn back_up(&mut self, name: &str) -> Result<()> {
        let [first, second] = secrets(&self.user.wallet, name, "the company's");
        self.company.refresh([&first, &second]);
        let creation = Creation { custodian: Some(CUSTODIAN_POLICY), ..self.user.creation_of(name) };
        self.send(&creation, true).await
    }

    async fn back_up_alone(&mut self, name: &str) -> Result<()> {
        let creation = self.user.creation_of(name);
        self.send(&creation, false).await
    }

    async fn send(&mut self, creation: &Creation, is_of_both: bool) -> Result<()> {
        let [first, second] = secrets(&self.user.wallet, &creation.backup, "the user's");
        let prepared = self.device.prepare(&self.user.wallet).await?;
        self.device.backup(&prepared, creation, shares([&first, &second]), &mut self.user.asked()).await?;
        self.backups.push(Backup { name: creation.backup.clone(), is_of_both });
        Ok(())
    }

    async fn recover(&self, backup: &Backup) -> Result<()> {
        let prepared = self.device.prepare(&self.user.wallet).await?;
        let recipient = self.company.recipient()?;
        let custodian = Some(&recipient).filter(|_| backup.is_of_both);
        let recovery = Recovery { backup: Some(&backup.name), custodian, ..Recovery::default() };
        let recovered = self.device.recover_with(&prepared, &recovery, &mut self.user.asked()).await?;
        let found: Vec<&[u8]> = recovered.shares.iter().map(|share| share.bytes.expose()).collect();
        ensure!(found == secrets(&self.user.wallet, &backup.name, "the user's"), "other shares of {}", backup.name);
        if backup.is_of_both {
            let record = select(&prepared, Some(&backup.name))?.id();
            let found = self.company.open(&recovered.custodian.context("no release")?, record)?;
            let expected = secrets(&self.user.wallet, &backup.name, "the company's");
            ensure!(found == expected, "other shares of the company of {}", backup.name);
        }
        Ok(())
    }

    async fn rehearse(&self) -> Result<()> {
        let prepared = self.device.prepare(&self.user.wallet).await?;
        let rehearsed = self.device.rehearse(&prepared, Some("main"), &mut self.user.asked()).await?;
        ensure!(rehearsed.opens, "a rehearsal found a share that does not open");
        Ok(())
    }
}
