//! `strongroom device backup`: under a passkey, under a password, or as an app encrypted it.

use std::path::{Path, PathBuf};

use clap::Args;
use strongroom_sdk::ciphertext::{Ciphertexts, Known, PASSWORD, encrypt};
use strongroom_sdk::device::{self as sdk, Own, PasskeyAt, check_creation};
use strongroom_sdk::intent::{ClientPolicy, Creation};
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::prepare::Prepared;
use strongroom_sdk::proto::v1::{Pair, SecretKind};
use strongroom_sdk::{Error, Trust, files, role_name};

use super::keep::StorageFlags;
use super::{On, Perhaps, keep_receipts, origin_of, policy, prepare, read_ciphertexts, read_shares, report};
use crate::options::{self, ShareFile};
use crate::password::PasswordFlags;
use crate::show::Show;

/// The method of a backup that a passkey opens.
const PASSKEY: &str = "PASSKEY";

pub(super) const BACKUP_HELP: &str = "\
With --passkey the shares are sealed to the attested client enclave; the passkey file is made if it is not there, after the service has
passed every check. Without it the enclaves never see them: they are encrypted under a password (--method PASSWORD), or come encrypted
by an app (--ciphertext), and the tenant's backend makes the custodian's record beside them.

Examples:
  strongroom device backup --tenant 61..ab --host http://127.0.0.1:7443 --api-key-file acme.key \\
    --wallet w1 --passkey ann.passkey --share main:secp256k1=k1.share --share main-ed:ed25519=ed.share
  strongroom device backup --tenant 61..ab --host http://127.0.0.1:7443 --api-key-file acme.key --wallet w1 \\
    --backup pw --method PASSWORD --share main:secp256k1=k1.share --tenant-consent ./consents";

#[derive(Args, Debug)]
pub(crate) struct BackupOptions {
    #[command(flatten)]
    perhaps: Perhaps,
    /// A share of at most 256 KiB: PAIR:CURVE=FILE with CURVE secp256k1 or ed25519; up to 4 times.
    #[arg(
        long = "share",
        value_name = "PAIR:CURVE=FILE",
        value_parser = options::share_file,
        required_unless_present = "ciphertexts"
    )]
    shares: Vec<ShareFile>,
    /// What an app encrypted itself: PAIR:CURVE=FILE; up to 4 times. With --escrow: what the keys open.
    #[arg(long = "ciphertext", value_name = "PAIR:CURVE=FILE", value_parser = options::share_file)]
    ciphertexts: Vec<ShareFile>,
    /// The shares are the 32-byte keys that the ciphertexts are encrypted under.
    #[arg(long, requires_all = ["passkey", "shares", "ciphertexts"])]
    escrow: bool,
    /// The new backup's id.
    #[arg(long, value_name = "ID", default_value = "main")]
    backup: String,
    /// The backup's method: PASSKEY, PASSWORD, GDRIVE, ICLOUD, FIREBASE, CUSTOM, or another name.
    #[arg(long, value_name = "NAME", default_value = PASSKEY)]
    method: String,
    /// What the user calls the passkey.
    #[arg(long, value_name = "TEXT", default_value = "software passkey")]
    label: String,
    #[command(flatten)]
    custodian: policy::CustodianFlags,
    #[command(flatten)]
    storage: StorageFlags,
    #[command(flatten)]
    password: PasswordFlags,
    /// Keep the enclave's receipt in this new file; with --custodian, that role's in FILE.custodian.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

/// What keeps the client's share from everybody else.
pub(super) enum Under<'a> {
    Passkey(&'a Path),
    Password,
    App,
}

impl BackupOptions {
    fn under(&self) -> Result<Under<'_>, Error> {
        let refuse =
            |field: &str, problem: &str| Err(Error::Input { field: field.to_owned(), problem: problem.to_owned() });
        match (&self.perhaps.passkey, self.method.as_str()) {
            (Some(_), PASSWORD) => refuse("--passkey", "a PASSWORD backup has none"),
            (Some(_), _) if !self.ciphertexts.is_empty() && !self.escrow => {
                refuse("--ciphertext", "stands with --escrow, or without --passkey")
            }
            (Some(path), _) => Ok(Under::Passkey(path)),
            (None, PASSKEY) => refuse("--passkey", "is needed for the method PASSKEY"),
            (None, _) => {
                if !self.perhaps.service.reaches_tenant() {
                    return refuse(
                        "--tenant-consent or --tenant-backend",
                        "is needed: the tenant's backend makes the custodian's record",
                    );
                }
                by_method(&self.method, &self.shares, &self.ciphertexts)
            }
        }
    }
}

/// Of a backup without a passkey: this command encrypts for PASSWORD alone.
pub(super) fn by_method<'a>(method: &str, shares: &[ShareFile], ciphertexts: &[ShareFile]) -> Result<Under<'a>, Error> {
    let refuse =
        |field: &str, problem: &str| Err(Error::Input { field: field.to_owned(), problem: problem.to_owned() });
    match (method == PASSWORD, shares.is_empty(), ciphertexts.is_empty()) {
        (true, false, true) => Ok(Under::Password),
        (true, _, _) => refuse("--share", "is what a PASSWORD backup takes, and no --ciphertext"),
        (false, true, false) => Ok(Under::App),
        (false, _, _) => refuse("--ciphertext", "is what a method without a passkey takes, and no --share"),
    }
}

pub(super) async fn run(options: &BackupOptions, trust: Trust, show: Show) -> Result<(), Error> {
    let under = options.under()?;
    options.storage.check()?;
    let shares = read_shares(&options.shares)?;
    let ciphertexts = read_ciphertexts(&options.ciphertexts)?;
    if ciphertexts.is_none() {
        sdk::check_shares(&shares)?;
    }
    sdk::check_id("backup", &options.backup)?;
    let on = On { backup: Some(options.backup.clone()), receipt: options.receipt.clone() };
    on.check_new()?;
    match under {
        Under::Passkey(path) => by_passkey(options, path, (shares, ciphertexts), &on, trust, show).await,
        Under::Password | Under::App => {
            let (device, prepared) = prepare(&options.perhaps.service, trust, show).await?;
            let device = options.storage.apply(device);
            let own = Own::new(&prepared, &options.backup, &options.method)?;
            let ciphertexts = match ciphertexts {
                Some(ciphertexts) => ciphertexts,
                None => {
                    under_password(&own, &prepared, (&pairs_of(&options.shares), &shares), &options.password, show)?
                }
            };
            store(&device, &own, &ciphertexts, &on, show).await?;
            options.storage.show(show);
            Ok(())
        }
    }
}

/// Has the tenant make the custodian's record, and the host keep the ciphertexts.
pub(super) async fn store(
    device: &sdk::Device,
    own: &Own<'_>,
    ciphertexts: &Ciphertexts,
    on: &On,
    show: Show,
) -> Result<(), Error> {
    show.heading("Backing up");
    let done = device.store_own(own, ciphertexts).await?;
    done.receipts().for_each(|receipted| report::receipt(show, receipted));
    let belongs = own.belongs();
    show.check("ciphertexts", format_args!("{} stored, each under its hash", ciphertexts.pairs().count()));
    show.value(
        "backup",
        format_args!("{} of wallet {}: generation {} is stored", belongs.backup, belongs.wallet, own.generation()),
    );
    keep_receipts(on, &done)
}

/// Encrypts under a new password, which is asked for once the service has passed every check.
pub(super) fn under_password(
    own: &Own<'_>,
    prepared: &Prepared,
    (pairs, shares): (&[Pair], &[strongroom_sdk::proto::contents::Share]),
    password: &PasswordFlags,
    show: Show,
) -> Result<Ciphertexts, Error> {
    let belongs = own.belongs();
    let rp_id = &prepared.statement().statement().rp_id;
    let password = password.chosen(&Known { wallet: belongs.wallet, backup: belongs.backup, rp_id })?;
    show.waiting("deriving the key from the password");
    encrypt(&belongs, pairs, shares, &password)
}

pub(super) fn pairs_of(shares: &[ShareFile]) -> Vec<Pair> {
    shares.iter().map(|share| share.pair.clone()).collect()
}

async fn by_passkey(
    options: &BackupOptions,
    path: &Path,
    (shares, ciphertexts): (Vec<strongroom_sdk::proto::contents::Share>, Option<Ciphertexts>),
    on: &On,
    trust: Trust,
    show: Show,
) -> Result<(), Error> {
    let custodian = options.custodian.policy()?;
    if custodian.is_some() && !options.perhaps.service.reaches_tenant() {
        let problem = "is needed with --custodian: the tenant's backend seals the custodian's shares".to_owned();
        return Err(Error::Input { field: "--tenant-consent or --tenant-backend".to_owned(), problem });
    }
    let known = if path.exists() { Some(Passkey::read(path)?) } else { None };
    if known.is_none() {
        files::check_new(path)?;
    }
    let (device, prepared) = prepare(&options.perhaps.service, trust, show).await?;
    let device = options.storage.apply(device);
    let is_new = known.is_none();
    let passkey = known.map_or_else(|| Passkey::create(&prepared.statement().statement().rp_id), Ok)?;
    let creation = Creation {
        backup: options.backup.clone(),
        method: options.method.clone(),
        secret: if options.escrow { SecretKind::Key } else { SecretKind::Share },
        pairs: pairs_of(&options.shares),
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
    let origin = origin_of(options.perhaps.origin.as_deref(), &prepared)?;
    let mut authenticator = PasskeyAt { passkey: &passkey, origin };
    let secrets = (shares, ciphertexts.as_ref());
    let done = device.backup_with(&prepared, &creation, secrets, &mut authenticator).await?;
    done.receipts().for_each(|receipted| report::receipt(show, receipted));
    let roles: Vec<&str> = done.receipts().map(|receipted| role_name(receipted.role)).collect();
    let (wallet, roles) = (&options.perhaps.service.wallet, roles.join(" and "));
    show.value("backup", format_args!("{} of wallet {wallet} is stored: {roles}", options.backup));
    options.storage.show(show);
    keep_receipts(on, &done)
}
