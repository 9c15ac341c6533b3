use std::sync::Arc;

use strongroom_proto::enclave::v1::Events;
use strongroom_proto::limits::EVENTS_MAX;

use super::*;
use crate::enclave::Enclave;
use crate::testing::{FakeEnclave, Reaction, enclave_config, refusal};

const LONG: Duration = Duration::from_secs(20);

fn event(seq: u64, line: &str) -> Event {
    Event { seq, uptime_ms: seq * 10, line: line.to_owned() }
}

/// The answer of an enclave that keeps these lines of those that it has said.
fn answer(kept: std::ops::RangeInclusive<u64>, after: u64) -> Events {
    let (oldest, next) = (*kept.start(), *kept.end() + 1);
    let events =
        kept.filter(|seq| *seq > after).take(EVENTS_ANSWERED_MAX).map(|seq| event(seq, &format!("line {seq}")));
    Events { events: events.collect(), oldest, next, uptime_ms: next * 10 }
}

/// What was heard of an enclave that keeps these lines.
fn hear_all(heard: &mut Heard, kept: std::ops::RangeInclusive<u64>) -> News {
    let after = heard.after();
    heard.take(answer(kept, after), 1_000_000, Instant::now())
}

fn numbers(news: &News) -> Vec<u64> {
    news.lines.iter().map(|(seq, _)| *seq).collect()
}

#[test]
fn each_line_is_heard_once_and_what_was_lost_is_counted() {
    let mut heard = Heard::default();
    assert_eq!(numbers(&hear_all(&mut heard, 1..=3)), [1, 2, 3]);
    let nothing = || News { is_all: true, ..News::default() };
    assert_eq!(hear_all(&mut heard, 1..=3), nothing());
    assert_eq!(numbers(&hear_all(&mut heard, 1..=4)), [4]);
    let news = hear_all(&mut heard, 8..=9);
    assert_eq!((numbers(&news), news.lost, news.is_new), (vec![8, 9], 3, false));
    assert_eq!(hear_all(&mut heard, 8..=9), nothing());
    let mut late = Heard::default();
    let news = hear_all(&mut late, 100..=101);
    assert_eq!((numbers(&news), news.lost), (vec![100, 101], 0), "nothing is lost by a host that starts late");
}

#[test]
fn more_than_one_answer_holds_comes_in_the_next() {
    let mut heard = Heard::default();
    let max = EVENTS_ANSWERED_MAX as u64;
    let first = hear_all(&mut heard, 1..=max + 2);
    assert_eq!((numbers(&first), first.is_all), ((1..=max).collect(), false));
    let second = hear_all(&mut heard, 1..=max + 2);
    assert_eq!((numbers(&second), second.is_all), (vec![max + 1, max + 2], true));
    // One look reads all that an enclave keeps, also where it is another one than before.
    let kept = EVENTS_MAX as u64;
    let (mut heard, mut answers) = (Heard::default(), 1);
    assert!(heard.take(Events::default(), 0, Instant::now()).is_new);
    while !hear_all(&mut heard, 1..=kept).is_all {
        answers += 1;
    }
    assert!(heard.newest.seq == kept && answers < ANSWERS_MAX, "{answers}");
}

#[test]
fn another_enclave_is_told_by_its_uptime_its_numbers_or_its_lines_and_read_from_its_first() {
    let other_line = |after: u64| Events { events: vec![event(3, "another")], ..answer(1..=3, after) };
    let other_time =
        |after: u64| Events { events: vec![Event { uptime_ms: 29, ..event(3, "line 3") }], ..answer(1..=3, after) };
    let younger = |after: u64| Events { uptime_ms: 39, ..answer(1..=3, after) };
    for (other, restarted) in [
        (&(|after| answer(1..=2, after)) as &dyn Fn(u64) -> Events, true),
        (&(|_| Events { oldest: 1, next: 1, ..Events::default() }), true),
        (&(|_| Events::default()), true),
        (&younger, true),
        (&other_line, true),
        (&other_time, true),
        (&(|after| answer(1..=3, after)), false),
        (&(|after| answer(5..=9, after)), false),
    ] {
        let mut heard = Heard::default();
        hear_all(&mut heard, 1..=3);
        let news = heard.take(other(heard.after()), 0, Instant::now());
        assert_eq!(news.is_new, restarted, "{news:?}");
        if restarted {
            assert!(news.lines.is_empty(), "they are read again from the first");
            assert_eq!(heard.after(), 0);
            assert_eq!(numbers(&hear_all(&mut heard, 1..=2)), [1, 2]);
            let kept: Vec<u64> = heard.kept.iter().map(|event| event.seq).collect();
            assert_eq!(kept, [1, 2, 3, 1, 2], "what the one before said is kept");
        }
    }
}

#[test]
fn no_answer_is_too_odd_or_too_large() {
    let mut heard = Heard::default();
    for odd in [
        Events { events: vec![event(0, "zero")], ..answer(1..=1, 0) },
        Events { events: vec![event(5, "a"), event(4, "b"), event(5, "c")], oldest: 9, next: 7, uptime_ms: 0 },
        Events {
            events: vec![Event { seq: u64::MAX, uptime_ms: u64::MAX, line: "x".repeat(1 << 20) }],
            ..answer(1..=9, 0)
        },
        Events { events: vec![event(6, "x"); 100_000], ..answer(1..=9, 0) },
        Events { events: (1..100_000).map(|seq| event(seq, "x")).collect(), next: 100_000, ..Events::default() },
        Events { oldest: u64::MAX, next: u64::MAX, uptime_ms: u64::MAX, ..Events::default() },
    ] {
        let news = heard.take(odd, 0, Instant::now());
        assert!(news.lines.len() <= EVENTS_ANSWERED_MAX && heard.kept.len() <= KEPT_MAX);
        assert!(heard.kept.iter().all(|event| event.line.len() <= EVENT_LINE_BYTES_MAX));
        assert!(heard.newest.line.len() <= EVENT_LINE_BYTES_MAX);
        assert!(news.lines.windows(2).all(|pair| pair[0].0 < pair[1].0), "{news:?}");
    }
}

#[test]
fn the_log_takes_a_burst_and_then_one_line_at_a_time() {
    let start = Instant::now();
    let taken = |rate: &mut Rate, now: Instant| (0..2 * LOGGED_AT_ONCE_MAX).filter(|_| rate.take(now)).count();
    let mut rate = Rate::default();
    let burst = LOGGED_AT_ONCE_MAX as usize;
    assert_eq!(burst, EVENTS_MAX, "all that an enclave keeps");
    assert_eq!(taken(&mut rate, start), burst);
    let almost = LOGGED_EVERY.checked_sub(Duration::from_millis(1)).unwrap();
    for (after, expect) in [
        (almost, 0),
        (LOGGED_EVERY, 1),
        (LOGGED_EVERY + almost, 0),
        (LOGGED_EVERY * 2, 1),
        (LOGGED_EVERY * 5, 3),
        (LOGGED_EVERY * 6 + LOGGED_EVERY / 2, 1),
        // The half period before counts on.
        (LOGGED_EVERY * 7, 1),
        (LOGGED_EVERY * 100_000, burst),
        (LOGGED_EVERY * 100_000 + almost, 0),
    ] {
        assert_eq!(taken(&mut rate, start + after), expect, "{after:?}");
    }
    assert_eq!(taken(&mut rate, start), 0, "time that goes backwards fills nothing");
    let mut used_once = Rate::default();
    assert!(used_once.take(start));
    assert_eq!(taken(&mut used_once, start + LOGGED_EVERY * 100_000), burst, "it holds no more than a burst");
}

#[test]
fn what_the_log_has_no_room_for_is_kept_and_counted() {
    let (mut heard, now) = (Heard::default(), Instant::now());
    let (mut logged, mut unlogged) = (0, 0);
    let said = u64::from(LOGGED_AT_ONCE_MAX) + 100;
    while heard.newest.seq < said {
        let news = heard.take(answer(1..=said, heard.after()), 0, now);
        logged += news.lines.len() as u64;
        unlogged += news.unlogged;
    }
    assert_eq!((logged, unlogged), (u64::from(LOGGED_AT_ONCE_MAX), 100));
    let kept: Vec<u64> = heard.kept.iter().map(|event| event.seq).collect();
    assert_eq!(kept, (said - KEPT_MAX as u64 + 1..=said).collect::<Vec<_>>());
}

#[test]
fn a_line_forges_no_other() {
    for (line, expect) in [
        ("phase: Serving", "phase: Serving"),
        ("a\nlevel=ERROR event=\"forged\"", "a?level=ERROR event=\"forged\""),
        ("\r\u{1b}[2Jx\0\t\u{7f}", "??[2Jx???"),
        ("\u{202e}\u{2028}\u{85}\u{e9}", "????"),
        (&"\n".repeat(1000), &"?".repeat(EVENT_LINE_BYTES_MAX)),
    ] {
        let mut heard = Heard::default();
        let news = heard.take(Events { events: vec![event(1, line)], ..answer(1..=1, 0) }, 0, Instant::now());
        assert_eq!(news.lines, [(1, expect.to_owned())]);
        assert_eq!(heard.kept[0].line, expect);
    }
}

#[test]
fn the_time_of_a_line_is_by_the_hosts_clock() {
    let mut heard = Heard::default();
    let lines = vec![Event { uptime_ms: 1_000, ..event(1, "a") }, Event { uptime_ms: 9_000, ..event(2, "b") }];
    heard.take(Events { events: lines, oldest: 1, next: 3, uptime_ms: 10_000 }, 50_000, Instant::now());
    let said: Vec<u64> = heard.kept.iter().map(|event| event.said_ms).collect();
    assert_eq!(said, [41_000, 49_000]);
    // The enclave's word for it may be anything.
    let odd = vec![Event { uptime_ms: u64::MAX, ..event(3, "c") }];
    heard.take(Events { events: odd, oldest: 1, next: 4, uptime_ms: 10_001 }, 50_000, Instant::now());
    assert_eq!(heard.kept.back().map(|event| event.said_ms), Some(50_000));
}

/// Waits until what is known of the enclave is as it should be.
async fn until(enclave: &Enclave, is: impl Fn(&FleetEnclave) -> bool) -> FleetEnclave {
    let reached = async {
        loop {
            let fleet = enclave.fleet();
            if is(&fleet) {
                return fleet;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(LONG, reached).await {
        Ok(fleet) => fleet,
        Err(elapsed) => panic!("{elapsed}; it stays {:?}", enclave.fleet()),
    }
}

fn numbers_of(fleet: &FleetEnclave) -> Vec<u64> {
    fleet.events.iter().map(|event| event.seq).collect()
}

#[tokio::test]
async fn an_enclaves_lines_are_heard_over_its_connections_and_outlive_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = enclave_config(dir.path(), 3);
    let enclave = Arc::new(Enclave::start(&config));
    let absent = until(&enclave, |fleet| !fleet.problem.is_empty()).await;
    assert!(!absent.connected && absent.seen_ms == 0 && absent.events.is_empty(), "{absent:?}");
    assert_eq!(absent.address, format!("unix:{}", dir.path().join("enclave.sock").display()));

    let socket = dir.path().join("enclave.sock");
    let fake = FakeEnclave::start(&socket, |_| Reaction::Say(refusal(strongroom_proto::v1::Reason::BadRequest, 0)));
    fake.process.lock().unwrap().said = vec![event(1, "one"), event(2, "two")];
    let heard = until(&enclave, |fleet| fleet.connected && fleet.missing.is_empty() && fleet.events.len() == 2).await;
    assert_eq!((numbers_of(&heard), heard.uptime_ms, heard.release), (vec![1, 2], 20, 1));
    assert!(heard.problem.is_empty() && heard.seen_ms > 0);
    fake.process.lock().unwrap().said.push(event(3, "three"));
    until(&enclave, |fleet| numbers_of(fleet) == [1, 2, 3]).await;

    drop(fake);
    let gone = until(&enclave, |fleet| !fleet.connected && !fleet.problem.is_empty()).await;
    assert_eq!(numbers_of(&gone), [1, 2, 3]);
    let fake = FakeEnclave::start(&socket, |_| Reaction::Say(refusal(strongroom_proto::v1::Reason::BadRequest, 0)));
    // Another one, though it has run longer and said more.
    let later = |seq| Event { uptime_ms: seq * 10 + 1, ..event(seq, "of another enclave") };
    fake.process.lock().unwrap().said = (1..=4).map(later).collect();
    let again = until(&enclave, |fleet| fleet.connected && fleet.events.len() > 6).await;
    assert_eq!(numbers_of(&again), [1, 2, 3, 1, 2, 3, 4]);
}
