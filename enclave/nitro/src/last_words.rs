//! A production enclave has no console: where it panics, one line goes to the parent. It says where, and never what: a message could hold
//! what must not leave.

use std::io::Write;
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use vsock::{VsockAddr, VsockStream};

/// The parent's port for last words.
const PORT: u32 = 9002;
/// Most lines of one process: a panic that repeats says nothing new.
const LINES_MAX: u32 = 8;
/// Longest wait for the parent.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// From now on panics are told to the parent.
pub(crate) fn install(parent_cid: u32) {
    let said = AtomicU32::new(0);
    panic::set_hook(Box::new(move |info| {
        let line = line(info);
        eprint!("{line}");
        if said.fetch_add(1, Ordering::Relaxed) < LINES_MAX {
            // Nobody may listen; there is nothing to be done about it here.
            drop(say(parent_cid, &line));
        }
    }));
}

fn line(info: &PanicHookInfo<'_>) -> String {
    info.location().map_or_else(
        || "strongroom: panic\n".to_owned(),
        |at| format!("strongroom: panic at {}:{}\n", at.file(), at.line()),
    )
}

fn say(parent_cid: u32, line: &str) -> std::io::Result<()> {
    let mut stream = VsockStream::connect(&VsockAddr::new(parent_cid, PORT))?;
    stream.set_write_timeout(Some(WAIT_MAX))?;
    stream.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_panic_says_where_and_never_what() {
        let said = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&said);
        panic::set_hook(Box::new(move |info| *into.lock().unwrap() = line(info)));
        let share = "a share";
        let outcome = panic::catch_unwind(|| panic!("{share}"));
        drop(panic::take_hook());
        assert!(outcome.is_err());
        let said = said.lock().unwrap();
        assert!(said.starts_with("strongroom: panic at ") && said.contains("last_words.rs:"), "{said}");
        assert!(!said.contains(share), "{said}");
    }
}
