//! The simulated enclave: the runtime of the production enclave over unix sockets and an NSM in software that signs under a
//! development root.

use std::convert::Infallible;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use strongroom_runtime::entropy::PoolFile;
use strongroom_runtime::log::Log;
use strongroom_runtime::{Options, run};
use strongroom_simulated::{Authority, MapEncoding, Measurements, SimulatedNsm, UnixTransport};

/// Runs the client role's or any other enclave without Nitro hardware. For development and tests: it protects nothing.
///
/// The image's measurements are those of this executable file: another file is another image. The role and the KMS key come in the
/// manifest, which the host hands in.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Unix socket to listen on for the host.
    #[arg(long, value_name = "SOCKET")]
    listen: PathBuf,
    /// Unix socket of the host's KMS relay.
    #[arg(long, value_name = "SOCKET")]
    relay: PathBuf,
    /// File with the development root and its key; made if it is not there.
    #[arg(long, value_name = "FILE")]
    authority: PathBuf,
    /// How attestation documents encode their map; real ones did both.
    #[arg(long, value_enum, default_value_t = Encoding::Indefinite)]
    encoding: Encoding,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Encoding {
    /// As real documents until 2025.
    Definite,
    /// As real documents since 2026.
    Indefinite,
}

fn main() -> ExitCode {
    let Err(error) = serve(&Arguments::parse());
    eprintln!("strongroom-simulated: {error:#}");
    ExitCode::FAILURE
}

fn serve(arguments: &Arguments) -> anyhow::Result<Infallible> {
    let authority = Authority::open(&arguments.authority)?;
    let image = Measurements::of_file(&std::env::current_exe().context("this executable's path")?)?;
    let encoding = match arguments.encoding {
        Encoding::Definite => MapEncoding::Definite,
        Encoding::Indefinite => MapEncoding::Indefinite,
    };
    let nsm = SimulatedNsm::new(authority, &image)?.with_map_encoding(encoding);
    let transport = UnixTransport::bind(&arguments.listen, &arguments.relay)
        .with_context(|| format!("listening on {}", arguments.listen.display()))?;
    println!("listening {}", arguments.listen.display());
    std::io::stdout().flush()?;
    // No process without privileges can credit the kernel's pool: the bytes are written into it, which is what a simulation can do.
    let options = Options::new(Arc::new(PoolFile::kernel()), Log::stderr());
    Ok(run(Arc::new(nsm), &Arc::new(transport), &options)?)
}
