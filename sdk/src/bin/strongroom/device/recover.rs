//! `strongroom device recover`, `rehearse` and `ciphertexts`.

use std::path::{Path, PathBuf};

use clap::Args;
use strongroom_sdk::ciphertext::{Ciphertexts, PASSWORD, open};
use strongroom_sdk::device::{Own, PasskeyAt, Recovery, choose, releasable, select};
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::prepare::Prepared;
use strongroom_sdk::proto::v1::Role;
use strongroom_sdk::{Error, Trust, files};

use super::keep::KeptFlags;
use super::{
    Common, On, Perhaps, Service, keep_receipts, mpc_recipient, origin, origin_of, pair_name, prepare, released,
    report, share_paths,
};
use crate::password::PasswordFlags;
use crate::show::Show;

pub(super) const RECOVER_HELP: &str = "\
Each share is written to OUT/PAIR.share, for its owner's eyes only. No file is overwritten. A backup of the method PASSWORD is opened
here, with the password; the custodian's share of it goes to the MPC server by `strongroom tenant release-custodian`.

Examples:
  strongroom device recover --tenant 61..ab --host http://127.0.0.1:7443 --api-key-file acme.key \\
    --wallet w1 --passkey ann.passkey --out ./recovered
  strongroom device recover --tenant 61..ab --host http://127.0.0.1:7443 --api-key-file acme.key \\
    --wallet w1 --method PASSWORD --out ./recovered";

pub(super) const REHEARSE_HELP: &str = "\
Example:
  strongroom device rehearse --tenant 61..ab --host http://127.0.0.1:7443 --api-key-file acme.key \\
    --wallet w1 --passkey ann.passkey";

#[derive(Args, Debug)]
pub(crate) struct RecoverOptions {
    #[command(flatten)]
    perhaps: Perhaps,
    #[command(flatten)]
    on: On,
    /// PASSWORD: open a backup with its password, without a passkey.
    #[arg(long, value_name = "NAME", conflicts_with = "passkey", required_unless_present = "passkey", value_parser = [PASSWORD])]
    method: Option<String>,
    #[command(flatten)]
    password: PasswordFlags,
    /// The generation to release; the active one, if left out.
    #[arg(long, value_name = "N")]
    generation: Option<u64>,
    #[command(flatten)]
    kept: KeptFlags,
    /// Folder for the shares; made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The MPC server's public key: the custodian's shares are released to it by the same act.
    #[arg(long, value_name = "FILE", requires_all = ["custodian_release", "passkey"], conflicts_with = "method")]
    mpc_recipient: Option<PathBuf>,
    /// New file for the custodian's release, for the MPC server.
    #[arg(long, value_name = "FILE", requires = "mpc_recipient")]
    custodian_release: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct RehearseOptions {
    #[command(flatten)]
    common: Common,
    /// The backup's id; may be left out where the wallet has one only.
    #[arg(long, value_name = "ID")]
    backup: Option<String>,
    #[command(flatten)]
    kept: KeptFlags,
}

#[derive(Args, Debug)]
pub(crate) struct CiphertextsOptions {
    #[command(flatten)]
    service: Service,
    /// The backup's id; may be left out where the wallet has one only.
    #[arg(long, value_name = "ID")]
    backup: Option<String>,
    /// The generation; the active one, if left out.
    #[arg(long, value_name = "N")]
    generation: Option<u64>,
    #[command(flatten)]
    kept: KeptFlags,
    /// Folder for the ciphertexts, OUT/PAIR.ciphertext; made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) async fn run(options: &RecoverOptions, trust: Trust, show: Show) -> Result<(), Error> {
    match &options.perhaps.passkey {
        Some(path) => by_passkey(options, path, trust, show).await,
        None => by_password(options, trust, show).await,
    }
}

async fn by_passkey(options: &RecoverOptions, path: &Path, trust: Trust, show: Show) -> Result<(), Error> {
    let backup = options.on.backup.as_deref();
    options.on.check_new()?;
    options.custodian_release.iter().try_for_each(|path| files::check_new(path))?;
    let passkey = Passkey::read(path)?;
    let (device, prepared) = prepare(&options.perhaps.service, trust, show).await?;
    let device = options.kept.apply(device);
    let record = choose(&prepared, backup)?;
    let number = options.generation.or_else(|| select(&prepared, backup).ok()?.common(None).map(|it| it.number));
    let paths = share_paths(&options.out, &releasable(record, number)?.pairs)?;
    let custodian = mpc_recipient(options.mpc_recipient.as_deref(), &prepared, show)?;
    let recovery = Recovery { backup, generation: options.generation, custodian: custodian.as_ref() };
    show.heading("Recovering");
    show.waiting("signing, and waiting for the enclave");
    let origin = origin_of(options.perhaps.origin.as_deref(), &prepared)?;
    let mut authenticator = PasskeyAt { passkey: &passkey, origin };
    let done = device.recover_with(&prepared, &recovery, &mut authenticator).await?;
    released(show, &done, &paths, options.custodian_release.as_deref())?;
    options.kept.released(show, (&done.acted, done.generation), done.resealed.as_ref())?;
    keep_receipts(&options.on, &done.acted)
}

async fn by_password(options: &RecoverOptions, trust: Trust, show: Show) -> Result<(), Error> {
    if options.on.receipt.is_some() {
        let problem = "there is none: the client's share of a PASSWORD backup is in no enclave".to_owned();
        return Err(Error::Input { field: "--receipt".to_owned(), problem });
    }
    let (device, prepared) = prepare(&options.perhaps.service, trust, show).await?;
    let device = options.kept.apply(device);
    let backup = match &options.on.backup {
        Some(backup) => backup.as_str(),
        None => only_by_password(&prepared)?,
    };
    let (own, generation) = Own::opening(&prepared, Some(backup), options.generation)?;
    let paths = share_paths(&options.out, &generation.pairs)?;
    show.heading("Recovering");
    show.waiting("asking for the ciphertexts");
    let ciphertexts = device.fetch_own(&own, generation).await?;
    show.check("ciphertexts", format_args!("generation {}, as their hashes name them", generation.number));
    let password = options.password.existing()?;
    show.waiting("deriving the key from the password");
    let shares = open(&own.belongs(), &ciphertexts, &password)?;
    for ((share, pair), path) in shares.iter().zip(&generation.pairs).zip(&paths) {
        files::write_new(path, share.bytes.expose())?;
        report::share(show, share, pair, path);
    }
    Ok(())
}

/// The one backup that a password opens.
fn only_by_password(prepared: &Prepared) -> Result<&str, Error> {
    let backups = prepared.backups()?;
    let is_one = |method: &str, closed: bool| method == PASSWORD && !closed;
    let mut found = backups.iter().map(|it| it.any()).filter(|it| is_one(&it.method, it.closed));
    match (found.next(), found.next()) {
        (Some(record), None) => Ok(&record.backup),
        (None, _) => {
            let what = format!("backup of the method {PASSWORD}");
            Err(Error::NotFound { wallet: prepared.wallet().to_owned(), what })
        }
        (Some(_), Some(_)) => {
            let problem = format!("there are several of the method {PASSWORD}; name one");
            Err(Error::Input { field: "--backup".to_owned(), problem })
        }
    }
}

pub(super) async fn rehearse(options: &RehearseOptions, trust: Trust, show: Show) -> Result<(), Error> {
    let passkey = Passkey::read(&options.common.passkey)?;
    let (device, prepared) = prepare(&options.common.service, trust, show).await?;
    let device = options.kept.apply(device);
    show.heading("Rehearsing");
    show.waiting("signing, and waiting for the enclave");
    let origin = origin(&options.common, &prepared)?;
    let mut authenticator = PasskeyAt { passkey: &passkey, origin };
    let done = device.rehearse(&prepared, options.backup.as_deref(), &mut authenticator).await?;
    report::stages(show, &done.stages);
    if !done.opens {
        return Err(Error::Damaged);
    }
    show.value("rehearsal", "every share opens");
    Ok(())
}

pub(super) async fn ciphertexts(options: &CiphertextsOptions, trust: Trust, show: Show) -> Result<(), Error> {
    let (device, prepared) = prepare(&options.service, trust, show).await?;
    let device = options.kept.apply(device);
    let backup = options.backup.as_deref();
    show.heading("Fetching ciphertexts");
    let record = select(&prepared, backup)?.any();
    let ciphertexts: Ciphertexts = if record.is_alone_in(Role::Custodian) {
        let (own, generation) = Own::opening(&prepared, backup, options.generation)?;
        device.fetch_own(&own, generation).await?
    } else {
        device.fetch_escrowed(&prepared, backup, options.generation).await?
    };
    std::fs::create_dir_all(&options.out)
        .map_err(|error| Error::File { path: options.out.clone(), problem: error.to_string() })?;
    let path = |pair: &str| options.out.join(format!("{pair}.ciphertext"));
    ciphertexts.pairs().try_for_each(|pair| files::check_new(&path(&pair.id)))?;
    for (pair, bytes) in ciphertexts.iter() {
        let path = path(&pair.id);
        files::write_new(&path, bytes)?;
        let text = format_args!("{}, {} bytes, in {}", pair_name(pair), bytes.len(), path.display());
        show.value("ciphertext", text);
    }
    Ok(())
}
