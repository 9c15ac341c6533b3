//! The development KMS as a process, called by AWS's own SDK: what it wrapped it unwraps after `kill -9`.

use aws_sdk_kms::Client;
use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kms::error::SdkError;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{DataKeySpec, KeyEncryptionMechanism, RecipientInfo};
use rustls::pki_types::CertificateDer;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use strongroom_runtime::kms::connector::Connector;
use strongroom_runtime::kms::envelope::open_envelope;
use strongroom_runtime::kms::recipient::RecipientKey;
use strongroom_runtime::nsm::{AttestRequest, Nsm as _};
use strongroom_runtime::transport::Dial;
use strongroom_simulated::devkms::users::AccessKey;
use strongroom_simulated::{Authority, Measurements, SimulatedNsm};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpStream;

const ENDPOINT: &str = "kms.eu-central-1.amazonaws.com";

/// A running service; ended by `kill -9`.
struct Service {
    child: Child,
    address: SocketAddr,
}

impl Service {
    fn start(state: &Path, attestation_root: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_strongroom-devkms"))
            .args(["--listen", "127.0.0.1:0", "--user", "user", "--state"])
            .arg(state)
            .arg("--attestation-root")
            .arg(attestation_root)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening ").unwrap().parse().unwrap();
        Self { child, address }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // SIGKILL on Unix.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Stands where the host's relay does: takes its preface, then bytes flow.
struct Relay(SocketAddr);

impl Dial for Relay {
    type Stream = DuplexStream;

    async fn connect(&self) -> std::io::Result<DuplexStream> {
        let mut service = TcpStream::connect(self.0).await?;
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(async move {
            let mut name = vec![0; usize::from(far.read_u8().await?)];
            far.read_exact(&mut name).await?;
            assert_eq!(name, ENDPOINT.as_bytes());
            far.write_u8(0).await?;
            tokio::io::copy_bidirectional(&mut far, &mut service).await
        });
        Ok(near)
    }
}

fn client(service: &Service, state: &Path) -> Client {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(std::fs::read(state.join("tls-root.der")).unwrap())).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = Connector::new(Arc::new(Relay(service.address)), tls, ENDPOINT).unwrap();
    let key = AccessKey::read(state, "user").unwrap();
    let credentials = Credentials::new(key.access_key_id.clone(), key.secret_access_key.expose(), None, None, "test");
    let config = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(credentials)
        .http_client(connector)
        .build();
    Client::from_conf(config)
}

fn code<E: aws_sdk_kms::error::ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<String> {
    error.as_service_error()?.meta().code().map(str::to_owned)
}

#[tokio::test]
async fn what_was_wrapped_is_unwrapped_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (state, root_file) = (folder.path().join("kms"), folder.path().join("attestation-root.der"));
    let authority = Authority::new().unwrap();
    std::fs::write(&root_file, authority.root_der()).unwrap();
    let nsm = SimulatedNsm::new(authority, &Measurements::of_bytes(b"enclave")).unwrap();
    let recipient_key = RecipientKey::generate().unwrap();
    let recipient = || {
        let request = AttestRequest { public_key: Some(recipient_key.spki()), ..AttestRequest::default() };
        let document = nsm.attest(&request).unwrap();
        RecipientInfo::builder()
            .key_encryption_algorithm(KeyEncryptionMechanism::RsaesOaepSha256)
            .attestation_document(Blob::new(document))
            .build()
    };
    let open =
        |envelope: Option<&Blob>| open_envelope(envelope.unwrap().as_ref(), &recipient_key).unwrap().expose().to_vec();

    let service = Service::start(&state, &root_file);
    let sdk = client(&service, &state);
    let made = sdk.create_key().description("test").send().await.unwrap();
    let arn = made.key_metadata().unwrap().arn().unwrap().to_owned();
    let generate = sdk.generate_data_key().key_id(&arn).key_spec(DataKeySpec::Aes256);
    let wrapped = generate.encryption_context("role", "client").recipient(recipient()).send().await.unwrap();
    assert_eq!((wrapped.key_id(), wrapped.plaintext()), (Some(arn.as_str()), None));
    let data_key = open(wrapped.ciphertext_for_recipient());
    let dry_run = sdk.generate_data_key().key_id(&arn).key_spec(DataKeySpec::Aes256).dry_run(true).send().await;
    assert_eq!(code(&dry_run.unwrap_err()).as_deref(), Some("DryRunOperationException"));
    drop(service);

    let service = Service::start(&state, &root_file);
    let sdk = client(&service, &state);
    let decrypt = || sdk.decrypt().key_id(&arn).ciphertext_blob(wrapped.ciphertext_blob().unwrap().clone());
    let opened = decrypt().encryption_context("role", "client").recipient(recipient()).send().await.unwrap();
    assert_eq!(open(opened.ciphertext_for_recipient()), data_key);
    let refused = decrypt().encryption_context("role", "custodian").recipient(recipient()).send().await.unwrap_err();
    assert_eq!(code(&refused).as_deref(), Some("InvalidCiphertextException"));
    let unknown = sdk.describe_key().key_id("alias/none").send().await.unwrap_err();
    assert_eq!(code(&unknown).as_deref(), Some("NotFoundException"));
}

#[test]
fn the_process_refuses_what_it_may_not_do() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.der");
    std::fs::write(&root, b"any").unwrap();
    let (state, root) = (folder.path().join("kms"), root.to_str().unwrap().to_owned());
    for (flag, value, expect) in [
        ("--listen", "0.0.0.0:0", "only loopback"),
        ("--listen", "somewhere", "invalid value"),
        ("--region", "EU/central", "lower-case"),
        ("--user", "../user", "letters, digits"),
        ("--account", "1", "12 digits"),
        ("--attestation-root", "/nonexistent", "cannot read"),
    ] {
        let mut arguments = vec![("--state", state.to_str().unwrap()), ("--attestation-root", root.as_str())];
        arguments.retain(|(name, _)| *name != flag);
        arguments.push((flag, value));
        let output = Command::new(env!("CARGO_BIN_EXE_strongroom-devkms"))
            .args(arguments.iter().flat_map(|(name, value)| [name, value]))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(expect), "{flag} {value}: {text}");
    }
}
