//! The host's life: store, sockets, enclaves, services; then a graceful end.
//!
//! Nothing is bound before the configuration and the files that it names are checked and the store is open. At the end no new call
//! is taken, calls in flight get a limited time, and what the store was given is written.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use strongroom_proto::FILE_DESCRIPTOR_SET;
use strongroom_proto::limits::{FRAME_BYTES_MAX, MESSAGE_BYTES_MAX};
use strongroom_proto::v1::Role;
use strongroom_proto::v1::admin_service_server::AdminServiceServer;
use strongroom_proto::v1::backup_service_server::BackupServiceServer;
use strongroom_proto::v1::eject_service_server::EjectServiceServer;
use strongroom_proto::v1::passkey_service_server::PasskeyServiceServer;
use strongroom_proto::v1::recovery_service_server::RecoveryServiceServer;
use strongroom_proto::v1::tenant_service_server::TenantServiceServer;
use strongroom_proto::v1::wallet_service_server::WalletServiceServer;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::layer::util::{Identity as NoLayer, Stack};
use tower::util::MapResponseLayer;

use crate::config::{Api, Config};
use crate::enclave::Enclave;
use crate::error::Error;
use crate::listen::{self, enclaves, incoming};
use crate::services::admin::Admin;
use crate::services::backup::Backups;
use crate::services::eject::Ejects;
use crate::services::passkey::Passkeys;
use crate::services::recovery::Recoveries;
use crate::services::reseal::sweep;
use crate::services::tenant::Tenants;
use crate::services::wallet::Wallets;
use crate::services::{App, commits, due, replies, unfinished};
use crate::store::SqliteStore;
use crate::{parent, relay, status, telemetry};

/// Most connections to the API.
const API_CONNECTIONS_MAX: usize = 1024;
/// Most connections to the operator's socket.
const ADMIN_CONNECTIONS_MAX: usize = 16;
/// Most calls in flight on one connection.
const STREAMS_MAX: u32 = 256;
/// Most bytes of a call's headers.
const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// Most bytes of a request: a message for each role's enclave, or one and what the device encrypted itself.
const REQUEST_BYTES_MAX: usize = FRAME_BYTES_MAX + MESSAGE_BYTES_MAX;
/// Longest time from a call's headers to its answer.
const CALL_MAX: Duration = Duration::from_mins(1);
/// Longest TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Silence after which a connection is probed, and the wait for the answer.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// Longest time that calls in flight get at the end.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Serves until SIGTERM or SIGINT. Prints `strongroom-host ready api=ADDRESS` to standard output once every socket is bound.
///
/// # Errors
/// Where a file, socket or address cannot be used.
pub async fn run(config: Config) -> Result<(), Error> {
    telemetry::install(config.log);
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::io("handle", "SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::io("handle", "SIGINT"))?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let ready = |api| {
        // Nobody who reads standard output is no reason to stop.
        drop(writeln!(std::io::stdout(), "strongroom-host ready api={api}"));
    };
    serve(config, ready, stop).await
}

/// Serves until `stop`; calls `ready` with the API's address once every socket is bound.
///
/// # Errors
/// As [`run`].
pub async fn serve(
    config: Config,
    ready: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    for note in check(&config)? {
        tracing::warn!(name: "file of a further enclave", error = %note);
    }
    let tls = tls(&config.api)?;
    let store = Arc::new(SqliteStore::open(&config.sqlite)?);
    let api = TcpListener::bind(config.api.listen).await;
    let api = api.map_err(Error::io("listen on", config.api.listen.to_string()))?;
    let address = api.local_addr().map_err(Error::io("listen on", config.api.listen.to_string()))?;
    let (admin, _admin_path) = listen::unix(&config.admin_socket)?;
    let (relay, _relay_path) = enclaves::bind(&config.relay.listen, &config.enclaves)?;
    let (parent, _parent_paths) = parent::Listeners::bind(&config)?;
    let enclaves: Vec<Enclave> = config.enclaves.iter().map(Enclave::start).collect();

    let (health, health_service) = tonic_health::server::health_reporter();
    let mut background = JoinSet::new();
    background.spawn(watch_health(health.clone(), enclaves.iter().map(|it| (it.role(), it.health())).collect()));
    background.spawn(relay::serve(relay, config.relay.names, relay::Waits::default()));
    background.spawn(parent.serve());
    background.spawn(replies::sweep(store.clone()));
    let app = Arc::new(App::new(store, enclaves));
    background.spawn(due::run(Arc::clone(&app)));
    background.spawn(commits::run(Arc::clone(&app)));
    background.spawn(unfinished::run(Arc::clone(&app)));
    background.spawn(sweep::run(Arc::clone(&app)));

    let stopping = watch::Sender::new(false);
    let api_routes = api_routes(&app, &config.api)?.add_service(health_service);
    let admin_routes = Routes::new(AdminServiceServer::new(Admin(app)).max_decoding_message_size(REQUEST_BYTES_MAX));
    let api = incoming(api, API_CONNECTIONS_MAX, &mut background);
    let admin = incoming(admin, ADMIN_CONNECTIONS_MAX, &mut background);
    let mut servers = JoinSet::new();
    let server = server(tls)?.add_routes(api_routes);
    servers.spawn(server.serve_with_incoming_shutdown(api, stopped(stopping.subscribe())));
    let server = self::server(None)?.add_routes(admin_routes);
    servers.spawn(server.serve_with_incoming_shutdown(admin, stopped(stopping.subscribe())));

    tracing::info!(name: "ready", api = %address);
    ready(address);
    let ended = tokio::select! {
        () = stop => Ok(()),
        Some(ended) = servers.join_next() => match ended {
            Ok(ended) => ended.map_err(Error::Serve),
            Err(_) => Err(Error::Internal("the gRPC server panicked")),
        },
    };
    health.set_service_status("", ServingStatus::NotServing).await;
    stopping.send_replace(true);
    drain(servers, DRAIN_MAX).await;
    background.shutdown().await;
    tracing::info!(name: "stopped", "");
    ended
}

/// Checks the files that a configuration names. Binds nothing and makes nothing. Gives what is wrong with files that the host can start
/// without: those of a further enclave of a role, which may come with its release.
///
/// # Errors
/// Where a certificate or key cannot be used, or no enclave of a role has the manifest and credentials that it needs; names the file.
pub fn check(config: &Config) -> Result<Vec<Error>, Error> {
    server(tls(&config.api)?).map_err(|error| named(&config.api, error))?;
    let mut notes = Vec::new();
    for role in [Role::Client, Role::Custodian] {
        let of_role = config.enclaves.iter().filter(|enclave| enclave.role == role);
        let checks: Vec<Result<(), Error>> = of_role.map(Enclave::check).collect();
        let is_one_right = checks.iter().any(Result::is_ok);
        let mut wrong = checks.into_iter().filter_map(Result::err);
        if !is_one_right && let Some(first) = wrong.next() {
            return Err(first);
        }
        notes.extend(wrong);
    }
    Ok(notes)
}

/// Waits for the calls in flight, but not for ever.
async fn drain(mut servers: JoinSet<Result<(), tonic::transport::Error>>, longest: Duration) {
    tracing::info!(name: "draining", count = servers.len());
    let drained = tokio::time::timeout(longest, async { while servers.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(name: "calls in flight were cut off", "");
        servers.shutdown().await;
    }
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error says that the sender has gone, and so has the host.
    drop(stopping.wait_for(|stopping| *stopping).await);
}

fn tls(api: &Api) -> Result<Option<ServerTlsConfig>, Error> {
    let Some(files) = &api.tls else { return Ok(None) };
    let cert = std::fs::read(&files.cert).map_err(Error::io("read certificate", &files.cert))?;
    let mode = std::fs::metadata(&files.key).map_err(Error::io("read key", &files.key))?.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        let value = format!("{}, mode {mode:03o}", files.key.display());
        return Err(Error::config("api.tls.key", value, "must not be open to everybody, such as mode 600 or 640"));
    }
    let key = zeroize::Zeroizing::new(std::fs::read(&files.key).map_err(Error::io("read key", &files.key))?);
    // Refused only where one is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let identity = Identity::from_pem(cert, key.as_slice());
    Ok(Some(ServerTlsConfig::new().identity(identity).timeout(HANDSHAKE_MAX)))
}

/// A certificate or key that TLS refuses, by its file.
fn named(api: &Api, error: Error) -> Error {
    match (&api.tls, error) {
        (Some(files), Error::Serve(error)) => {
            let value = format!("cert {}, key {}", files.cert.display(), files.key.display());
            let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            Error::config("api.tls", value, cause)
        }
        (_, error) => error,
    }
}

/// A server whose every refusal passes through [`status::complete`].
type CompletingServer = Server<Stack<MapResponseLayer<fn(http::Response<Body>) -> http::Response<Body>>, NoLayer>>;

fn server(tls: Option<ServerTlsConfig>) -> Result<CompletingServer, Error> {
    let server = Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .timeout(CALL_MAX);
    let server = match tls {
        Some(tls) => server.tls_config(tls)?,
        None => server,
    };
    Ok(server.layer(MapResponseLayer::new(status::complete as fn(_) -> _)))
}

fn api_routes(app: &Arc<App>, api: &Api) -> Result<Routes, Error> {
    let app = || Arc::clone(app);
    let routes = Routes::new(TenantServiceServer::new(Tenants(app())).max_decoding_message_size(REQUEST_BYTES_MAX))
        .add_service(WalletServiceServer::new(Wallets(app())).max_decoding_message_size(REQUEST_BYTES_MAX))
        .add_service(PasskeyServiceServer::new(Passkeys(app())).max_decoding_message_size(REQUEST_BYTES_MAX))
        .add_service(BackupServiceServer::new(Backups(app())).max_decoding_message_size(REQUEST_BYTES_MAX))
        .add_service(RecoveryServiceServer::new(Recoveries(app())).max_decoding_message_size(REQUEST_BYTES_MAX))
        .add_service(EjectServiceServer::new(Ejects(app())).max_decoding_message_size(REQUEST_BYTES_MAX));
    if !api.reflection {
        return Ok(routes);
    }
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|_| Error::Internal("the descriptors for reflection do not decode"))?;
    Ok(routes.add_service(reflection))
}

/// Reports SERVING while each role has an enclave that is ready, and `NOT_SERVING` otherwise.
async fn watch_health(
    reporter: HealthReporter,
    mut enclaves: Vec<(Role, watch::Receiver<Option<strongroom_proto::enclave::v1::Health>>)>,
) {
    loop {
        // Every one is looked at, so that the wait below is for what comes after.
        let known: Vec<(Role, bool)> = enclaves
            .iter_mut()
            .map(|(role, health)| {
                (*role, health.borrow_and_update().as_ref().is_some_and(|health| health.missing.is_empty()))
            })
            .collect();
        let is_served = |role: Role| known.iter().any(|(other, is_ready)| *other == role && *is_ready);
        let is_serving = known.iter().all(|(role, _)| is_served(*role));
        let status = if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status("", status).await;
        let mut changes = JoinSet::new();
        for (_, mut health) in enclaves.iter().cloned() {
            changes.spawn(async move { health.changed().await.is_ok() });
        }
        if changes.join_next().await.is_none_or(|changed| !matches!(changed, Ok(true))) {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
