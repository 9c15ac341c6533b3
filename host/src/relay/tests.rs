use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::*;
use crate::testing::Claims;

const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(20);

struct Fixture {
    _dir: tempfile::TempDir,
    path: std::path::PathBuf,
    kms: TcpListener,
    _relay: JoinSet<()>,
}

async fn fixture(waits: Waits) -> Fixture {
    fixture_at(waits, Enclaves::<Claims>::Unix).await
}

async fn fixture_at(waits: Waits, enclaves: impl FnOnce(UnixListener) -> Enclaves<Claims>) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("relay.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let kms = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let names = BTreeMap::from([
        ("kms.test".to_owned(), Target::Fixed(kms.local_addr().unwrap())),
        ("closed.test".to_owned(), Target::Fixed(closed)),
    ]);
    let mut relay = JoinSet::new();
    relay.spawn(serve(enclaves(listener), names, waits));
    Fixture { _dir: dir, path, kms, _relay: relay }
}

fn preface_of(name: &[u8]) -> Vec<u8> {
    let mut out = vec![u8::try_from(name.len()).unwrap()];
    out.extend_from_slice(name);
    out
}

/// What the relay answers to a preface: its byte, or nothing where it hangs up.
async fn check(fixture: &Fixture, preface: &[u8], expect: Option<u8>) -> UnixStream {
    let mut stream = UnixStream::connect(&fixture.path).await.unwrap();
    stream.write_all(preface).await.unwrap();
    let answer = tokio::time::timeout(LONG, stream.read_u8()).await.unwrap().ok();
    assert_eq!(answer, expect, "{preface:?}");
    stream
}

#[tokio::test]
async fn only_listed_names_are_reached() {
    let fixture = fixture(Waits { preface: SHORT, ..Waits::default() }).await;
    check(&fixture, &preface_of(b"kms.test"), Some(0)).await;
    for name in [&b"kms.tes"[..], b"kms.test.", b"KMS.test", b"127.0.0.1", b"other.test", &[b'a'; 253]] {
        let mut stream = check(&fixture, &preface_of(name), Some(1)).await;
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "the connection ends");
    }
    check(&fixture, &preface_of(b"closed.test"), Some(2)).await;
    for preface in [&b"\0"[..], &preface_of(&[b'a'; 254]), &preface_of(&[0xff; 8]), b"", b"\x08kms"] {
        check(&fixture, preface, None).await;
    }
}

#[tokio::test]
async fn bytes_go_both_ways_and_ends_are_passed_on() {
    let fixture = fixture(Waits::default()).await;
    let mut enclave = check(&fixture, &preface_of(b"kms.test"), Some(0)).await;
    let (mut kms, _) = fixture.kms.accept().await.unwrap();
    let request: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let expect = request.clone();
    let asking = async {
        enclave.write_all(&request).await.unwrap();
        enclave.shutdown().await.unwrap();
        let mut answer = Vec::new();
        enclave.read_to_end(&mut answer).await.unwrap();
        answer
    };
    let answering = async {
        let mut got = Vec::new();
        kms.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, expect);
        kms.write_all(b"answer after the enclave's end").await.unwrap();
        drop(kms);
    };
    let (answer, ()) = tokio::join!(asking, answering);
    assert_eq!(answer, b"answer after the enclave's end");
}

#[tokio::test]
async fn a_slow_preface_and_an_idle_connection_are_ended() {
    let fixture = fixture(Waits { preface: SHORT, idle: SHORT, ..Waits::default() }).await;
    let mut silent = UnixStream::connect(&fixture.path).await.unwrap();
    assert!(tokio::time::timeout(LONG, silent.read_u8()).await.unwrap().is_err());
    let mut enclave = check(&fixture, &preface_of(b"kms.test"), Some(0)).await;
    let (mut kms, _) = fixture.kms.accept().await.unwrap();
    // Bytes keep it open for longer than the limit.
    for _ in 0..4 {
        tokio::time::sleep(SHORT / 2).await;
        kms.write_all(b"x").await.unwrap();
        assert_eq!(enclave.read_u8().await.unwrap(), b'x');
    }
    assert!(tokio::time::timeout(LONG, enclave.read_u8()).await.unwrap().is_err());
}

#[tokio::test]
async fn connections_past_the_limit_wait() {
    let fixture = fixture(Waits::default()).await;
    let mut held = Vec::new();
    for _ in 0..RELAY_CONNECTIONS_MAX {
        held.push(check(&fixture, &preface_of(b"other.test"), Some(1)).await);
        held.pop();
    }
    for _ in 0..RELAY_CONNECTIONS_MAX {
        held.push(check(&fixture, &preface_of(b"kms.test"), Some(0)).await);
    }
    let mut late = UnixStream::connect(&fixture.path).await.unwrap();
    late.write_all(&preface_of(b"kms.test")).await.unwrap();
    assert!(tokio::time::timeout(SHORT, late.read_u8()).await.is_err(), "served past the limit");
    held.clear();
    // The relay's side towards KMS ends with the listener's connections.
    drop(fixture.kms);
    assert!(tokio::time::timeout(LONG, late.read_u8()).await.is_ok());
}

#[tokio::test]
async fn only_the_configured_context_ids_are_served() {
    let (claimed, served) = ([2, 16, 0, 1, 15, 18, u32::MAX, 17, 3], [16, 17]);
    let fixture =
        fixture_at(Waits::default(), |listener| Enclaves::Vsock(Claims::new(listener, &claimed), served.into())).await;
    for cid in claimed {
        let mut stream = UnixStream::connect(&fixture.path).await.unwrap();
        // A stranger's connection may be closed before it has written.
        drop(stream.write_all(&preface_of(b"kms.test")).await);
        let answer = tokio::time::timeout(LONG, stream.read_u8()).await.unwrap().ok();
        assert_eq!(answer, served.contains(&cid).then_some(0), "context id {cid}");
    }
    let nobody =
        fixture_at(Waits::default(), |listener| Enclaves::Vsock(Claims::new(listener, &[3]), Vec::new())).await;
    let mut stream = UnixStream::connect(&nobody.path).await.unwrap();
    drop(stream.write_all(&preface_of(b"kms.test")).await);
    assert!(tokio::time::timeout(LONG, stream.read_u8()).await.unwrap().is_err(), "no enclave is on vsock");
}
