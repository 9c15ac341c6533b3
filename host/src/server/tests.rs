use std::path::{Path, PathBuf};

use strongroom_proto::v1::GetWalletRequest;
use strongroom_proto::v1::wallet_service_client::WalletServiceClient;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use super::*;
use crate::config::{CredentialSource, EnclaveConfig, Format, Listen, Log, Parent, Relay, Tls};
use crate::testing::{FakeEnclave, Reaction, enclave_config, slot_config, slot_socket};

fn config(dir: &Path) -> Config {
    Config {
        api: Api { listen: "127.0.0.1:0".parse().unwrap(), tls: None, reflection: false },
        admin_socket: dir.join("admin.sock"),
        sqlite: dir.join("db"),
        enclaves: vec![enclave_config(dir, 1)],
        relay: Relay { listen: Listen::Unix(dir.join("relay.sock")), names: std::collections::BTreeMap::new() },
        parent: Parent::default(),
        log: Log { level: tracing::level_filters::LevelFilter::OFF, format: Format::Text },
    }
}

/// Serves until the sender is dropped.
async fn start(config: Config) -> (SocketAddr, tokio::sync::oneshot::Sender<()>) {
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let (ready, address) = tokio::sync::oneshot::channel();
    tokio::spawn(serve(config, move |api| ready.send(api).unwrap(), async move { drop(stopped.await) }));
    (address.await.unwrap(), stop)
}

async fn code(channel: Channel) -> Code {
    let request = GetWalletRequest { wallet: "w".to_owned() };
    WalletServiceClient::new(channel).get_wallet(request).await.unwrap_err().code()
}

fn certificate(dir: &Path) -> (Tls, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(vec!["host.test".to_owned()]).unwrap();
    let tls = Tls { cert: dir.join("cert.pem"), key: dir.join("key.pem") };
    std::fs::write(&tls.cert, made.cert.pem()).unwrap();
    std::fs::write(&tls.key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&tls.key, std::fs::Permissions::from_mode(0o640)).unwrap();
    (tls, made.cert.pem().into_bytes())
}

#[tokio::test]
async fn with_a_certificate_only_tls_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let (tls, root) = certificate(dir.path());
    let mut config = config(dir.path());
    config.api.tls = Some(tls);
    let (address, _stop) = start(config).await;
    let endpoint = |scheme: &str| Endpoint::from_shared(format!("{scheme}://{address}")).unwrap();
    let client = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(root)).domain_name("host.test");
    let channel = endpoint("https").tls_config(client).unwrap().connect().await.unwrap();
    assert_eq!(code(channel).await, Code::Unauthenticated);
    if let Ok(channel) = endpoint("http").connect().await {
        assert_ne!(code(channel).await, Code::Unauthenticated, "served without TLS");
    }
}

#[tokio::test]
async fn reflection_is_served_only_where_it_is_asked_for() {
    for reflection in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        config.api.reflection = reflection;
        let (address, _stop) = start(config).await;
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let ask = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let answer = ServerReflectionClient::new(channel).server_reflection_info(tokio_stream::once(ask)).await;
        assert_eq!(answer.is_ok(), reflection);
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_named_at_the_start() {
    async fn refuse(change: impl FnOnce(&mut Config, PathBuf), expect: &str) {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        change(&mut config, dir.path().to_owned());
        let error = serve(config, |_| panic!("ready: {expect}"), std::future::pending()).await.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    refuse(|config, _| config.api.listen = address, &address.to_string()).await;
    refuse(|config, dir| std::fs::write(&config.admin_socket, dir.to_str().unwrap()).unwrap(), "admin.sock").await;
    refuse(|config, _| config.relay.listen = Listen::Unix("/nowhere/relay.sock".into()), "relay.sock").await;
    refuse(|config, _| config.parent.heartbeat = Some(Listen::Unix("/nowhere/beat.sock".into())), "beat.sock").await;
    refuse(|config, _| config.parent.last_words = Some(Listen::Unix("/nowhere/words.sock".into())), "words.sock").await;
    refuse(|config, _| config.sqlite = "/nowhere/db".into(), "/nowhere/db").await;
    refuse(|config, _| std::fs::write(&config.enclaves[0].manifest, b"x").unwrap(), "manifest").await;
    let unreadable = |config: &mut Config, dir: PathBuf| {
        let absent = EnclaveConfig {
            credentials: CredentialSource::File(dir.join("absent.toml")),
            ..config.enclaves[0].clone()
        };
        config.enclaves = vec![absent];
    };
    refuse(unreadable, "absent.toml").await;
    let no_key = |config: &mut Config, dir: PathBuf| {
        let (tls, _) = certificate(&dir);
        std::fs::remove_file(&tls.key).unwrap();
        config.api.tls = Some(tls);
    };
    refuse(no_key, "key.pem").await;
    let bad_key = |config: &mut Config, dir: PathBuf| {
        let (tls, _) = certificate(&dir);
        std::fs::write(&tls.key, "no key").unwrap();
        config.api.tls = Some(tls);
    };
    refuse(bad_key, "key.pem").await;
    let open_key = |config: &mut Config, dir: PathBuf| {
        let (tls, _) = certificate(&dir);
        std::fs::set_permissions(&tls.key, std::fs::Permissions::from_mode(0o644)).unwrap();
        config.api.tls = Some(tls);
    };
    refuse(open_key, "mode 644").await;
}

#[tokio::test]
async fn what_grpc_refuses_by_itself_names_its_reason_too() {
    use tonic_types::StatusExt;

    let dir = tempfile::tempdir().unwrap();
    let (address, _stop) = start(config(dir.path())).await;
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let reason = |status: &tonic::Status| {
        status.get_error_details().error_info().map(|info| (info.reason.clone(), info.domain.clone()))
    };
    let bad_request = Some(("BAD_REQUEST".to_owned(), status::DOMAIN.to_owned()));
    let long = GetWalletRequest { wallet: "w".repeat(REQUEST_BYTES_MAX + 1) };
    let refused = WalletServiceClient::new(channel.clone()).get_wallet(long).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::InvalidArgument, bad_request.clone()));
    assert!(refused.message().contains(&REQUEST_BYTES_MAX.to_string()), "{refused:?}");
    // Reflection is off, so that its method is not there.
    let ask = tokio_stream::once(ServerReflectionRequest { host: String::new(), message_request: None });
    let absent = ServerReflectionClient::new(channel.clone()).server_reflection_info(ask).await.unwrap_err();
    assert_eq!((absent.code(), reason(&absent)), (Code::Unimplemented, bad_request));
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let unknown = tonic_health::pb::HealthCheckRequest { service: "unknown".to_owned() };
    let unknown = health.check(unknown).await.unwrap_err();
    assert_eq!(reason(&unknown).unwrap().0, "NOT_FOUND");
}

#[tokio::test]
async fn calls_that_do_not_end_are_cut_off_at_the_limit() {
    let (sender, gone) = tokio::sync::oneshot::channel::<()>();
    let mut servers = JoinSet::new();
    servers.spawn(async { Ok(()) });
    servers.spawn(async move {
        let _held = sender;
        std::future::pending().await
    });
    drain(servers, Duration::from_millis(20)).await;
    assert!(gone.await.is_err(), "the call goes on");
}

#[tokio::test]
async fn a_check_reads_every_file_and_makes_none() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let names = || std::fs::read_dir(dir.path()).unwrap().count();
    let before = names();
    check(&config).unwrap();
    assert_eq!(names(), before);
    std::fs::remove_file(dir.path().join("credentials.toml")).unwrap();
    assert!(check(&config).unwrap_err().to_string().contains("credentials.toml"));
    assert!(serve(config, |_| panic!("ready"), std::future::pending()).await.is_err());
    assert_eq!(names(), before - 1, "nothing is bound or made before the files are checked");
}

#[tokio::test]
async fn the_host_starts_without_the_files_of_a_further_enclave_and_not_without_those_of_every_one() {
    let dir = tempfile::tempdir().unwrap();
    let slots = [slot_config(dir.path(), 1, 1), slot_config(dir.path(), 2, 2)];
    let config = Config { enclaves: slots.to_vec(), ..config(dir.path()) };
    assert!(check(&config).unwrap().is_empty());
    std::fs::remove_file(&slots[1].manifest).unwrap();
    let notes: Vec<String> = check(&config).unwrap().iter().map(ToString::to_string).collect();
    assert!(notes.len() == 1 && notes[0].contains("2.manifest"), "{notes:?}");
    std::fs::write(&slots[0].manifest, b"x").unwrap();
    assert!(check(&config).unwrap_err().to_string().contains("1.manifest"));
    // A role is not served by the other one's files.
    let custodian = EnclaveConfig { role: strongroom_proto::v1::Role::Custodian, ..enclave_config(dir.path(), 1) };
    let config = Config { enclaves: vec![enclave_config(dir.path(), 1), custodian], ..config };
    assert!(check(&config).unwrap_err().to_string().contains("ROLE_CLIENT"));
}

#[tokio::test]
async fn the_host_serves_while_one_enclave_of_its_role_is_ready() {
    let dir = tempfile::tempdir().unwrap();
    let slots = vec![slot_config(dir.path(), 1, 1), slot_config(dir.path(), 2, 2)];
    let (address, _stop) = start(Config { enclaves: slots, ..config(dir.path()) }).await;
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let mut reaches = async |expect: ServingStatus| {
        let reached = async {
            let ask = tonic_health::pb::HealthCheckRequest::default;
            while health.check(ask()).await.unwrap().into_inner().status != expect as i32 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reached).await.unwrap();
    };
    // The numbers of the health protocol.
    reaches(ServingStatus::NotServing).await;
    let mut fakes = Vec::new();
    for slot in [2, 1] {
        fakes.push(FakeEnclave::start(&slot_socket(dir.path(), slot), |_| Reaction::Ignore));
        reaches(ServingStatus::Serving).await;
    }
    fakes.pop();
    tokio::time::sleep(Duration::from_millis(50)).await;
    reaches(ServingStatus::Serving).await;
    fakes.pop();
    reaches(ServingStatus::NotServing).await;
}
