//! `strongroom device`: recoveries under a delay, deletions, and cancelling.

use std::path::{Path, PathBuf};

use clap::Args;
use strongroom_sdk::device::{PasskeyAt, Recovery, choose, select};
use strongroom_sdk::intent::EncodedIntent;
use strongroom_sdk::intent::shown::kind_name;
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::proto::intent;
use strongroom_sdk::proto::limits::INTENT_BYTES_MAX;
use strongroom_sdk::proto::v1::OpenActKind;
use strongroom_sdk::seal::RecipientKey;
use strongroom_sdk::view::Waiting;
use strongroom_sdk::{Error, Trust, files};

use super::keep::KeptFlags;
use super::{Common, On, Service, acted, keep_receipts, mpc_recipient, origin, prepare, released, share_paths};
use crate::options::KindName;
use crate::show::Show;

#[derive(Args, Debug)]
pub(crate) struct Start {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    on: On,
    /// New file for the key that the shares will be released to. Keep it: without it the recovery is of no use.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The generation to release; the active one, if left out.
    #[arg(long, value_name = "N")]
    generation: Option<u64>,
    /// The MPC server's public key: the custodian's shares will be released to it.
    #[arg(long, value_name = "FILE", requires = "started")]
    mpc_recipient: Option<PathBuf>,
    /// Keep the intent in this new file: the MPC server needs it when the recovery is due.
    #[arg(long, value_name = "FILE")]
    started: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Release {
    #[command(flatten)]
    service: Service,
    #[command(flatten)]
    on: On,
    /// The key's file, as `start-recovery` wrote it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    kept: KeptFlags,
    /// Folder for the shares; made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The MPC server's public key, as `start-recovery` was given it.
    #[arg(long, value_name = "FILE", requires_all = ["for_custodian", "started"])]
    mpc_recipient: Option<PathBuf>,
    /// The intent, as `start-recovery` kept it.
    #[arg(long, value_name = "FILE", requires = "mpc_recipient")]
    started: Option<PathBuf>,
    /// New file for the custodian's release, for the MPC server.
    #[arg(long = "custodian-release", value_name = "FILE", requires = "mpc_recipient")]
    for_custodian: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Cancel {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    on: On,
    /// What waits.
    #[arg(long)]
    kind: KindName,
}

#[derive(Args, Debug)]
pub(crate) struct CarryOut {
    #[command(flatten)]
    service: Service,
    #[command(flatten)]
    on: On,
    /// What waits; a recovery is released with `release-recovery`.
    #[arg(long)]
    kind: KindName,
}

#[derive(Args, Debug)]
pub(crate) struct Delete {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    on: On,
}

pub(super) async fn start(options: &Start, trust: Trust, show: Show) -> Result<(), Error> {
    options.on.check_new()?;
    [&options.key].into_iter().chain(&options.started).try_for_each(|path| files::check_new(path))?;
    let passkey = Passkey::read(&options.common.passkey)?;
    let (device, prepared) = prepare(&options.common.service, trust, show).await?;
    let backup = options.on.backup.as_deref();
    select(&prepared, backup)?;
    let custodian = mpc_recipient(options.mpc_recipient.as_deref(), &prepared, show)?;
    let recovery = Recovery { backup, generation: options.generation, custodian: custodian.as_ref() };
    let key = RecipientKey::generate()?;
    // Before it is signed for: a recovery whose key is lost releases nothing that opens.
    key.write(&options.key)?;
    show.heading("Starting a recovery");
    show.waiting("signing, and waiting for the enclave");
    let mut authenticator = PasskeyAt { passkey: &passkey, origin: origin(&options.common, &prepared)? };
    let (done, intent) = device.start_recovery_with(&prepared, &recovery, &key, &mut authenticator).await?;
    if let Some(path) = &options.started {
        files::write_new(path, &intent.bytes)?;
    }
    acted(show, &options.on, &done, &format!("recovery to the key in {}", options.key.display()))
}

pub(super) async fn release(options: &Release, trust: Trust, show: Show) -> Result<(), Error> {
    options.on.check_new()?;
    options.for_custodian.iter().try_for_each(|path| files::check_new(path))?;
    let key = RecipientKey::read(&options.key)?;
    let (device, prepared) = prepare(&options.service, trust, show).await?;
    let device = options.kept.apply(device);
    let backup = options.on.backup.as_deref();
    let record = choose(&prepared, backup)?;
    let pairs = match record.open_act(OpenActKind::Recovery).map(|open| &open.waiting) {
        Some(Waiting::Recovery { generation, .. }) => record.opening(*generation).map(|it| it.pairs.as_slice()),
        _ => None,
    };
    let paths = share_paths(&options.out, pairs.unwrap_or_default())?;
    let custodian = mpc_recipient(options.mpc_recipient.as_deref(), &prepared, show)?;
    let started = options.started.as_ref().map(|path| started(path)).transpose()?;
    show.heading("Releasing a recovery");
    show.waiting("waiting for the enclave");
    let (custodian, started) = (custodian.as_ref(), started.as_ref());
    let done = device.release_recovery_with(&prepared, backup, &key, custodian, started).await?;
    released(show, &done, &paths, options.for_custodian.as_deref())?;
    options.kept.released(show, (&done.acted, done.generation), done.resealed.as_ref())?;
    keep_receipts(&options.on, &done.acted)
}

/// The intent that started a recovery.
fn started(path: &Path) -> Result<EncodedIntent, Error> {
    let bytes = files::read(path, INTENT_BYTES_MAX)?;
    let refuse = |problem: String| Error::File { path: path.to_owned(), problem };
    let fields = intent::decode(&bytes).map_err(|error| refuse(format!("no intent: {error}")))?;
    EncodedIntent::new(fields)
}

pub(super) async fn cancel(options: &Cancel, trust: Trust, show: Show) -> Result<(), Error> {
    options.on.check_new()?;
    let kind = OpenActKind::from(options.kind);
    let passkey = Passkey::read(&options.common.passkey)?;
    let (device, prepared) = prepare(&options.common.service, trust, show).await?;
    show.heading("Cancelling");
    show.waiting("signing, and waiting for the enclave");
    let mut authenticator = PasskeyAt { passkey: &passkey, origin: origin(&options.common, &prepared)? };
    let done = device.cancel(&prepared, options.on.backup.as_deref(), kind, &mut authenticator).await?;
    acted(show, &options.on, &done, &format!("the {} is cancelled", kind_name(kind)))?;
    let backup = select(&prepared, options.on.backup.as_deref())?;
    let cancelled = done.receipts().map(|it| it.role).collect::<Vec<_>>();
    let left = backup.records().any(|(role, it)| it.open_act(kind).is_some() && !cancelled.contains(&role));
    if left {
        show.caution("  !! another one still waits in the other role: cancel again");
    }
    Ok(())
}

pub(super) async fn carry_out(options: &CarryOut, trust: Trust, show: Show) -> Result<(), Error> {
    options.on.check_new()?;
    let kind = OpenActKind::from(options.kind);
    let (device, prepared) = prepare(&options.service, trust, show).await?;
    show.heading("Carrying out what waited");
    show.waiting("waiting for the enclave");
    let done = device.carry_out(&prepared, options.on.backup.as_deref(), kind).await?;
    acted(show, &options.on, &done, &format!("the {} is carried out", kind_name(kind)))
}

pub(super) async fn delete(options: &Delete, trust: Trust, show: Show) -> Result<(), Error> {
    options.on.check_new()?;
    let passkey = Passkey::read(&options.common.passkey)?;
    let (device, prepared) = prepare(&options.common.service, trust, show).await?;
    show.heading("Deleting");
    show.waiting("signing, and waiting for the enclave");
    let mut authenticator = PasskeyAt { passkey: &passkey, origin: origin(&options.common, &prepared)? };
    let done = device.delete(&prepared, options.on.backup.as_deref(), &mut authenticator).await?;
    acted(show, &options.on, &done, "deletion; whoever has an older copy and the KMS key can undo it")
}
