//! A tenant whose receipt key the test has, and a host that answers what it is told: so every false receipt can be made.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::future::{Ready, ready};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, Full};
use prost::Message;
use prost::bytes::Bytes;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use strongroom_proto::id::TenantId;
use strongroom_proto::prefix;
use strongroom_proto::v1::{
    Epoch, ImageMeasurement, Receipt, RoleStatement, SignedReceipt, SignedStatement, Statement,
};
use strongroom_sdk::keys::{KeyUse, SigningKey};
use strongroom_sdk::statement;
use strongroom_tests::stack::backend::Settings;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// A tenant with one epoch in the client role.
pub(super) struct Tenant {
    pub(super) id: TenantId,
    pub(super) signed: SignedStatement,
    pub(super) receipts: ReceiptKey,
    statement: Statement,
    root: SigningKey,
}

/// An epoch's receipt key.
pub(super) struct ReceiptKey(Ed25519KeyPair);

impl ReceiptKey {
    pub(super) fn new() -> Self {
        let seed = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self(Ed25519KeyPair::from_pkcs8(seed.as_ref()).unwrap())
    }

    pub(super) fn sign(&self, prefix: &[u8], receipt: Vec<u8>) -> SignedReceipt {
        let signature = self.0.sign(&prefix::prefixed(prefix, &receipt)).as_ref().to_vec();
        SignedReceipt { receipt, signature }
    }
}

impl Tenant {
    pub(super) fn new() -> Self {
        let [root, standby] = [KeyUse::Root, KeyUse::Standby].map(|purpose| SigningKey::generate(purpose).unwrap());
        let receipts = ReceiptKey::new();
        let epoch = Epoch {
            epoch: 1,
            kek_id: vec![1; 32],
            channel_key_hash: vec![2; 32],
            receipt_key: receipts.0.public_key().as_ref().to_vec(),
        };
        let statement = Statement {
            root_key: root.public_key().to_vec(),
            standby_key: standby.public_key().to_vec(),
            serial: 1,
            images: vec![ImageMeasurement { pcr0: vec![1; 48], pcr1: vec![2; 48], pcr2: vec![3; 48] }],
            client: Some(RoleStatement { pcr16: vec![vec![4; 48]], epochs: vec![epoch], lowest_epoch: 1 }),
            rp_id: "wallet.example".to_owned(),
            origins: vec!["https://wallet.example".to_owned()],
            ..Statement::default()
        };
        let id = TenantId::of(root.public_key(), standby.public_key());
        // Either key signs; the backends must take the standby's too.
        Self { id, signed: statement::sign(&statement, &standby).unwrap(), receipts, statement, root }
    }

    /// Another statement of the tenant, which also names epoch 2.
    pub(super) fn statement(&self, serial: u64, receipts: &ReceiptKey) -> SignedStatement {
        let mut statement = Statement { serial, ..self.statement.clone() };
        let epochs = &mut statement.client.as_mut().unwrap().epochs;
        let receipt_key = receipts.0.public_key().as_ref().to_vec();
        epochs.push(Epoch { epoch: 2, kek_id: vec![8; 32], channel_key_hash: vec![9; 32], receipt_key });
        statement::sign(&statement, &self.root).unwrap()
    }

    pub(super) fn sign(&self, receipt: &Receipt) -> SignedReceipt {
        self.receipts.sign(prefix::RECEIPT, receipt.encode_to_vec())
    }

    /// Settings of a backend of this tenant with the users ann and bob, in front of `host`.
    pub(super) fn settings(&self, folder: &Path, host: &str) -> Settings {
        let file = |name: &str, content: &[u8]| -> PathBuf {
            let path = folder.join(name);
            fs::write(&path, content).unwrap();
            path
        };
        Settings {
            listen: "127.0.0.1:0".to_owned(),
            host: host.to_owned(),
            api_key: file("api-key", format!("sr_{}\n", "7".repeat(64)).as_bytes()),
            tenant: self.id.to_string(),
            statement: file("statement", &self.signed.encode_to_vec()),
            users: [("ann", "w"), ("bob", "v")].map(|(name, wallet)| (name.to_owned(), wallet.to_owned())).into(),
            custodian: None,
        }
    }
}

/// What the host answers: the message of each call that it knows. To every other it says that nobody is known to it.
#[derive(Clone, Default)]
pub(super) struct Answers(Arc<Mutex<HashMap<String, Vec<u8>>>>);

impl Answers {
    pub(super) fn set(&self, call: &str, answer: &impl Message) {
        self.0.lock().unwrap().insert(format!("/strongroom.v1.{call}"), answer.encode_to_vec());
    }

    pub(super) fn forget(&self) {
        self.0.lock().unwrap().clear();
    }

    fn to(&self, path: &str) -> http::Response<Body> {
        let mut trailers = HeaderMap::new();
        let mut frame = Vec::new();
        let code = if let Some(message) = self.0.lock().unwrap().get(path) {
            frame.push(0);
            frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
            frame.extend_from_slice(message);
            "0"
        } else {
            trailers.insert("grpc-message", HeaderValue::from_static("no valid API key"));
            "16"
        };
        trailers.insert("grpc-status", HeaderValue::from_static(code));
        let body = Full::<Bytes>::from(frame).with_trailers(ready(Some(Ok(trailers))));
        http::Response::builder().header("content-type", "application/grpc").body(Body::new(body)).unwrap()
    }
}

/// One service of the host.
#[derive(Clone)]
struct Service<const NUMBER: usize>(Answers);

impl NamedService for Service<0> {
    const NAME: &'static str = "strongroom.v1.BackupService";
}

impl NamedService for Service<1> {
    const NAME: &'static str = "strongroom.v1.RecoveryService";
}

impl NamedService for Service<2> {
    const NAME: &'static str = "strongroom.v1.PasskeyService";
}

impl<const NUMBER: usize> tower::Service<http::Request<Body>> for Service<NUMBER> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        ready(Ok(self.0.to(request.uri().path())))
    }
}

/// Serves the answers for as long as the test runs; gives the address.
pub(super) fn serve(answers: &Answers) -> String {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let server = Server::builder()
        .add_service(Service::<0>(answers.clone()))
        .add_service(Service::<1>(answers.clone()))
        .add_service(Service::<2>(answers.clone()));
    tokio::spawn(server.serve_with_incoming(incoming));
    format!("http://{address}")
}
