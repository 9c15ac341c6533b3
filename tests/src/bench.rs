//! `make bench`: what a recovery costs against the floor of its cryptography.
//!
//! Rounds are interleaved: in each of them the floor, storing, recovering one share and both, and both hops are measured one after the other, so that what
//! the machine does meanwhile meets all of them alike. A ratio is the median of the rounds' ratios. Numbers of two runs do not compare.

mod both;
pub mod cpu;
pub mod floor;
pub mod hop;
pub mod load;
mod report;
mod start;
mod summary;
mod svg;
mod wallets;
mod xwing;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::share;
use crate::stack::Stack;
use crate::stack::roles::BOTH;
use both::WalletsOfBoth;
use floor::{Floor, SHARE_BYTES};
use hop::{Kind, Pair};
use load::Window;
use report::Report;
use start::Start;
use summary::{Samples, each_second, is_noisy, micros_each};
use wallets::Wallets;

/// Measured rounds of a run; one more before them is thrown away.
const ROUNDS: usize = 7;
/// Runs until one is calm enough.
const RUNS_MAX: usize = 3;
/// Times that a part of the floor is carried out for one sample.
const FLOOR_TIMES: usize = 100;
/// Recoveries one after the other in each round.
const ALONE: usize = 50;

/// CPU time of a load in each round, in microseconds for each call, with the floor of the same round; and the calls per second.
#[derive(Clone, Debug, Default)]
struct Loaded {
    floor: Samples,
    host: Samples,
    enclave: Samples,
    rate: Samples,
}

/// A hop in each round.
#[derive(Clone, Debug, Default)]
struct Hopped {
    rate: Samples,
    cpu: Samples,
}

/// Everything that a run found.
#[derive(Clone, Debug, Default)]
struct Measured {
    recover: Loaded,
    both: Loaded,
    store: Loaded,
    frames: Hopped,
    grpc: Hopped,
    alone_ms: Samples,
    start: Start,
    steal_percent: f64,
}

/// Measures until a run is calm, prints and draws each.
pub async fn run() -> Result<()> {
    let target = target()?;
    for run in 1..=RUNS_MAX {
        let measured = measure(&target).await?;
        let floors = [&measured.recover.floor, &measured.both.floor, &measured.store.floor];
        let noisy = is_noisy(&floors, measured.steal_percent);
        let report = Report::of(&measured);
        report.print();
        report.write(&target)?;
        if !noisy {
            return Ok(());
        }
        println!("NOISY: the machine had other things to do (run {run} of {RUNS_MAX})");
    }
    Ok(())
}

/// The folder of the build: on the disk, as a store would be.
fn target() -> Result<PathBuf> {
    let mut folder = std::env::current_exe()?;
    folder.pop();
    folder.pop();
    Ok(folder)
}

async fn measure(target: &Path) -> Result<Measured> {
    let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(target)?;
    let floor = Floor::new()?;
    floor.check()?;
    let mut loads = Loads::start(folder.path()).await?;
    let hops = (Pair::start(Kind::Frames, folder.path()).await?, Pair::start(Kind::Grpc, folder.path()).await?);
    round(&mut Measured::default(), &floor, &mut loads, &hops).await?;
    let ticks = cpu::Ticks::now()?;
    let mut measured = Measured::default();
    for number in 1..=ROUNDS {
        eprintln!("round {number} of {ROUNDS}");
        round(&mut measured, &floor, &mut loads, &hops).await?;
    }
    measured.steal_percent = ticks.stolen_since()?;
    drop(hops);
    let Loads { mut one, of_both } = loads;
    drop(of_both);
    measured.start = start::measure(&mut one.0, &mut one.1).await?;
    Ok(measured)
}

/// What is measured in every round: a stack for client shares, and one for both, each with its wallets. While one of them answers, the
/// other rests.
struct Loads {
    one: (Stack, Wallets),
    of_both: (Stack, WalletsOfBoth),
}

impl Loads {
    async fn start(folder: &Path) -> Result<Self> {
        let [(_, _, mut share), (_, _, other)] = share::two_curves();
        share.extend_from_slice(&other);
        share.truncate(SHARE_BYTES);
        let stack = Stack::start(folder).await?;
        let wallets = Wallets::new(&stack, share.clone()).await?;
        let stack_of_both = Stack::start_with(&folder.join("both"), BOTH).await?;
        let wallets_of_both = WalletsOfBoth::new(&stack_of_both, share).await?;
        Ok(Self { one: (stack, wallets), of_both: (stack_of_both, wallets_of_both) })
    }
}

async fn round(measured: &mut Measured, floor: &Floor, loads: &mut Loads, hops: &(Pair, Pair)) -> Result<()> {
    let (stack, wallets) = (&loads.one.0, &mut loads.one.1);
    let before = sample(|| floor.storing())?;
    let window = wallets.store(stack).await?;
    measured.store.add(before.midpoint(sample(|| floor.storing())?), window);
    let before = sample(|| floor.recovery())?;
    let window = wallets.recover(stack).await?;
    measured.recover.add(before.midpoint(sample(|| floor.recovery())?), window);
    for time in wallets.recover_alone(ALONE).await? {
        measured.alone_ms.add(time.as_secs_f64() * 1e3);
    }
    let before = sample(|| floor.recovery_of_both())?;
    let window = loads.of_both.1.recover(&loads.of_both.0).await?;
    measured.both.add(before.midpoint(sample(|| floor.recovery_of_both())?), window);
    for (hopped, pair) in [(&mut measured.frames, &hops.0), (&mut measured.grpc, &hops.1)] {
        let window = pair.window().await?;
        hopped.rate.add(each_second(window.calls, window.wall));
        hopped.cpu.add(micros_each(window.cpu, window.calls));
    }
    Ok(())
}

/// Microseconds of CPU time of one part of the floor.
fn sample(part: impl Fn() -> Result<()>) -> Result<f64> {
    let before = cpu::of_this_thread();
    for _ in 0..FLOOR_TIMES {
        part()?;
    }
    Ok(micros_each(cpu::since(before, cpu::of_this_thread()), FLOOR_TIMES))
}

impl Loaded {
    fn add(&mut self, floor: f64, window: Window) {
        self.floor.add(floor);
        self.host.add(micros_each(window.host, window.calls));
        self.enclave.add(micros_each(window.enclave, window.calls));
        self.rate.add(each_second(window.calls, window.wall));
    }
}
