//! The log of one test, as an operator would read it.

use std::io;
use std::sync::{Arc, Mutex};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;

use crate::config::{Format, Log};
use crate::telemetry::subscriber;

/// What was written.
#[derive(Clone, Default)]
pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    /// The log of this thread goes here until the guard is dropped.
    pub(crate) fn from_here_on(level: LevelFilter) -> (Self, DefaultGuard) {
        let written = Self::default();
        let writer = written.clone();
        let guard =
            tracing::subscriber::set_default(subscriber(Log { level, format: Format::Text }, move || writer.clone()));
        (written, guard)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
