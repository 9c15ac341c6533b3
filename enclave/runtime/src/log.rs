//! Where the runtime says what happened: short lines of ids and reasons.
//!
//! Never bytes of a request, a key or a reply; the caller of [`Log::note`] formats only named
//! reasons, numbers and names of this crate.

use std::fmt;
use std::sync::Arc;

/// A sink for lines, shared by all threads.
#[derive(Clone)]
pub struct Log(Arc<dyn Fn(fmt::Arguments<'_>) + Send + Sync>);

impl Log {
    /// Lines go to standard error, each after `strongroom: `.
    #[must_use]
    pub fn stderr() -> Self {
        Self::to(|line| eprintln!("strongroom: {line}"))
    }

    /// Lines go to `sink`.
    #[must_use]
    pub fn to(sink: impl Fn(fmt::Arguments<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Writes one line.
    pub fn note(&self, line: fmt::Arguments<'_>) {
        (self.0)(line);
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}
