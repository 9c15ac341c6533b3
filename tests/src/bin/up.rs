//! `make up`: keeps a stack running until Ctrl-C, and prints what a caller needs.

use std::fs;
use std::path::Path;

use anyhow::Result;
use strongroom_tests::stack::backend::{Example, Settings, session_file};
use strongroom_tests::stack::process::binary;
use strongroom_tests::stack::{Stack, path_text};
use tokio::signal::unix::{SignalKind, signal};

/// Where the examples of a tenant's backend listen.
const BACKEND: &str = "127.0.0.1:7444";

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
    print_backends(&stack, &command, &share)?;
    let mut ended = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = ended.recv() => {}
    }
    Ok(())
}

/// Writes the settings of a tenant's backend for the stack, and prints how to start an example and how a device uses it.
fn print_backends(stack: &Stack, command: &str, share: &Path) -> Result<()> {
    let settings = Settings { listen: BACKEND.to_owned(), ..Settings::of(stack, &[("ann", "wallet-1")])? };
    let folder = stack.folder().join("backend");
    let config = settings.write(&folder)?;
    println!(
        "Or as wallets are built: through the tenant's backend, which alone has the API key. Start one of the examples,\n"
    );
    for example in Example::ALL {
        match example.command(&config) {
            Ok(started) => println!("{started:?}\n"),
            Err(missing) => println!("({example:?}: {missing})\n"),
        }
    }
    println!("and back up as its user ann, who has a session token and no API key.\n");
    println!(
        "{command} device backup --tenant {} --host http://{BACKEND} --api-key-file {} --wallet wallet-1 --backup through-backend \\\n  \
         --passkey {} --share eth-main:secp256k1={}\n",
        settings.tenant,
        session_file(&folder, "ann").display(),
        folder.join("passkey").display(),
        share.display(),
    );
    Ok(())
}
