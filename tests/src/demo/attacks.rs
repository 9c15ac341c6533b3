//! The host turns hostile. It has the database, the enclaves' sockets, and all that devices ever sent.

use anyhow::{Result, ensure};

use super::{Story, say, tell_line};
use crate::attacks::Attack;
use crate::user::User;

const SHARES: [&[u8]; 2] = [b"a victim's secp256k1 share", b"a victim's ed25519 share"];

/// Five attacks on another user's wallet.
pub(super) async fn are_refused(story: &Story) -> Result<()> {
    say("9. The host turns hostile: it has the database, the enclaves' sockets, and all that devices sent. It tries");
    let victim = User::new(&story.stack, "victim").await?;
    victim.backup("main", SHARES).await?;
    let mut attack = Attack::on(&story.stack, &victim).await?;
    let show = |title: &str, refusal: String| {
        tell_line(&format!("- {title}\n     {refusal}"));
    };
    show("a recovery that the user signed, with a key of its own as recipient", attack.swapped_recipient().await?);
    show("the user's ciphertext, in a record of its own", attack.ciphertext_in_own_record().await?);
    show("the stored record, with one bit turned", attack.altered_record().await?);
    show("the genuine image, on a KMS key of its own", attack.genuine_image_on_another_key().await?);
    show("an image with one byte more, on the genuine key", attack.another_image()?);
    ensure!(victim.recover().await? == SHARES, "the victim's share has other bytes");
    Ok(())
}
