//! `strongroom device put` and `commit`.

use clap::Args;
use strongroom_sdk::device::{self as sdk, PasskeyAt};
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::proto::v1::Pair;
use strongroom_sdk::{Error, Trust};

use super::{Common, On, Service, acted, keep_receipts, origin, prepare, read_shares, report};
use crate::options::{self, ShareFile};
use crate::show::Show;

#[derive(Args, Debug)]
pub(crate) struct Put {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    on: On,
    /// A share of at most 256 KiB: PAIR:CURVE=FILE with CURVE secp256k1 or ed25519; up to 4 times.
    #[arg(long = "share", value_name = "PAIR:CURVE=FILE", value_parser = options::share_file, required = true)]
    shares: Vec<ShareFile>,
}

#[derive(Args, Debug)]
pub(crate) struct Commit {
    #[command(flatten)]
    service: Service,
    #[command(flatten)]
    on: On,
}

pub(super) async fn put(options: &Put, trust: Trust, show: Show) -> Result<(), Error> {
    let shares = read_shares(&options.shares)?;
    sdk::check_shares(&shares)?;
    options.on.check_new()?;
    let passkey = Passkey::read(&options.common.passkey)?;
    let (device, prepared) = prepare(&options.common.service, trust, show).await?;
    let pairs: Vec<Pair> = options.shares.iter().map(|share| share.pair.clone()).collect();
    show.heading("Putting a new generation");
    show.waiting("sealing, signing, and waiting for the enclave");
    let mut authenticator = PasskeyAt { passkey: &passkey, origin: origin(&options.common, &prepared)? };
    let backup = options.on.backup.as_deref();
    let done = device.put(&prepared, backup, &pairs, shares, &mut authenticator).await?;
    let Some((generation, _)) = done.receipt().pending else {
        return acted(show, &options.on, &done, &format!("generation {} is active", done.receipt().generation));
    };
    acted(show, &options.on, &done, &format!("generation {generation} is put in both roles"))?;
    show.heading("Committing");
    show.waiting("waiting for both enclaves");
    let done = device.commit_put(&prepared, backup, &done).await?;
    committed(show, &done);
    Ok(())
}

pub(super) async fn commit(options: &Commit, trust: Trust, show: Show) -> Result<(), Error> {
    options.on.check_new()?;
    let (device, prepared) = prepare(&options.service, trust, show).await?;
    show.heading("Committing");
    show.waiting("waiting for both enclaves");
    let done = device.commit(&prepared, options.on.backup.as_deref()).await?;
    keep_receipts(&options.on, &done)?;
    committed(show, &done);
    Ok(())
}

fn committed(show: Show, done: &sdk::Acted) {
    done.receipts().for_each(|receipted| report::receipt(show, receipted));
    show.value("done", format_args!("generation {} is active in both roles", done.receipt().generation));
}
