//! `strongroom device`: what a user's device does, with a software passkey in a file.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use strongroom_sdk::device as sdk;
use strongroom_sdk::prepare::Prepared;
use strongroom_sdk::proto::id::TenantId;
use strongroom_sdk::proto::v1::Role;
use strongroom_sdk::{Error, Trust, role_name};

use consent::Exchange;

use crate::options::{self, HostOptions};
use crate::show::Show;

mod acts;
mod backup;
mod consent;
mod eject;
mod keep;
mod outcome;
mod passkeys;
mod policy;
mod recover;
mod report;
mod waiting;

use outcome::{acted, keep_receipts, mpc_recipient, pair_name, released, share_paths};
pub(crate) use outcome::{read_ciphertexts, read_shares};
pub(crate) use policy::{CustodianFlags, PolicyFlags};

/// Commands of a device.
#[derive(Debug, Subcommand)]
pub(crate) enum Device {
    /// Back up a wallet's client shares: sealed to the attested client enclave under a passkey, under a password, or as an app encrypted
    /// them.
    #[command(after_help = backup::BACKUP_HELP)]
    Backup(Box<backup::BackupOptions>),
    /// Release the shares of a backup to this device by its passkey, or open them with the password.
    #[command(after_help = recover::RECOVER_HELP)]
    Recover(Box<recover::RecoverOptions>),
    /// Ask whether a backup would open. Nothing is released and nothing is written.
    #[command(after_help = recover::REHEARSE_HELP)]
    Rehearse(recover::RehearseOptions),
    /// Fetch what an app encrypted itself, checked against its hash.
    Ciphertexts(recover::CiphertextsOptions),
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

impl Service {
    /// Whether the tenant's backend can be asked.
    fn reaches_tenant(&self) -> bool {
        self.tenant_backend || self.tenant_consent.is_some()
    }
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

/// As [`Common`], for acts that some backups need no passkey for.
#[derive(Args, Debug)]
pub(crate) struct Perhaps {
    #[command(flatten)]
    service: Service,
    /// File of the software passkey; left out for a backup without one.
    #[arg(long, value_name = "FILE")]
    passkey: Option<PathBuf>,
    /// The origin that the passkey claims to be asked from; the statement's first, if left out.
    #[arg(long, value_name = "ORIGIN", requires = "passkey")]
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

pub(crate) async fn run(command: Device, trust: Trust, show: Show) -> anyhow::Result<()> {
    match command {
        Device::Backup(options) => backup::run(&options, trust, show).await?,
        Device::Recover(options) => recover::run(&options, trust, show).await?,
        Device::Rehearse(options) => recover::rehearse(&options, trust, show).await?,
        Device::Ciphertexts(options) => recover::ciphertexts(&options, trust, show).await?,
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
    origin_of(common.origin.as_deref(), prepared)
}

fn origin_of<'a>(origin: Option<&'a str>, prepared: &'a Prepared) -> Result<&'a str, Error> {
    let first = prepared.statement().statement().origins.first();
    let origin = origin.or(first.map(String::as_str));
    origin.ok_or(Error::RoleNotInStatement { role: role_name(Role::Client) })
}
