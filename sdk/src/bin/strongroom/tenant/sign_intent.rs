//! `strongroom tenant sign-intent`: the tenant's consent to one act, after reading what it says.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use prost::Message;
use strongroom_sdk::intent::{EJECT_WINDOW_SECONDS, EjectWindow, shown};
use strongroom_sdk::keys::{KeyUse, SigningKey};
use strongroom_sdk::proto::id::{ContentHash, IntentHash, RecordId};
use strongroom_sdk::proto::limits::INTENT_BYTES_MAX;
use strongroom_sdk::proto::v1::{OpenActKind, SignedReceipt};
use strongroom_sdk::receipt::{RECEIPT_BYTES_MAX, newest_of_roles};
use strongroom_sdk::tenant::{Expected, ExpectedAct, Folder, RecordAct, check_intent};
use strongroom_sdk::{Error, device, files, role_name};

use crate::device::{CustodianFlags, PolicyFlags};
use crate::options::{self, KindName};
use crate::passphrase;
use crate::show::Show;

/// Room for the signature beside a receipt.
const SIGNED_RECEIPT_BYTES_MAX: usize = RECEIPT_BYTES_MAX + 128;

pub(super) const SIGN_HELP: &str = "\
The backend says what its user asked for; an intent that says anything else is not signed. Where the policy of the record has the
newest head, give every receipt of the record with --newest, of each role that the intent names: an intent from an older head is not
signed.

Example:
  strongroom tenant sign-intent --dir ./acme --wallet w1 --act recover --newest r7.receipt \\
    --intent ./consents/61..ab.intent";

#[derive(Args, Debug)]
pub(crate) struct SignIntent {
    /// The tenant's folder, with its operational key and its newest statement.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The intent, as `strongroom device --tenant-consent` wrote it.
    #[arg(long, value_name = "FILE")]
    intent: PathBuf,
    /// New file for the signature; beside the intent, as the device waits for it, if left out.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The wallet that it must be about.
    #[arg(long, value_name = "ID")]
    wallet: String,
    /// The act that it must be.
    #[arg(long)]
    act: ActName,
    /// With create-backup: the backup.
    #[arg(long, value_name = "ID", required_if_eq("act", "create-backup"))]
    backup: Option<String>,
    /// With add-passkey and remove-passkey: the credential id, hex.
    #[arg(long, value_name = "HEX", required_if_eq_any([("act", "add-passkey"), ("act", "remove-passkey")]))]
    credential: Option<String>,
    /// With add-passkey: SHA-256 of its `COSE_Key`, hex.
    #[arg(long, value_name = "HEX", value_parser = options::hex32, required_if_eq("act", "add-passkey"))]
    key_hash: Option<[u8; 32]>,
    /// With cancel and carry-out: what waits.
    #[arg(long, required_if_eq_any([("act", "cancel"), ("act", "carry-out")]))]
    kind: Option<KindName>,
    /// With cancel and carry-out: hash of the intent that started it.
    #[arg(long, value_name = "HEX", value_parser = options::hex32, required_if_eq_any([("act", "cancel"), ("act", "carry-out")]))]
    started_by: Option<[u8; 32]>,
    /// The record that it must be about, as its receipts name it. Without it, the one of the receipts; a creation has none.
    #[arg(long, value_name = "HEX", value_parser = options::hex32)]
    record: Option<[u8; 32]>,
    #[command(flatten)]
    policy: PolicyFlags,
    #[command(flatten)]
    custodian: CustodianFlags,
    /// With change-policy and --custodian: it must change the custodian role's policy alone.
    #[arg(long, requires = "custodian")]
    custodian_only: bool,
    /// With open-eject-window: for how long; 60 to 86,400.
    #[arg(long, value_name = "N", default_value_t = EJECT_WINDOW_SECONDS)]
    duration_seconds: u32,
    /// A receipt of the record that the tenant has; may be given several times, of both roles.
    #[arg(long, value_name = "FILE")]
    newest: Vec<PathBuf>,
}

/// An act by its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum ActName {
    /// A new backup; with --backup.
    CreateBackup,
    /// A release at once.
    Recover,
    /// A rehearsal.
    Rehearse,
    /// A new generation.
    PutShares,
    /// A further passkey; with --credential and --key-hash.
    AddPasskey,
    /// The removal of a passkey; with --credential.
    RemovePasskey,
    /// Another label.
    RenamePasskey,
    /// Another policy; with --tenant-signature, --newest-head and --delay-seconds as it will be, and --custodian for that role's.
    ChangePolicy,
    /// A release after the delay.
    StartRecovery,
    /// A release of both roles to the user's device.
    Eject,
    /// The same after the delay.
    StartEject,
    /// A window in which the custodian's shares can go to the user's device; with --duration-seconds.
    OpenEjectWindow,
    /// The deletion of a backup.
    DeleteBackup,
    /// The end of what waits; with --kind and --started-by.
    Cancel,
    /// What waited is carried out; with --kind, --started-by and --newest.
    CarryOut,
}

pub(super) fn run(options: &SignIntent, show: Show) -> Result<(), Error> {
    let out = options.out.clone().unwrap_or_else(|| options.intent.with_extension("signature"));
    files::check_new(&out)?;
    let folder = Folder::new(&options.dir);
    let tenant = folder.tenant_keys()?.tenant();
    let statement = super::own_statement(&folder, tenant)?;
    let receipts = options.newest.iter().map(|path| read_receipt(path)).collect::<Result<Vec<_>, _>>()?;
    let known = newest_of_roles(&receipts, &statement)?;
    let intent = files::read(&options.intent, INTENT_BYTES_MAX)?;
    let credential = hex::decode(options.credential.as_deref().unwrap_or_default())
        .map_err(|_| Error::Input { field: "--credential".to_owned(), problem: "not hex".to_owned() })?;
    let expected = Expected {
        tenant,
        wallet: &options.wallet,
        act: act(options, known.first().map(|known| known.record_id), &credential)?,
        statement_serial: statement.serial(),
        newest: &known,
        now: device::now(),
    };
    let fields = check_intent(&intent, &expected)?;
    show.heading("About to sign");
    for (name, value) in shown::lines(&fields) {
        show.value(&format!("  {name}"), value);
    }
    for known in &known {
        let (role, version) = (role_name(known.role), known.version);
        show.check("head", format_args!("{role}: the newest that is known here, of version {version}"));
    }
    if known.is_empty() {
        show.caution("  !! no receipt was given: the head may be an old one");
    }
    let key = SigningKey::read(&folder.key_file(KeyUse::Operational), KeyUse::Operational, || {
        passphrase::existing("Passphrase of the operational key: ")
    })?;
    // In one step: the device waits for this file.
    files::replace(&out, &key.sign_intent(&intent)?.encode_to_vec())?;
    show.value("signature", format_args!("in {}", out.display()));
    Ok(())
}

fn act<'a>(
    options: &'a SignIntent,
    known: Option<RecordId>,
    credential_id: &'a [u8],
) -> Result<ExpectedAct<'a>, Error> {
    let kind = options.kind.map_or(OpenActKind::Unspecified, OpenActKind::from);
    let started_by = IntentHash(options.started_by.unwrap_or_default());
    let act = match options.act {
        ActName::CreateBackup => {
            return Ok(ExpectedAct::CreateBackup { backup: options.backup.as_deref().unwrap_or_default() });
        }
        ActName::Recover => RecordAct::Recover,
        ActName::Rehearse => RecordAct::Rehearse,
        ActName::PutShares => RecordAct::PutShares,
        ActName::AddPasskey => {
            RecordAct::AddPasskey { credential_id, key_hash: ContentHash(options.key_hash.unwrap_or_default()) }
        }
        ActName::RemovePasskey => RecordAct::RemovePasskey { credential_id },
        ActName::RenamePasskey => RecordAct::RenamePasskey,
        ActName::ChangePolicy => {
            let client = if options.custodian_only { None } else { Some(options.policy.policy()?.into()) };
            RecordAct::ChangePolicy { client, custodian: options.custodian.policy()?.map(Into::into) }
        }
        ActName::StartRecovery => RecordAct::StartRecovery,
        ActName::Eject => RecordAct::Eject,
        ActName::StartEject => RecordAct::StartEject,
        ActName::OpenEjectWindow => {
            let window = EjectWindow::from_seconds(options.duration_seconds)?;
            RecordAct::OpenEjectWindow { duration_seconds: window.seconds() }
        }
        ActName::DeleteBackup => RecordAct::DeleteBackup,
        ActName::Cancel => RecordAct::Cancel { kind, started_by },
        ActName::CarryOut => RecordAct::CarryOut { kind, started_by },
    };
    let record_id = options.record.map(RecordId).or(known).ok_or_else(|| {
        let problem = "is needed where no receipt of the record is given".to_owned();
        Error::Input { field: "--record".to_owned(), problem }
    })?;
    Ok(ExpectedAct::OnRecord { record_id, act })
}

/// Reads a file with an encoded `SignedReceipt`. Nothing is verified yet.
pub(crate) fn read_receipt(path: &std::path::Path) -> Result<SignedReceipt, Error> {
    let bytes = files::read(path, SIGNED_RECEIPT_BYTES_MAX)?;
    SignedReceipt::decode(bytes.as_slice())
        .map_err(|error| Error::File { path: path.to_owned(), problem: format!("no receipt: {error}") })
}
