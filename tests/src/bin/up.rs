//! `make up`: keeps a stack running until Ctrl-C, and prints what a caller needs.

use std::fs;
use std::path::Path;

use anyhow::Result;
use strongroom_tests::share;
use strongroom_tests::stack::backend::{Example, Settings, session_file};
use strongroom_tests::stack::process::binary;
use strongroom_tests::stack::roles::BOTH;
use strongroom_tests::stack::{Stack, path_text};
use tokio::signal::unix::{SignalKind, signal};

/// Where the examples of a tenant's backend listen.
const RUST: &str = "127.0.0.1:7444";
const PYTHON: &str = "127.0.0.1:7445";

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::Builder::new().prefix("strongroom-up-").tempdir()?;
    let stack = Stack::start_with(folder.path(), BOTH).await?;
    let root = folder.path().join("attestation-root.der");
    let command = format!("{} --development-root {}", binary("strongroom")?.display(), root.display());
    let shares = share::two_curves();
    let share = folder.path().join("share.bin");
    fs::write(&share, &shares[0].2)?;
    println!("Strongroom is up, with both roles. Ctrl-C stops it and removes {}.\n", folder.path().display());
    println!("address    {}", stack.api()?);
    println!("tenant     {}", stack.tenant()?);
    println!("API key    {} (in {})", fs::read_to_string(stack.api_key_file())?.trim(), stack.api_key_file().display());
    println!("statement  {}", folder.path().join("tenant/keys/statement.pb").display());
    println!("operator   {}", stack.admin_socket().display());
    println!("logs       {}\n", folder.path().join("logs").display());
    println!(
        "First calls, in another terminal: a wallet, as the tenant's backend makes it, and a backup of the user's share.\n"
    );
    let key = stack.api_key_file();
    let backend = format!("--host {} --api-key-file {}", stack.api()?, path_text(&key)?);
    println!("{command} tenant create-wallet {backend} --wallet wallet-1\n");
    println!(
        "{command} device backup {} --wallet wallet-1 --passkey {} --share eth-main:secp256k1={}\n",
        stack.service_arguments()?.join(" "),
        folder.path().join("passkey").display(),
        share.display(),
    );
    print_backends(&stack, &command, &root, &share)?;
    let mut ended = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = ended.recv() => {}
    }
    Ok(())
}

/// Writes the settings of each example of a tenant's backend for the stack, and prints how to start it and how a device uses it.
fn print_backends(stack: &Stack, command: &str, root: &Path, share: &Path) -> Result<()> {
    println!(
        "Or as wallets are built: through the tenant's backend, which alone has the API key. Start one of the examples,\n"
    );
    let of = |listen: &str| {
        Settings::of(stack, &[("ann", "wallet-1")]).map(|it| Settings { listen: listen.to_owned(), ..it })
    };
    let company = share::two_curves();
    let company = [("eth-main", "secp256k1", company[0].2.as_slice())];
    let mut devices = Vec::new();
    for (example, listen) in [(Example::Rust, RUST), (Example::Python, PYTHON)] {
        let folder = stack.folder().join(format!("backend-{example:?}").to_lowercase());
        let settings = if example == Example::Rust { of(listen)?.with_shares(stack, &company)? } else { of(listen)? };
        let config = settings.write(&folder)?;
        match example.command(&config) {
            Ok(mut started) if example == Example::Rust => {
                println!("{:?}\n", started.arg("--development-root").arg(root));
            }
            Ok(started) => println!("{started:?}\n"),
            Err(missing) => println!("({example:?}: {missing})\n"),
        }
        let device = format!(
            "{command} device backup --tenant {} --host http://{listen} --api-key-file {} --wallet wallet-1 --backup {} --passkey {} \
             --share eth-main:secp256k1={}",
            settings.tenant,
            session_file(&folder, "ann").display(),
            format!("by-{example:?}").to_lowercase(),
            folder.join("passkey").display(),
            share.display(),
        );
        let custodian = " --custodian --custodian-needs both --tenant-backend";
        devices.push(if example == Example::Rust { device + custodian } else { device });
    }
    println!(
        "and back up as its user ann, who has a session token and no API key; the one in Rust has the company's share too.\n\n{}\n",
        devices.join("\n\n")
    );
    Ok(())
}
