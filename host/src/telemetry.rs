//! The log: lines on standard error that hold fields of a fixed list and nothing else.
//!
//! An event's text is its name, which is fixed in the source; its message is never written, because a message can be made of anything.
//! A field that is not on the list is dropped, whoever made the event. No metrics are served yet.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::clock::now_ms;
use crate::config::{Format, Log};

/// The fields that may be written.
const FIELDS: &[&str] = &[
    "api",
    "cid",
    "code",
    "count",
    "damaged",
    "enclave",
    "epoch",
    "error",
    "generations",
    "left",
    "line",
    "moved",
    "ms",
    "reason",
    "record",
    "request_id",
    "role",
    "rpc",
    "seq",
    "tenant",
    "version",
    "wallet",
    "words",
];
/// Longest value of a field in bytes.
const VALUE_BYTES_MAX: usize = 256;

/// Writes the log to standard error from here on. A second call changes nothing.
pub(crate) fn install(log: Log) {
    // Refused only where a log is installed already, as in tests that start several hosts in one process.
    drop(subscriber(log, std::io::stderr).try_init());
}

pub(crate) fn subscriber(
    log: Log,
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
) -> impl Subscriber + Send + Sync + 'static {
    let ours = Targets::new().with_target("strongroom_host", log.level);
    let filter = ours.with_default(log.level.min(LevelFilter::WARN));
    let layer = tracing_subscriber::fmt::layer().event_format(Lines(log.format)).with_writer(writer);
    tracing_subscriber::registry().with(filter).with(layer)
}

/// How an event becomes a line.
struct Lines(Format);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Listed(Vec::new());
        event.record(&mut fields);
        let metadata = event.metadata();
        let (time, level, name) = (now_ms(), metadata.level(), metadata.name());
        match self.0 {
            Format::Text => {
                write!(writer, "time_ms={time} level={level} event={name:?}")?;
                for (field, value) in &fields.0 {
                    write!(writer, " {field}={value:?}")?;
                }
            }
            Format::Json => {
                write!(writer, "{{\"time_ms\":{time},\"level\":\"{level}\",\"event\":{}", Json(name))?;
                for (field, value) in &fields.0 {
                    write!(writer, ",\"{field}\":{}", Json(value))?;
                }
                writer.write_char('}')?;
            }
        }
        writeln!(writer)
    }
}

/// The fields of one event that are on the list.
struct Listed(Vec<(&'static str, String)>);

impl Visit for Listed {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }
}

impl Listed {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if FIELDS.contains(&field.name()) {
            let mut text = value.to_string();
            text.truncate(text.floor_char_boundary(VALUE_BYTES_MAX));
            self.0.push((field.name(), text));
        }
    }
}

/// A text as JSON (RFC 8259) writes it.
struct Json<'a>(&'a str);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for char in self.0.chars() {
            match char {
                '"' | '\\' => write!(f, "\\{char}")?,
                control if control.is_control() => write!(f, "\\u{:04x}", u32::from(control))?,
                other => f.write_char(other)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: Format, level: LevelFilter, emit: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = subscriber(Log { level, format }, move || writer.clone());
        tracing::subscriber::with_default(subscriber, emit);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn plant() {
        let span = tracing::info_span!("planted-span", secret = "planted-in-span", error = "planted-in-span");
        let _entered = span.enter();
        tracing::info!(name: "call", rpc = "Recover", ms = 7, share = "planted", "message {}", "planted");
        tracing::error!(target: "h2::codec", secret = "planted", error = "planted not", "planted {:?}", "planted");
        tracing::info!(target: "h2::codec", error = "planted, below the level of other crates");
    }

    #[test]
    fn a_planted_secret_is_in_no_line() {
        for format in [Format::Text, Format::Json] {
            let lines = written(format, LevelFilter::TRACE, plant);
            assert_eq!(lines.lines().count(), 2, "{lines}");
            assert_eq!(lines.matches("planted").count(), 1, "only in a listed field: {lines}");
            assert!(lines.contains("Recover") && lines.contains("call"), "{lines}");
        }
    }

    #[test]
    fn lines_have_their_form() {
        let emit = || tracing::info!(name: "call", error = "a\"b\\c\nd", epoch = 3u64, tenant = %"t");
        let text = written(Format::Text, LevelFilter::INFO, emit);
        assert!(text.ends_with("event=\"call\" error=\"a\\\"b\\\\c\\nd\" epoch=\"3\" tenant=\"t\"\n"), "{text}");
        let json = written(Format::Json, LevelFilter::INFO, emit);
        let tail = "\"event\":\"call\",\"error\":\"a\\\"b\\\\c\\u000ad\",\"epoch\":\"3\",\"tenant\":\"t\"}\n";
        assert!(json.ends_with(tail), "{json}");
        assert!(written(Format::Text, LevelFilter::WARN, emit).is_empty());
    }

    #[test]
    fn a_long_value_is_cut_at_a_character() {
        let long = "\u{e9}".repeat(VALUE_BYTES_MAX);
        let line = written(Format::Text, LevelFilter::INFO, || tracing::info!(name: "call", error = %long));
        assert_eq!(line.matches('\u{e9}').count(), VALUE_BYTES_MAX / 2, "{line}");
    }
}
