use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::Mutex;

use prost::Message;
use strongroom_proto::enclave::v1::{Boot, Events, GetEvents, GetHealth, Request, Response, request, response};
use strongroom_proto::frame::{self, Decoder};
use strongroom_proto::limits::FRAME_BYTES_MAX;

use super::*;
use crate::entropy::PoolFile;
use crate::testing::{FakeNsm, TemporaryFile, temporary_file};
use crate::transport::Dial;

/// Unix sockets; no relay.
struct Unix(UnixListener);

impl Dial for Unix {
    type Stream = tokio::net::UnixStream;

    async fn connect(&self) -> std::io::Result<Self::Stream> {
        Err(std::io::ErrorKind::ConnectionRefused.into())
    }
}

impl Transport for Unix {
    type Raw = UnixStream;

    fn accept(&self) -> std::io::Result<UnixStream> {
        self.0.accept().map(|(stream, _)| stream)
    }

    fn adopt(raw: UnixStream) -> std::io::Result<tokio::net::UnixStream> {
        raw.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(raw)
    }
}

/// The answer to one frame, or nothing where the connection is closed.
fn ask(stream: &mut UnixStream, payload: &[u8]) -> Option<response::Body> {
    let mut bytes = Vec::new();
    frame::encode(3, payload, &mut bytes).unwrap();
    stream.write_all(&bytes).ok()?;
    let mut decoder = Decoder::new();
    let mut buffer = [0; 512];
    loop {
        if let Some(frame) = decoder.next_frame().unwrap() {
            return Response::decode(frame.payload.as_slice()).unwrap().body;
        }
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => decoder.push(&buffer[..read]),
            _ => return None,
        }
    }
}

/// The enclave's clock is set, and only the manifest, credentials and KMS are missing.
fn is_healthy(stream: &mut UnixStream) -> bool {
    let request = Request { body: Some(request::Body::GetHealth(GetHealth {})) };
    let Some(response::Body::Health(health)) = ask(stream, &request.encode_to_vec()) else { return false };
    health.missing == ["manifest", "credentials", "kms"] && health.time_ms > 0
}

/// What the test's binary says before the runtime starts, as the production one does of its modules.
const BEFORE: &str = "a line from before";

/// What the enclave said after a number.
fn events(stream: &mut UnixStream, after: u64) -> Events {
    let request = Request { body: Some(request::Body::GetEvents(GetEvents { after })) };
    match ask(stream, &request.encode_to_vec()) {
        Some(response::Body::Events(events)) => events,
        other => panic!("{other:?}"),
    }
}

/// A running enclave; gives its socket and its lines.
fn start(workers: usize) -> (TemporaryFile, Arc<Mutex<Vec<String>>>) {
    let socket = temporary_file("socket");
    std::fs::remove_file(socket.path()).unwrap();
    let listener = UnixListener::bind(socket.path()).unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let pool = temporary_file("pool");
    let log = Log::to(move |line| sink.lock().unwrap().push(line.to_string()));
    log.note(format_args!("{BEFORE}"));
    thread::spawn(move || {
        let options =
            Options { workers: NonZeroUsize::new(workers).unwrap(), pool: Arc::new(PoolFile::new(pool.path())), log };
        run(Arc::new(FakeNsm::ready()), &Arc::new(Unix(listener)), &options)
    });
    (socket, lines)
}

/// Threads of this process that serve connections.
fn worker_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name == "worker\n").count()
}

#[test]
fn connections_are_served_up_to_their_limit_and_the_next_is_closed() {
    let (socket, lines) = start(CONNECTIONS_MAX + 1);
    let connect = || UnixStream::connect(socket.path()).unwrap();
    let mut open: Vec<_> = (0..CONNECTIONS_MAX).map(|_| connect()).collect();
    assert!(open.iter_mut().all(is_healthy));
    assert_eq!(worker_threads(), CONNECTIONS_MAX);
    assert!(!is_healthy(&mut connect()));
    assert!(lines.lock().unwrap().contains(&format!("connection refused: {CONNECTIONS_MAX} are open")));
    open.pop();
    // The closed one's place comes back when its worker has noticed.
    while !is_healthy(&mut connect()) {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(open.iter_mut().all(is_healthy));
}

#[test]
fn lines_from_before_the_runtime_and_of_every_connection_are_told_before_there_is_a_manifest() {
    let (socket, lines) = start(2);
    let mut stream = UnixStream::connect(socket.path()).unwrap();
    assert!(is_healthy(&mut stream));
    let told = |events: &Events| events.events.iter().map(|event| event.line.clone()).collect::<Vec<_>>();
    let first = events(&mut stream, 0);
    assert_eq!(told(&first), [BEFORE, "phase: AwaitManifest"]);
    assert_eq!((first.oldest, first.next), (1, 3));
    let refused = ask(&mut stream, &Request { body: Some(request::Body::Boot(Boot::default())) }.encode_to_vec());
    assert!(matches!(refused, Some(response::Body::Error(_))), "no manifest");
    // A connection that ends in the middle of a frame is worth a line, which the other one is told.
    UnixStream::connect(socket.path()).unwrap().write_all(&[0; 3]).unwrap();
    let mut next = events(&mut stream, first.next - 1);
    while next.events.is_empty() {
        thread::sleep(Duration::from_millis(5));
        next = events(&mut stream, first.next - 1);
    }
    assert_eq!(told(&next), ["connection closed: closed within a frame"]);
    assert_eq!((next.events[0].seq, next.next), (3, 4));
    assert!(next.uptime_ms >= next.events[0].uptime_ms);
    assert_eq!(told(&events(&mut stream, 0)), *lines.lock().unwrap(), "what goes to the sink is what is kept");
}

/// What the test does when it is run again in a process of its own, whose memory is its alone.
const CHILD: &str = "STRONGROOM_IDLE_CHILD";

#[test]
fn an_idle_connection_keeps_no_buffer_of_its_longest_frame() {
    if std::env::var_os(CHILD).is_some() {
        return idle_connections();
    }
    let name = "run::tests::an_idle_connection_keeps_no_buffer_of_its_longest_frame";
    let mut child = Command::new(std::env::current_exe().unwrap());
    // A fixed threshold: what is larger goes back to the kernel as soon as it is freed.
    child.args([name, "--exact", "--nocapture"]).env(CHILD, "1").env("MALLOC_MMAP_THRESHOLD_", "131072");
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Sends the longest frame on each connection, and looks at what stays.
fn idle_connections() {
    let (socket, _) = start(1);
    let mut open: Vec<_> = (0..CONNECTIONS_MAX).map(|_| UnixStream::connect(socket.path()).unwrap()).collect();
    assert!(open.iter_mut().all(is_healthy));
    let longest = vec![0xff; FRAME_BYTES_MAX];
    let before = resident_bytes();
    for stream in &mut open {
        assert!(matches!(ask(stream, &longest), Some(response::Body::Error(_))));
    }
    assert!(open.iter_mut().all(is_healthy));
    let more = resident_bytes().saturating_sub(before);
    let kept = CONNECTIONS_MAX * FRAME_BYTES_MAX;
    println!("{more} bytes more after {CONNECTIONS_MAX} frames of {FRAME_BYTES_MAX}");
    assert!(more < kept / 4, "{more} of {kept} bytes stay");
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}
