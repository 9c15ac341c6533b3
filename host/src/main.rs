//! `strongroom-host`: serves the gRPC API of Strongroom in front of its enclaves.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use strongroom_host::config::Config;

/// Serves the gRPC API of Strongroom: stores ciphertext, carries requests to the enclaves, relays their bytes to KMS.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The configuration (TOML); `host/strongroom-host.example.toml` shows every field.
    #[arg(long, value_name = "FILE", env = "STRONGROOM_HOST_CONFIG")]
    config: PathBuf,
    /// Check the configuration and the files that it names, and stop.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    match start(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("strongroom-host: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: &Arguments) -> anyhow::Result<()> {
    let config = Config::load(&arguments.config).with_context(|| arguments.config.display().to_string())?;
    if arguments.check {
        for note in strongroom_host::check(&config)? {
            println!("note: {note}");
        }
        println!("{}: ok", arguments.config.display());
        return Ok(());
    }
    // One thread serves: a multi-threaded runtime costs 25 to 45 % more here, and the store has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start runtime")?;
    runtime.block_on(strongroom_host::run(config))?;
    Ok(())
}
