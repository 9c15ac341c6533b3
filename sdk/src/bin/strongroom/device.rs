//! `strongroom device`: what a user's device does, with a software passkey in a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use prost::Message;
use strongroom_sdk::attestation::Time;
use strongroom_sdk::device::{self as sdk, PasskeyAt, check_creation, choose, releasable};
use strongroom_sdk::intent::{ClientPolicy, Creation};
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::prepare::Prepared;
use strongroom_sdk::proto::contents::Share;
use strongroom_sdk::proto::id::TenantId;
use strongroom_sdk::proto::limits::{PAIRS_MAX, SHARE_BYTES_MAX};
use strongroom_sdk::proto::secret::Secret;
use strongroom_sdk::proto::v1::{Pair, Role, SecretKind, SignedReceipt};
use strongroom_sdk::{Error, Trust, curve_name, files, role_name};

use consent::Exchange;

use crate::options::{self, HostOptions, ShareFile};
use crate::show::Show;

mod acts;
mod consent;
mod passkeys;
mod policy;
mod report;
mod waiting;

pub(crate) use policy::PolicyFlags;

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
    /// Show what the enclave's signed view says of a wallet: backups, passkeys, policies, generations, and what waits.
    Show(ShowOptions),
    /// List a wallet's passkeys, from the enclave's signed view.
    ListPasskeys(ShowOptions),
    /// Put a new generation of shares into a backup.
    Put(acts::Put),
    /// Make a passkey on this device and write its registration, for another device to add.
    NewPasskey(passkeys::New),
    /// Add a passkey to a backup: at once with both passkeys here, or for another device to finish.
    #[command(after_help = passkeys::ADD_HELP)]
    AddPasskey(passkeys::Add),
    /// Finish what `add-passkey` began on another device: this device's passkey is added.
    Join(passkeys::Join),
    /// Remove a passkey from a backup, after the policy's delay. Never the last one.
    RemovePasskey(passkeys::Remove),
    /// Give a passkey another label.
    RenamePasskey(passkeys::Rename),
    /// Change what a release needs, with the consents and after the delay of the policy in force.
    ChangePolicy(policy::Change),
    /// Start a recovery under a policy with a delay.
    StartRecovery(waiting::Start),
    /// Release a recovery that is due, to the key that it was started for.
    ReleaseRecovery(waiting::Release),
    /// Cancel what waits.
    Cancel(waiting::Cancel),
    /// Carry out what waited and is due, where the host does not do so by itself: under a policy with the newest head.
    CarryOut(waiting::CarryOut),
    /// Delete a backup, after 7 days in which any of its passkeys can cancel that.
    Delete(waiting::Delete),
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

/// The service, and what this device has seen of it.
#[derive(Args, Debug)]
pub(crate) struct Service {
    /// The tenant's id, 64 hex digits: the only pin.
    #[arg(long, value_name = "ID", value_parser = options::tenant_id)]
    tenant: TenantId,
    #[command(flatten)]
    host: HostOptions,
    /// The wallet's id.
    #[arg(long, value_name = "ID")]
    wallet: String,
    /// Refuse a statement with a lower serial than this one, which the device has seen.
    #[arg(long, value_name = "N", default_value_t = 0)]
    statement_serial: u64,
    /// Where a policy needs the tenant: write the intent into this folder and wait there for what `tenant sign-intent` writes.
    #[arg(long, value_name = "DIR")]
    tenant_consent: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Common {
    #[command(flatten)]
    service: Service,
    /// File of the software passkey.
    #[arg(long, value_name = "FILE")]
    passkey: PathBuf,
    /// The origin that the passkey claims to be asked from; the statement's first, if left out.
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
}

/// Which backup an act is on, and where its receipt goes.
#[derive(Args, Debug)]
pub(crate) struct On {
    /// The backup's id; may be left out where the wallet has one only.
    #[arg(long, value_name = "ID")]
    backup: Option<String>,
    /// Keep the enclave's receipt in this new file.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ShowOptions {
    #[command(flatten)]
    service: Service,
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
    #[command(flatten)]
    on: On,
    /// The generation to release; the active one, if left out.
    #[arg(long, value_name = "N")]
    generation: Option<u64>,
    /// Folder for the shares; made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
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
        Device::Show(options) => drop(prepare(&options.service, trust, show).await?),
        Device::ListPasskeys(options) => {
            let prepared = prepare_quietly(&options.service, trust, show).await?.1;
            report::passkeys(show, prepared.role(Role::Client)?.view.records());
        }
        Device::Put(options) => acts::put(&options, trust, show).await?,
        Device::NewPasskey(options) => passkeys::new(&options, trust, show).await?,
        Device::AddPasskey(options) => passkeys::add(&options, trust, show).await?,
        Device::Join(options) => passkeys::join(&options, trust, show).await?,
        Device::RemovePasskey(options) => passkeys::remove(&options, trust, show).await?,
        Device::RenamePasskey(options) => passkeys::rename(&options, trust, show).await?,
        Device::ChangePolicy(options) => policy::change(&options, trust, show).await?,
        Device::StartRecovery(options) => waiting::start(&options, trust, show).await?,
        Device::ReleaseRecovery(options) => waiting::release(&options, trust, show).await?,
        Device::Cancel(options) => waiting::cancel(&options, trust, show).await?,
        Device::CarryOut(options) => waiting::carry_out(&options, trust, show).await?,
        Device::Delete(options) => waiting::delete(&options, trust, show).await?,
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
    let (device, prepared) = prepare(&options.common.service, trust, show).await?;
    let is_new = known.is_none();
    let passkey = known.map_or_else(|| Passkey::create(&prepared.statement().statement().rp_id), Ok)?;
    let creation = Creation {
        backup: options.backup.clone(),
        method: options.method.clone(),
        secret: SecretKind::Share,
        pairs: options.shares.iter().map(|share| share.pair.clone()).collect(),
        policy: ClientPolicy::PASSKEY,
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
    show.value("backup", format_args!("{} of wallet {} is stored", options.backup, options.common.service.wallet));
    keep_receipt(options.receipt.as_deref(), &done.signed)
}

async fn recover(options: &RecoverOptions, trust: Trust, show: Show) -> Result<(), Error> {
    let backup = options.on.backup.as_deref();
    options.on.receipt.iter().try_for_each(|path| files::check_new(path))?;
    let passkey = Passkey::read(&options.common.passkey)?;
    let (device, prepared) = prepare(&options.common.service, trust, show).await?;
    let record = choose(&prepared, backup)?;
    let paths = share_paths(&options.out, &releasable(record, options.generation)?.pairs)?;
    show.heading("Recovering");
    show.waiting("signing, and waiting for the enclave");
    let origin = origin(&options.common, &prepared)?;
    let mut authenticator = PasskeyAt { passkey: &passkey, origin };
    let done = device.recover_generation(&prepared, backup, options.generation, &mut authenticator).await?;
    released(show, &done, &paths)?;
    keep_receipt(options.on.receipt.as_deref(), &done.signed)
}

/// The new files of a release: checked before an act that is lost without them.
fn share_paths(out: &Path, pairs: &[Pair]) -> Result<Vec<PathBuf>, Error> {
    let paths: Vec<PathBuf> = pairs.iter().map(|pair| out.join(format!("{}.share", pair.id))).collect();
    std::fs::create_dir_all(out).map_err(|error| Error::File { path: out.to_owned(), problem: error.to_string() })?;
    paths.iter().try_for_each(|path| files::check_new(path))?;
    Ok(paths)
}

fn released(show: Show, done: &sdk::Recovered, paths: &[PathBuf]) -> Result<(), Error> {
    report::receipt(show, &done.receipt);
    show.check(
        "release",
        format_args!("opened; intent, record, generation {} and pairs are as asked", done.generation),
    );
    for (share, path) in done.shares.iter().zip(paths) {
        files::write_new(path, share.bytes.expose())?;
    }
    for ((share, pair), path) in done.shares.iter().zip(&done.pairs).zip(paths) {
        report::share(show, share, pair, path);
    }
    Ok(())
}

async fn rehearse(options: &RehearseOptions, trust: Trust, show: Show) -> Result<(), Error> {
    let passkey = Passkey::read(&options.common.passkey)?;
    let (device, prepared) = prepare(&options.common.service, trust, show).await?;
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

/// Checks the service and shows what it says, with all that waits and every passkey, before anybody is asked for anything.
async fn prepare(service: &Service, trust: Trust, show: Show) -> Result<(sdk::Device, Prepared), Error> {
    let (device, prepared) = prepare_quietly(service, trust, show).await?;
    report::prepared(show, &prepared);
    Ok((device, prepared))
}

async fn prepare_quietly(service: &Service, trust: Trust, show: Show) -> Result<(sdk::Device, Prepared), Error> {
    sdk::check_id("wallet", &service.wallet)?;
    let client = service.host.connect(show).await?;
    let mut device = sdk::Device::new(client, service.tenant, trust).with_serial(service.statement_serial);
    if let Some(folder) = &service.tenant_consent {
        device = device.with_backend(Arc::new(Exchange::new(folder.clone(), show)));
    }
    show.waiting("asking for statement, attestation and records");
    let prepared = device.prepare(&service.wallet).await?;
    Ok((device, prepared))
}

/// What an act without a release ended in.
fn acted(show: Show, on: &On, done: &sdk::Acted, text: &str) -> Result<(), Error> {
    report::receipt(show, &done.receipt);
    if done.receipt.not_before_ms == 0 {
        show.value("done", text);
    } else {
        let due = Time::from_unix_ms(done.receipt.not_before_ms);
        show.value("waits", format_args!("{text}; due at {due}; can be cancelled"));
    }
    keep_receipt(on.receipt.as_deref(), &done.signed)
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
