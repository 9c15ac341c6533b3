//! `strongroom device`: what a user's device does, with a software passkey in a file.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use strongroom_sdk::device::{self as sdk, PasskeyAt, Recovery, check_creation, choose, releasable, select};
use strongroom_sdk::intent::{ClientPolicy, Creation};
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::prepare::Prepared;
use strongroom_sdk::proto::id::TenantId;
use strongroom_sdk::proto::v1::{Role, SecretKind};
use strongroom_sdk::{Error, Trust, files, role_name};

use consent::Exchange;

use crate::options::{self, HostOptions, ShareFile};
use crate::show::Show;

mod acts;
mod consent;
mod eject;
mod outcome;
mod passkeys;
mod policy;
mod report;
mod waiting;

pub(crate) use outcome::read_shares;
use outcome::{acted, keep_receipts, mpc_recipient, pair_name, released, share_paths};
pub(crate) use policy::{CustodianFlags, PolicyFlags};

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
    /// Put a new generation of shares into a backup; in one of both roles, commit it too.
    Put(acts::Put),
    /// Commit a generation that waits in both roles of a backup.
    Commit(acts::Commit),
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
    /// Take both roles' shares to this device, while a window of the tenant's is open.
    Eject(eject::EjectOptions),
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
    /// Where a policy needs the tenant: ask `--host`, which is the tenant's backend.
    #[arg(long, conflicts_with = "tenant_consent")]
    tenant_backend: bool,
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
    /// Keep the enclave's receipt in this new file; where the act names both roles, the custodian's in FILE.custodian.
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
    #[command(flatten)]
    custodian: policy::CustodianFlags,
    /// Keep the enclave's receipt in this new file; with --custodian, that role's in FILE.custodian.
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
    /// The MPC server's public key: the custodian's shares are released to it by the same act.
    #[arg(long, value_name = "FILE", requires = "custodian_release")]
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
        Device::Commit(options) => acts::commit(&options, trust, show).await?,
        Device::NewPasskey(options) => passkeys::new(&options, trust, show).await?,
        Device::AddPasskey(options) => passkeys::add(&options, trust, show).await?,
        Device::Join(options) => passkeys::join(&options, trust, show).await?,
        Device::RemovePasskey(options) => passkeys::remove(&options, trust, show).await?,
        Device::RenamePasskey(options) => passkeys::rename(&options, trust, show).await?,
        Device::ChangePolicy(options) => policy::change(&options, trust, show).await?,
        Device::StartRecovery(options) => waiting::start(&options, trust, show).await?,
        Device::ReleaseRecovery(options) => waiting::release(&options, trust, show).await?,
        Device::Eject(options) => eject::run(&options, trust, show).await?,
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
    let on = On { backup: Some(options.backup.clone()), receipt: options.receipt.clone() };
    on.check_new()?;
    let custodian = options.custodian.policy()?;
    let service = &options.common.service;
    if custodian.is_some() && service.tenant_consent.is_none() && !service.tenant_backend {
        let problem = "is needed with --custodian: the tenant's backend seals the custodian's shares".to_owned();
        return Err(Error::Input { field: "--tenant-consent or --tenant-backend".to_owned(), problem });
    }
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
        custodian,
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
    done.receipts().for_each(|receipted| report::receipt(show, receipted));
    let roles: Vec<&str> = done.receipts().map(|receipted| role_name(receipted.role)).collect();
    let (wallet, roles) = (&options.common.service.wallet, roles.join(" and "));
    show.value("backup", format_args!("{} of wallet {wallet} is stored: {roles}", options.backup));
    keep_receipts(&on, &done)
}

async fn recover(options: &RecoverOptions, trust: Trust, show: Show) -> Result<(), Error> {
    let backup = options.on.backup.as_deref();
    options.on.check_new()?;
    options.custodian_release.iter().try_for_each(|path| files::check_new(path))?;
    let passkey = Passkey::read(&options.common.passkey)?;
    let (device, prepared) = prepare(&options.common.service, trust, show).await?;
    let record = choose(&prepared, backup)?;
    let number = options.generation.or_else(|| select(&prepared, backup).ok()?.common(None).map(|it| it.number));
    let paths = share_paths(&options.out, &releasable(record, number)?.pairs)?;
    let custodian = mpc_recipient(options.mpc_recipient.as_deref(), &prepared, show)?;
    let recovery = Recovery { backup, generation: options.generation, custodian: custodian.as_ref() };
    show.heading("Recovering");
    show.waiting("signing, and waiting for the enclave");
    let origin = origin(&options.common, &prepared)?;
    let mut authenticator = PasskeyAt { passkey: &passkey, origin };
    let done = device.recover_with(&prepared, &recovery, &mut authenticator).await?;
    released(show, &done, &paths, options.custodian_release.as_deref())?;
    keep_receipts(&options.on, &done.acted)
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
    report::prepared(show, &prepared)?;
    Ok((device, prepared))
}

async fn prepare_quietly(service: &Service, trust: Trust, show: Show) -> Result<(sdk::Device, Prepared), Error> {
    sdk::check_id("wallet", &service.wallet)?;
    let client = service.host.connect(show).await?;
    let mut device = sdk::Device::new(client.clone(), service.tenant, trust).with_serial(service.statement_serial);
    if let Some(folder) = &service.tenant_consent {
        device = device.with_backend(Arc::new(Exchange::new(folder.clone(), show)));
    } else if service.tenant_backend {
        device = device.with_backend(Arc::new(client));
    }
    show.waiting("asking for statement, attestation and records");
    let prepared = device.prepare(&service.wallet).await?;
    Ok((device, prepared))
}

fn origin<'a>(common: &'a Common, prepared: &'a Prepared) -> Result<&'a str, Error> {
    let first = prepared.statement().statement().origins.first();
    let origin = common.origin.as_ref().or(first);
    origin.map(String::as_str).ok_or(Error::RoleNotInStatement { role: role_name(Role::Client) })
}
