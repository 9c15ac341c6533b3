//! `make up`: keeps a stack running until Ctrl-C, and prints what a caller needs.

use std::fs;

use anyhow::Result;
use strongroom_tests::stack::process::binary;
use strongroom_tests::stack::{Stack, path_text};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::Builder::new().prefix("strongroom-up-").tempdir()?;
    let stack = Stack::start(folder.path()).await?;
    let root = folder.path().join("attestation-root.der");
    let command = binary("strongroom")?;
    let share = folder.path().join("share.bin");
    fs::write(&share, &strongroom_tests::share::two_curves()[0].2)?;
    println!("Strongroom is up. Ctrl-C stops it and removes {}.\n", folder.path().display());
    println!("address    {}", stack.api()?);
    println!("tenant     {}", stack.tenant()?);
    println!("API key    {} (in {})", fs::read_to_string(stack.api_key_file())?.trim(), stack.api_key_file().display());
    println!("statement  {}", folder.path().join("tenant/keys/statement.pb").display());
    println!("operator   {}", stack.admin_socket().display());
    println!("logs       {}\n", folder.path().join("logs").display());
    println!(
        "First calls, in another terminal: a wallet, as the tenant's backend makes it, and its backup by a device.\n"
    );
    let key = stack.api_key_file();
    let command = format!("{} --development-root {}", command.display(), root.display());
    let backend = format!("--host {} --api-key-file {}", stack.api()?, path_text(&key)?);
    println!("{command} tenant create-wallet {backend} --wallet wallet-1\n");
    println!(
        "{command} device backup {} --wallet wallet-1 --passkey {} --share eth-main:secp256k1={}\n",
        stack.service_arguments()?.join(" "),
        folder.path().join("passkey").display(),
        share.display(),
    );
    let mut ended = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = ended.recv() => {}
    }
    Ok(())
}
