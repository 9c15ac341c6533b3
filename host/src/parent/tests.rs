use tokio::net::{UnixListener, UnixStream};
use tracing::level_filters::LevelFilter;

use super::*;
use crate::testing::Claims;
use crate::testing::log::Written;

const LONG: Duration = Duration::from_secs(20);

struct Fixture {
    dir: tempfile::TempDir,
    written: Written,
    _log: tracing::subscriber::DefaultGuard,
    _serving: JoinSet<()>,
}

/// Both listeners; the connections of each claim these context ids, of which 16 and 17 are configured.
fn fixture(claims: &[u32]) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let (written, log) = Written::from_here_on(LevelFilter::INFO);
    let listen = |name: &str| {
        let listener = UnixListener::bind(dir.path().join(name)).unwrap();
        Some(match claims {
            [] => Enclaves::Unix(listener),
            claims => Enclaves::Vsock(Claims::new(listener, claims), vec![16, 17]),
        })
    };
    let listeners = Listeners { heartbeat: listen("beat"), last_words: listen("words") };
    let mut serving = JoinSet::new();
    serving.spawn(listeners.serve());
    Fixture { dir, written, _log: log, _serving: serving }
}

impl Fixture {
    /// Says this and waits until the other side has closed; gives what came back.
    async fn say(&self, listener: &str, bytes: &[u8]) -> Vec<u8> {
        let mut stream = UnixStream::connect(self.dir.path().join(listener)).await.unwrap();
        // A stranger's connection may be closed by now.
        drop(stream.write_all(bytes).await);
        let mut back = Vec::new();
        drop(tokio::time::timeout(LONG, stream.read_to_end(&mut back)).await.unwrap());
        back
    }

    fn lines(&self, event: &str) -> usize {
        self.written.text().lines().filter(|line| line.contains(event)).count()
    }
}

#[tokio::test]
async fn a_heartbeat_comes_back_and_nothing_else_does() {
    let fixture = fixture(&[16; 8]);
    assert_eq!(fixture.say("beat", &[HEARTBEAT]).await, [HEARTBEAT]);
    assert_eq!(fixture.say("beat", &[HEARTBEAT, 1, 2]).await, [HEARTBEAT], "one byte alone");
    let line = "level=INFO event=\"an enclave's image has come up\" cid=\"16\"\n";
    assert!(fixture.written.text().contains(line), "{}", fixture.written.text());
    for other in [&[0][..], &[0xB6], &[0x7B], b"GET / HTTP/1.1\r\n", &[0, HEARTBEAT]] {
        assert!(fixture.say("beat", other).await.is_empty(), "{other:?}");
    }
    assert_eq!(fixture.lines("come up"), 2);
    assert!(fixture.say("beat", b"").await.is_empty(), "silence is ended");
}

#[tokio::test]
async fn last_words_are_written_with_everything_strange_escaped() {
    let fixture = fixture(&[17; 16]);
    let longest = "x".repeat(LAST_WORDS_BYTES_MAX);
    for (said, words) in [
        (
            &b"strongroom: panic at enclave/core/src/a.rs:7\nnever this"[..],
            "strongroom: panic at enclave/core/src/a.rs:7",
        ),
        (b"\x1b[2J\r\x07\x00\n", "\\\\x1b[2J\\\\r\\\\x07\\\\x00"),
        (b"\" level=ERROR event=\"forged\n", "\\\\\\\" level=ERROR event=\\\\\\\"forged"),
        ("\u{202e}\u{85}\u{e9}\n".as_bytes(), "\\\\xe2\\\\x80\\\\xae\\\\xc2\\\\x85\\\\xc3\\\\xa9"),
        (&[0xff, b'\n'], "\\\\xff"),
        (format!("{longest}\n").as_bytes(), longest.as_str()),
    ] {
        assert!(fixture.say("words", said).await.is_empty());
        let text = fixture.written.text();
        let line = format!("level=WARN event=\"an enclave's last words\" cid=\"17\" words=\"{words}\"\n");
        assert!(text.ends_with(&line), "{text}");
        assert!(text.bytes().all(|byte| byte == b'\n' || (0x20..0x7f).contains(&byte)), "{text:?}");
    }
    assert_eq!(fixture.written.text().lines().count(), 6);
}

#[tokio::test]
async fn what_is_no_line_is_dropped() {
    let fixture = fixture(&[16; 16]);
    for said in [&b"\n"[..], b"\nsecond line\n", b"", "x".repeat(LAST_WORDS_BYTES_MAX + 1).as_bytes()] {
        fixture.say("words", said).await;
    }
    fixture.say("words", format!("{}\n", "x".repeat(LAST_WORDS_BYTES_MAX + 1)).as_bytes()).await;
    let mut unended = UnixStream::connect(fixture.dir.path().join("words")).await.unwrap();
    unended.write_all(b"half a li").await.unwrap();
    drop(unended);
    let mut slow = UnixStream::connect(fixture.dir.path().join("words")).await.unwrap();
    slow.write_all(b"no end").await.unwrap();
    assert!(matches!(tokio::time::timeout(LONG, slow.read_u8()).await, Ok(Err(_))), "the wait has an end");
    assert!(fixture.written.text().is_empty(), "{}", fixture.written.text());
}

#[tokio::test]
async fn strangers_are_neither_answered_nor_heard() {
    let claims = [2, 15, 18, 16, 0, 1, u32::MAX, 17];
    let fixture = fixture(&claims);
    for cid in claims {
        let is_ours = [16, 17].contains(&cid);
        assert_eq!(fixture.say("beat", &[HEARTBEAT]).await.len(), usize::from(is_ours), "context id {cid}");
        fixture.say("words", format!("from {cid}!\n").as_bytes()).await;
        assert_eq!(fixture.lines(&format!("from {cid}!")), usize::from(is_ours), "context id {cid}");
    }
    assert_eq!(fixture.lines("a stranger was turned away"), 12);
}

#[tokio::test]
async fn lines_of_one_enclave_are_limited_and_its_heartbeats_still_answered() {
    let beyond = LINES_PER_MINUTE_MAX as usize + 3;
    let claims: Vec<u32> = std::iter::repeat_n(16, beyond).chain([17]).collect();
    let fixture = fixture(&claims);
    for _ in 0..beyond {
        assert_eq!(fixture.say("beat", &[HEARTBEAT]).await, [HEARTBEAT]);
        fixture.say("words", b"again\n").await;
    }
    let limit = LINES_PER_MINUTE_MAX as usize;
    assert_eq!((fixture.lines("come up"), fixture.lines("again")), (limit, limit));
    fixture.say("words", b"of the other\n").await;
    assert_eq!(fixture.lines("of the other"), 1);
}

#[test]
fn a_new_minute_has_new_lines() {
    let (lines, began) = (Lines::default(), Instant::now());
    let admitted = |at: Duration| (0..100).filter(|_| lines.admit(Some(16), began + at)).count();
    let limit = LINES_PER_MINUTE_MAX as usize;
    assert_eq!(admitted(Duration::ZERO), limit);
    assert_eq!(admitted(Duration::from_secs(59)), 0);
    assert_eq!(admitted(Duration::from_mins(1)), limit);
    assert_eq!(admitted(Duration::from_mins(1)), 0);
}

#[tokio::test]
async fn connections_past_the_limit_wait_for_their_turn() {
    let fixture = fixture(&[]);
    let path = fixture.dir.path().join("beat");
    let mut held = Vec::new();
    for _ in 0..PARENT_CONNECTIONS_MAX {
        held.push(UnixStream::connect(&path).await.unwrap());
    }
    let mut late = UnixStream::connect(&path).await.unwrap();
    late.write_all(&[HEARTBEAT]).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), late.read_u8()).await;
    assert!(early.is_err(), "served past the limit");
    // Those that say nothing are ended, and then it is its turn.
    assert_eq!(tokio::time::timeout(LONG, late.read_u8()).await.unwrap().unwrap(), HEARTBEAT);
    // Over a unix socket there is no context id to tell.
    assert!(
        fixture.written.text().ends_with("event=\"an enclave's image has come up\"\n"),
        "{}",
        fixture.written.text()
    );
}
