//! A policy with a delay gives its owner the time to say no.

use anyhow::{Context, Result, ensure};
use strongroom_proto::v1::OpenActKind;
use strongroom_sdk::device::select;
use strongroom_sdk::intent::{ClientPolicy, Creation, Delay};
use strongroom_sdk::seal::RecipientKey;

use super::{Story, WALLET, refusal, say, tell_line};

/// Its id.
const VAULT: &str = "vault";
const DAY_SECONDS: u32 = 24 * 60 * 60;

/// A thief with the phone starts a recovery, and Ann cancels it.
pub(super) async fn waits_and_is_stopped(story: &Story) -> Result<()> {
    say("6. A thief takes the phone with the passkey. The backup \"vault\" asks for a day between consent and release");
    let policy = ClientPolicy { delay: Delay::from_seconds(DAY_SECONDS)?, ..ClientPolicy::PASSKEY };
    let creation = Creation { policy, ..story.ann.creation_of(VAULT) };
    let prepared = story.device.prepare(WALLET).await?;
    story.device.backup(&prepared, &creation, story.shares(), &mut story.ann.asked()).await?;

    let thief = RecipientKey::generate()?;
    let prepared = story.device.prepare(WALLET).await?;
    let at_once = story.device.recover(&prepared, Some(VAULT), &mut story.ann.asked()).await;
    tell_line(&format!("at once:  {}", refusal(at_once, "RECOVERY_DELAYED")?));
    story.device.start_recovery(&prepared, Some(VAULT), None, &thief, &mut story.ann.asked()).await?;
    let prepared = story.device.prepare(WALLET).await?;
    let waiting = select(&prepared, Some(VAULT))?.any().open_acts.first().context("no recovery waits")?;
    tell_line(&format!(
        "started:  it waits until {} by the enclave's time; every device of Ann's shows it",
        waiting.not_before
    ));
    let early = story.device.release_recovery(&prepared, Some(VAULT), &thief).await;
    tell_line(&format!("released? {}", refusal(early, "RECOVERY_DELAYED")?));
    story.device.cancel(&prepared, Some(VAULT), OpenActKind::Recovery, &mut story.ann.asked()).await?;
    let prepared = story.device.prepare(WALLET).await?;
    ensure!(select(&prepared, Some(VAULT))?.any().open_acts.is_empty(), "the recovery still waits");
    tell_line("cancelled by Ann's laptop: nothing waits any more, and the thief has nothing");
    Ok(())
}
