//! The story that `make vm-test` tells. Every line says what has just happened; where something else happens, it fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use strongroom_proto::v1::Role;

use super::machine::{self, Console, MEMORY_MIB};
use crate::frames::Frames;
use crate::stack::image::Image;
use crate::stack::{Stack, roles};
use crate::user::User;

mod refusals;

/// The wallet of the story.
const WALLET: &str = "ann";
/// Its shares.
const SHARES: [&[u8]; 2] = [&[7; 32], &[9; 32]];
/// Most bytes of an image without its kernel: 6 MiB.
const RAMDISKS_BYTES_MAX: usize = 6 << 20;
/// Longest time until an image that has said that it is up answers.
const HEALTH_TIME_MAX: Duration = Duration::from_mins(2);

/// Tells it from the first boot to the last refusal.
///
/// # Errors
/// Where anything is not as the story says.
pub async fn tell(image: PathBuf) -> Result<()> {
    let started = Instant::now();
    let folder = tempfile::Builder::new().prefix("strongroom-vm-").tempdir()?;
    let genuine = Image::Machine(image.clone());
    measured(&image, &genuine)?;
    ends(&image, folder.path())?;
    boots(&image, folder.path())?;
    say("starting the development KMS, the machine and the host, and making a tenant ...");
    let (mut stack, user) = enrols(folder.path(), genuine).await?;
    backs_up_and_recovers(&user).await?;
    reboots(&mut stack, &user).await?;
    refusals::tell(&stack).await?;
    ensure!(user.recover().await? == SHARES, "the genuine image does not serve on");
    let words = fs::read_to_string(folder.path().join("logs/client-last-words")).unwrap_or_default();
    ensure!(words.is_empty(), "an enclave panicked: {words}");
    say(&format!("all of it in {}", took(started)));
    Ok(())
}

fn measured(path: &Path, image: &Image) -> Result<()> {
    let found = image.measurements()?;
    for (name, pcr) in [("PCR0", found.pcr0), ("PCR1", found.pcr1), ("PCR2", found.pcr2)] {
        println!("{name} {}", hex::encode(pcr));
    }
    let bytes: usize = machine::read(path)?.ramdisks.iter().map(Vec::len).sum();
    ensure!(bytes <= RAMDISKS_BYTES_MAX, "{bytes} bytes without the kernel, of at most {RAMDISKS_BYTES_MAX}");
    say(&format!("{bytes} bytes without the kernel"));
    Ok(())
}

/// An image that cannot go on says why, although it has no console.
fn ends(image: &Path, folder: &Path) -> Result<()> {
    for sub in ["logs", "run"] {
        fs::create_dir_all(folder.join(sub))?;
    }
    say("booting it once under a parent that does not echo its heartbeat ...");
    let words = machine::last_words(folder, image, Role::Client)?;
    let expect = "strongroom: the enclave ends: no heartbeat from the parent: another byte came back\n";
    ensure!(words == expect, "other last words: {words:?}");
    say(&format!("its last words: {}", words.trim()));
    Ok(())
}

/// From QEMU's start to the first answer, without anything beside it, and without a console, as in production.
fn boots(image: &Path, folder: &Path) -> Result<()> {
    say(&format!("booting the image with {MEMORY_MIB} MiB and no console, without hardware virtualisation ..."));
    let at = Instant::now();
    let machine = machine::start(folder, image, Role::Client, Console::None)?;
    say(&format!("heartbeat after {}", took(at)));
    let (mut frames, missing) = first_answer(&roles::socket(folder, Role::Client))?;
    say(&format!("first health answer after {}: it lacks {}", took(at), missing.join(", ")));
    ensure!(missing.iter().any(|part| part == "manifest"), "it serves without a manifest");
    ensure!(missing.iter().all(|part| part != "entropy"), "the kernel credits no entropy, or did not seed itself anew");
    let said = frames.said()?;
    say(&format!("it has no console, and tells what it said: {}", said.join("; ")));
    // Lines of the first process, before there was anybody to tell.
    ensure!(said.first().is_some_and(|line| line.starts_with("module ")), "nothing is told of the start");
    ensure!(said.iter().any(|line| line == "phase: AwaitManifest"), "it does not wait for its manifest");
    machine.kill();
    Ok(())
}

fn first_answer(socket: &Path) -> Result<(Frames, Vec<String>)> {
    let started = Instant::now();
    loop {
        // The bridge closes a connection now and then that comes when it is busy.
        match Frames::connect(socket).and_then(|mut frames| frames.missing().map(|missing| (frames, missing))) {
            Err(_) if started.elapsed() < HEALTH_TIME_MAX => thread::sleep(Duration::from_millis(20)),
            other => return other,
        }
    }
}

async fn enrols(folder: &Path, image: Image) -> Result<(Stack, User)> {
    let at = Instant::now();
    let stack = Stack::start_image(folder, roles::CLIENT, image).await?;
    say(&format!("serving, with a tenant whose statement names the image, after {}", took(at)));
    let user = User::new(&stack, WALLET).await?;
    // Preparing checks the attestation document against the statement.
    user.prepare().await?;
    say("the machine's attestation document is verified, and its PCRs are those of the statement");
    Ok((stack, user))
}

async fn backs_up_and_recovers(user: &User) -> Result<()> {
    let at = Instant::now();
    user.backup("main", SHARES).await?;
    say(&format!("backed up in {}", took(at)));
    ensure!(user.recover().await? == SHARES, "other shares came back");
    say("recovered, byte for byte");
    Ok(())
}

async fn reboots(stack: &mut Stack, user: &User) -> Result<()> {
    say("rebooting the machine ...");
    let at = Instant::now();
    stack.restart_enclave(Role::Client).await?;
    say(&format!("serving again after {}: manifest, credentials, RSA key and KEK", took(at)));
    ensure!(user.recover().await? == SHARES, "the reboot changed the shares");
    say(&format!("first recovery, byte for byte, {} after the machine's start", took(at)));
    Ok(())
}

fn took(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}

fn say(line: &str) {
    println!("{line}");
}
