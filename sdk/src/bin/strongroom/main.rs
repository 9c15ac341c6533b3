//! `strongroom`: the command line of devices, tenants and operators.
//!
//! Reads options and files, calls the library, and prints each check as it is made. Decides nothing itself.

mod attest;
mod audit;
mod capsule;
mod device;
mod doctor;
mod image;
mod operator;
mod options;
mod passphrase;
mod password;
mod policy;
mod release;
mod show;
mod tenant;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use strongroom_sdk::Error;

use options::TrustOptions;
use show::Show;

/// A check failed or a call was refused.
const EXIT_REFUSED: u8 = 1;
/// The command line, an input or a file is not as it must be.
const EXIT_USAGE: u8 = 2;

const AFTER_HELP: &str = "\
Exit codes:
  0  done, and every check holds
  1  a check failed, or the host refused
  2  the command line, an input or a file is not as it must be

Examples:
  strongroom tenant init --dir ./acme
  strongroom attest --document attestation.bin --statement ./acme/statement.pb
  strongroom device backup --help";

/// Keeps the keys of wallet backups where neither their keeper nor a thief can read them.
///
/// Everything that the service says is checked on this side: the tenant id is the only pin, and AWS's root vouches for enclaves.
#[derive(Debug, Parser)]
#[command(name = "strongroom", version, after_help = AFTER_HELP, styles = show::styles())]
struct Cli {
    #[command(flatten)]
    trust: TrustOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a tenant's keys and sign its statements.
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Back up and recover a wallet's client shares, and manage their passkeys, as its user's device does.
    #[command(subcommand)]
    Device(device::Device),
    /// Export the history of a backup, and check it offline.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Look into a capsule: a backup on its own, for whoever is its next host.
    #[command(subcommand)]
    Capsule(capsule::Capsule),
    /// Verify one attestation document.
    Attest(attest::Attest),
    /// Run the service: tenants, API keys, KEKs and manifests.
    #[command(subcommand)]
    Operator(operator::Operator),
    /// Look at a parent instance: is everything there that enclaves and host need?
    Doctor(Box<doctor::Doctor>),
    /// Build and measure enclave images.
    #[command(subcommand)]
    Image(image::ImageCommand),
    /// Write and judge the key policies of the enclaves' KMS keys.
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Sign and check release files: which images a publisher built.
    #[command(subcommand)]
    Release(release::Release),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let show = Show::from_environment();
    match run(cli, show) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            show.error(&error);
            ExitCode::from(exit_code(error.downcast_ref()))
        }
    }
}

fn exit_code(error: Option<&Error>) -> u8 {
    match error {
        Some(Error::Input { .. } | Error::File { .. } | Error::Exists(_) | Error::NotKept { .. }) => EXIT_USAGE,
        _ => EXIT_REFUSED,
    }
}

fn run(cli: Cli, show: Show) -> anyhow::Result<()> {
    let trust = cli.trust.read(show)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match cli.command {
        Command::Attest(options) => attest::run(&options, &trust, show),
        Command::Capsule(command) => Ok(capsule::run(&command, &trust, show)?),
        Command::Audit(command) => runtime.block_on(audit::run(command, &trust, show)),
        Command::Tenant(command) => runtime.block_on(tenant::run(command, &trust, show)),
        Command::Device(command) => runtime.block_on(device::run(command, trust, show)),
        Command::Operator(command) => runtime.block_on(operator::run(command, show)),
        Command::Doctor(options) => doctor::run(&options, show),
        Command::Image(command) => Ok(image::run(&command, show)?),
        Command::Policy(command) => Ok(policy::run(command, show)?),
        Command::Release(command) => Ok(release::run(&command, show)?),
    }
}

#[cfg(test)]
mod tests;
