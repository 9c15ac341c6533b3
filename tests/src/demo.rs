//! The story that `make demo` tells: one wallet from its backup to its end, over real processes. Every line says what has just happened;
//! where something else happens, the demo fails.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use strongroom_proto::contents::Share;
use strongroom_sdk::device::{Device, Recovery, select};
use strongroom_sdk::intent::Creation;

use strongroom_sdk::passkey::Passkey;

use crate::company::{CUSTODIAN_POLICY, Company};
use crate::share;
use crate::stack::Stack;
use crate::user::{User, pairs, shares, tenant, trust};

mod attacks;
mod audit;
mod capsule;
mod eject;
mod password;
mod scenes;
mod thief;

/// The wallet of the story.
const WALLET: &str = "ann";
/// Its backup under a passkey.
const MAIN: &str = "main";

/// Ann, her company, and the stack that keeps both their shares.
struct Story {
    stack: Stack,
    ann: User,
    company: Arc<Company>,
    device: Device,
    /// Her shares, and the company's, in the order of the pairs.
    client: [Vec<u8>; 2],
    custodian: [Vec<u8>; 2],
}

/// Tells it from the beginning to the end.
///
/// # Errors
/// Where anything is not as the story says.
pub async fn tell() -> Result<()> {
    let started = Instant::now();
    let folder = tempfile::Builder::new().prefix("strongroom-demo-").tempdir()?;
    let stack = scenes::start(folder.path()).await?;
    let mut story = scenes::back_up(stack).await?;
    password::back_up(&story).await?;
    let capsule = capsule::keep(&story).await?;
    scenes::kill(&mut story).await?;
    scenes::recover(&story).await?;
    password::recover(&story).await?;
    thief::waits_and_is_stopped(&story).await?;
    eject::to_the_phone(&story).await?;
    audit::finds_a_deleted_event(&story).await?;
    attacks::are_refused(&story).await?;
    capsule::recover(&mut story, &capsule).await?;
    story.stack.kill();
    println!("\nThat took {:.1} s. Nothing of it is left running, or on this disk.", started.elapsed().as_secs_f64());
    Ok(())
}

impl Story {
    async fn new(stack: Stack) -> Result<Self> {
        let [client, custodian] = [share::two_curves(), share::two_curves()].map(|it| it.map(|(_, _, bytes)| bytes));
        let ann = User::new(&stack, WALLET).await?;
        let company = Company::new(&stack, WALLET, [&custodian[0], &custodian[1]]).await?;
        let device = device(&stack, &ann, &company)?;
        Ok(Self { stack, ann, company, device, client, custodian })
    }

    /// The same people on other machines: the passkey was synced, the company kept its keys.
    async fn reconnect(&mut self) -> Result<()> {
        let synced = self.stack.folder().join("ann.passkey");
        if !synced.exists() {
            self.ann.passkey.write(&synced)?;
        }
        self.ann = User::returning(&self.stack, WALLET, Passkey::read(&synced)?).await?;
        self.company = Company::new(&self.stack, WALLET, [&self.custodian[0], &self.custodian[1]]).await?;
        self.device = device(&self.stack, &self.ann, &self.company)?;
        Ok(())
    }

    fn creation(&self) -> Creation {
        Creation { custodian: Some(CUSTODIAN_POLICY), ..self.ann.creation_of(MAIN) }
    }

    /// Recovers both shares by one assertion, and compares every byte.
    async fn recover_both(&self) -> Result<()> {
        let prepared = self.device.prepare(WALLET).await?;
        let recipient = self.company.recipient()?;
        let recovery = Recovery { backup: Some(MAIN), custodian: Some(&recipient), ..Recovery::default() };
        let recovered = self.device.recover_with(&prepared, &recovery, &mut self.ann.asked()).await?;
        same(&recovered.shares, &self.client)?;
        let record = select(&prepared, Some(MAIN))?.id();
        let delivery = recovered.custodian.context("the custodian role released nothing")?;
        ensure!(self.company.open(&delivery, record)? == self.custodian, "the company's shares have other bytes");
        Ok(())
    }

    fn shares(&self) -> Vec<Share> {
        shares([&self.client[0], &self.client[1]])
    }
}

fn device(stack: &Stack, user: &User, company: &Arc<Company>) -> Result<Device> {
    Ok(Device::new(user.client.clone(), tenant(stack)?, trust(stack)?).with_backend(company.clone()))
}

/// Compares recovered shares with what was backed up.
fn same(found: &[Share], expected: &[Vec<u8>; 2]) -> Result<()> {
    let bytes = found.iter().map(|share| share.bytes.expose());
    ensure!(bytes.eq(expected.iter().map(Vec::as_slice)), "recovered shares have other bytes");
    ensure!(found.len() == pairs().len(), "a share is missing");
    Ok(())
}

/// What a refusal must say, and how it is shown.
fn refusal<T>(result: Result<T, strongroom_sdk::Error>, reason: &str) -> Result<String> {
    let error = result.err().context("it was not refused")?;
    ensure!(error.to_string().contains(reason), "refused for another reason: {error}");
    Ok(error.to_string())
}

/// The first digits of a hash, or of its text.
fn shown(hash: impl AsRef<[u8]>) -> String {
    format!("{}..", hex::encode(&hash.as_ref()[..4]))
}

fn say(text: &str) {
    println!("\n{text}");
}

fn tell_line(text: &str) {
    println!("   {text}");
}
