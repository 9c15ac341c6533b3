//! Programs that are asked, with a limit on their time and on what they say.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longest time that a program gets.
const WAIT_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Most bytes that are read of what it says. One that fills the pipe runs out of time.
const SAID_BYTES_MAX: u64 = 4 * 1024;

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) success: bool,
    pub(super) out: String,
    pub(super) err: String,
}

pub(super) fn run(program: &Path, arguments: &[&str]) -> io::Result<Ended> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let until = Instant::now() + WAIT_MAX;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("not done within {} s", WAIT_MAX.as_secs())));
        }
        thread::sleep(LOOK_EVERY);
    };
    let said = |from: Option<&mut dyn Read>| -> io::Result<String> {
        let mut bytes = Vec::new();
        if let Some(from) = from {
            from.take(SAID_BYTES_MAX).read_to_end(&mut bytes)?;
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let out = said(child.stdout.as_mut().map(|it| it as &mut dyn Read))?;
    let err = said(child.stderr.as_mut().map(|it| it as &mut dyn Read))?;
    Ok(Ended { success: status.success(), out, err })
}
