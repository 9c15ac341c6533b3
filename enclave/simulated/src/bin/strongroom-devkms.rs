//! The development KMS as a process. Reads its flags, says where it listens, and serves until it is
//! told to stop. See `strongroom_simulated::devkms`.

use anyhow::Context as _;
use clap::Parser;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use strongroom_attestation::Root;
use strongroom_simulated::devkms::server::Server;
use strongroom_simulated::devkms::tls::TlsRoot;
use strongroom_simulated::devkms::{DevKms, Place, users};
use tokio::signal::unix::{SignalKind, signal};

/// A key service for development that speaks the protocol of AWS KMS. It protects nothing.
#[derive(Debug, Parser)]
struct Flags {
    /// Loopback address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Folder of the keys, the users and the TLS root; made if it is missing.
    #[arg(long)]
    state: PathBuf,
    /// Name of an IAM user, made with an access key in `<state>/users/<name>.toml` if it is missing; may be repeated.
    #[arg(long, value_name = "NAME")]
    user: Vec<String>,
    /// Region of the keys' ARNs and of the TLS certificate's name.
    #[arg(long, default_value = "eu-central-1")]
    region: String,
    /// Account of the keys' ARNs, 12 digits.
    #[arg(long, default_value = "111122223333")]
    account: String,
    /// The development root that attestation documents must be signed under: a file with its DER.
    #[arg(long)]
    attestation_root: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(Flags::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("strongroom-devkms: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(flags: Flags) -> anyhow::Result<()> {
    std::fs::create_dir_all(&flags.state).with_context(|| format!("cannot make {}", flags.state.display()))?;
    let attestation_root = std::fs::read(&flags.attestation_root)
        .with_context(|| format!("cannot read {}", flags.attestation_root.display()))?;
    let place = Place::new(&flags.region, &flags.account)?;
    for name in &flags.user {
        users::make(&flags.state, name)?;
    }
    let kms = DevKms::open(&flags.state, place, Root::development(&attestation_root))?;
    let tls_root = TlsRoot::open(&flags.state)?;
    let server = Server::bind(kms, &tls_root, flags.listen).await?;

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    writeln!(std::io::stdout(), "listening {}", server.local_address()?)?;
    server
        .run(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await;
    Ok(())
}
