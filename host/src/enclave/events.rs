//! What an enclave says of itself: its health and its lines. They are looked at together, go to the log at a bounded rate, and the last
//! are kept for the operator, also when the enclave has gone.
//!
//! A production enclave has no console: this is where its reasons are read. Nothing here judges them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use strongroom_proto::enclave::v1::{self as frames, Event, GetEvents, Health, request, response};
use strongroom_proto::limits::{EVENT_LINE_BYTES_MAX, EVENTS_ANSWERED_MAX};
use strongroom_proto::v1::{FleetEnclave, FleetEvent, Role};

use super::link::Link;
use super::{Shared, keeper};
use crate::clock::now_ms;
use crate::config::Address;
use crate::error::Error;

/// Most lines of an enclave that are kept.
const KEPT_MAX: usize = 64;
/// Most lines of an enclave that the log takes at once: all that one keeps.
const LOGGED_AT_ONCE_MAX: u32 = 256;
/// After that many, it takes one more each time that this has passed.
const LOGGED_EVERY: Duration = Duration::from_millis(200);
/// Most answers that one look takes: all that an enclave keeps, and once more from the first where it is another one.
const ANSWERS_MAX: usize = 10;
/// Longest text of why an enclave cannot be used, in bytes.
const PROBLEM_BYTES_MAX: usize = 512;

/// What is known of one enclave.
pub(super) struct Watch {
    address: String,
    heard: Mutex<Heard>,
    /// One connection at a time reads lines, so that answers are taken in the order in which they were given.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Heard {
    health: Health,
    /// When that was, by the host's clock; 0: never.
    seen_ms: u64,
    /// Why the last attempt to use the enclave failed.
    problem: String,
    /// The newest line read, and the uptime with it.
    newest: Event,
    uptime_ms: u64,
    kept: VecDeque<FleetEvent>,
    rate: Rate,
}

/// What one answer brought.
#[derive(Debug, Default, Eq, PartialEq)]
struct News {
    /// Lines for the log, the number and the text.
    lines: Vec<(u64, String)>,
    /// Lines that the enclave had dropped before they were read.
    lost: u64,
    /// Lines that the log has no room for.
    unlogged: u64,
    /// The answer had room for more.
    is_all: bool,
    /// The enclave is another one than before: its lines must be read from the first.
    is_new: bool,
}

/// Reads the enclave's new lines, on a connection of the keeper's. Where they are of another process than those before, what was learned of
/// that one's PCR16 is forgotten.
///
/// # Errors
/// Where the connection does not answer. An enclave of a release that knows no such call says so, and nothing is read.
pub(super) async fn hear(shared: &Shared, link: &Link, health: &Health) -> Result<(), Error> {
    let watch = &shared.watch;
    watch.saw(health.clone(), now_ms());
    // Another connection is at it.
    let Ok(_alone) = watch.reading.try_lock() else { return Ok(()) };
    for _ in 0..ANSWERS_MAX {
        let ask = request::Body::GetEvents(GetEvents { after: watch.heard().after() });
        let answer = match keeper::control(link.send(keeper::encode(ask))?).await {
            Ok(response::Body::Events(answer)) => answer,
            Ok(_) => return Err(Error::Internal("an enclave's answer to GetEvents")),
            Err(Error::Enclave { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let news = watch.heard().take(answer, now_ms(), Instant::now());
        news.log(shared.role.as_str_name());
        if news.is_new {
            *shared.pcr16() = None;
        }
        if !news.is_new && news.is_all {
            break;
        }
    }
    Ok(())
}

impl Watch {
    pub(super) fn new(address: &Address) -> Self {
        Self {
            address: plain(&address.to_string(), PROBLEM_BYTES_MAX),
            heard: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Takes down why the enclave cannot be used.
    pub(super) fn failed(&self, problem: &dyn fmt::Display) {
        self.heard().problem = plain(&problem.to_string(), PROBLEM_BYTES_MAX);
    }

    fn saw(&self, health: Health, now_ms: u64) {
        let mut heard = self.heard();
        (heard.health, heard.seen_ms) = (health, now_ms);
    }

    /// Everything, for the operator.
    pub(super) fn fleet(&self, role: Role, connected: bool) -> FleetEnclave {
        let heard = self.heard();
        let health = &heard.health;
        FleetEnclave {
            role: role.into(),
            address: self.address.clone(),
            connected,
            missing: health.missing.iter().map(|missing| plain(missing, EVENT_LINE_BYTES_MAX)).collect(),
            release: health.release,
            development: health.development,
            time_ms: health.time_ms,
            seen_ms: heard.seen_ms,
            uptime_ms: heard.uptime_ms,
            problem: if connected { String::new() } else { heard.problem.clone() },
            events: heard.kept.iter().cloned().collect(),
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    /// Asks for the newest known line again: where another one comes under its number, it is another enclave.
    fn after(&self) -> u64 {
        self.newest.seq.saturating_sub(1)
    }

    /// Takes the answer to what [`Heard::after`] asked.
    fn take(&mut self, answer: frames::Events, now_ms: u64, now: Instant) -> News {
        let mut news = News::default();
        let events = answer
            .events
            .into_iter()
            .take(EVENTS_ANSWERED_MAX)
            .map(|event| Event { line: plain(&event.line, EVENT_LINE_BYTES_MAX), ..event });
        let events: Vec<Event> = events.collect();
        let is_other = |event: &Event| event.seq == self.newest.seq && *event != self.newest;
        if answer.uptime_ms < self.uptime_ms || answer.next <= self.newest.seq || events.first().is_some_and(is_other) {
            (self.newest, self.uptime_ms) = (Event::default(), 0);
            news.is_new = true;
            return news;
        }
        self.uptime_ms = answer.uptime_ms;
        news.is_all = events.len() < EVENTS_ANSWERED_MAX;
        for event in events {
            if event.seq <= self.newest.seq {
                continue;
            }
            if self.newest.seq > 0 {
                news.lost = news.lost.saturating_add(event.seq - self.newest.seq - 1);
            }
            if self.kept.len() >= KEPT_MAX {
                self.kept.pop_front();
            }
            let ago = answer.uptime_ms.saturating_sub(event.uptime_ms);
            let line = event.line.clone();
            self.kept.push_back(FleetEvent { seq: event.seq, said_ms: now_ms.saturating_sub(ago), line });
            if self.rate.take(now) {
                news.lines.push((event.seq, event.line.clone()));
            } else {
                news.unlogged += 1;
            }
            self.newest = event;
        }
        news
    }
}

impl News {
    fn log(&self, role: &str) {
        if self.lost > 0 {
            tracing::warn!(name: "enclave said more than it keeps", role, count = self.lost);
        }
        for (seq, line) in &self.lines {
            tracing::info!(name: "enclave says", role, seq, line = line.as_str());
        }
        if self.unlogged > 0 {
            tracing::debug!(name: "enclave says more than is logged", role, count = self.unlogged);
        }
    }
}

/// How much the log takes: a bucket of [`LOGGED_AT_ONCE_MAX`], filled by one each [`LOGGED_EVERY`].
struct Rate {
    left: u32,
    /// Until when it has been filled; nothing before the first line.
    filled: Option<Instant>,
}

impl Default for Rate {
    fn default() -> Self {
        Self { left: LOGGED_AT_ONCE_MAX, filled: None }
    }
}

impl Rate {
    /// Whether there is room for a line.
    fn take(&mut self, now: Instant) -> bool {
        let filled = *self.filled.get_or_insert(now);
        let periods = now.saturating_duration_since(filled).as_millis() / LOGGED_EVERY.as_millis();
        let more = u32::try_from(periods).unwrap_or(u32::MAX).min(LOGGED_AT_ONCE_MAX);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(LOGGED_AT_ONCE_MAX);
            // What is left of a period counts on, unless the bucket was full.
            self.filled = if self.left == LOGGED_AT_ONCE_MAX { Some(now) } else { Some(filled + LOGGED_EVERY * more) };
        }
        let room = self.left > 0;
        self.left = self.left.saturating_sub(1);
        room
    }
}

/// A text that makes one line of one script, whoever wrote it: everything but printable ASCII becomes a question mark.
fn plain(text: &str, bytes_max: usize) -> String {
    text.chars().take(bytes_max).map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests;
