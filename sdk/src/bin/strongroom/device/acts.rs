//! `strongroom device put` and `commit`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use strongroom_sdk::ciphertext::Ciphertexts;
use strongroom_sdk::device::{self as sdk, Own, PasskeyAt};
use strongroom_sdk::kept::Folder;
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::prepare::Prepared;
use strongroom_sdk::proto::contents::Share;
use strongroom_sdk::{Error, Trust};

use super::backup::{by_method, pairs_of, store, under_password};
use super::{On, Perhaps, Service, acted, keep_receipts, origin_of, prepare, read_ciphertexts, read_shares, report};
use crate::options::{self, ShareFile};
use crate::password::PasswordFlags;
use crate::show::Show;

#[derive(Args, Debug)]
pub(crate) struct Put {
    #[command(flatten)]
    perhaps: Perhaps,
    #[command(flatten)]
    on: On,
    /// A share of at most 256 KiB: PAIR:CURVE=FILE with CURVE secp256k1 or ed25519; up to 4 times.
    #[arg(
        long = "share",
        value_name = "PAIR:CURVE=FILE",
        value_parser = options::share_file,
        required_unless_present = "ciphertexts"
    )]
    shares: Vec<ShareFile>,
    /// What an app encrypted itself, or what the keys in escrow open: PAIR:CURVE=FILE; up to 4 times.
    #[arg(long = "ciphertext", value_name = "PAIR:CURVE=FILE", value_parser = options::share_file)]
    ciphertexts: Vec<ShareFile>,
    /// Of a backup whose client's part is not kept by the host: the folder that keeps it.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    #[command(flatten)]
    password: PasswordFlags,
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
    let ciphertexts = read_ciphertexts(&options.ciphertexts)?;
    if ciphertexts.is_none() {
        sdk::check_shares(&shares)?;
    }
    options.on.check_new()?;
    let passkey = options.perhaps.passkey.as_ref().map(|path| Passkey::read(path)).transpose()?;
    let (mut device, prepared) = prepare(&options.perhaps.service, trust, show).await?;
    if let Some(folder) = &options.keep {
        device = device.with_keeper(Arc::new(Folder::new(folder)));
    }
    let Some(passkey) = passkey else {
        return put_own(options, (&shares, ciphertexts), &device, &prepared, show).await;
    };
    let pairs = pairs_of(&options.shares);
    show.heading("Putting a new generation");
    show.waiting("sealing, signing, and waiting for the enclave");
    let origin = origin_of(options.perhaps.origin.as_deref(), &prepared)?;
    let mut authenticator = PasskeyAt { passkey: &passkey, origin };
    let backup = options.on.backup.as_deref();
    let secrets = (shares, ciphertexts.as_ref());
    let done = device.put_with(&prepared, (backup, &pairs), secrets, &mut authenticator).await?;
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

/// Of a backup without a passkey: what keeps its client's share is up to its method.
async fn put_own(
    options: &Put,
    (shares, ciphertexts): (&[Share], Option<Ciphertexts>),
    device: &sdk::Device,
    prepared: &Prepared,
    show: Show,
) -> Result<(), Error> {
    let own = Own::next(prepared, options.on.backup.as_deref())?;
    by_method(own.belongs().method, &options.shares, &options.ciphertexts)?;
    let ciphertexts = match ciphertexts {
        Some(ciphertexts) => ciphertexts,
        None => under_password(&own, prepared, (&pairs_of(&options.shares), shares), &options.password, show)?,
    };
    store(device, &own, &ciphertexts, &options.on, show).await
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
