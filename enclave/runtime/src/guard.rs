//! A panic in a thread or task of the enclave ends the process: nothing goes on with a poisoned state.

use std::future::{Future, poll_fn};
use std::io::Write;
use std::pin::pin;

/// Ends the process when it is dropped by a panic.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Nobody may take it.
            drop(writeln!(std::io::stderr(), "strongroom: a worker panicked; the enclave ends"));
            std::process::abort();
        }
    }
}

/// Runs `f`; ends the process where it panics.
pub(crate) fn guarded<T>(f: impl FnOnce() -> T) -> T {
    let guard = AbortOnPanic;
    let out = f();
    drop(guard);
    out
}

/// The same for a task, whose panic its tokio runtime would otherwise swallow. Guarded is what the task does: one that waits, and is
/// dropped because its thread panics elsewhere, did not panic.
pub(crate) async fn guarded_task<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|context| guarded(|| future.as_mut().poll(context))).await
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    /// What the test does when it is run again in a process of its own.
    const CHILD: &str = "STRONGROOM_GUARD_CHILD";
    const SIGABRT: i32 = 6;

    #[test]
    fn a_panic_in_a_guarded_thread_or_task_ends_the_process() {
        match std::env::var(CHILD).as_deref() {
            Ok("thread") => drop(std::thread::spawn(|| guarded(|| panic!("meant"))).join()),
            Ok("task") => drop(block_on(async { tokio::spawn(guarded_task(async { panic!("meant") })).await })),
            Ok("dropped") => {
                let waiting = async {
                    tokio::spawn(guarded_task(std::future::pending::<()>()));
                    tokio::task::yield_now().await;
                    panic!("meant, of a test or of whoever holds the runtime");
                };
                drop(std::thread::spawn(|| block_on(waiting)).join());
            }
            Ok("unguarded") => drop(std::thread::spawn(|| panic!("meant")).join()),
            Ok(_) => assert_eq!(guarded(|| 1) + block_on(guarded_task(async { 1 })), 2),
            Err(_) => {
                let signals = ["thread", "task", "dropped", "unguarded", "no panic"].map(run_again);
                assert_eq!(signals, [Some(SIGABRT), Some(SIGABRT), None, None, None]);
            }
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    /// Runs this test alone in a new process, and returns the signal that ended it.
    fn run_again(child: &str) -> Option<i32> {
        let name = "guard::tests::a_panic_in_a_guarded_thread_or_task_ends_the_process";
        let this = std::env::current_exe().unwrap();
        let output = Command::new(this).args([name, "--exact"]).env(CHILD, child).output().unwrap();
        assert_eq!(output.status.success(), output.status.signal().is_none(), "{child}");
        output.status.signal()
    }
}
