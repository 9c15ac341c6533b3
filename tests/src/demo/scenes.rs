//! The stack comes up, Ann backs up, everything dies, and both shares come back.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use strongroom_proto::v1::Role;

use super::{MAIN, Story, WALLET, say, shown, tell_line};
use crate::stack::Stack;
use crate::stack::roles::BOTH;
use crate::user::{pairs, tenant};

/// Starts everything.
pub(super) async fn start(folder: &Path) -> Result<Stack> {
    say(
        "1. A custody service on this machine: a KMS, an enclave for each role, a host, and a wallet company as its tenant",
    );
    let stack = Stack::start_with(folder, BOTH).await?;
    let image = stack.measurements()?;
    tell_line(&format!("one image, PCR0 {}; the host's API at {}", shown(image.pcr0), stack.api()?));
    for role in BOTH {
        let key = stack.key_arn(*role)?;
        let key = key.rsplit('/').next().unwrap_or_default();
        tell_line(&format!("the {} enclave, and its own KMS key {key}", crate::stack::roles::name(*role)));
    }
    tell_line(&format!(
        "the company is tenant {}: the hash of its two root keys, and all that Ann's app pins",
        shown(tenant(&stack)?.0)
    ));
    Ok(stack)
}

/// Makes the backup under a passkey.
pub(super) async fn back_up(stack: Stack) -> Result<Story> {
    let story = Story::new(stack).await?;
    say("2. Ann's phone backs up her wallet: a share of hers and one of the company's, for each of two curves");
    let prepared = story.device.prepare(WALLET).await?;
    tell_line(&format!(
        "checked first: statement {}, both attestation documents up to the root, image, manifests, signed views",
        prepared.statement().serial()
    ));
    let made = story.device.backup(&prepared, &story.creation(), story.shares(), &mut story.ann.asked()).await?;
    ensure!(made.receipts().count() == 2, "a role gave no receipt");
    let bytes: usize = story.client.iter().chain(&story.custodian).map(Vec::len).sum();
    tell_line("one assertion of her passkey and one signature of the company's made a record in each enclave");
    tell_line(&format!("{} shares, {bytes} bytes, each sealed to the one enclave that may open it", 2 * pairs().len()));
    Ok(story)
}

/// Kills every process, and starts them again over the same database.
pub(super) async fn kill(story: &mut Story) -> Result<()> {
    say("3. The power fails: KMS, host and both enclaves are killed, and started again");
    story.stack.kill();
    story.stack.start_enclaves_and_host().await?;
    story.reconnect().await?;
    tell_line("an enclave has no disk; its keys came back from KMS, under a fresh attestation document");
    Ok(())
}

/// Recovers both shares.
pub(super) async fn recover(story: &Story) -> Result<()> {
    say("4. On a new laptop, to which the passkey was synced, one assertion brings both shares back");
    let prepared = story.device.prepare(WALLET).await?;
    let rehearsed = story.device.rehearse(&prepared, Some(MAIN), &mut story.ann.asked()).await?;
    ensure!(rehearsed.opens, "the rehearsal says that a share does not open");
    tell_line("rehearsed: everything would open, and nothing was released");
    story.recover_both().await?;
    tell_line("hers opened on the laptop, the company's at its MPC server; all bytes are equal");
    let cpu = |name: &str, process: &crate::stack::process::Process| -> Result<String> {
        Ok(format!("{name} {} ms, {} MiB", process.cpu_time()?.as_millis(), process.resident_bytes()? >> 20))
    };
    let used = [
        cpu("host", story.stack.host().context("no host")?)?,
        cpu("client enclave", story.stack.enclave(Role::Client)?)?,
        cpu("custodian enclave", story.stack.enclave(Role::Custodian)?)?,
    ];
    tell_line(&format!("CPU since the power came back, and memory now: {}", used.join("; ")));
    Ok(())
}
