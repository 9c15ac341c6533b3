//! What the image, its keys and its documents do not get away with.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use strongroom_proto::enclave::v1::{CreateKek, request};
use strongroom_proto::v1::Reason;

use super::{HEALTH_TIME_MAX, WALLET, say};
use crate::hostile;
use crate::stack::rogue::Rogue;
use crate::stack::{Stack, path_text};
use crate::user::tenant;

/// What the enclave's console says before what KMS answered.
const KMS_CALL: &str = "KMS call: ";
/// What an enclave lacks whose key policy is careless.
const UNGUARDED: &str = "kms: the key policy allows Decrypt without attestation";
const EMULATED: &[u8] = include_bytes!("../../../vectors/attestation/emulated-module.bin");

/// Tells of each.
pub(super) async fn tell(stack: &Stack) -> Result<()> {
    say("booting a changed image under the genuine manifest ...");
    let image = stack.measurements()?;
    let changed = Rogue::with_other_image(stack)?;
    let found = changed.image().measurements()?;
    ensure!(found.pcr0 != image.pcr0 && found.pcr2 != image.pcr2, "PCR0 and PCR2 are those of the genuine image");
    ensure!(found.pcr1 == image.pcr1, "PCR1 differs");
    refused(stack, changed, "PCR0 and PCR2 differ").await?;
    say("booting the genuine image under another manifest ...");
    refused(stack, Rogue::with_other_manifest(stack)?, "PCR16 differs").await?;
    careless(stack).await?;
    emulated(stack)
}

/// KMS does not let it through: the enclave boots, attests, and never gets the tenant's KEK.
async fn refused(stack: &Stack, rogue: Rogue, why: &str) -> Result<()> {
    let mut frames = rogue.boot()?;
    let at = Instant::now();
    // Its RSA key takes a while, and KMS is asked only then.
    while !frames.missing()?.is_empty() {
        ensure!(at.elapsed() < HEALTH_TIME_MAX, "it still lacks {:?}", frames.missing()?);
        thread::sleep(Duration::from_millis(100));
    }
    let loot = hostile::loot(&stack.database(), tenant(stack)?, WALLET).await?;
    let view = request::Body::GetView(loot.view(WALLET, &[7; 32]));
    let refusal = hostile::refused(&mut frames, view)?;
    ensure!(refusal.reason == Reason::KmsUnavailable, "refused for another reason: {refusal:?}");
    let log = rogue.log()?;
    let said = log.lines().rfind(|line| line.contains(KMS_CALL));
    ensure!(said.is_some_and(|line| line.contains("AccessDenied")), "KMS did not refuse: {said:?}");
    say(&format!("KMS refuses it, since {why}: {}; {}", said.unwrap_or_default().trim(), refusal.detail));
    drop(rogue);
    Ok(())
}

/// A key whose policy lets a call through without attestation: the enclave finds out, and does not serve.
async fn careless(stack: &Stack) -> Result<()> {
    say(
        "booting the genuine image on a KMS key whose policy allows Decrypt to anybody with the enclave's credentials ...",
    );
    let rogue = Rogue::on_careless_key(stack, &["kms:Decrypt"]).await?;
    let mut frames = rogue.hand_in()?;
    let at = Instant::now();
    while frames.missing()? != [UNGUARDED] {
        ensure!(at.elapsed() < HEALTH_TIME_MAX, "it lacks {:?}", frames.missing()?);
        thread::sleep(Duration::from_millis(100));
    }
    let create = request::Body::CreateKek(CreateKek { tenant: vec![7; 32], epoch: 1 });
    let refusal = hostile::refused(&mut frames, create)?;
    ensure!(refusal.reason == Reason::KmsUnavailable, "refused for another reason: {refusal:?}");
    say(&format!("it refuses to serve: {UNGUARDED}"));
    Ok(())
}

/// The document of a virtual machine that only acts as an enclave.
fn emulated(stack: &Stack) -> Result<()> {
    let file = stack.folder().join("emulated-module.bin");
    fs::write(&file, EMULATED)?;
    let output = stack.strongroom_command(&["attest", "--document", path_text(&file)?])?.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && said.contains("protected header"), "it was not refused for its header: {said}");
    let why = said.lines().rfind(|line| line.starts_with("error: ")).unwrap_or_default();
    say(&format!("the document of an emulated module, with zero bytes for its signature, is refused: {why}"));
    Ok(())
}
