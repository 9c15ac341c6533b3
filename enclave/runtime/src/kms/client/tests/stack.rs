//! A relay and a TLS server in this process, with scripted HTTP answers, for the tests of the wire.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aws_smithy_types::base64;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{HandshakeKind, ServerConfig};
use strongroom_proto::enclave::v1::SetCredentials;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::kms::tls::client_config;
use crate::log::Log;
use crate::testing::FakeNsm;

pub(super) const HOST: &str = "kms.eu-central-1.amazonaws.com";

/// One scripted answer: from the call's name and body, status and JSON.
pub(super) type Script = Box<dyn Fn(&str, &serde_json::Value) -> (u16, String) + Send + Sync>;

/// The host's relay, and KMS behind it.
pub(super) struct Relay {
    tls: TlsAcceptor,
    script: Script,
    /// What the relay answers to the preface.
    pub(super) status: u8,
    /// Answers after which a connection is closed without a word.
    pub(super) answers_per_connection: usize,
    /// Where the relay or KMS falls silent, if anywhere.
    pub(super) stall: Option<Stall>,
    /// Bytes by which the answer's head is longer than it must be.
    pub(super) padding: usize,
    /// What the relay does to the bytes between enclave and KMS.
    pub(super) line: Line,
    /// What KMS writes in the place of its answer.
    pub(super) raw: Option<Raw>,
    /// Everything that went to the enclave after the relay's own answer.
    pub(super) to_enclave: Mutex<Vec<u8>>,
    /// Whether KMS has begun to answer.
    answering: AtomicBool,
    pub(super) connections: AtomicUsize,
    pub(super) dialled: Mutex<Vec<Instant>>,
    pub(super) groups: Mutex<Vec<String>>,
    /// Whether each handshake was whole or resumed an earlier one.
    pub(super) handshakes: Mutex<Vec<HandshakeKind>>,
    /// The `Date` of every answer, where it has one.
    pub(super) date: Option<&'static str>,
    /// The `X-Amz-Date` of each request.
    pub(super) signed_at: Mutex<Vec<String>>,
}

/// A place where nothing more comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stall {
    Preface,
    Handshake,
    Answer,
}

/// What a relay can do to bytes that it cannot read. Offsets count from the start of the TLS connection.
#[derive(Clone)]
pub(super) enum Line {
    Honest,
    FlipToKms(usize),
    FlipToEnclave(usize),
    FlipAnswer,
    CutAnswer,
    /// KMS is never reached: these bytes come instead.
    Instead(Vec<u8>),
}

/// An answer byte by byte: once `first`, then `repeat` after each `pause` without end, or the end of the connection.
#[derive(Clone)]
pub(super) struct Raw {
    pub(super) first: String,
    pub(super) repeat: String,
    pub(super) pause: Duration,
}

/// What a test changes before the client starts.
pub(super) struct Stack {
    pub(super) relay: Relay,
    pub(super) root: Vec<u8>,
    pub(super) time_ms: Option<u64>,
    pub(super) nsm: Arc<FakeNsm>,
}

impl Stack {
    /// KMS under a fresh root, with a certificate for `name`.
    pub(super) fn new(
        name: &str,
        script: impl Fn(&str, &serde_json::Value) -> (u16, String) + Send + Sync + 'static,
    ) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let leaf_key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&leaf_key, &issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        let relay = Relay {
            tls: TlsAcceptor::from(Arc::new(config)),
            script: Box::new(script),
            status: 0,
            answers_per_connection: usize::MAX,
            stall: None,
            padding: 0,
            line: Line::Honest,
            raw: None,
            to_enclave: Mutex::default(),
            answering: AtomicBool::new(false),
            dialled: Mutex::default(),
            connections: AtomicUsize::new(0),
            groups: Mutex::default(),
            handshakes: Mutex::default(),
            date: None,
            signed_at: Mutex::default(),
        };
        let root = issuer.as_ref().der().to_vec();
        Self { relay, root, time_ms: Some(1_700_000_000_000), nsm: Arc::new(FakeNsm::ready()) }
    }

    /// A client that trusts the stack's root.
    pub(super) fn client(self) -> (KmsClient, Arc<Relay>) {
        let clock = Clock::default();
        if let Some(time) = self.time_ms {
            clock.set(time);
        }
        let credentials = CredentialStore::new(clock.clone());
        let pushed =
            SetCredentials { access_key_id: "AKID".into(), secret_access_key: "s".into(), ..SetCredentials::default() };
        credentials.set(pushed).unwrap();
        let relay = Arc::new(Dialled(Arc::new(self.relay)));
        let tls = client_config(&clock, Some(&self.root)).unwrap();
        let connector = Connector::new(Arc::clone(&relay), tls, HOST).unwrap();
        let manifest = Manifest {
            bytes: Vec::new(),
            role: strongroom_proto::v1::Role::Client,
            key_arn: ARN.into(),
            region: "eu-central-1".into(),
            release: 1,
            development_root: None,
        };
        let recipients = Recipients::spawn(Log::to(|_| {})).unwrap();
        let client = KmsClient::new(&manifest, connector, credentials, clock, self.nsm, recipients);
        (client, Arc::clone(&relay.0))
    }
}

/// Waits for the recipient key, which a thread makes in real time: on a busy machine longer than a call waits.
pub(super) async fn recipient_key(client: &KmsClient) {
    while client.recipients.newest().await.is_err() {}
}

struct Dialled(Arc<Relay>);

impl Dial for Dialled {
    type Stream = DuplexStream;

    async fn connect(&self) -> io::Result<DuplexStream> {
        let (enclave, host) = tokio::io::duplex(1 << 16);
        self.0.connections.fetch_add(1, Ordering::SeqCst);
        self.0.dialled.lock().unwrap().push(Instant::now());
        let relay = Arc::clone(&self.0);
        tokio::spawn(async move { relay.serve(host).await.ok() });
        Ok(enclave)
    }
}

impl Relay {
    async fn serve(self: Arc<Self>, mut host: DuplexStream) -> io::Result<()> {
        let mut name = vec![0; usize::from(host.read_u8().await?)];
        host.read_exact(&mut name).await?;
        assert_eq!(name, HOST.as_bytes());
        self.stall_at(Stall::Preface).await;
        host.write_u8(self.status).await?;
        self.stall_at(Stall::Handshake).await;
        // Whatever the status says, the server goes on: a client that did not look at it would get its answer.
        if let Line::Instead(bytes) = &self.line {
            host.write_all(bytes).await?;
            // Until the enclave goes.
            return host.read_to_end(&mut Vec::new()).await.map(|_| ());
        }
        let mut stream = self.tls.accept(self.clone().between(host)).await?;
        let group = stream.get_ref().1.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
        self.groups.lock().unwrap().extend(group);
        self.handshakes.lock().unwrap().extend(stream.get_ref().1.handshake_kind());
        for _ in 0..self.answers_per_connection {
            let (target, body, signed_at) = request(&mut stream).await?;
            self.signed_at.lock().unwrap().push(signed_at);
            self.stall_at(Stall::Answer).await;
            self.answering.store(true, Ordering::SeqCst);
            if let Some(Raw { first, repeat, pause }) = &self.raw {
                stream.write_all(first.as_bytes()).await?;
                while !repeat.is_empty() {
                    stream.write_all(repeat.as_bytes()).await?;
                    stream.flush().await?;
                    tokio::time::sleep(*pause).await;
                }
                return stream.flush().await;
            }
            let (status, json) = (self.script)(&target, &body);
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n{}x: {}\r\n\r\n",
                json.len(),
                self.date.map(|date| format!("date: {date}\r\n")).unwrap_or_default(),
                "x".repeat(self.padding)
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(json.as_bytes()).await?;
            stream.flush().await?;
        }
        Ok(())
    }

    /// The end that KMS sees, with the relay between it and the enclave's.
    fn between(self: Arc<Self>, enclave: DuplexStream) -> DuplexStream {
        let (kms, ours) = tokio::io::duplex(1 << 16);
        let (from_enclave, to_enclave) = tokio::io::split(enclave);
        let (from_kms, to_kms) = tokio::io::split(ours);
        let relay = Arc::clone(&self);
        tokio::spawn(carry(from_enclave, to_kms, move |at, bytes| {
            if let Line::FlipToKms(place) = relay.line {
                flip(bytes, at, place);
            }
            bytes.len()
        }));
        tokio::spawn(carry(from_kms, to_enclave, move |at, bytes| {
            self.to_enclave.lock().unwrap().extend_from_slice(bytes);
            let middle = bytes.len() / 2;
            match self.line {
                Line::FlipToEnclave(place) => flip(bytes, at, place),
                Line::FlipAnswer if self.answering.load(Ordering::SeqCst) => bytes[middle] ^= 1,
                Line::CutAnswer if self.answering.load(Ordering::SeqCst) => return middle,
                _ => {}
            }
            bytes.len()
        }));
        kms
    }

    async fn stall_at(&self, stall: Stall) {
        if self.stall == Some(stall) {
            std::future::pending::<()>().await;
        }
    }
}

/// Carries bytes one way. `change` gets their place and the bytes, and says how many of them go on; the line ends where some do not.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut change: impl FnMut(usize, &mut [u8]) -> usize,
) {
    let (mut buffer, mut at) = (vec![0; 1 << 14], 0);
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let passes = change(at, &mut buffer[..read]);
        if to.write_all(&buffer[..passes]).await.is_err() || passes < read {
            break;
        }
        at += read;
    }
    // The other end may be gone already.
    let _ = to.shutdown().await;
}

fn flip(bytes: &mut [u8], at: usize, place: usize) {
    if let Some(byte) = place.checked_sub(at).and_then(|place| bytes.get_mut(place)) {
        *byte ^= 1;
    }
}

/// The target, the body and the signing time of one request.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(String, serde_json::Value, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
    let field = |name: &str| {
        let line =
            head.lines().find(|line| line.to_ascii_lowercase().starts_with(name)).unwrap_or_else(|| panic!("{head}"));
        line[name.len()..].trim().to_owned()
    };
    assert_eq!(field("host:"), HOST);
    assert!(
        field("authorization:").contains("AKID/20231114/eu-central-1/kms/aws4_request"),
        "signed at the enclave's time"
    );
    let mut body = vec![0; field("content-length:").parse().unwrap()];
    stream.read_exact(&mut body).await?;
    let target = field("x-amz-target:").trim_start_matches("TrentService.").to_owned();
    Ok((target, serde_json::from_slice(&body).unwrap(), field("x-amz-date:")))
}

pub(super) fn encode(bytes: &[u8]) -> String {
    base64::encode(bytes)
}
