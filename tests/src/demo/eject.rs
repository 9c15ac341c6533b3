//! Ann leaves the company, with both shares.

use anyhow::{Result, ensure};

use super::{MAIN, Story, WALLET, refusal, same, say, tell_line};

/// The company opens a window, and her passkey takes both shares to her phone.
pub(super) async fn to_the_phone(story: &Story) -> Result<()> {
    say("7. Ann leaves the company: she may take both shares, once it opens a window for her");
    let prepared = story.device.prepare(WALLET).await?;
    let closed = story.device.eject(&prepared, Some(MAIN), &mut story.ann.asked()).await;
    tell_line(&format!("before:   {}", refusal(closed, "EJECT_NOT_ENABLED")?));
    story.company.open_window(Some(MAIN)).await?;
    let prepared = story.device.prepare(WALLET).await?;
    let ejected = story.device.eject(&prepared, Some(MAIN), &mut story.ann.asked()).await?;
    same(&ejected.client, &story.client)?;
    same(&ejected.custodian, &story.custodian)?;
    let wallet = story.ann.client.get_wallet(WALLET).await?;
    ensure!(wallet.ejected_ms > 0, "the wallet is not marked as ejected");
    tell_line("after it: one assertion, and her phone has all four shares; the wallet is marked as ejected");
    Ok(())
}
