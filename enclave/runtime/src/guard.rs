//! A panic in a thread or task of the enclave ends the process: nothing goes on with a poisoned state.

use std::future::Future;

/// Ends the process when it is dropped by a panic.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("strongroom: a worker panicked; the enclave ends");
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

/// The same for a task, whose panic its tokio runtime would otherwise swallow.
pub(crate) async fn guarded_task<T>(future: impl Future<Output = T>) -> T {
    let guard = AbortOnPanic;
    let out = future.await;
    drop(guard);
    out
}
