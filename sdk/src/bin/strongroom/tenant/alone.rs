//! `strongroom tenant`: what the tenant does by its own signature alone.

use std::path::PathBuf;

use clap::Args;
use prost::Message;
use strongroom_sdk::attestation::Time;
use strongroom_sdk::device::Acted;
use strongroom_sdk::intent::{EJECT_WINDOW_SECONDS, EjectWindow};
use strongroom_sdk::receipt::newest_of_roles;
use strongroom_sdk::seal::MpcRecipient;
use strongroom_sdk::tenant::alone::Solo;
use strongroom_sdk::tenant::custodian::Service;
use strongroom_sdk::{Error, Trust, files};

use super::custodian::{Checked, Desk, lines};
use super::sign_intent::read_receipt;
use crate::show::Show;

const MINUTE_SECONDS: u32 = 60;

pub(super) const EJECT_HELP: &str = "\
While the window is open, a passkey of the backup can take both roles' shares to a device: the wallet leaves the service. It closes by
itself.

Example:
  strongroom tenant enable-eject --dir ./acme --host http://127.0.0.1:7443 --api-key-file acme.key --wallet w1 --backup main";

pub(super) const RELEASE_HELP: &str = "\
For methods without a passkey: the user's device has his share, and the MPC server gets the custodian's. The file is for
`strongroom tenant open-release`, on that server.

Example:
  strongroom tenant release-custodian --dir ./acme --host http://127.0.0.1:7443 --api-key-file acme.key --wallet w1 \\
    --backup pw --mpc-recipient mpc.pub --out pw.release";

#[derive(Args, Debug)]
pub(crate) struct EnableEject {
    #[command(flatten)]
    on: OnBackup,
    /// How long it is open: 1 to 1,440 minutes.
    #[arg(long, value_name = "N", default_value_t = EJECT_WINDOW_SECONDS / MINUTE_SECONDS)]
    minutes: u32,
}

#[derive(Args, Debug)]
pub(crate) struct DisableEject {
    #[command(flatten)]
    on: OnBackup,
}

#[derive(Args, Debug)]
pub(crate) struct ReleaseCustodian {
    #[command(flatten)]
    on: OnBackup,
    /// The MPC server's public key, which the statement must list.
    #[arg(long, value_name = "FILE")]
    mpc_recipient: PathBuf,
    /// The generation to release; the active one, if left out.
    #[arg(long, value_name = "N")]
    generation: Option<u64>,
    /// A receipt of the record that the tenant has, where its policy has the newest head; may be given several times.
    #[arg(long, value_name = "FILE")]
    newest: Vec<PathBuf>,
    /// New file for the release, for the MPC server.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Args, Debug)]
struct OnBackup {
    #[command(flatten)]
    desk: Desk,
    /// The backup's id; may be left out where the wallet has one only.
    #[arg(long, value_name = "ID")]
    backup: Option<String>,
    /// Keep the enclave's receipt in this new file.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

impl OnBackup {
    async fn check(&self, trust: &Trust, show: Show) -> Result<Checked, Error> {
        self.receipt.iter().try_for_each(|path| files::check_new(path))?;
        self.desk.check(trust, show).await
    }

    fn keep(&self, acted: &Acted) -> Result<(), Error> {
        match &self.receipt {
            Some(path) => files::write_new(path, &acted.signed().encode_to_vec()),
            None => Ok(()),
        }
    }
}

fn about_to_sign(show: Show, solo: &Solo<'_>) {
    show.heading("About to sign");
    lines(show, &solo.intent().intent);
}

pub(super) async fn enable_eject(options: &EnableEject, trust: &Trust, show: Show) -> Result<(), Error> {
    let seconds = options.minutes.saturating_mul(MINUTE_SECONDS);
    let window = EjectWindow::from_seconds(seconds)?;
    let desk = options.on.check(trust, show).await?;
    let solo = Service::new(&desk.prepared, &desk.statement)?.enable_eject(options.on.backup.as_deref(), window)?;
    about_to_sign(show, &solo);
    let signed = solo.sign(&Desk::key(&desk.folder)?)?;
    show.waiting("waiting for the enclave");
    let (acted, _) = signed.send(&desk.client).await?;
    let receipt = acted.receipt();
    show.check("receipt", format_args!("custodian, version {}", receipt.version));
    let until = Time::from_unix_ms(receipt.time_ms.saturating_add(u64::from(seconds) * 1000));
    show.value("eject window", format_args!("open until {until}"));
    show.caution("  a passkey of the backup can take both roles' shares to a device until then");
    options.on.keep(&acted)
}

pub(super) async fn disable_eject(options: &DisableEject, trust: &Trust, show: Show) -> Result<(), Error> {
    let desk = options.on.check(trust, show).await?;
    let solo = Service::new(&desk.prepared, &desk.statement)?.disable_eject(options.on.backup.as_deref())?;
    about_to_sign(show, &solo);
    let signed = solo.sign(&Desk::key(&desk.folder)?)?;
    show.waiting("waiting for the enclave");
    let (acted, _) = signed.send(&desk.client).await?;
    show.check("receipt", format_args!("custodian, version {}", acted.receipt().version));
    show.value("eject window", "closed, as far as the host shows the newest record");
    options.on.keep(&acted)
}

pub(super) async fn release(options: &ReleaseCustodian, trust: &Trust, show: Show) -> Result<(), Error> {
    files::check_new(&options.out)?;
    let receipts = options.newest.iter().map(|path| read_receipt(path)).collect::<Result<Vec<_>, _>>()?;
    let desk = options.on.check(trust, show).await?;
    let newest = newest_of_roles(&receipts, &desk.statement)?;
    let recipient = MpcRecipient::read(&options.mpc_recipient, desk.prepared.statement())?;
    let service = Service::new(&desk.prepared, &desk.statement)?;
    let solo = service.release_alone(options.on.backup.as_deref(), options.generation, &recipient, &newest)?;
    about_to_sign(show, &solo);
    let signed = solo.sign(&Desk::key(&desk.folder)?)?;
    show.waiting("waiting for the enclave");
    let (acted, delivery) = signed.send(&desk.client).await?;
    show.check("receipt", format_args!("custodian, version {}", acted.receipt().version));
    // A release without its file would be lost.
    let delivery = delivery.map(|delivery| delivery.encode_to_vec()).unwrap_or_default();
    files::write_new(&options.out, &delivery)?;
    show.value("custodian's release", format_args!("for the MPC server, in {}", options.out.display()));
    options.on.keep(&acted)
}
