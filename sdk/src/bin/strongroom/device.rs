//! `strongroom device`: what a user's device does, with a software passkey in a file.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use prost::Message;
use strongroom_sdk::device::{self as sdk, PasskeyAt, check_creation, choose, releasable};
use strongroom_sdk::intent::Creation;
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::prepare::Prepared;
use strongroom_sdk::proto::contents::Share;
use strongroom_sdk::proto::id::TenantId;
use strongroom_sdk::proto::limits::{PAIRS_MAX, SHARE_BYTES_MAX};
use strongroom_sdk::proto::secret::Secret;
use strongroom_sdk::proto::v1::{Pair, Policy, Role, SecretKind, SignedReceipt};
use strongroom_sdk::{Error, Trust, curve_name, files, role_name};

use crate::options::{self, HostOptions, ShareFile};
use crate::show::Show;

mod report;

/// Commands of a device.
#[derive(Debug, Subcommand)]
pub(crate) enum Device {
    /// Seal a wallet's client shares to the attested client enclave, under a passkey.
    #[command(after_help = BACKUP_HELP)]
    Backup(BackupOptions),
    /// Release the shares of a backup to this device, by its passkey.
    #[command(after_help = RECOVER_HELP)]
    Recover(RecoverOptions),
    /// Ask whether a backup would open. Nothing is released and nothing is written.
    #[command(after_help = REHEARSE_HELP)]
    Rehearse(RehearseOptions),
}

const BACKUP_HELP: &str = "\
The passkey file is made if it is not there, after the service has passed every check.

Example:
  strongroom device backup --tenant 61..ab --host http://127.0.0.1:7443 --api-key-file acme.key \\
    --wallet w1 --passkey ann.passkey --share main:secp256k1=k1.share --share main-ed:ed25519=ed.share";

const RECOVER_HELP: &str = "\
Each share is written to OUT/PAIR.share, for its owner's eyes only. No file is overwritten.

Example:
  strongroom device recover --tenant 61..ab --host http://127.0.0.1:7443 --api-key-file acme.key \\
    --wallet w1 --passkey ann.passkey --out ./recovered";

const REHEARSE_HELP: &str = "\
Example:
  strongroom device rehearse --tenant 61..ab --host http://127.0.0.1:7443 --api-key-file acme.key \\
    --wallet w1 --passkey ann.passkey";

#[derive(Args, Debug)]
pub(crate) struct Common {
    /// The tenant's id, 64 hex digits: the only pin.
    #[arg(long, value_name = "ID", value_parser = options::tenant_id)]
    tenant: TenantId,
    #[command(flatten)]
    host: HostOptions,
    /// The wallet's id.
    #[arg(long, value_name = "ID")]
    wallet: String,
    /// File of the software passkey.
    #[arg(long, value_name = "FILE")]
    passkey: PathBuf,
    /// The origin that the passkey claims to be asked from; the statement's first, if left out.
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// Refuse a statement with a lower serial than this one, which the device has seen.
    #[arg(long, value_name = "N", default_value_t = 0)]
    statement_serial: u64,
}

#[derive(Args, Debug)]
pub(crate) struct BackupOptions {
    #[command(flatten)]
    common: Common,
    /// A share of at most 256 KiB: PAIR:CURVE=FILE with CURVE secp256k1 or ed25519; up to 4 times.
    #[arg(long = "share", value_name = "PAIR:CURVE=FILE", value_parser = options::share_file, required = true)]
    shares: Vec<ShareFile>,
    /// The new backup's id.
    #[arg(long, value_name = "ID", default_value = "main")]
    backup: String,
    /// The backup's method.
    #[arg(long, value_name = "NAME", default_value = "PASSKEY")]
    method: String,
    /// What the user calls the passkey.
    #[arg(long, value_name = "TEXT", default_value = "software passkey")]
    label: String,
    /// Keep the enclave's receipt in this new file.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct RecoverOptions {
    #[command(flatten)]
    common: Common,
    /// The backup's id; may be left out where the wallet has one only.
    #[arg(long, value_name = "ID")]
    backup: Option<String>,
    /// Folder for the shares; made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Keep the enclave's receipt in this new file.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct RehearseOptions {
    #[command(flatten)]
    common: Common,
    /// The backup's id; may be left out where the wallet has one only.
    #[arg(long, value_name = "ID")]
    backup: Option<String>,
}

pub(crate) async fn run(command: Device, trust: Trust, show: Show) -> anyhow::Result<()> {
    match command {
        Device::Backup(options) => backup(&options, trust, show).await?,
        Device::Recover(options) => recover(&options, trust, show).await?,
        Device::Rehearse(options) => rehearse(&options, trust, show).await?,
    }
    Ok(())
}

async fn backup(options: &BackupOptions, trust: Trust, show: Show) -> Result<(), Error> {
    let shares = read_shares(&options.shares)?;
    sdk::check_shares(&shares)?;
    sdk::check_id("backup", &options.backup)?;
    options.receipt.iter().try_for_each(|path| files::check_new(path))?;
    let path = &options.common.passkey;
    let known = if path.exists() { Some(Passkey::read(path)?) } else { None };
    if known.is_none() {
        files::check_new(path)?;
    }
    let (device, prepared) = prepare(&options.common, trust, show).await?;
    let is_new = known.is_none();
    let passkey = known.map_or_else(|| Passkey::create(&prepared.statement().statement().rp_id), Ok)?;
    let creation = Creation {
        backup: options.backup.clone(),
        method: options.method.clone(),
        secret: SecretKind::Share,
        pairs: options.shares.iter().map(|share| share.pair.clone()).collect(),
        policy: Policy { passkey: true, ..Policy::default() },
        credential: passkey.registration(),
        label: options.label.clone(),
    };
    check_creation(&prepared, &creation)?;
    if is_new {
        // Before it signs anything: a backup whose passkey is lost is lost.
        passkey.write(path)?;
        show.check("passkey", format_args!("made for {}, in {}", passkey.rp_id(), path.display()));
    }
    show.heading("Backing up");
    show.waiting("sealing, signing, and waiting for the enclave");
    let origin = origin(&options.common, &prepared)?;
    let mut authenticator = PasskeyAt { passkey: &passkey, origin };
    let done = device.backup(&prepared, &creation, shares, &mut authenticator).await?;
    report::receipt(show, &done.receipt);
    show.value("backup", format_args!("{} of wallet {} is stored", options.backup, options.common.wallet));
    keep_receipt(options.receipt.as_deref(), &done.signed)
}

async fn recover(options: &RecoverOptions, trust: Trust, show: Show) -> Result<(), Error> {
    options.receipt.iter().try_for_each(|path| files::check_new(path))?;
    let passkey = Passkey::read(&options.common.passkey)?;
    let (device, prepared) = prepare(&options.common, trust, show).await?;
    let record = choose(&prepared, options.backup.as_deref())?;
    let pairs = &releasable(&prepared, record)?.pairs;
    let paths: Vec<PathBuf> = pairs.iter().map(|pair| options.out.join(format!("{}.share", pair.id))).collect();
    std::fs::create_dir_all(&options.out)
        .map_err(|error| Error::File { path: options.out.clone(), problem: error.to_string() })?;
    paths.iter().try_for_each(|path| files::check_new(path))?;
    show.heading("Recovering");
    show.waiting("signing, and waiting for the enclave");
    let origin = origin(&options.common, &prepared)?;
    let mut authenticator = PasskeyAt { passkey: &passkey, origin };
    let done = device.recover(&prepared, options.backup.as_deref(), &mut authenticator).await?;
    report::receipt(show, &done.receipt);
    show.check(
        "release",
        format_args!("opened; intent, record, generation {} and pairs are as asked", done.generation),
    );
    for (share, path) in done.shares.iter().zip(&paths) {
        files::write_new(path, share.bytes.expose())?;
    }
    for ((share, pair), path) in done.shares.iter().zip(&done.pairs).zip(&paths) {
        report::share(show, share, pair, path);
    }
    keep_receipt(options.receipt.as_deref(), &done.signed)
}

async fn rehearse(options: &RehearseOptions, trust: Trust, show: Show) -> Result<(), Error> {
    let passkey = Passkey::read(&options.common.passkey)?;
    let (device, prepared) = prepare(&options.common, trust, show).await?;
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

async fn prepare(common: &Common, trust: Trust, show: Show) -> Result<(sdk::Device, Prepared), Error> {
    sdk::check_id("wallet", &common.wallet)?;
    let client = common.host.connect(show).await?;
    let device = sdk::Device::new(client, common.tenant, trust).with_serial(common.statement_serial);
    show.waiting("asking for statement, attestation and records");
    let prepared = device.prepare(&common.wallet).await?;
    report::prepared(show, &prepared);
    Ok((device, prepared))
}

fn origin<'a>(common: &'a Common, prepared: &'a Prepared) -> Result<&'a str, Error> {
    let first = prepared.statement().statement().origins.first();
    let origin = common.origin.as_ref().or(first);
    origin.map(String::as_str).ok_or(Error::RoleNotInStatement { role: role_name(Role::Client) })
}

/// Reads the shares, each refused past its limit before it is read.
fn read_shares(list: &[ShareFile]) -> Result<Vec<Share>, Error> {
    if list.len() > PAIRS_MAX {
        let problem = format!("{} are given; at most {PAIRS_MAX} are allowed", list.len());
        return Err(Error::Input { field: "--share".to_owned(), problem });
    }
    let named = |share: &ShareFile, error: Error| Error::Input {
        field: format!("--share {}:{}", share.pair.id, curve_name(share.pair.curve())),
        problem: error.to_string(),
    };
    let mut shares = Vec::with_capacity(list.len());
    for share in list {
        let mut bytes = files::read(&share.path, SHARE_BYTES_MAX).map_err(|error| named(share, error))?;
        if shares.iter().any(|before: &Share| before.pair == share.pair.id) {
            let problem = format!("pair {} is given twice", share.pair.id);
            return Err(Error::Input { field: "--share".to_owned(), problem });
        }
        shares.push(Share { pair: share.pair.id.clone(), bytes: Secret::take(&mut bytes) });
    }
    Ok(shares)
}

fn keep_receipt(path: Option<&Path>, signed: &SignedReceipt) -> Result<(), Error> {
    path.map_or(Ok(()), |path| files::write_new(path, &signed.encode_to_vec()))
}

fn pair_name(pair: &Pair) -> String {
    format!("{}:{}", pair.id, curve_name(pair.curve()))
}
