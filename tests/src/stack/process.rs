//! One child process: started, awaited until it says that it is ready, killed when dropped.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::vm::listener::Listener;

/// Longest time until a process says that it is ready.
const READY_TIME_MAX: Duration = Duration::from_mins(1);

/// A running process of the stack.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Everything that it printed, both streams.
    pub log: PathBuf,
    /// What ends with it.
    companions: Vec<Companion>,
}

/// What a process needs beside it.
#[derive(Debug)]
pub enum Companion {
    /// Another process.
    Process(Process),
    /// A socket that we answer.
    Listener(Listener),
}

impl Process {
    /// Starts `command` and waits for a line of standard output that begins with `ready`; gives the rest of that line.
    pub fn start(mut command: Command, log: &Path, ready: &'static str) -> Result<(Self, String)> {
        let file = open_log(log)?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file.try_clone()?)
            .spawn()
            .with_context(|| format!("starting {command:?}: were the binaries built? (cargo build --bins)"))?;
        let stdout = child.stdout.take().context("no standard output")?;
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(rest) = line.strip_prefix(ready) {
                    // Only the first such line is awaited.
                    let _ = sender.send(rest.trim().to_owned());
                }
                let _ = writeln!(&file, "{line}");
            }
        });
        let process = Self { child, log: log.to_owned(), companions: Vec::new() };
        match receiver.recv_timeout(READY_TIME_MAX) {
            Ok(rest) => Ok((process, rest)),
            Err(_) => bail!("{command:?} did not say {ready:?}; its log ends so:\n{}", process.log_tail()),
        }
    }

    /// Starts `command`, which does not say when it is ready.
    pub fn start_quiet(mut command: Command, log: &Path) -> Result<Self> {
        let file = open_log(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        Ok(Self { child, log: log.to_owned(), companions: Vec::new() })
    }

    /// The same, with what is to end when it ends.
    #[must_use]
    pub fn with(mut self, companions: Vec<Companion>) -> Self {
        self.companions.extend(companions);
        self
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as a power failure would: no signal handler runs.
    pub fn kill(mut self) {
        self.end();
    }

    /// Asks it to drain and end, and waits for that.
    pub fn terminate(mut self) -> Result<()> {
        let status = Command::new("kill").arg(self.id().to_string()).status()?;
        if !status.success() {
            bail!("kill: {status}");
        }
        let ended = self.child.wait()?;
        if ended.success() { Ok(()) } else { Err(anyhow!("ended with {ended}:\n{}", self.log_tail())) }
    }

    /// Resident memory in bytes (`VmRSS`).
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib * 1024)
    }

    /// CPU time that its threads have used so far.
    pub fn cpu_time(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.id()))? {
            let schedstat = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            nanoseconds += schedstat.split(' ').next().context("an empty schedstat")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// The last lines of what it printed.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.companions.clear();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn open_log(log: &Path) -> std::io::Result<File> {
    File::options().create(true).append(true).open(log)
}

/// The path of a binary of this workspace, built into the same folder as the running one.
pub fn binary(name: &str) -> Result<PathBuf> {
    let mut folder = std::env::current_exe()?;
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join(name);
    if path.is_file() { Ok(path) } else { bail!("{} is not there: run `cargo build --bins` first", path.display()) }
}

/// The library of the package `faketime`, which lies in a folder of the machine's kind.
pub(super) fn libfaketime() -> Result<PathBuf> {
    let library =
        |entry: std::io::Result<std::fs::DirEntry>| Some(entry.ok()?.path().join("faketime/libfaketimeMT.so.1"));
    let found = std::fs::read_dir("/usr/lib")?.filter_map(library).find(|path| path.is_file());
    found.context("libfaketime is not there: install the package faketime")
}
