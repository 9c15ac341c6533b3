//! An example of a tenant's backend: devices talk to it, and it alone talks to `strongroom-host`.
//!
//! It knows its users and lets each reach its own wallet only, serves the statement from its own store, and keeps every receipt of
//! each backup. The host's API key never leaves it, and what passes through is sealed or signed by others.

mod check;
mod config;
mod custodian;
mod service;
mod statement;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use strongroom_sdk::attestation::Root;
use strongroom_sdk::client::{self, ANSWER_WAIT_MAX, Client};
use strongroom_sdk::{Trust, files};
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use config::Config;
use service::v1::{
    backup_service_server, passkey_service_server, recovery_service_server, tenant_backend_service_server,
    tenant_service_server,
};
use service::{Backend, REQUEST_BYTES_MAX};

/// Most calls in flight on one connection.
const CALLS_MAX: usize = 64;
/// Longest time of a call: the host's longest answer, and what stands around it.
const CALL_MAX: Duration = ANSWER_WAIT_MAX.saturating_add(Duration::from_secs(10));

/// Longest file with a root certificate.
const CERTIFICATE_BYTES_MAX: usize = 8 * 1024;

/// Stands between a wallet company's devices and strongroom-host.
#[derive(Parser)]
struct Arguments {
    /// The configuration (TOML); `README.md` shows every field.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Believe attestation documents of another root (DER) than AWS's: for a stack on this machine.
    #[arg(long, value_name = "FILE")]
    development_root: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("strongroom-example-backend: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = Config::load(&arguments.config)?;
    let trust = match &arguments.development_root {
        Some(path) => Trust::development(Root::development(&files::read(path, CERTIFICATE_BYTES_MAX)?)),
        None => Trust::aws(),
    };
    let client = Client::connect(&config.host, config.api_key.clone()).await?;
    let channel = client::connect(&config.host).await?;
    let listen = config.listen;
    let backend = Backend::new(config, channel, client, trust);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let reloading = backend.clone();
    let reload = tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reloading.reload_statement();
        }
    });
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    let incoming = TcpIncoming::bind(listen).with_context(|| format!("listen on {listen}"))?;
    println!("strongroom-example-backend ready address={}", incoming.local_addr()?);
    let backups = backup_service_server::BackupServiceServer::new(backend.clone());
    let recoveries = recovery_service_server::RecoveryServiceServer::new(backend.clone());
    let drafts = tenant_backend_service_server::TenantBackendServiceServer::new(backend.clone());
    Server::builder()
        .timeout(CALL_MAX)
        .concurrency_limit_per_connection(CALLS_MAX)
        .add_service(backups.max_decoding_message_size(REQUEST_BYTES_MAX))
        .add_service(recoveries.max_decoding_message_size(REQUEST_BYTES_MAX))
        .add_service(drafts.max_decoding_message_size(REQUEST_BYTES_MAX))
        .add_service(passkey_service_server::PasskeyServiceServer::new(backend.clone()))
        .add_service(tenant_service_server::TenantServiceServer::new(backend))
        .serve_with_incoming_shutdown(incoming, stop)
        .await?;
    reload.abort();
    Ok(())
}
