//! `strongroom tenant`: keys, statements and wallets.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use strongroom_sdk::attest::AttestedIdentity;
use strongroom_sdk::attestation::{Image, Pcr};
use strongroom_sdk::keys::{KeyUse, SigningKey};
use strongroom_sdk::proto::id::TenantId;
use strongroom_sdk::proto::statement as form;
use strongroom_sdk::proto::v1::{Role, Statement};
use strongroom_sdk::statement::{VerifiedStatement, sign};
use strongroom_sdk::tenant::{Draft, Folder, LowestEpochs, attest_role, check_accounts, previous};
use strongroom_sdk::{Error, Trust, device, role_name};

use crate::options::{self, HostOptions, LowestEpoch};
use crate::passphrase;
use crate::policy::{self, PolicyFile};
use crate::show::Show;

mod alone;
mod books;
mod capsule;
mod custodian;
mod mpc;
mod report;
mod sign_intent;
mod update;

pub(crate) use sign_intent::read_receipt;

/// Commands of a tenant.
#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// Make root, standby and operational key in a folder, and print the tenant's id.
    #[command(after_help = INIT_HELP)]
    Init(Init),
    /// Check every role's attestation, then build, show, sign and publish the next statement.
    #[command(after_help = STATEMENT_HELP)]
    Statement(Box<StatementOptions>),
    /// As `statement`, with the images of a publisher's signed release file, and what the statement before says of the rest.
    #[command(after_help = update::UPDATE_HELP)]
    Update(Box<update::Update>),
    /// Sign an intent, after reading it and comparing it with what the backend's user asked for.
    #[command(after_help = sign_intent::SIGN_HELP)]
    SignIntent(Box<sign_intent::SignIntent>),
    /// Make an MPC server's key, and print its recipient hash for the statement.
    #[command(after_help = mpc::KEY_HELP)]
    MpcKey(mpc::Key),
    /// Open what the custodian role released to an MPC server, after its receipt.
    OpenRelease(mpc::Open),
    /// Seal the custodian's shares for a device's draft, after checking the service and reading the draft.
    #[command(after_help = custodian::SEAL_HELP)]
    SealCustodian(Box<custodian::Seal>),
    /// Sign what the device signed, where it is the draft that was sealed for, and send it with both messages.
    Send(custodian::Send),
    /// Back up the custodian's shares alone, beside what the user's device encrypted itself: for a method without a passkey.
    #[command(after_help = custodian::ALONE_HELP)]
    BackupCustodian(Box<custodian::BackupCustodian>),
    /// Release the custodian's shares of a backup without a passkey to an MPC server.
    #[command(after_help = alone::RELEASE_HELP)]
    ReleaseCustodian(alone::ReleaseCustodian),
    /// Open an eject window: for a while, a passkey can take both roles' shares to a device.
    #[command(after_help = alone::EJECT_HELP)]
    EnableEject(alone::EnableEject),
    /// Close an eject window before its time.
    DisableEject(alone::DisableEject),
    /// List a wallet's recoveries, the newest first, as the host knows them.
    Recoveries(books::Wallet),
    /// Show one recovery, as the host knows it.
    Recovery(books::OneRecovery),
    /// List which backups of a wallet could be recovered from now, and what each takes.
    RecoveryMethods(books::Wallet),
    /// Say that a released recovery led to a working wallet, or did not.
    CompleteRecovery(books::Complete),
    /// Give up a generation that waits in both roles.
    Abort(books::Abort),
    /// Say that the client's part of a generation is stored where the caller keeps it, or could not be.
    ReportStored(books::Report),
    /// Write everything that another host needs to recover a backup to a file, checked as it comes.
    #[command(after_help = capsule::EXPORT_HELP)]
    ExportCapsule(capsule::Export),
    /// Make a wallet.
    #[command(after_help = WALLET_HELP)]
    CreateWallet(CreateWallet),
}

const INIT_HELP: &str = "\
Root and standby key are protected by a passphrase, from STRONGROOM_PASSPHRASE or asked for. Keep both offline, in two
places. The operational key is not encrypted, for a service signs with it unattended; it lives for 90 days at most.

Example:
  strongroom tenant init --dir ./acme";

const STATEMENT_HELP: &str = "\
Measurements come from the published release, never from the host. What the host attests is checked against them and
shown before the passphrase is asked for (or taken from STRONGROOM_PASSPHRASE).

Example:
  strongroom tenant statement --dir ./acme --host https://strongroom.example --api-key-file acme.key --client \\
    --rp-id wallet.example --origin https://wallet.example --image $PCR0:$PCR1:$PCR2 --key-policy client=client.json";

const WALLET_HELP: &str = "\
Example:
  strongroom tenant create-wallet --host http://127.0.0.1:7443 --api-key-file acme.key --wallet w1";

#[derive(Args, Debug)]
pub(crate) struct Init {
    /// The tenant's folder; made if it is not there. No file in it is overwritten.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Pin the key of the publisher whose release files `tenant update` takes: 64 hex digits, or a file with them.
    #[arg(long, value_name = "HEX|FILE", value_parser = options::release_key)]
    release_key: Option<[u8; 32]>,
}

#[derive(Args, Debug)]
pub(crate) struct StatementOptions {
    /// The tenant's folder, as `tenant init` made it.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    host: HostOptions,
    #[command(flatten)]
    roles: RoleFlags,
    /// An image of the published release; may be given several times.
    #[arg(long = "image", value_name = "PCR0:PCR1:PCR2", value_parser = options::image)]
    images: Vec<Image>,
    /// PCR0 of one image, with --image-pcr1 and --image-pcr2 (instead of --image).
    #[arg(long, value_name = "HEX", value_parser = options::pcr, requires_all = ["image_pcr1", "image_pcr2"])]
    image_pcr0: Option<Pcr>,
    /// PCR1 of that image.
    #[arg(long, value_name = "HEX", value_parser = options::pcr, requires = "image_pcr0")]
    image_pcr1: Option<Pcr>,
    /// PCR2 of that image.
    #[arg(long, value_name = "HEX", value_parser = options::pcr, requires = "image_pcr0")]
    image_pcr2: Option<Pcr>,
    /// Keep accepting the images and manifests of the statement before, as long as a fleet changes over.
    #[arg(long)]
    keep: bool,
    /// WebAuthn relying party id.
    #[arg(long, value_name = "DOMAIN")]
    rp_id: String,
    /// An origin that assertions may come from; may be given several times.
    #[arg(long = "origin", value_name = "ORIGIN", required = true)]
    origins: Vec<String>,
    /// A top origin under which a cross-origin frame may ask; may be given several times.
    #[arg(long = "top-origin", value_name = "ORIGIN")]
    top_origins: Vec<String>,
    /// Recipient hash of an MPC server that custodian shares may go to; may be given several times.
    #[arg(long = "mpc-recipient", value_name = "HEX", value_parser = options::hex32)]
    mpc_recipients: Vec<[u8; 32]>,
    /// The lowest epoch that anything new may be sealed to, for each role that is named or for one: client=N; the newest, if left out.
    #[arg(long = "lowest-epoch", value_name = "[ROLE=]N", value_parser = options::lowest_epoch)]
    lowest_epochs: Vec<LowestEpoch>,
    /// The key policy of a role's KMS key, as its key administrator gave it: it must keep the key for attested enclaves of the statement.
    #[arg(long = "key-policy", value_name = "ROLE=FILE", value_parser = policy::policy_file)]
    key_policies: Vec<PolicyFile>,
    /// Sign with the standby key: the root key is lost.
    #[arg(long)]
    standby: bool,
}

#[derive(Args, Debug)]
struct RoleFlags {
    /// The statement names the client role.
    #[arg(long, required_unless_present = "custodian")]
    client: bool,
    /// The statement names the custodian role.
    #[arg(long)]
    custodian: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CreateWallet {
    #[command(flatten)]
    host: HostOptions,
    /// The wallet's id; the host chooses one if it is left out.
    #[arg(long, value_name = "ID")]
    wallet: Option<String>,
}

pub(crate) async fn run(command: Tenant, trust: &Trust, show: Show) -> anyhow::Result<()> {
    match command {
        Tenant::Init(options) => init(&options, show)?,
        Tenant::Statement(options) => statement(&options, trust, show).await?,
        Tenant::Update(options) => update::run(&options, trust, show).await?,
        Tenant::SignIntent(options) => sign_intent::run(&options, show)?,
        Tenant::MpcKey(options) => mpc::key(&options, show)?,
        Tenant::OpenRelease(options) => mpc::open(&options, show)?,
        Tenant::SealCustodian(options) => custodian::seal(&options, trust, show).await?,
        Tenant::Send(options) => custodian::send(&options, trust, show).await?,
        Tenant::BackupCustodian(options) => custodian::backup_custodian(&options, trust, show).await?,
        Tenant::ReleaseCustodian(options) => alone::release(&options, trust, show).await?,
        Tenant::EnableEject(options) => alone::enable_eject(&options, trust, show).await?,
        Tenant::DisableEject(options) => alone::disable_eject(&options, trust, show).await?,
        Tenant::Recoveries(options) => books::recoveries(&options, show).await?,
        Tenant::Recovery(options) => books::recovery(&options, show).await?,
        Tenant::RecoveryMethods(options) => books::methods(&options, show).await?,
        Tenant::CompleteRecovery(options) => books::complete(&options, show).await?,
        Tenant::Abort(options) => books::abort(&options, show).await?,
        Tenant::ReportStored(options) => books::report(&options, show).await?,
        Tenant::ExportCapsule(options) => capsule::export(&options, trust, show).await?,
        Tenant::CreateWallet(options) => create_wallet(&options, show).await?,
    }
    Ok(())
}

/// The statement that the tenant signed last.
fn own_statement(folder: &Folder, tenant: TenantId) -> Result<VerifiedStatement, Error> {
    folder.statement(tenant)?.ok_or_else(|| {
        let problem = "is missing: the tenant has signed no statement yet".to_owned();
        Error::File { path: folder.statement_file(), problem }
    })
}

fn init(options: &Init, show: Show) -> Result<(), Error> {
    let passphrase = passphrase::new()?;
    show.waiting("making the keys");
    let folder = Folder::new(&options.dir);
    let keys = folder.init(&passphrase)?;
    if let Some(key) = &options.release_key {
        folder.pin_release_key(key)?;
    }
    show.value("tenant", keys.tenant());
    show.value("root-key", hex::encode(keys.root_key));
    show.value("standby-key", hex::encode(keys.standby_key));
    Ok(())
}

async fn statement(options: &StatementOptions, trust: &Trust, show: Show) -> Result<(), Error> {
    let images = images(options)?;
    let lowest_epochs = options::lowest_epochs(&options.lowest_epochs, &options.roles.roles())?;
    let folder = Folder::new(&options.dir);
    let keys = folder.tenant_keys()?;
    let tenant = keys.tenant();
    let operational = SigningKey::read(&folder.key_file(KeyUse::Operational), KeyUse::Operational, || {
        passphrase::existing("Passphrase of the operational key: ")
    })?;
    let client = options.host.connect(show).await?;
    let previous = previous(&folder, &client, tenant).await?;
    let previous = previous.as_ref().map(VerifiedStatement::statement);
    if options.keep {
        // Another one the host chooses, with images that were given up since.
        own_statement(&folder, tenant)?;
    }
    let mut attested: Vec<AttestedIdentity> = Vec::new();
    for role in options.roles.roles() {
        checking(role, show);
        let epochs = attest_role(&client, tenant, role, &images, trust).await?;
        checked(&epochs, show);
        attested.extend(epochs);
    }
    let draft = Draft {
        keys,
        previous,
        operational_key: *operational.public_key(),
        now: device::now(),
        images,
        attested,
        manifests: Vec::new(),
        keep: options.keep,
        lowest_epoch: None,
        rp_id: options.rp_id.clone(),
        origins: options.origins.clone(),
        top_origins: options.top_origins.clone(),
        mpc_recipients: options.mpc_recipients.clone(),
    };
    let statement = built(&draft, lowest_epochs, &options.key_policies, show)?;
    options.cautions(&folder, show)?;
    publish(options.standby, &folder, &client, &statement, show).await
}

/// A role's enclave is about to be attested.
fn checking(role: Role, show: Show) {
    show.heading(&format!("Checking the {} enclave", role_name(role)));
    show.waiting("asking for a fresh attestation");
}

/// It was, in these epochs.
fn checked(epochs: &[AttestedIdentity], show: Show) {
    for epoch in epochs {
        show.attested(epoch);
    }
    show.check("nonce", "answered afresh");
}

/// The statement of a draft, checked and shown. What is wrong is refused before anything is shown or asked for.
fn built(draft: &Draft<'_>, lowest: LowestEpochs, key_policies: &[PolicyFile], show: Show) -> Result<Statement, Error> {
    draft.check_lowest_epochs(lowest)?;
    let statement = draft.build_with(lowest);
    form::check(&statement)
        .map_err(|problem| Error::Input { field: "statement".to_owned(), problem: problem.to_string() })?;
    check_accounts(&draft.attested)?;
    let in_development = draft.attested.iter().map(|it| &it.identity).filter(|it| it.manifest.development.is_some());
    let in_development: Vec<Role> = in_development.map(|identity| identity.role).collect();
    policy::check_statement(key_policies, &statement, &in_development, show)?;
    report::statement(show, &statement, draft.previous);
    Ok(statement)
}

async fn publish(
    standby: bool,
    folder: &Folder,
    client: &strongroom_sdk::client::Client,
    statement: &Statement,
    show: Show,
) -> Result<(), Error> {
    let purpose = if standby { KeyUse::Standby } else { KeyUse::Root };
    let key = SigningKey::read(&folder.key_file(purpose), purpose, || {
        passphrase::existing(&format!("Passphrase of the {} key, to sign this statement: ", purpose.name()))
    })?;
    let signed = sign(statement, &key)?;
    // Kept before the host sees it: a host that takes it and says otherwise must not get another one with the same serial.
    folder.keep(&signed)?;
    show.waiting("publishing");
    client.put_statement(signed).await?;
    show.value(
        "statement",
        format_args!("serial {} is published and kept in {}", statement.serial, folder.statement_file().display()),
    );
    Ok(())
}

async fn create_wallet(options: &CreateWallet, show: Show) -> Result<(), Error> {
    if let Some(wallet) = &options.wallet {
        device::check_id("wallet", wallet)?;
    }
    let client = options.host.connect(show).await?;
    let wallet = client.create_wallet(options.wallet.as_deref().unwrap_or_default()).await?;
    show.value("wallet", wallet.wallet);
    Ok(())
}

fn images(options: &StatementOptions) -> Result<Vec<Image>, Error> {
    let mut images = options.images.clone();
    if let (Some(pcr0), Some(pcr1), Some(pcr2)) = (options.image_pcr0, options.image_pcr1, options.image_pcr2) {
        images.push(Image { pcr0, pcr1, pcr2 });
    }
    if images.is_empty() {
        let problem = "at least one is needed: the measurements of the published release".to_owned();
        return Err(Error::Input { field: "--image".to_owned(), problem });
    }
    Ok(images)
}

impl StatementOptions {
    /// What nobody looks at, said before the passphrase is asked for.
    fn cautions(&self, folder: &Folder, show: Show) -> Result<(), Error> {
        let has_policy = |role: &Role| self.key_policies.iter().any(|policy| policy.role == *role);
        for role in self.roles.roles().into_iter().filter(|role| !has_policy(role)) {
            show.caution(&format!("key policy of {}: NOT CHECKED, for no --key-policy is given", role_name(role)));
        }
        if folder.release_key()?.is_some() {
            show.caution("this folder pins a publisher: `tenant update` checks releases; this command does not");
        }
        Ok(())
    }
}

impl RoleFlags {
    fn roles(&self) -> Vec<Role> {
        [(self.client, Role::Client), (self.custodian, Role::Custodian)]
            .into_iter()
            .filter_map(|(named, role)| named.then_some(role))
            .collect()
    }
}
