//! A stand-in of EC2's instance metadata service, version 2: a real HTTP server on a socket of loopback that hands out the credentials of
//! one role, to whoever has fetched a token first. It can be told to misbehave.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The path of the token.
const TOKEN: &str = "/latest/api/token";
/// The folder of the roles' credentials.
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
/// Longest time-to-live of a token in seconds, as EC2 has it.
const TTL_MAX: u64 = 21_600;

/// The service. It ends when it is dropped.
pub(crate) struct Imds {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// An access key to hand out.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: String,
    /// Seconds from each answer until it ends; less than nothing where it has ended.
    pub(crate) lives: i64,
}

/// What happens to the next requests of a method.
#[derive(Clone)]
pub(crate) enum Fault {
    /// These bytes are the whole answer.
    Raw(Vec<u8>),
    /// There is no answer, as where the hop limit eats it.
    Silence,
}

struct Shared {
    role: String,
    key: Mutex<Key>,
    faults: Mutex<HashMap<String, VecDeque<Fault>>>,
    tokens: Mutex<HashMap<String, Instant>>,
    asked: Mutex<Vec<String>>,
    ending: AtomicBool,
}

impl Imds {
    /// Serves `key` as the credentials of `role`.
    pub(crate) fn start(role: &str, key: Key) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            role: role.to_owned(),
            key: Mutex::new(key),
            faults: Mutex::default(),
            tokens: Mutex::default(),
            asked: Mutex::default(),
            ending: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.ending.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&serving);
                // A client that goes away is nothing to report.
                thread::spawn(move || shared.answer(&stream).ok());
            }
        });
        Ok(Self { address, shared, thread: Some(thread) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Hands out another key from now on.
    pub(crate) fn rotate(&self, key: Key) {
        *self.shared.key.lock().unwrap() = key;
    }

    /// The next requests of `method` meet these faults, one each.
    pub(crate) fn fail(&self, method: &str, faults: impl IntoIterator<Item = Fault>) {
        self.shared.faults.lock().unwrap().entry(method.to_owned()).or_default().extend(faults);
    }

    /// Every request so far: method and path.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Drop for Imds {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Relaxed);
        // The thread looks at the flag when a connection comes.
        if TcpStream::connect(self.address).is_ok()
            && let Some(thread) = self.thread.take()
        {
            thread.join().ok();
        }
    }
}

/// A whole HTTP answer.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}").into_bytes()
}

impl Shared {
    fn answer(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let (method, path) =
            line.split_once(' ').and_then(|(method, rest)| Some((method, rest.split_once(' ')?.0))).unwrap();
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        self.asked.lock().unwrap().push(format!("{method} {path}"));
        let fault = self.faults.lock().unwrap().get_mut(method).and_then(VecDeque::pop_front);
        let bytes = match fault {
            Some(Fault::Raw(bytes)) => bytes,
            Some(Fault::Silence) => {
                while !self.ending.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(10));
                }
                return Ok(());
            }
            None => self.reply(method, path, &headers),
        };
        let mut stream = stream;
        stream.write_all(&bytes)?;
        stream.shutdown(std::net::Shutdown::Write)?;
        // Closed only when the client is done, so that nothing of the answer is lost.
        stream.read(&mut [0]).map(drop)
    }

    fn reply(&self, method: &str, path: &str, headers: &HashMap<String, String>) -> Vec<u8> {
        match method {
            // EC2 gives no token to what comes through a proxy.
            "PUT" if headers.contains_key("x-forwarded-for") => answer("403 Forbidden", "", ""),
            "PUT" if path == TOKEN => {
                let ttl = headers.get("x-aws-ec2-metadata-token-ttl-seconds").and_then(|ttl| ttl.parse().ok());
                ttl.filter(|ttl| (1..=TTL_MAX).contains(ttl))
                    .map_or_else(|| answer("400 Bad Request", "", ""), |ttl| self.token(ttl))
            }
            "GET" => {
                let token = headers.get("x-aws-ec2-metadata-token");
                let valid = token.is_some_and(|token| {
                    self.tokens.lock().unwrap().get(token).is_some_and(|end| *end > Instant::now())
                });
                match path.strip_prefix(ROLES) {
                    _ if !valid => answer("401 Unauthorized", "", ""),
                    Some(role) if role == self.role => {
                        answer("200 OK", "Content-Type: text/plain\r\n", &self.credentials())
                    }
                    _ => answer("404 Not Found", "", "<!DOCTYPE html>"),
                }
            }
            _ => answer("405 Method Not Allowed", "", ""),
        }
    }

    fn token(&self, ttl: u64) -> Vec<u8> {
        let mut tokens = self.tokens.lock().unwrap();
        let token = format!("token-{}==", tokens.len());
        tokens.insert(token.clone(), Instant::now() + Duration::from_secs(ttl));
        answer("200 OK", &format!("X-Aws-Ec2-Metadata-Token-Ttl-Seconds: {ttl}\r\n"), &token)
    }

    fn credentials(&self) -> String {
        self.key.lock().unwrap().json()
    }
}

impl Key {
    /// A key as EC2 shows it.
    pub(crate) fn json(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let expiration = time(now.checked_add_signed(self.lives).unwrap());
        let Self { id, secret, token, .. } = self;
        let mut text = "{\n".to_owned();
        for (name, value) in [
            ("Code", "Success"),
            ("LastUpdated", &time(now)),
            ("Type", "AWS-HMAC"),
            ("AccessKeyId", id),
            ("SecretAccessKey", secret),
            ("Token", token),
        ] {
            writeln!(text, "  \"{name}\" : \"{value}\",").unwrap();
        }
        text + &format!("  \"Expiration\" : \"{expiration}\"\n}}")
    }
}

/// Seconds since 1970-01-01T00:00:00Z as RFC 3339 writes them.
pub(crate) fn time(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01, in eras of 400 years (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second % 3_600 / 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
