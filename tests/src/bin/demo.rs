//! `make demo`: a wallet's client share is backed up, everything is killed, a second device recovers it, and a hostile host tries five
//! times.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use strongroom_proto::v1::Role;
use strongroom_tests::attacks::Attack;
use strongroom_tests::share;
use strongroom_tests::stack::{ORIGIN, Stack, path_text};
use strongroom_tests::user::User;

#[tokio::main]
async fn main() -> Result<()> {
    let started = Instant::now();
    let folder = tempfile::Builder::new().prefix("strongroom-demo-").tempdir()?;
    say("1. Start a development KMS, a simulated enclave and a host; make a KMS key, a tenant and its statement");
    let mut stack = Stack::start(folder.path()).await?;
    detail(&format!("API {}, everything else on unix sockets in {}", stack.api()?, folder.path().display()));
    detail(&format!("KMS key {}", stack.key_arn(Role::Client)?));
    detail(&format!("tenant {}", stack.tenant()?));

    say("2. A phone makes a passkey and backs up its two shares (secp256k1 and ed25519, 8 KiB together)");
    let (phone, laptop) = (folder.path().join("phone"), folder.path().join("laptop"));
    let shares = write_shares(&phone)?;
    stack.create_wallet("wallet-1")?;
    device(&stack, &backup_arguments(&phone)?, None)?;

    say("3. Kill every process, as a power failure would, and start them again");
    stack.kill();
    stack.start_enclaves_and_host().await?;
    detail("the enclave has no disk: its keys come back from KMS, under attestation");

    say("4. A laptop, to which the passkey was synced, rehearses and recovers");
    detail("(it makes the same checks of the service first, each time)");
    fs::create_dir(&laptop)?;
    fs::copy(phone.join("passkey"), laptop.join("passkey"))?;
    device(
        &stack,
        &["rehearse", "--wallet", "wallet-1", "--passkey", path_text(&laptop.join("passkey"))?, "--origin", ORIGIN],
        Some("Rehearsing"),
    )?;
    let out = laptop.join("shares");
    let passkey = laptop.join("passkey");
    device(
        &stack,
        &[
            "recover",
            "--wallet",
            "wallet-1",
            "--passkey",
            path_text(&passkey)?,
            "--origin",
            ORIGIN,
            "--out",
            path_text(&out)?,
        ],
        Some("Recovering"),
    )?;
    for (pair, _, bytes) in &shares {
        ensure!(
            &fs::read(out.join(format!("{pair}.share")))? == bytes,
            "the recovered share of {pair} has other bytes"
        );
    }
    detail("both shares have the same bytes as on the phone");

    resources(&stack)?;

    say("5. The host turns hostile. It has the database, the enclave's socket, and all that devices sent");
    let refused = attack(&stack).await?;

    stack.kill();
    println!(
        "\nDemo passed: 2 shares backed up, every process killed, 2 shares recovered on another device with equal bytes, \
         {refused} of 5 attacks refused, in {:.1} s.",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Says what the two processes have used since they were started again.
fn resources(stack: &Stack) -> Result<()> {
    for (name, process) in [("enclave", stack.enclave(Role::Client)?), ("host", stack.host()?)] {
        let (cpu, memory) = (process.cpu_time()?, process.resident_bytes()?);
        detail(&format!(
            "{name}: {} ms of CPU from its start to here, {} KiB resident",
            cpu.as_millis(),
            memory / 1024
        ));
    }
    Ok(())
}

async fn attack(stack: &Stack) -> Result<u32> {
    let victim = User::new(stack, "wallet-2").await?;
    victim.backup("backup-1", [b"a victim's secp256k1 share", b"a victim's ed25519 share"]).await?;
    let mut attack = Attack::on(stack, &victim).await?;
    let mut refused = 0;
    let mut show = |title: &str, refusal: String| {
        refused += 1;
        println!("   - {title}\n     refused by {refusal}");
    };
    show("a recovery that the user signed, with the host's own key as recipient", attack.swapped_recipient().await?);
    show("the user's ciphertext, put into a record of the host's own", attack.ciphertext_in_own_record().await?);
    show("one bit of the stored record turned", attack.altered_record().await?);
    show("the genuine image, on a KMS key of the host's own", attack.genuine_image_on_another_key().await?);
    show("an image with one byte more, with the genuine manifest and credentials", attack.another_image()?);
    let recovered = victim.recover().await?;
    ensure!(recovered[0] == b"a victim's secp256k1 share", "the victim's share has other bytes");
    detail("after all that, the user still recovers");
    Ok(refused)
}

/// The share files of a phone.
fn write_shares(phone: &Path) -> Result<[(&'static str, &'static str, Vec<u8>); 2]> {
    fs::create_dir(phone)?;
    let shares = share::two_curves();
    for (pair, _, bytes) in &shares {
        fs::write(phone.join(pair), bytes)?;
    }
    Ok(shares)
}

fn backup_arguments(phone: &Path) -> Result<Vec<String>> {
    let share = |pair: &str, curve: &str| format!("{pair}:{curve}={}", phone.join(pair).display());
    let (first, second) = (share("eth-main", "secp256k1"), share("sol-main", "ed25519"));
    let passkey = phone.join("passkey");
    let arguments = [
        "backup",
        "--wallet",
        "wallet-1",
        "--passkey",
        path_text(&passkey)?,
        "--origin",
        ORIGIN,
        "--share",
        &first,
        "--share",
        &second,
    ];
    Ok(arguments.map(str::to_owned).into())
}

/// Runs a device command and shows what it prints, from the line `from` on if that is given.
fn device<S: AsRef<str>>(stack: &Stack, arguments: &[S], from: Option<&str>) -> Result<()> {
    let service = stack.service_arguments()?;
    let (command, rest) = arguments.split_first().expect("a device command has a name");
    let mut all = vec!["device", command.as_ref()];
    all.extend(service.iter().map(String::as_str));
    all.extend(rest.iter().map(AsRef::as_ref));
    let printed = stack.strongroom(&all)?;
    for line in printed.lines().skip_while(|line| from.is_some_and(|from| line.trim() != from)) {
        detail(line);
    }
    Ok(())
}

fn say(text: &str) {
    println!("\n{text}");
}

fn detail(text: &str) {
    println!("   {text}");
}
