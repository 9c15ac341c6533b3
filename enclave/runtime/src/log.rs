//! Where the runtime says what happened: short lines of ids and reasons.
//!
//! Never bytes of a request, a key or a reply; the caller of [`Log::note`] formats only named
//! reasons, numbers and names of this crate. The last lines are kept for whoever asks: a production
//! enclave has no console.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use strongroom_proto::enclave::v1::Events;

mod ring;

use ring::Ring;

/// A sink for lines and the last of them, shared by all threads.
#[derive(Clone)]
pub struct Log(Arc<Shared>);

struct Shared {
    ring: Ring,
    sink: Box<dyn Fn(fmt::Arguments<'_>) + Send + Sync>,
}

impl Log {
    /// Lines go to standard error, each after `strongroom: `. In production nobody is there: what cannot be written is kept all the same, and
    /// ends nothing, as `eprintln!` would.
    #[must_use]
    pub fn stderr() -> Self {
        Self::to(|line| drop(writeln!(io::stderr(), "strongroom: {line}")))
    }

    /// Lines go to `sink`. Their time starts now.
    #[must_use]
    pub fn to(sink: impl Fn(fmt::Arguments<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { ring: Ring::start(), sink: Box::new(sink) }))
    }

    /// Writes one line.
    pub fn note(&self, line: fmt::Arguments<'_>) {
        self.0.ring.add(line);
        (self.0.sink)(line);
    }

    /// The kept lines after number `after`, as many as one answer holds.
    #[must_use]
    pub fn events(&self, after: u64) -> Events {
        self.0.ring.after(after)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::Command;

    use super::*;

    /// What the test does when it is run again in a process of its own.
    const CHILD: &str = "STRONGROOM_LOG_CHILD";

    #[test]
    fn a_console_that_takes_nothing_ends_nothing() {
        if std::env::var_os(CHILD).is_some() {
            let log = Log::stderr();
            assert!(io::stderr().write(b"?").is_err(), "this console takes lines");
            log.note(format_args!("said to nobody"));
            assert_eq!(log.events(0).events.len(), 1);
            return;
        }
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "log::tests::a_console_that_takes_nothing_ends_nothing"]).env(CHILD, "1");
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = again.stderr(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
}
