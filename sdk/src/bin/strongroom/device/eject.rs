//! `strongroom device eject`.

use std::path::PathBuf;

use clap::Args;
use strongroom_sdk::device::{PasskeyAt, openable, select};
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::{Error, Trust, files};

use super::keep::KeptFlags;
use super::{Common, On, keep_receipts, origin, prepare, report, share_paths};
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
    let pairs = &openable(select(&prepared, backup)?, None)?.pairs;
    let client = share_paths(&options.out.join("client"), pairs)?;
    let custodian = share_paths(&options.out.join("custodian"), pairs)?;
    show.heading("Ejecting");
    show.waiting("signing, and waiting for both enclaves");
    let mut authenticator = PasskeyAt { passkey: &passkey, origin: origin(&options.common, &prepared)? };
    let done = device.eject(&prepared, backup, &mut authenticator).await?;
    done.acted.receipts().for_each(|receipted| report::receipt(show, receipted));
    for (shares, paths) in [(&done.client, &client), (&done.custodian, &custodian)] {
        for ((share, pair), path) in shares.iter().zip(&done.pairs).zip(paths) {
            files::write_new(path, share.bytes.expose())?;
            report::share(show, share, pair, path);
        }
    }
    show.caution("  whoever has both folders has the wallet");
    options.kept.released(show, (&done.acted, done.generation), done.resealed.as_ref())?;
    keep_receipts(&options.on, &done.acted)
}
