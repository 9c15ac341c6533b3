//! Options that several commands share, and the forms of their values.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use strongroom_sdk::attestation::{Image, Pcr, Root};
use strongroom_sdk::client::{ApiKey, Client};
use strongroom_sdk::proto::id::TenantId;
use strongroom_sdk::proto::v1::{Curve, OpenActKind, Pair, Role};
use strongroom_sdk::tenant::LowestEpochs;
use strongroom_sdk::{Error, Trust, curve_of, files, role_name};

use crate::show::Show;

/// Longest root certificate in bytes.
const ROOT_BYTES_MAX: usize = 4 * 1024;
/// Longest file with a release key's public half in bytes.
const RELEASE_KEY_BYTES_MAX: usize = 128;
/// First byte of every certificate in DER.
const DER_SEQUENCE: u8 = 0x30;

/// Which root of attestation to trust.
#[derive(Args, Debug)]
pub(crate) struct TrustOptions {
    /// FOR DEVELOPMENT ONLY: trust this attestation root (X.509, DER) instead of AWS's, and accept development manifests.
    ///
    /// Whoever holds the key of that root can pretend to be any enclave and read every share that is sealed to it.
    #[arg(long, global = true, value_name = "FILE.der")]
    development_root: Option<PathBuf>,
}

impl TrustOptions {
    pub(crate) fn read(&self, show: Show) -> Result<Trust, Error> {
        let Some(path) = &self.development_root else { return Ok(Trust::aws()) };
        let der = files::read(path, ROOT_BYTES_MAX)?;
        if der.first() != Some(&DER_SEQUENCE) {
            let problem = format!("{} is no DER certificate; is it PEM?", path.display());
            return Err(Error::Input { field: "--development-root".to_owned(), problem });
        }
        show.warning(&format!(
            "DEVELOPMENT: trusting the attestation root {}, not AWS's. Use no real share: whoever holds that root's key can read it.",
            path.display()
        ));
        Ok(Trust::development(Root::development(&der)))
    }
}

/// How to reach the host in the tenant's name.
#[derive(Args, Debug)]
pub(crate) struct HostOptions {
    /// Address of the host: `https://HOST[:PORT]`, or `http://127.0.0.1:PORT` on this machine.
    #[arg(long, value_name = "URL")]
    pub(crate) host: String,
    /// File with the tenant's API key (`sr_` and 64 hex digits); for a device, with the session token of the same form that the
    /// tenant's backend gave it.
    #[arg(long, value_name = "FILE")]
    pub(crate) api_key_file: PathBuf,
}

impl HostOptions {
    pub(crate) async fn connect(&self, show: Show) -> Result<Client, Error> {
        let api_key = ApiKey::read(&self.api_key_file)?;
        show.waiting(&format!("connecting to {}", self.host));
        Client::connect(&self.host, api_key).await
    }
}

/// A role by its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum RoleName {
    /// Keeps client shares.
    Client,
    /// Keeps custodian shares.
    Custodian,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Client => Self::Client,
            RoleName::Custodian => Self::Custodian,
        }
    }
}

/// A kind of what waits, by its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum KindName {
    /// A release of shares.
    Recovery,
    /// A change of policy.
    PolicyChange,
    /// The removal of a passkey.
    PasskeyRemoval,
    /// The deletion of a backup.
    Delete,
    /// A window in which the custodian's shares can go to a device: it can be cancelled, and is never carried out.
    EjectWindow,
}

impl From<KindName> for OpenActKind {
    fn from(name: KindName) -> Self {
        match name {
            KindName::Recovery => Self::Recovery,
            KindName::PolicyChange => Self::PolicyChange,
            KindName::PasskeyRemoval => Self::PasskeyRemoval,
            KindName::Delete => Self::Delete,
            KindName::EjectWindow => Self::EjectWindow,
        }
    }
}

/// The lowest epoch of one role, or of all that the statement names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct LowestEpoch {
    role: Option<Role>,
    epoch: u64,
}

/// `N`, or `ROLE=N`.
pub(crate) fn lowest_epoch(text: &str) -> Result<LowestEpoch, String> {
    let (role, number) = match text.split_once('=') {
        Some((name, number)) => (Some(RoleName::from_str(name, false)?.into()), number),
        None => (None, text),
    };
    let epoch = number.parse().ok().filter(|epoch| *epoch > 0);
    Ok(LowestEpoch { role, epoch: epoch.ok_or("not N or ROLE=N, where N is a number from 1 on")? })
}

/// Each role's, of what was given for a statement that names these roles.
///
/// # Errors
/// [`Error::Input`] for a role that is given one twice, or that the statement does not name.
pub(crate) fn lowest_epochs(given: &[LowestEpoch], roles: &[Role]) -> Result<LowestEpochs, Error> {
    let refuse = |problem: String| Error::Input { field: "--lowest-epoch".to_owned(), problem };
    if let Some(stray) = given.iter().filter_map(|it| it.role).find(|role| !roles.contains(role)) {
        return Err(refuse(format!("the statement does not name the {} role", role_name(stray))));
    }
    let of = |role| {
        let mut of_role = given.iter().filter(|it| it.role.is_none_or(|of| of == role)).map(|it| it.epoch);
        match (of_role.next(), of_role.next()) {
            (_, Some(_)) => Err(refuse(format!("the {} role has one twice", role_name(role)))),
            (first, None) => Ok(first),
        }
    };
    Ok(LowestEpochs { client: of(Role::Client)?, custodian: of(Role::Custodian)? })
}

/// `PAIR:CURVE=FILE`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShareFile {
    pub(crate) pair: Pair,
    pub(crate) path: PathBuf,
}

pub(crate) fn share_file(text: &str) -> Result<ShareFile, String> {
    let form = "not PAIR:CURVE=FILE, such as main:secp256k1=share.bin";
    let (named, path) = text.split_once('=').ok_or(form)?;
    if !named.contains(':') || path.is_empty() {
        return Err(form.to_owned());
    }
    Ok(ShareFile { pair: pair(named)?, path: path.into() })
}

/// `PAIR:CURVE`.
pub(crate) fn pair(text: &str) -> Result<Pair, String> {
    let (id, curve) = text.split_once(':').ok_or("not PAIR:CURVE, such as main:secp256k1")?;
    let curve: Curve =
        curve_of(curve).ok_or_else(|| format!("curve {curve:?} is unknown; secp256k1 and ed25519 are known"))?;
    if !strongroom_sdk::proto::names::is_id(id) {
        return Err(format!("pair {id:?} is not 1 to 64 bytes of [A-Za-z0-9._-]"));
    }
    Ok(Pair { id: id.to_owned(), curve: curve.into() })
}

pub(crate) fn hex32(text: &str) -> Result<[u8; 32], String> {
    let mut out = [0; 32];
    hex::decode_to_slice(text, &mut out).map_err(|_| "not 32 bytes in hex (64 digits)".to_owned())?;
    Ok(out)
}

/// A publisher's release key: 64 hex digits, or a file with them.
pub(crate) fn release_key(text: &str) -> Result<[u8; 32], String> {
    if let Ok(key) = hex32(text) {
        return Ok(key);
    }
    let content = files::read(text.as_ref(), RELEASE_KEY_BYTES_MAX).map_err(|error| error.to_string())?;
    let content = std::str::from_utf8(&content).unwrap_or_default();
    hex32(content.trim()).map_err(|problem| format!("{text} holds no release key: {problem}"))
}

pub(crate) fn tenant_id(text: &str) -> Result<TenantId, String> {
    hex32(text).map(TenantId)
}

pub(crate) fn pcr(text: &str) -> Result<Pcr, String> {
    let mut out = [0; 48];
    hex::decode_to_slice(text, &mut out).map_err(|_| "not 48 bytes in hex (96 digits)".to_owned())?;
    if out == [0; 48] { Err("all zero: an enclave in debug mode".to_owned()) } else { Ok(out) }
}

/// `PCR0:PCR1:PCR2`.
pub(crate) fn image(text: &str) -> Result<Image, String> {
    let mut parts = text.split(':').map(pcr);
    let mut next = || parts.next().unwrap_or_else(|| Err("not PCR0:PCR1:PCR2, each of 96 hex digits".to_owned()));
    let image = Image { pcr0: next()?, pcr1: next()?, pcr2: next()? };
    if parts.next().is_some() { Err("more than PCR0:PCR1:PCR2".to_owned()) } else { Ok(image) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowest_epochs_are_one_for_all_or_each_roles_own() {
        for text in ["", "0", "-1", "x", "=1", "client=", "client=0", "Client=1", "device=1", "client=1=2"] {
            assert!(lowest_epoch(text).is_err(), "{text}");
        }
        let both = [Role::Client, Role::Custodian];
        let of = |texts: &[&str], roles: &[Role]| {
            let given: Vec<_> = texts.iter().map(|text| lowest_epoch(text).unwrap()).collect();
            lowest_epochs(&given, roles).map(|it| (it.client, it.custodian)).map_err(|error| error.to_string())
        };
        assert_eq!(of(&[], &both), Ok((None, None)));
        assert_eq!(of(&["3"], &both), Ok((Some(3), Some(3))));
        assert_eq!(of(&["client=3"], &both), Ok((Some(3), None)));
        assert_eq!(of(&["custodian=2", "client=3"], &both), Ok((Some(3), Some(2))));
        let twice = Err("--lowest-epoch: the client role has one twice".to_owned());
        for texts in [&["1", "client=2"][..], &["client=1", "client=1"], &["1", "2"]] {
            assert_eq!(of(texts, &both), twice);
        }
        let stray = Err("--lowest-epoch: the statement does not name the custodian role".to_owned());
        assert_eq!(of(&["custodian=1"], &both[..1]), stray);
    }
}
