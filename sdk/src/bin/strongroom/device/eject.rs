//! `strongroom device eject`.

use std::path::PathBuf;

use clap::Args;
use strongroom_sdk::device::{PasskeyAt, Recovery};
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::{Error, Trust};

use super::keep::KeptFlags;
use super::{Common, On, check_share_files, keep_receipts, origin, prepare, report, write_shares};
use crate::show::Show;

#[derive(Args, Debug)]
pub(crate) struct EjectOptions {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    on: On,
    #[command(flatten)]
    kept: KeptFlags,
    /// Folder for the shares, OUT/client and OUT/custodian; made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) async fn run(options: &EjectOptions, trust: Trust, show: Show) -> Result<(), Error> {
    options.on.check_new()?;
    let passkey = Passkey::read(&options.common.passkey)?;
    let (device, prepared) = prepare(&options.common.service, trust, show).await?;
    let device = options.kept.apply(device);
    let backup = options.on.backup.as_deref();
    let pairs = &device.generation(&prepared, &Recovery { backup, ..Recovery::default() })?.pairs;
    let folders = ["client", "custodian"].map(|role| options.out.join(role));
    folders.iter().try_for_each(|folder| check_share_files(folder, pairs))?;
    show.heading("Ejecting");
    show.waiting("signing, and waiting for both enclaves");
    let mut authenticator = PasskeyAt { passkey: &passkey, origin: origin(&options.common, &prepared)? };
    let done = device.eject(&prepared, backup, &mut authenticator).await?;
    done.acted.receipts().for_each(|receipted| report::receipt(show, receipted));
    for (shares, folder) in [&done.client, &done.custodian].into_iter().zip(&folders) {
        write_shares(show, folder, shares, &done.pairs)?;
    }
    show.caution("  whoever has both folders has the wallet");
    options.kept.released(show, &done.acted, (done.brought.as_ref(), done.resealed.as_ref()))?;
    keep_receipts(&options.on, &done.acted)
}
