//! The last lines, each with its number and its time since the start; bounded by count and bytes.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use strongroom_proto::enclave::v1::{Event, Events};
use strongroom_proto::limits::{EVENT_LINE_BYTES_MAX, EVENTS_ANSWERED_MAX, EVENTS_BYTES_MAX, EVENTS_MAX};

/// The ring, for all threads.
pub(super) struct Ring {
    started: Instant,
    kept: Mutex<Kept>,
}

/// What is kept; the numbers ascend by one.
#[derive(Default)]
struct Kept {
    events: VecDeque<Event>,
    /// Of all lines together.
    bytes: usize,
    /// How many lines there were.
    said: u64,
}

impl Ring {
    /// An empty ring, whose time starts now.
    pub(super) fn start() -> Self {
        Self { started: Instant::now(), kept: Mutex::default() }
    }

    /// Adds a line, and drops the oldest ones that it leaves no room for.
    pub(super) fn add(&self, line: fmt::Arguments<'_>) {
        // Before the lock is taken: formatting is foreign code, and may note a line itself.
        let line = Cut::of(line);
        let mut kept = self.lock();
        // Within the lock, so that times ascend as numbers do.
        let uptime_ms = self.uptime_ms();
        kept.push(uptime_ms, line);
    }

    /// The kept lines after number `after`, the oldest first.
    pub(super) fn after(&self, after: u64) -> Events {
        let kept = self.lock();
        let later = kept.events.iter().filter(|event| event.seq > after);
        let next = kept.said.saturating_add(1);
        Events {
            events: later.take(EVENTS_ANSWERED_MAX).cloned().collect(),
            oldest: kept.events.front().map_or(next, |event| event.seq),
            next,
            uptime_ms: self.uptime_ms(),
        }
    }

    fn uptime_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Nothing panics while the lock is held, so it is never found poisoned.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn push(&mut self, uptime_ms: u64, line: String) {
        while self.events.len() >= EVENTS_MAX || self.bytes.saturating_add(line.len()) > EVENTS_BYTES_MAX {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.line.len());
        }
        self.said = self.said.saturating_add(1);
        self.bytes = self.bytes.saturating_add(line.len());
        self.events.push_back(Event { seq: self.said, uptime_ms, line });
    }
}

/// A line that ends at a character when it is full.
struct Cut(String);

impl Cut {
    fn of(line: fmt::Arguments<'_>) -> String {
        let mut cut = Self(String::new());
        // The error says that it is full.
        let _ = cut.write_fmt(line);
        cut.0
    }
}

impl Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = EVENT_LINE_BYTES_MAX.saturating_sub(self.0.len());
        let (fits, rest) = text.split_at(text.floor_char_boundary(room));
        self.0.push_str(fits);
        if rest.is_empty() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(lines: impl IntoIterator<Item = String>) -> Ring {
        let ring = Ring::start();
        for line in lines {
            ring.add(format_args!("{line}"));
        }
        ring
    }

    /// Everything that is kept, by as many answers as it takes.
    fn all(ring: &Ring) -> Vec<Event> {
        let mut events: Vec<Event> = Vec::new();
        loop {
            let page = ring.after(events.last().map_or(0, |event| event.seq)).events;
            assert!(page.len() <= EVENTS_ANSWERED_MAX);
            let (Some(next), last) = (page.first(), events.last()) else { return events };
            assert!(last.is_none_or(|last| next.seq > last.seq), "what was read comes again");
            events.extend(page);
        }
    }

    #[test]
    fn numbers_start_at_one_and_have_no_gap_whatever_was_dropped() {
        for count in [0, 1, EVENTS_MAX - 1, EVENTS_MAX, EVENTS_MAX + 1, 3 * EVENTS_MAX] {
            let ring = filled((1..=count).map(|n| format!("line {n}")));
            let answer = ring.after(0);
            let dropped = count.saturating_sub(EVENTS_MAX) as u64;
            assert_eq!((answer.oldest, answer.next), (dropped + 1, count as u64 + 1));
            let events = all(&ring);
            assert_eq!(events.len(), count.min(EVENTS_MAX), "{count}");
            for (event, seq) in events.iter().zip(dropped + 1..) {
                assert_eq!((event.seq, &event.line), (seq, &format!("line {seq}")));
            }
            assert!(events.is_sorted_by_key(|event| event.uptime_ms));
            assert!(events.iter().all(|event| event.uptime_ms <= answer.uptime_ms));
        }
    }

    #[test]
    fn an_answer_has_what_comes_after_a_number_and_no_more_than_its_limit() {
        let ring = filled((1..=EVENTS_ANSWERED_MAX + 2).map(|n| n.to_string()));
        let last = EVENTS_ANSWERED_MAX as u64 + 2;
        for (after, first, count) in [
            (0, 1, EVENTS_ANSWERED_MAX),
            (1, 2, EVENTS_ANSWERED_MAX),
            (2, 3, EVENTS_ANSWERED_MAX),
            (3, 4, EVENTS_ANSWERED_MAX - 1),
            (last - 1, last, 1),
            (last, 0, 0),
            (last + 1, 0, 0),
            (u64::MAX, 0, 0),
        ] {
            let answer = ring.after(after);
            assert_eq!(answer.events.first().map_or(0, |event| event.seq), first, "{after}");
            assert_eq!(answer.events.len(), count, "{after}");
            assert_eq!((answer.oldest, answer.next), (1, last + 1));
        }
    }

    #[test]
    fn the_oldest_make_room_for_bytes() {
        let longest = "x".repeat(EVENT_LINE_BYTES_MAX);
        let fit = EVENTS_BYTES_MAX / EVENT_LINE_BYTES_MAX;
        assert!(fit < EVENTS_MAX, "else the bytes would bound nothing");
        let ring = filled(vec![longest.clone(); fit]);
        assert_eq!(ring.after(0).oldest, 1, "exactly full");
        ring.add(format_args!(""));
        assert_eq!(ring.after(0).oldest, 1, "an empty line takes no bytes");
        ring.add(format_args!("y"));
        assert_eq!(ring.after(0).oldest, 2);
        ring.add(format_args!("{}", "z".repeat(EVENT_LINE_BYTES_MAX)));
        assert_eq!(ring.after(0).oldest, 3);
        let kept: usize = all(&ring).iter().map(|event| event.line.len()).sum();
        assert!(kept <= EVENTS_BYTES_MAX && ring.lock().bytes == kept, "{kept}");
    }

    #[test]
    fn a_long_line_is_cut_at_a_character() {
        let max = EVENT_LINE_BYTES_MAX;
        for (line, expect) in [
            ("x".repeat(max), "x".repeat(max)),
            ("x".repeat(max + 1), "x".repeat(max)),
            (format!("{}\u{e9}", "x".repeat(max - 2)), format!("{}\u{e9}", "x".repeat(max - 2))),
            (format!("{}\u{e9}", "x".repeat(max - 1)), "x".repeat(max - 1)),
            (format!("{}\u{1f511}y", "x".repeat(max - 3)), "x".repeat(max - 3)),
            ("\u{1f511}".repeat(max), "\u{1f511}".repeat(max / 4)),
            ("x".repeat(1 << 20), "x".repeat(max)),
        ] {
            let ring = filled([line]);
            assert_eq!(ring.after(0).events[0].line, expect);
        }
        let ring = Ring::start();
        // Arguments of their own: literals would become one piece with what stands before them.
        let (wide, after) = ("\u{e9}".to_owned(), "y".to_owned());
        ring.add(format_args!("{}{after}", "x".repeat(max)));
        ring.add(format_args!("{}{wide}{after}", "x".repeat(max - 1)));
        let lines: Vec<_> = ring.after(0).events.into_iter().map(|event| event.line).collect();
        assert_eq!(lines, ["x".repeat(max), "x".repeat(max - 1)], "nothing follows a cut");
    }

    #[test]
    fn a_line_whose_formatting_notes_another_or_panics_blocks_nothing() {
        struct Noting<'a>(&'a Ring, bool);
        impl fmt::Display for Noting<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.add(format_args!("inner"));
                assert!(!self.1, "meant");
                f.write_str("outer")
            }
        }
        let ring = Ring::start();
        ring.add(format_args!("{}", Noting(&ring, false)));
        let panics = std::panic::AssertUnwindSafe(|| ring.add(format_args!("{}", Noting(&ring, true))));
        assert!(std::panic::catch_unwind(panics).is_err());
        ring.add(format_args!("last"));
        let lines: Vec<_> = ring.after(0).events.into_iter().map(|event| (event.seq, event.line)).collect();
        assert_eq!(
            lines.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>(),
            ["inner", "outer", "inner", "last"]
        );
        assert_eq!(lines.last().map(|(seq, _)| *seq), Some(4));
    }

    #[test]
    fn threads_share_one_row_of_numbers() {
        let ring = Ring::start();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|n| ring.add(format_args!("{n}"))));
            }
        });
        let events = all(&ring);
        assert_eq!(ring.after(0).next, 2001);
        assert!(events.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1 && pair[1].uptime_ms >= pair[0].uptime_ms));
    }
}
