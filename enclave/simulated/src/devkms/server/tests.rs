use super::*;
use crate::devkms::sigv4::tests::sign_request;
use crate::devkms::users::AccessKey;
use crate::devkms::{Place, users};
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::json;
use strongroom_attestation::Root;
use tokio::io::AsyncReadExt as _;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const HOST: &str = "kms.eu-central-1.amazonaws.com";
/// What a test makes of a signed request.
type Change<'a> = dyn Fn(&mut Request<Vec<u8>>) + 'a;

/// A service on a port of its own, until the runtime of the test ends.
struct Fixture {
    address: SocketAddr,
    root: Vec<u8>,
    key: AccessKey,
    _state: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let place = Place::new("eu-central-1", "111122223333").unwrap();
        users::make(state.path(), "user").unwrap();
        let key = AccessKey::read(state.path(), "user").unwrap();
        let kms = DevKms::open(state.path(), place, Root::development(b"none")).unwrap();
        let root = TlsRoot::open(state.path()).unwrap();
        let server = Server::bind(kms, &root, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = server.local_address().unwrap();
        tokio::spawn(server.run(std::future::pending()));
        assert_eq!(std::fs::read(state.path().join("tls-root.der")).unwrap(), root.der());
        Self { address, root: root.der().to_vec(), key, _state: state }
    }

    async fn connect_as(&self, host: &'static str) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(self.root.clone())).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(host).unwrap(), stream).await
    }

    /// Signs and sends one request, as `change` makes it, and gives its status and body.
    async fn send(
        &self,
        request: http::request::Builder,
        body: Vec<u8>,
        change: impl Fn(&mut Request<Vec<u8>>),
    ) -> (u16, Value) {
        let mut request = request.header("host", HOST).body(body).unwrap();
        sign_request(&mut request, &self.key, crate::nsm::system_time_ms());
        change(&mut request);
        let stream = TokioIo::new(self.connect_as(HOST).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(request.map(|body| Full::new(Bytes::from(body)))).await.unwrap();
        assert_eq!(response.headers()[CONTENT_TYPE], CONTENT_TYPE_JSON);
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

fn request(target: &str) -> http::request::Builder {
    Request::post("/").header("x-amz-target", target).header("content-type", CONTENT_TYPE_JSON)
}

#[tokio::test]
async fn a_call_is_answered_over_tls() {
    let fixture = Fixture::new().await;
    let (status, made) = fixture.send(request("TrentService.CreateKey"), b"{}".to_vec(), |_| ()).await;
    assert_eq!((status, &made["KeyMetadata"]["AWSAccountId"]), (200, &json!("111122223333")));
    let body = json!({"KeyId": made["KeyMetadata"]["Arn"]}).to_string().into_bytes();
    let (status, described) = fixture.send(request("TrentService.DescribeKey"), body, |_| ()).await;
    assert_eq!((status, described), (200, made));
}

#[tokio::test]
async fn what_is_no_call_is_refused_by_name() {
    let fixture = Fixture::new().await;
    let target = "TrentService.CreateKey";
    let without = |name: &str| {
        let mut request = request(target);
        request.headers_mut().unwrap().remove(name);
        request
    };
    let with = |name: &'static str, value: &'static str| {
        let mut request = request(target);
        request.headers_mut().unwrap().insert(name, http::HeaderValue::from_static(value));
        request
    };
    for (request, body, expect) in [
        (without("x-amz-target"), "{}", "UnknownOperationException"),
        (with("x-amz-target", "TrentService.Sign"), "{}", "UnknownOperationException"),
        (without("content-type"), "{}", "UnknownOperationException"),
        (with("content-type", "application/json"), "{}", "UnknownOperationException"),
        (request(target).uri("/other"), "{}", "UnknownOperationException"),
        (request(target).method("PUT"), "{}", "UnknownOperationException"),
        (request(target), "", "SerializationException"),
        (request(target), "{\"More\":1}", "SerializationException"),
        (request("TrentService.DescribeKey"), "{\"KeyId\":\"x\"}", "NotFoundException"),
    ] {
        let (status, answer) = fixture.send(request, body.as_bytes().to_vec(), |_| ()).await;
        assert_eq!((status, answer["__type"].as_str()), (400, Some(expect)), "{answer}");
    }
}

#[tokio::test]
async fn only_what_a_user_signed_is_done() {
    let fixture = Fixture::new().await;
    let header = |request: &mut Request<Vec<u8>>, name: &'static str, value: &str| {
        request.headers_mut().insert(name, value.parse().unwrap());
    };
    let stranger = || toml::from_str("access_key_id = \"AKIANOBODY\"\nsecret_access_key = \"s\"").unwrap();
    let now = crate::nsm::system_time_ms();
    let resign = |request: &mut Request<Vec<u8>>, key: &AccessKey, time_ms: u64| {
        for name in ["authorization", "x-amz-date"] {
            request.headers_mut().remove(name);
        }
        sign_request(request, key, time_ms);
    };
    let changes: [(&Change, &str); 6] = [
        (&|request| drop(request.headers_mut().remove("authorization")), "MissingAuthenticationTokenException"),
        (&|request| header(request, "authorization", "Bearer token"), "IncompleteSignatureException"),
        (&|request| request.body_mut().push(b' '), "InvalidSignatureException"),
        (&|request| header(request, "x-amz-target", "TrentService.GenerateRandom"), "InvalidSignatureException"),
        (&|request| resign(request, &stranger(), now), "UnrecognizedClientException"),
        (&|request| resign(request, &fixture.key, now - 3_600_000), "InvalidSignatureException"),
    ];
    for (change, expect) in changes {
        let (status, answer) = fixture.send(request("TrentService.CreateKey"), b"{}".to_vec(), change).await;
        assert_eq!((status, answer["__type"].as_str()), (400, Some(expect)), "{answer}");
    }
    let again = |request: &mut Request<Vec<u8>>| resign(request, &fixture.key, now);
    assert_eq!(fixture.send(request("TrentService.CreateKey"), b"{}".to_vec(), again).await.0, 200);
}

#[tokio::test]
async fn a_body_has_an_edge() {
    let fixture = Fixture::new().await;
    for (length, expect) in [(BODY_BYTES_MAX, "SerializationException"), (BODY_BYTES_MAX + 1, "ValidationException")] {
        let (status, answer) = fixture.send(request("TrentService.CreateKey"), vec![b'x'; length], |_| ()).await;
        assert_eq!((status, answer["__type"].as_str()), (400, Some(expect)));
    }
}

#[tokio::test]
async fn only_its_own_name_its_own_root_and_loopback() {
    let fixture = Fixture::new().await;
    assert!(fixture.connect_as(HOST).await.is_ok());
    assert!(fixture.connect_as("kms.us-east-1.amazonaws.com").await.is_err());
    let other = Fixture::new().await;
    assert!(fixture.connect_as("localhost").await.is_ok() && fixture.connect_as("127.0.0.1").await.is_ok());
    let mixed = Fixture { root: other.root.clone(), ..fixture };
    assert!(mixed.connect_as(HOST).await.is_err());
    // A peer that speaks no TLS is dropped, and others are still served.
    let mut plain = TcpStream::connect(mixed.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut plain, b"POST / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest).await;
    assert!(other.connect_as(HOST).await.is_ok());

    let state = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let place = Place::new("eu-central-1", "111122223333").unwrap();
        let kms = DevKms::open(state.path(), place, Root::development(b"none")).unwrap();
        let root = TlsRoot::open(state.path()).unwrap();
        let bound = Server::bind(kms, &root, address.parse().unwrap()).await;
        assert!(matches!(bound, Err(SimulatedError::Refused { .. })), "{address}");
    }
}

#[tokio::test]
async fn connections_past_the_cap_wait_until_one_ends() {
    let fixture = Fixture::new().await;
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        open.push(fixture.connect_as(HOST).await.unwrap());
    }
    let pause = Duration::from_millis(300);
    assert!(timeout(pause, fixture.connect_as(HOST)).await.is_err(), "one past the cap is served");
    open.pop();
    assert!(timeout(Duration::from_secs(20), fixture.connect_as(HOST)).await.is_ok());
}
