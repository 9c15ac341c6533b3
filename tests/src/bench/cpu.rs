//! What a run has used: CPU time of this thread and of other processes, memory, and the time that the hypervisor gave to others.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// Ticks of `/proc` in a second (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

/// CPU time of the calling thread.
#[must_use]
pub fn of_this_thread() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// CPU time of this process.
#[must_use]
pub fn of_this_process() -> Duration {
    read(ClockId::ProcessCPUTime)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// What a clock of CPU time moved by; such a clock does not go back.
#[must_use]
pub fn since(before: Duration, after: Duration) -> Duration {
    after.saturating_sub(before)
}

/// CPU time of a process's whole life, with the threads that have ended, to a hundredth of a second.
pub fn of_life(process: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The command's name, in parentheses, may hold spaces.
    let (_, fields) = stat.rsplit_once(") ").context("a malformed stat")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |field: usize| -> Result<u64> { Ok(fields.get(field).context("a short stat")?.parse()?) };
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 1000 / TICKS_PER_SECOND))
}

/// The machine's ticks so far: all, and those that the hypervisor gave to others.
#[derive(Clone, Copy, Debug)]
pub struct Ticks {
    all: u64,
    stolen: u64,
}

impl Ticks {
    /// As they stand now.
    pub fn now() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().context("an empty /proc/stat")?;
        let fields = line.split_whitespace().skip(1).map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        // The last two, of guests, are counted in the first two already.
        Ok(Self { all: fields.iter().take(8).sum(), stolen: *fields.get(7).context("no steal in /proc/stat")? })
    }

    /// Percent of the ticks since then that went to others.
    pub fn stolen_since(self) -> Result<f64> {
        let now = Self::now()?;
        Ok(100.0 * ratio(now.stolen - self.stolen, (now.all - self.all).max(1)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "ticks of a run are far below 2^52")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
