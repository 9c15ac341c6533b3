use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Mutex;

use prost::Message;
use strongroom_proto::enclave::v1::{GetHealth, Request, Response, request, response};
use strongroom_proto::frame::{self, Decoder};

use super::*;
use crate::testing::{FakeNsm, temporary_file};
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

/// The enclave's clock is set, and only the manifest, credentials and KMS are missing.
fn is_healthy(stream: &mut UnixStream) -> bool {
    let mut bytes = Vec::new();
    let request = Request { body: Some(request::Body::GetHealth(GetHealth {})) };
    frame::encode(3, &request.encode_to_vec(), &mut bytes).unwrap();
    if stream.write_all(&bytes).is_err() {
        return false;
    }
    let mut decoder = Decoder::new();
    let mut buffer = [0; 512];
    loop {
        if let Some(frame) = decoder.next_frame().unwrap() {
            let body = Response::decode(frame.payload.as_slice()).unwrap().body;
            let Some(response::Body::Health(health)) = body else { return false };
            return health.missing == ["manifest", "credentials", "kms"] && health.time_ms > 0;
        }
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => decoder.push(&buffer[..read]),
            _ => return false,
        }
    }
}

#[test]
fn connections_are_served_up_to_their_limit_and_the_next_is_closed() {
    let socket = temporary_file("socket");
    std::fs::remove_file(socket.path()).unwrap();
    let listener = UnixListener::bind(socket.path()).unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let pool = temporary_file("pool");
    let options = Options {
        workers: NonZeroUsize::new(3).unwrap(),
        kernel_pool: pool.path().to_owned(),
        log: Log::to(move |line| sink.lock().unwrap().push(line.to_string())),
    };
    thread::spawn(move || run(Arc::new(FakeNsm::ready()), &Arc::new(Unix(listener)), &options));

    let connect = || UnixStream::connect(socket.path()).unwrap();
    let mut open: Vec<_> = (0..CONNECTIONS_MAX).map(|_| connect()).collect();
    assert!(open.iter_mut().all(is_healthy));
    assert!(!is_healthy(&mut connect()));
    assert!(lines.lock().unwrap().contains(&format!("connection refused: {CONNECTIONS_MAX} are open")));
    open.pop();
    // The closed one's place comes back when its worker has noticed.
    while !is_healthy(&mut connect()) {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(open.iter_mut().all(is_healthy));
}
