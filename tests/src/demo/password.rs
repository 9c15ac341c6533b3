//! A second method beside the passkey: Ann's share under a password, which no server has.

use anyhow::{Result, ensure};
use strongroom_proto::v1::ListRecoveryMethodsRequest;
use strongroom_sdk::ciphertext::{Known, NewPassword, PASSWORD, Password, encrypt, open};
use strongroom_sdk::device::Own;

use super::{Story, WALLET, refusal, same, say, tell_line};
use crate::stack::RP_ID;
use crate::user::pairs;

/// Its id.
const PAPER: &str = "paper";
const STRONG: &str = "three tall herons skipping breakfast";

/// Two weak passwords are refused, and a strong one makes the backup.
pub(super) async fn back_up(story: &Story) -> Result<()> {
    tell_line(
        "beside it, the backup \"paper\": her shares under a password, encrypted on the phone; the company's in its enclave",
    );
    let known = Known { wallet: WALLET, backup: PAPER, rp_id: RP_ID };
    for weak in ["31415926535897", "password123456"] {
        let refused = NewPassword::new(Password::new(weak.to_owned())?, &known);
        tell_line(&format!("  {weak:?} {}", refusal(refused, "password")?));
    }
    let password = NewPassword::new(Password::new(STRONG.to_owned())?, &known)?;
    let prepared = story.device.prepare(WALLET).await?;
    let own = Own::new(&prepared, PAPER, PASSWORD)?;
    let ciphertexts = encrypt(&own.belongs(), &pairs(), &story.shares(), &password)?;
    story.device.store_own(&own, &ciphertexts).await?;
    Ok(())
}

/// The passkey is lost too: the password is enough, with the company.
pub(super) async fn recover(story: &Story) -> Result<()> {
    say("5. And if the passkey is lost? The password opens her shares, and the company's signature releases its own");
    let prepared = story.device.prepare(WALLET).await?;
    let (own, generation) = Own::opening(&prepared, Some(PAPER), None)?;
    let ciphertexts = story.device.fetch_own(&own, generation).await?;
    let wrong = open(&own.belongs(), &ciphertexts, &Password::new("three tall herons skipping lunch".to_owned())?);
    tell_line(&format!("a wrong one: {}", refusal(wrong, "password")?));
    let shares = open(&own.belongs(), &ciphertexts, &Password::new(STRONG.to_owned())?)?;
    same(&shares, &story.client)?;
    ensure!(story.company.release_alone(PAPER).await? == story.custodian, "the company's shares have other bytes");
    let request = ListRecoveryMethodsRequest { wallet: WALLET.to_owned() };
    let methods = story.ann.client.list_recovery_methods(&request).await?.methods;
    let works =
        methods.iter().filter(|method| method.works).map(|method| format!("{} ({})", method.backup, method.method));
    let works: Vec<String> = works.collect();
    ensure!(works.len() == 2, "not every method works");
    tell_line(&format!("the right one: all bytes are equal. What works for this wallet now: {}", works.join(", ")));
    Ok(())
}
