//! A production enclave has no console, and the lines that it keeps end with it: where it panics or ends, one line goes to the parent. A
//! panic's says where, and never what: a message could hold what must not leave.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use strongroom_runtime::log::Log;
use vsock::{VsockAddr, VsockStream};

/// The parent's port for last words.
const PORT: u32 = 9002;
/// Most panics of one process that are told to the parent: one that repeats says nothing new.
const PANICS_MAX: u32 = 8;
/// Longest wait for the parent at the end.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Longest wait for it where a thread panics: other threads go on until the panic ends the process, so no parent may draw it out.
const PANIC_WAIT_MAX: Duration = Duration::from_millis(200);

/// From now on panics are lines of the log, and told to the parent.
pub(crate) fn install(parent_cid: u32, log: Log) {
    let said = AtomicU32::new(0);
    panic::set_hook(Box::new(move |info| {
        let line = line(info);
        log.note(format_args!("{line}"));
        if said.fetch_add(1, Ordering::Relaxed) < PANICS_MAX {
            say(parent_cid, line, PANIC_WAIT_MAX);
        }
    }));
}

/// Tells the parent why the process ends: the kernel, and with it the kept lines, do not outlive it.
pub(crate) fn end(parent_cid: u32, failure: &str) {
    say(parent_cid, format!("the enclave ends: {failure}"), WAIT_MAX);
}

fn line(info: &PanicHookInfo<'_>) -> String {
    info.location().map_or_else(|| "panic".to_owned(), |at| format!("panic at {}:{}", at.file(), at.line()))
}

/// Says it on a thread of its own, which is waited for no longer than this. Nobody may listen; there is nothing to be done about it here.
fn say(parent_cid: u32, line: String, wait_max: Duration) {
    within(wait_max, move || {
        let connected = VsockStream::connect(&VsockAddr::new(parent_cid, PORT));
        drop(connected.and_then(|stream| deliver(stream, &line)));
    });
}

fn within(wait_max: Duration, work: impl FnOnce() + Send + 'static) {
    let (done, waits) = mpsc::channel::<()>();
    let thread = thread::Builder::new().spawn(move || {
        work();
        drop(done);
    });
    // It hangs up when it is done, and is left behind when it is not.
    if thread.is_ok() {
        waits.recv_timeout(wait_max).ok();
    }
}

fn deliver(mut stream: VsockStream, line: &str) -> std::io::Result<()> {
    stream.set_write_timeout(Some(WAIT_MAX))?;
    stream.set_read_timeout(Some(WAIT_MAX))?;
    stream.write_all(format!("strongroom: {line}\n").as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    // The kernel ends with this process: the line has arrived when the parent has closed its end.
    stream.read(&mut [0]).map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// The hook is the process's own.
    static HOOK: Mutex<()> = Mutex::new(());

    #[test]
    fn a_panic_says_where_and_never_what() {
        let _alone = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
        let log = Log::to(|_| {});
        // Nobody listens: this machine has no such neighbour, or no vsock at all.
        install(u32::MAX - 1, log.clone());
        let share = "a share";
        let outcomes: Vec<_> = (0..2).map(|_| panic::catch_unwind(|| panic!("{share}"))).collect();
        drop(panic::take_hook());
        assert!(outcomes.iter().all(Result::is_err));
        let events = log.events(0).events;
        assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2]);
        for event in events {
            assert!(event.line.starts_with("panic at ") && event.line.contains("last_words.rs:"), "{event:?}");
            assert!(!event.line.contains(share), "{event:?}");
        }
    }

    #[test]
    fn a_parent_that_draws_it_out_holds_no_panic() {
        let (told, hears) = mpsc::channel::<()>();
        let (release, held) = mpsc::channel::<()>();
        within(Duration::from_millis(1), move || {
            // Until the test has come past.
            held.recv().ok();
            told.send(()).ok();
        });
        assert_eq!(hears.try_recv(), Err(mpsc::TryRecvError::Empty));
        release.send(()).unwrap();
        assert_eq!(hears.recv(), Ok(()));
        let (told, hears) = mpsc::channel();
        within(Duration::from_mins(1), move || told.send(()).unwrap());
        assert_eq!(hears.try_recv(), Ok(()), "what is done in time is waited for");
    }
}
