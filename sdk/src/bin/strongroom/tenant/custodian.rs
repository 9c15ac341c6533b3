//! `strongroom tenant`: the custodian's half of a backup, by files: what a tenant's backend does in a service.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use prost::Message;
use strongroom_sdk::client::Client;
use strongroom_sdk::device::Device;
use strongroom_sdk::exchange::{EXCHANGE_BYTES_MAX, OwnCiphertexts, SignedDraft, read};
use strongroom_sdk::intent::{Alone, CustodianPolicy, Policies, shown};
use strongroom_sdk::keys::{KeyUse, SigningKey};
use strongroom_sdk::prepare::Prepared;
use strongroom_sdk::proto::id::RecordId;
use strongroom_sdk::proto::intent as form;
use strongroom_sdk::proto::limits::INTENT_BYTES_MAX;
use strongroom_sdk::proto::v1::{Intent, Pair, Storage};
use strongroom_sdk::receipt::newest_of_roles;
use strongroom_sdk::statement::VerifiedStatement;
use strongroom_sdk::tenant::Folder;
use strongroom_sdk::tenant::custodian::{Final, Held, Order, OrderedAct, Service};
use strongroom_sdk::{Error, Trust, device as sdk, files, role_name};

use super::sign_intent::read_receipt;
use crate::device::{CustodianFlags, PolicyFlags, read_ciphertexts, read_shares};
use crate::options::{self, HostOptions, ShareFile};
use crate::passphrase;
use crate::show::Show;

pub(super) const SEAL_HELP: &str = "\
The backend says what its user asked for; a draft that says anything else is not sealed for. The sealed message stays in the tenant's
folder until `tenant send`; its hash goes beside the draft, where the device waits for it.

Example:
  strongroom tenant seal-custodian --dir ./acme --host http://127.0.0.1:7443 --api-key-file acme.key --wallet w1 \\
    --backup main --share main:secp256k1=custodian.share --draft ./consents/61..ab.draft";

pub(super) const ALONE_HELP: &str = "\
With --from-device, the answer is written beside the file, where the device waits for it.

Example:
  strongroom tenant backup-custodian --dir ./acme --host http://127.0.0.1:7443 --api-key-file acme.key --wallet w1 \\
    --backup pw --share main:secp256k1=custodian.share --from-device ./consents/61..ab.own";

/// The tenant and its service.
#[derive(Args, Debug)]
pub(crate) struct Desk {
    /// The tenant's folder, with its operational key and its newest statement.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    host: HostOptions,
    /// The wallet that it must be about.
    #[arg(long, value_name = "ID")]
    wallet: String,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("subject").required(true).args(["backup", "record"]))]
pub(crate) struct Seal {
    #[command(flatten)]
    desk: Desk,
    /// The draft, as `strongroom device --tenant-consent` wrote it.
    #[arg(long, value_name = "FILE")]
    draft: PathBuf,
    /// A custodian's share: PAIR:CURVE=FILE; up to 4 times.
    #[arg(long = "share", value_name = "PAIR:CURVE=FILE", value_parser = options::share_file, required = true)]
    shares: Vec<ShareFile>,
    /// It must make this new backup.
    #[arg(long, value_name = "ID")]
    backup: Option<String>,
    /// Of a new backup: its method.
    #[arg(long, value_name = "NAME", default_value = "PASSKEY")]
    method: String,
    #[command(flatten)]
    client: PolicyFlags,
    #[command(flatten)]
    custodian: CustodianFlags,
    /// It must put a new generation into the backup with this record, as its receipts name it.
    #[arg(long, value_name = "HEX", value_parser = options::hex32)]
    record: Option<[u8; 32]>,
    /// A receipt of the record that the tenant has; may be given several times, of both roles.
    #[arg(long, value_name = "FILE")]
    newest: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Send {
    #[command(flatten)]
    desk: Desk,
    /// What the device signed, as it wrote it.
    #[arg(long, value_name = "FILE")]
    signed: PathBuf,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("subject").required(true).args(["backup", "record"]))]
pub(crate) struct BackupCustodian {
    #[command(flatten)]
    desk: Desk,
    /// A custodian's share: PAIR:CURVE=FILE; up to 4 times.
    #[arg(long = "share", value_name = "PAIR:CURVE=FILE", value_parser = options::share_file, required = true)]
    shares: Vec<ShareFile>,
    /// Make this new backup.
    #[arg(long, value_name = "ID")]
    backup: Option<String>,
    /// Of a new backup: its method, such as PASSWORD or GDRIVE.
    #[arg(long, value_name = "NAME", default_value = "PASSWORD")]
    method: String,
    /// What the user's device encrypted, as `strongroom device backup --tenant-consent` wrote it.
    #[arg(long, value_name = "FILE", conflicts_with = "ciphertexts")]
    from_device: Option<PathBuf>,
    /// What the user's app encrypted: PAIR:CURVE=FILE; up to 4 times.
    #[arg(long = "ciphertext", value_name = "PAIR:CURVE=FILE", value_parser = options::share_file)]
    ciphertexts: Vec<ShareFile>,
    /// Put a new generation into the backup with this record instead.
    #[arg(long, value_name = "HEX", value_parser = options::hex32)]
    record: Option<[u8; 32]>,
    /// Keep the enclave's receipt in this new file.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

/// A tenant's side of a service that was checked.
pub(super) struct Checked {
    pub(super) folder: Folder,
    pub(super) statement: VerifiedStatement,
    pub(super) client: Client,
    pub(super) prepared: Prepared,
}

impl Desk {
    /// Checks the service as a device does, under the tenant's own statement.
    pub(super) async fn check(&self, trust: &Trust, show: Show) -> Result<Checked, Error> {
        sdk::check_id("wallet", &self.wallet)?;
        let folder = Folder::new(&self.dir);
        let tenant = folder.tenant_keys()?.tenant();
        let statement = super::own_statement(&folder, tenant)?;
        let client = self.host.connect(show).await?;
        let device = Device::new(client.clone(), tenant, trust.clone()).with_serial(statement.serial());
        show.waiting("asking for statement, attestation and records");
        let prepared = device.prepare(&self.wallet).await?;
        for role in prepared.roles() {
            show.heading(&format!("Checking the {} enclave", role_name(role.attested.identity.role)));
            show.attested(&role.attested);
        }
        Ok(Checked { folder, statement, client, prepared })
    }

    pub(super) fn key(folder: &Folder) -> Result<SigningKey, Error> {
        SigningKey::read(&folder.key_file(KeyUse::Operational), KeyUse::Operational, || {
            passphrase::existing("Passphrase of the operational key: ")
        })
    }
}

/// Where the backend keeps its message for a draft.
fn held_file(dir: &Path, draft: &[u8]) -> PathBuf {
    dir.join(format!("{}.held", form::hash(draft)))
}

pub(super) async fn seal(options: &Seal, trust: &Trust, show: Show) -> Result<(), Error> {
    let out = options.draft.with_extension("seal");
    files::check_new(&out)?;
    let shares = read_shares(&options.shares)?;
    let draft = files::read(&options.draft, INTENT_BYTES_MAX)?;
    let receipts = options.newest.iter().map(|path| read_receipt(path)).collect::<Result<Vec<_>, _>>()?;
    let desk = options.desk.check(trust, show).await?;
    let newest = newest_of_roles(&receipts, &desk.statement)?;
    let pairs: Vec<Pair> = options.shares.iter().map(|share| share.pair.clone()).collect();
    let custodian = options.custodian.policy()?.unwrap_or(CustodianPolicy::PASSKEY);
    let policies = Policies { client: Some(options.client.policy()?), custodian: Some(custodian) };
    let act = match (&options.backup, options.record) {
        (Some(backup), _) => OrderedAct::CreateBackup { backup, method: &options.method, policies },
        (None, record) => OrderedAct::PutShares { record_id: RecordId(record.unwrap_or_default()) },
    };
    let order = Order { wallet: &options.desk.wallet, pairs: &pairs, act, newest: &newest };
    let checked = Service::new(&desk.prepared, &desk.statement)?.check_draft(&draft, &order)?;
    show.heading("Sealing for this draft");
    lines(show, checked.intent());
    let record_id = checked.record_id();
    let (held, answer) = checked.seal(shares)?;
    // Kept before the device can sign for it.
    files::write_new(&held_file(&options.desk.dir, &draft), &held.to_bytes())?;
    files::replace(&out, &answer.encode_to_vec())?;
    show.check("custodian's shares", format_args!("sealed to epoch {} for record {record_id}", answer.epoch));
    show.value("seal", format_args!("in {}; the message is kept in {}", out.display(), options.desk.dir.display()));
    Ok(())
}

pub(super) async fn send(options: &Send, trust: &Trust, show: Show) -> Result<(), Error> {
    let out = options.signed.with_extension("sent");
    files::check_new(&out)?;
    let signed: SignedDraft = read("signed draft", &files::read(&options.signed, EXCHANGE_BYTES_MAX)?)?;
    let held = held_file(&options.desk.dir, &draft_of(&signed)?);
    let held = Held::from_bytes(&files::read(&held, EXCHANGE_BYTES_MAX)?)?;
    let whole = held.finish(signed)?;
    let desk = options.desk.check(trust, show).await?;
    show.heading("About to sign");
    lines(show, &whole.intent().intent);
    show.check("draft", "the intent is the draft that was sealed for, with its two message hashes");
    let ready = whole.sign(&Desk::key(&desk.folder)?)?;
    show.waiting("waiting for both enclaves");
    let (acted, sent) = ready.send(&desk.client, &desk.prepared).await?;
    for receipted in acted.receipts() {
        let version = receipted.receipt.version;
        show.check("receipt", format_args!("{}, version {version}", role_name(receipted.role)));
    }
    files::replace(&out, &sent.encode_to_vec())?;
    show.value("done", format_args!("stored in both roles; the receipts are in {}", out.display()));
    Ok(())
}

/// The draft that a signed intent came from: itself, with empty message hashes.
fn draft_of(signed: &SignedDraft) -> Result<Vec<u8>, Error> {
    let refuse = |problem: String| Error::Input { field: "--signed".to_owned(), problem };
    let mut fields: Intent = form::decode(&signed.intent).map_err(|error| refuse(error.to_string()))?;
    for part in [&mut fields.client, &mut fields.custodian].into_iter().flatten() {
        part.message_hash.clear();
    }
    Ok(fields.encode_to_vec())
}

fn read_own(path: &Path) -> Result<OwnCiphertexts, Error> {
    read("device's ciphertexts", &files::read(path, EXCHANGE_BYTES_MAX)?)
}

pub(super) async fn backup_custodian(options: &BackupCustodian, trust: &Trust, show: Show) -> Result<(), Error> {
    options.receipt.iter().try_for_each(|path| files::check_new(path))?;
    let out = options.from_device.as_ref().map(|path| path.with_extension("sent"));
    out.iter().try_for_each(|path| files::check_new(path))?;
    let shares = read_shares(&options.shares)?;
    let own = options.from_device.as_ref().map(|path| read_own(path)).transpose()?;
    let ciphertexts = read_ciphertexts(&options.ciphertexts)?;
    let desk = options.desk.check(trust, show).await?;
    let service = Service::new(&desk.prepared, &desk.statement)?;
    let pairs: Vec<Pair> = options.shares.iter().map(|share| share.pair.clone()).collect();
    let whole: Final = match (&options.backup, options.record) {
        (Some(backup), _) => {
            let (backup, method) = (backup.clone(), options.method.clone());
            service.create_alone(&Alone { backup, method, pairs, policy: CustodianPolicy::TENANT }, shares)?
        }
        (None, record) => service.put_alone(RecordId(record.unwrap_or_default()), &pairs, shares)?,
    };
    let whole = match (own, ciphertexts) {
        (Some(own), _) => whole.with_device(own)?,
        (None, Some(ciphertexts)) => whole.with_ciphertexts(&ciphertexts, Storage::Managed)?,
        (None, None) => whole,
    };
    show.heading("About to sign");
    lines(show, &whole.intent().intent);
    let ready = whole.sign(&Desk::key(&desk.folder)?)?;
    show.waiting("waiting for the enclave");
    let (acted, sent) = ready.send(&desk.client, &desk.prepared).await?;
    if let Some(out) = &out {
        files::replace(out, &ready.told(sent).encode_to_vec())?;
    }
    let receipt = acted.receipt();
    show.check("receipt", format_args!("custodian, version {}", receipt.version));
    show.value("done", format_args!("generation {} of record {} is active", receipt.generation, receipt.record_id));
    match &options.receipt {
        Some(path) => files::write_new(path, &acted.signed().encode_to_vec()),
        None => Ok(()),
    }
}

pub(super) fn lines(show: Show, intent: &Intent) {
    for (name, value) in shown::lines(intent) {
        show.value(&format!("  {name}"), value);
    }
}
