//! `strongroom device`: the passkeys of a backup.

use std::path::PathBuf;

use clap::Args;
use prost::Message;
use strongroom_sdk::device::{ADDITION_BYTES_MAX, Addition, Pace, PasskeyAt};
use strongroom_sdk::intent::Newcomer;
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::proto::id::ContentHash;
use strongroom_sdk::proto::v1::NewCredential;
use strongroom_sdk::{Error, Trust, files};

use super::{Common, On, acted, origin, prepare};
use crate::show::Show;

/// Longest file of a registration in bytes: credential id and `COSE_Key`.
const REGISTRATION_BYTES_MAX: usize = 3 * 1024;

pub(super) const ADD_HELP: &str = "\
With --new-passkey both passkeys are on this device. On two devices:

  new device:    strongroom device new-passkey ... --passkey tablet.passkey --registration tablet.reg
  known device:  strongroom device add-passkey ... --passkey phone.passkey --registration tablet.reg \\
                   --label tablet --addition tablet.add
  new device:    strongroom device join ... --passkey tablet.passkey --addition tablet.add

Neither file is a secret. Compare the key's hash that both devices show.";

#[derive(Args, Debug)]
pub(crate) struct New {
    #[command(flatten)]
    common: Common,
    /// Write the registration to this new file.
    #[arg(long, value_name = "FILE")]
    registration: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Add {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    on: On,
    /// What the user calls the new passkey.
    #[arg(long, value_name = "TEXT", default_value = "software passkey")]
    label: String,
    /// File of the new passkey, on this device; made if it is not there.
    #[arg(long, value_name = "FILE", conflicts_with = "registration", required_unless_present = "registration")]
    new_passkey: Option<PathBuf>,
    /// Registration of a passkey on another device, as `new-passkey` wrote it.
    #[arg(long, value_name = "FILE", requires = "addition")]
    registration: Option<PathBuf>,
    /// New file for the other device to `join` with, within ten minutes.
    #[arg(long, value_name = "FILE", requires = "registration")]
    addition: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Join {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    on: On,
    /// The file that `add-passkey` wrote on the other device.
    #[arg(long, value_name = "FILE")]
    addition: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Remove {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    on: On,
    /// Credential id of the passkey that goes, hex.
    #[arg(long, value_name = "HEX")]
    credential: String,
    /// The tenant signs too, and then it goes at once.
    #[arg(long)]
    with_tenant: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Rename {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    on: On,
    /// Credential id of the passkey, hex.
    #[arg(long, value_name = "HEX")]
    credential: String,
    /// What the user calls it from now on.
    #[arg(long, value_name = "TEXT")]
    label: String,
}

pub(super) async fn new(options: &New, trust: Trust, show: Show) -> Result<(), Error> {
    files::check_new(&options.registration)?;
    files::check_new(&options.common.passkey)?;
    let (_, prepared) = prepare(&options.common.service, trust, show).await?;
    let passkey = Passkey::create(&prepared.statement().statement().rp_id)?;
    passkey.write(&options.common.passkey)?;
    files::write_new(&options.registration, &passkey.registration().encode_to_vec())?;
    fingerprint(show, &passkey.registration());
    show.value("registration", format_args!("in {}", options.registration.display()));
    Ok(())
}

pub(super) async fn add(options: &Add, trust: Trust, show: Show) -> Result<(), Error> {
    options.on.check_new()?;
    options.addition.iter().try_for_each(|path| files::check_new(path))?;
    let passkey = Passkey::read(&options.common.passkey)?;
    let (device, prepared) = prepare(&options.common.service, trust, show).await?;
    let own = options.new_passkey.as_ref().map(|path| {
        if path.exists() {
            return Passkey::read(path);
        }
        let made = Passkey::create(&prepared.statement().statement().rp_id)?;
        made.write(path)?;
        show.check("passkey", format_args!("made for {}, in {}", made.rp_id(), path.display()));
        Ok(made)
    });
    let own = own.transpose()?;
    let credential = match (&own, &options.registration) {
        (Some(own), _) => own.registration(),
        (None, Some(path)) => registration(path)?,
        (None, None) => return Err(Error::Input { field: "--new-passkey".into(), problem: "is needed".into() }),
    };
    fingerprint(show, &credential);
    let newcomer = Newcomer::new(credential, &options.label)?;
    show.heading("Adding a passkey");
    show.waiting("signing");
    let origin = origin(&options.common, &prepared)?;
    let mut authenticator = PasskeyAt { passkey: &passkey, origin };
    let backup = options.on.backup.as_deref();
    let addition = device.begin_adding(&prepared, backup, &newcomer, &mut authenticator).await?;
    if let Some(path) = &options.addition {
        files::write_new(path, &addition.to_bytes())?;
        show.value("addition", format_args!("in {}: the new passkey's device joins with it", path.display()));
        return Ok(());
    }
    let Some(own) = own else { return Ok(()) };
    show.waiting("signing with the new passkey, and waiting for the enclave");
    let mut authenticator = PasskeyAt { passkey: &own, origin };
    let done = device.finish_adding(&prepared, &addition, &own.registration(), &mut authenticator).await?;
    acted(show, &options.on, &done, &format!("passkey {} is added", hex::encode(own.credential_id())))
}

pub(super) async fn join(options: &Join, trust: Trust, show: Show) -> Result<(), Error> {
    options.on.check_new()?;
    let own = Passkey::read(&options.common.passkey)?;
    let addition = Addition::from_bytes(&files::read(&options.addition, ADDITION_BYTES_MAX)?)?;
    let (device, prepared) = prepare(&options.common.service, trust, show).await?;
    show.heading("Joining");
    fingerprint(show, &own.registration());
    show.waiting("signing, and waiting for the enclave");
    let mut authenticator = PasskeyAt { passkey: &own, origin: origin(&options.common, &prepared)? };
    let done = device.finish_adding(&prepared, &addition, &own.registration(), &mut authenticator).await?;
    acted(show, &options.on, &done, &format!("passkey {} is added", hex::encode(own.credential_id())))
}

pub(super) async fn remove(options: &Remove, trust: Trust, show: Show) -> Result<(), Error> {
    options.on.check_new()?;
    let credential = credential_id(&options.credential)?;
    let passkey = Passkey::read(&options.common.passkey)?;
    let (device, prepared) = prepare(&options.common.service, trust, show).await?;
    show.heading("Removing a passkey");
    show.waiting("signing, and waiting for the enclave");
    let pace = if options.with_tenant { Pace::WithTheTenant } else { Pace::AsThePolicySays };
    let mut authenticator = PasskeyAt { passkey: &passkey, origin: origin(&options.common, &prepared)? };
    let backup = options.on.backup.as_deref();
    let done = device.remove_passkey(&prepared, backup, &credential, pace, &mut authenticator).await?;
    let text = format!("removal of passkey {}; whoever restores an older record undoes it", options.credential);
    acted(show, &options.on, &done, &text)
}

pub(super) async fn rename(options: &Rename, trust: Trust, show: Show) -> Result<(), Error> {
    options.on.check_new()?;
    let credential = credential_id(&options.credential)?;
    let passkey = Passkey::read(&options.common.passkey)?;
    let (device, prepared) = prepare(&options.common.service, trust, show).await?;
    show.heading("Renaming a passkey");
    show.waiting("signing, and waiting for the enclave");
    let mut authenticator = PasskeyAt { passkey: &passkey, origin: origin(&options.common, &prepared)? };
    let backup = options.on.backup.as_deref();
    let done = device.rename_passkey(&prepared, backup, &credential, &options.label, &mut authenticator).await?;
    acted(show, &options.on, &done, &format!("passkey {} is called {:?}", options.credential, options.label))
}

fn registration(path: &std::path::Path) -> Result<NewCredential, Error> {
    let bytes = files::read(path, REGISTRATION_BYTES_MAX)?;
    NewCredential::decode(bytes.as_slice())
        .map_err(|error| Error::File { path: path.to_owned(), problem: format!("no registration: {error}") })
}

fn fingerprint(show: Show, credential: &NewCredential) {
    show.value("new passkey", hex::encode(&credential.id));
    show.value("hash of its key", ContentHash::of(&credential.public_key));
}

fn credential_id(text: &str) -> Result<Vec<u8>, Error> {
    hex::decode(text).map_err(|_| Error::Input { field: "--credential".to_owned(), problem: "not hex".to_owned() })
}
