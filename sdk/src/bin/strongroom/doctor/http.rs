//! The little HTTP/1.1 that instance metadata needs: one request on one connection, with every wait and length bounded.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest answer in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Longest wait for a connection, and then for a whole answer.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(3);

/// What came back.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The `Date` header.
    pub(super) date: Option<String>,
    pub(super) body: String,
}

/// Asks once. `header` is a whole line with its end, or empty.
pub(super) fn ask(to: SocketAddr, method: &str, path: &str, header: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&to, WAIT_MAX)?;
    let until = Instant::now() + WAIT_MAX;
    stream.set_write_timeout(Some(WAIT_MAX))?;
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {to}\r\n{header}Content-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    let mut part = [0; 2048];
    let mut answer = None;
    while answer.is_none() && bytes.len() <= ANSWER_BYTES_MAX {
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        stream.set_read_timeout(Some(left.ok_or(io::ErrorKind::TimedOut)?))?;
        let len = stream.read(&mut part)?;
        bytes.extend_from_slice(part.get(..len).unwrap_or_default());
        answer = parse(&bytes, len == 0);
        if len == 0 {
            break;
        }
    }
    answer.ok_or_else(|| io::Error::other("no answer of HTTP/1.1"))
}

/// The whole answer; `None` while some of it is missing.
fn parse(bytes: &[u8], ended: bool) -> Option<Answer> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    let header = |wanted: &str| {
        let mut named = lines.clone().filter_map(|line| line.split_once(':'));
        named.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim().to_owned())
    };
    let whole = header("content-length").and_then(|len| len.parse().ok()).map_or(ended, |len: usize| body.len() >= len);
    whole.then_some(())?;
    Some(Answer { status: status.parse().ok()?, date: header("date"), body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_once_it_is_whole() {
        let with_length = "HTTP/1.1 200 OK\r\nDATE: now \r\nContent-Length: 2\r\n\r\nok";
        let answer = parse(with_length.as_bytes(), false).unwrap();
        assert_eq!(answer, Answer { status: 200, date: Some("now".to_owned()), body: "ok".to_owned() });
        assert_eq!(parse(b"HTTP/1.0 401 No\r\n\r\n", true).unwrap().status, 401);
        for (bytes, ended) in [
            ("", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", true),
            ("HTTP/1.1 200 OK\r\n\r\nok", false),
            ("HTTP/2 200 OK\r\n\r\n", true),
            ("HTTP/1.1 many OK\r\n\r\n", true),
            ("HTTP/1.1\r\n\r\n", true),
            ("SSH-2.0\r\n\r\n", true),
        ] {
            assert_eq!(parse(bytes.as_bytes(), ended), None, "{bytes:?}");
        }
    }
}
