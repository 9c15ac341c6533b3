//! `strongroom tenant`: what the host knows of a wallet's recoveries and of stored parts. For people and lists: nothing here is signed.

use clap::Args;
use strongroom_sdk::attestation::Time;
use strongroom_sdk::client::Client;
use strongroom_sdk::intent::shown;
use strongroom_sdk::proto::v1::{
    AbortBackupRequest, CompleteRecoveryRequest, GetRecoveryRequest, ListRecoveriesRequest, ListRecoveryMethodsRequest,
    Pair, Recovery, RecoveryMethod, RecoveryState, ReportStoredRequest, SecretKind, Storage,
};
use strongroom_sdk::{Error, curve_name, device, role_name};

use crate::options::{self, HostOptions};
use crate::show::{Show, plain};

/// Recoveries in a page.
const PAGE_SIZE: u32 = 200;
/// Most pages that a host is asked for.
const PAGES_MAX: usize = 100;

/// A wallet at a host.
#[derive(Args, Debug)]
pub(crate) struct Wallet {
    #[command(flatten)]
    host: HostOptions,
    /// The wallet's id.
    #[arg(long, value_name = "ID")]
    wallet: String,
}

#[derive(Args, Debug)]
pub(crate) struct OneRecovery {
    #[command(flatten)]
    of: Wallet,
    /// The recovery: hash of the intent that started it, as `recoveries` lists it.
    #[arg(long, value_name = "HEX", value_parser = options::hex32)]
    recovery: [u8; 32],
}

#[derive(Args, Debug)]
pub(crate) struct Complete {
    #[command(flatten)]
    one: OneRecovery,
    /// The wallet does not work.
    #[arg(long)]
    failed: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Abort {
    #[command(flatten)]
    of: Wallet,
    /// The backup's id.
    #[arg(long, value_name = "ID")]
    backup: String,
    /// The generation that waits.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    generation: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Report {
    #[command(flatten)]
    of: Wallet,
    /// The backup's id.
    #[arg(long, value_name = "ID")]
    backup: String,
    /// The generation that is stored.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    generation: u64,
    /// The backup's method.
    #[arg(long, value_name = "NAME")]
    method: String,
    /// A pair that it is about; may be given several times. All of them, if left out.
    #[arg(long = "pair", value_name = "ID")]
    pairs: Vec<String>,
    /// It could not be stored.
    #[arg(long)]
    failed: bool,
}

impl Wallet {
    async fn connect(&self, show: Show) -> Result<Client, Error> {
        device::check_id("wallet", &self.wallet)?;
        self.host.connect(show).await
    }
}

pub(super) async fn recoveries(options: &Wallet, show: Show) -> Result<(), Error> {
    let client = options.connect(show).await?;
    let mut request =
        ListRecoveriesRequest { wallet: options.wallet.clone(), page_size: PAGE_SIZE, page_token: String::new() };
    let mut count = 0;
    for _ in 0..PAGES_MAX {
        let page = client.list_recoveries(&request).await?;
        count += page.recoveries.len();
        page.recoveries.iter().for_each(|recovery| line(show, recovery));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            show.value("recoveries", count);
            return Ok(());
        }
    }
    let problem = format!("more than {PAGES_MAX} pages");
    Err(Error::Input { field: "recoveries".to_owned(), problem })
}

pub(super) async fn recovery(options: &OneRecovery, show: Show) -> Result<(), Error> {
    let client = options.of.connect(show).await?;
    let request = GetRecoveryRequest { wallet: options.of.wallet.clone(), recovery: options.recovery.to_vec() };
    shown_or_missing(show, client.get_recovery(&request).await?.recovery.as_ref())
}

pub(super) async fn methods(options: &Wallet, show: Show) -> Result<(), Error> {
    let client = options.connect(show).await?;
    let request = ListRecoveryMethodsRequest { wallet: options.wallet.clone() };
    client.list_recovery_methods(&request).await?.methods.iter().for_each(|method| way(show, method));
    Ok(())
}

pub(super) async fn complete(options: &Complete, show: Show) -> Result<(), Error> {
    let client = options.one.of.connect(show).await?;
    let (wallet, recovery) = (options.one.of.wallet.clone(), options.one.recovery.to_vec());
    let request = CompleteRecoveryRequest { wallet, recovery, success: !options.failed };
    shown_or_missing(show, client.complete_recovery(&request).await?.recovery.as_ref())
}

pub(super) async fn abort(options: &Abort, show: Show) -> Result<(), Error> {
    device::check_id("backup", &options.backup)?;
    let client = options.of.connect(show).await?;
    let (wallet, backup) = (options.of.wallet.clone(), options.backup.clone());
    client.abort_backup(&AbortBackupRequest { wallet, backup, generation: options.generation }).await?;
    let text = format_args!("generation {} is given up; the one before stays in force", options.generation);
    show.value("done", text);
    Ok(())
}

pub(super) async fn report(options: &Report, show: Show) -> Result<(), Error> {
    device::check_id("backup", &options.backup)?;
    let client = options.of.connect(show).await?;
    let request = ReportStoredRequest {
        wallet: options.of.wallet.clone(),
        backup: options.backup.clone(),
        generation: options.generation,
        pairs: options.pairs.clone(),
        success: !options.failed,
        method: options.method.clone(),
    };
    client.report_stored(&request).await?;
    let what = if options.failed { "not stored" } else { "stored" };
    show.value("reported", format_args!("generation {} is {what}", options.generation));
    Ok(())
}

fn shown_or_missing(show: Show, recovery: Option<&Recovery>) -> Result<(), Error> {
    let missing = || Error::Malformed { part: "answer", reason: "it has no recovery".to_owned() };
    line(show, recovery.ok_or_else(missing)?);
    Ok(())
}

fn line(show: Show, recovery: &Recovery) {
    show.value("recovery", hex::encode(&recovery.recovery));
    let what = if recovery.eject { ", an eject" } else { "" };
    show.value("  state", format_args!("{}{what}", state_name(recovery.state())));
    let (backup, method) = (plain(&recovery.backup), plain(&recovery.method));
    let roles: Vec<&str> = recovery.roles().map(role_name).collect();
    show.value(
        "  backup",
        format_args!("{backup} ({method}), generation {}, from {}", recovery.generation, roles.join(" and ")),
    );
    for (name, ms) in [
        ("  asked for at", recovery.created_ms),
        ("  due at", recovery.not_before_ms),
        ("  expires at", recovery.expires_ms),
        ("  released at", recovery.released_ms),
    ] {
        if ms != 0 {
            show.value(name, Time::from_unix_ms(ms));
        }
    }
}

fn state_name(state: RecoveryState) -> &'static str {
    match state {
        RecoveryState::Requested => "requested",
        RecoveryState::Delayed => "delayed",
        RecoveryState::AwaitingApproval => "awaiting the tenant's approval",
        RecoveryState::Released => "released",
        RecoveryState::Completed => "completed",
        RecoveryState::Denied => "denied by the tenant",
        RecoveryState::Cancelled => "cancelled",
        RecoveryState::Failed => "failed: the wallet does not work",
        RecoveryState::Expired => "expired",
        RecoveryState::Unspecified => "unknown",
    }
}

fn way(show: Show, method: &RecoveryMethod) {
    show.value("backup", format_args!("{} ({})", plain(&method.backup), plain(&method.method)));
    if method.works {
        show.check("works", format_args!("generation {}", method.generation));
    } else {
        show.caution(&format!("  !! does not work: {}", plain(&method.problem)));
    }
    show.value("  pairs", method.pairs.iter().map(pair_name).collect::<Vec<_>>().join(", "));
    for (role, policy) in [("client", &method.client_policy), ("custodian", &method.custodian_policy)] {
        if let Some(policy) = policy {
            show.value(&format!("  {role} role needs"), shown::policy(policy));
        }
    }
    show.value("  passkeys", method.passkeys);
    let secret = match method.secret() {
        SecretKind::Key => "the key of a ciphertext",
        SecretKind::Share => "a share",
        SecretKind::Unspecified => "unknown",
    };
    let keeper = if method.storage() == Storage::SelfManaged { "its owner" } else { "the host" };
    show.value("  secret", format_args!("{secret}; the client's part is kept by {keeper}"));
}

fn pair_name(pair: &Pair) -> String {
    format!("{}:{}", plain(&pair.id), curve_name(pair.curve()))
}
