//! `strongroom device put`.

use clap::Args;
use strongroom_sdk::device::{self as sdk, PasskeyAt};
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::proto::v1::Pair;
use strongroom_sdk::{Error, Trust, files};

use super::{Common, On, acted, origin, prepare, read_shares};
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

pub(super) async fn put(options: &Put, trust: Trust, show: Show) -> Result<(), Error> {
    let shares = read_shares(&options.shares)?;
    sdk::check_shares(&shares)?;
    options.on.receipt.iter().try_for_each(|path| files::check_new(path))?;
    let passkey = Passkey::read(&options.common.passkey)?;
    let (device, prepared) = prepare(&options.common.service, trust, show).await?;
    let pairs: Vec<Pair> = options.shares.iter().map(|share| share.pair.clone()).collect();
    show.heading("Putting a new generation");
    show.waiting("sealing, signing, and waiting for the enclave");
    let mut authenticator = PasskeyAt { passkey: &passkey, origin: origin(&options.common, &prepared)? };
    let done = device.put(&prepared, options.on.backup.as_deref(), &pairs, shares, &mut authenticator).await?;
    acted(show, &options.on, &done, &format!("generation {} is active", done.receipt.generation))
}
