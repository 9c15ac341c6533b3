//! The enclave's KMS client against moto, which others wrote: it must understand each of our requests. It verifies their signatures
//! with botocore's code and binds the encryption context, but knows no `Recipient` and answers in plain, which our client must refuse.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use strongroom_core::{KekContext, KmsCall};
use strongroom_proto::enclave::v1::SetCredentials;
use strongroom_proto::id::TenantId;
use strongroom_proto::v1::Role;
use strongroom_runtime::clock::Clock;
use strongroom_runtime::kms::KmsError;
use strongroom_runtime::kms::client::KmsClient;
use strongroom_runtime::kms::connector::Connector;
use strongroom_runtime::kms::credentials::CredentialStore;
use strongroom_runtime::kms::recipient::Recipients;
use strongroom_runtime::kms::tls;
use strongroom_runtime::log::Log;
use strongroom_runtime::manifest::Manifest;
use strongroom_simulated::{Authority, Measurements, SimulatedNsm};
use strongroom_tests::stack::kms_admin::{Direct, REGION};

use super::python::{clean, program, script};

/// Longest wait until it listens: it imports a large part of Python's library first.
const READY_TIME_MAX: Duration = Duration::from_mins(1);

/// A running moto with a user, a KMS key and a blob; killed on drop.
struct Moto {
    child: Child,
    address: SocketAddr,
    /// The root of its certificate, which is its certificate.
    root: Vec<u8>,
    setup: Value,
}

impl Moto {
    fn start(folder: &Path, context: &KekContext) -> Self {
        let key = KeyPair::generate().unwrap();
        let names = vec![format!("kms.{REGION}.amazonaws.com"), "localhost".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let (certificate_file, key_file) = (folder.join("certificate.pem"), folder.join("key.pem"));
        fs::write(&certificate_file, certificate.pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        // It cannot say which port it took, so it is given one that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = fs::File::create(folder.join("log")).unwrap();
        let child = clean(program("moto_server"))
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string(), "-s"])
            .arg("-c")
            .arg(&certificate_file)
            .arg("-k")
            .arg(&key_file)
            // The calls of `moto_setup.py` before which there is no user to sign them.
            .env("INITIAL_NO_AUTH_ACTION_COUNT", "4")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut moto = Self { child, address, root: certificate.der().to_vec(), setup: Value::Null };
        moto.wait(folder);
        let pairs: serde_json::Map<_, _> =
            context.pairs().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let output = script("moto_setup.py")
            .arg(format!("https://localhost:{}", address.port()))
            .arg(&certificate_file)
            .arg(Value::Object(pairs).to_string())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        moto.setup = serde_json::from_slice(&output.stdout).unwrap();
        moto
    }

    fn wait(&mut self, folder: &Path) {
        let started = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let ended = self.child.try_wait().unwrap();
            let log = || fs::read_to_string(folder.join("log")).unwrap();
            assert!(ended.is_none() && started.elapsed() < READY_TIME_MAX, "moto does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn text(&self, name: &str) -> String {
        self.setup[name].as_str().unwrap().to_owned()
    }

    /// The enclave's client, with this secret.
    fn client(&self, secret: &str) -> KmsClient {
        let nsm = SimulatedNsm::new(Authority::new().unwrap(), &Measurements::of_bytes(b"enclave")).unwrap();
        let clock = Clock::default();
        clock.anchor(&nsm).unwrap();
        let manifest = Manifest {
            bytes: Vec::new(),
            role: Role::Client,
            key_arn: self.text("key_arn"),
            region: REGION.to_owned(),
            release: 1,
            development_root: Some(self.root.clone()),
        };
        let tls = tls::client_config(&clock, manifest.development_root.as_deref()).unwrap();
        let connector = Connector::new(Arc::new(Direct(self.address)), tls, &manifest.kms_host()).unwrap();
        let credentials = CredentialStore::new(clock.clone());
        let pushed = SetCredentials {
            access_key_id: self.text("access_key_id"),
            secret_access_key: secret.to_owned(),
            ..SetCredentials::default()
        };
        credentials.set(pushed).unwrap();
        let recipients = Recipients::spawn(Log::to(|_| {})).unwrap();
        KmsClient::new(&manifest, connector, credentials, clock, Arc::new(nsm), recipients)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn context(epoch: u64) -> KekContext {
    KekContext { tenant: TenantId([0xab; 32]), role: Role::Client, epoch }
}

#[tokio::test]
async fn moto_understands_the_enclaves_calls_and_its_answers_in_plain_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let moto = Moto::start(folder.path(), &context(1));
    let wrapped = hex::decode(moto.text("wrapped")).unwrap();
    let unwrap = |epoch: u64| KmsCall::Unwrap { context: context(epoch), wrapped: wrapped.clone() };
    let client = moto.client(&moto.text("secret_access_key"));

    client.describe().await.unwrap();
    let plain = KmsError::BadReply("Plaintext is present");
    assert_eq!(client.call(&KmsCall::Generate(context(1))).await.err(), Some(plain.clone()));
    // It opened the blob of another SDK: same key, same context.
    assert_eq!(client.call(&unwrap(1)).await.err(), Some(plain));
    assert_eq!(client.call(&unwrap(2)).await.err(), Some(KmsError::NotUnwrapped));

    let stranger = moto.client("wrong");
    // Moto refuses in a form without a code that KMS has; its log says that it was the signature's check.
    for refused in [stranger.describe().await.err(), stranger.call(&unwrap(1)).await.err()] {
        assert_eq!(refused, Some(KmsError::Unavailable("KMS failed")));
    }
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert_eq!(log.matches("\" 403 ").count(), 2, "{log}");
}
