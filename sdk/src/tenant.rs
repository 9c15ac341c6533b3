//! What a tenant does: make its keys, check every role that a statement is to name, build the next statement.
//!
//! Signs nothing that it did not check: measurements come from the published release, never from the host.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use strongroom_attestation::{Image, Pcr, Time};
use strongroom_proto::id::{ContentHash, TenantId};
use strongroom_proto::limits::{OPERATIONAL_KEY_MS_MAX, STATEMENT_BYTES_MAX};
use strongroom_proto::v1::{Epoch, ImageMeasurement, OperationalKey, Role, RoleStatement, SignedStatement, Statement};

use prost::Message;

use crate::attest::AttestedIdentity;
use crate::client::Client;
use crate::error::Error;
use crate::files;
use crate::keys::{KeyUse, Passphrase, SigningKey};
use crate::role::role_name;
use crate::statement::{VerifiedStatement, sort};

pub mod alone;
mod attested;
mod consent;
pub mod custodian;
mod releases;

pub use attested::{attest_role, check_accounts};
pub use consent::{Expected, ExpectedAct, RecordAct, check as check_intent, consent};
pub use releases::{NextManifest, attest_release};

/// An operational key counts from 5 minutes before it was signed, since enclaves' clocks may be behind the tenant's.
const NOT_BEFORE_MARGIN_MS: u64 = 5 * 60 * 1000;
const TENANT_FILE_BYTES_MAX: usize = 4 * 1024;

/// A tenant's public half.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TenantKeys {
    /// Ed25519 public key.
    pub root_key: [u8; 32],
    /// Ed25519 public key.
    pub standby_key: [u8; 32],
}

impl TenantKeys {
    /// The tenant's id.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        TenantId::of(&self.root_key, &self.standby_key)
    }
}

/// A tenant's folder: `root.key`, `standby.key`, `operational.key`, `tenant.json` and `statement.pb`; with a publisher's release file
/// `release.pub` and `release.pb`.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TenantFile {
    version: u32,
    tenant: String,
    root_key: String,
    standby_key: String,
}

impl Folder {
    /// The folder at a path.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The key file of a use.
    #[must_use]
    pub fn key_file(&self, purpose: KeyUse) -> PathBuf {
        self.0.join(format!("{}.key", purpose.name()))
    }

    /// The file of the newest statement signed here: an encoded `SignedStatement`.
    #[must_use]
    pub fn statement_file(&self) -> PathBuf {
        self.0.join("statement.pb")
    }

    fn tenant_file(&self) -> PathBuf {
        self.0.join("tenant.json")
    }

    /// Makes root, standby and operational key in a new or empty folder.
    ///
    /// # Errors
    /// [`Error::Exists`] where one of the files is there, [`Error::Input`] for a weak passphrase, [`Error::File`].
    pub fn init(&self, passphrase: &Passphrase) -> Result<TenantKeys, Error> {
        passphrase.check_new()?;
        let uses = [KeyUse::Root, KeyUse::Standby, KeyUse::Operational];
        let files = uses.map(|purpose| self.key_file(purpose)).into_iter().chain([self.tenant_file()]);
        if let Some(taken) = files.into_iter().find(|file| file.exists()) {
            return Err(Error::Exists(taken));
        }
        let failed = |error: std::io::Error| Error::File { path: self.0.clone(), problem: error.to_string() };
        std::fs::create_dir_all(&self.0).map_err(failed)?;
        let root = SigningKey::generate(KeyUse::Root)?;
        let standby = SigningKey::generate(KeyUse::Standby)?;
        root.write_protected(&self.key_file(KeyUse::Root), passphrase)?;
        standby.write_protected(&self.key_file(KeyUse::Standby), passphrase)?;
        SigningKey::generate(KeyUse::Operational)?.write_plain(&self.key_file(KeyUse::Operational))?;
        let keys = TenantKeys { root_key: *root.public_key(), standby_key: *standby.public_key() };
        let file = TenantFile {
            version: 1,
            tenant: keys.tenant().to_string(),
            root_key: hex::encode(keys.root_key),
            standby_key: hex::encode(keys.standby_key),
        };
        let json = serde_json::to_string_pretty(&file).map_err(|error| Error::malformed("tenant file", error))?;
        files::write_new(&self.tenant_file(), format!("{json}\n").as_bytes())?;
        Ok(keys)
    }

    /// The tenant's public keys.
    ///
    /// # Errors
    /// [`Error::File`] says what is wrong with the file.
    pub fn tenant_keys(&self) -> Result<TenantKeys, Error> {
        let path = self.tenant_file();
        let refuse = |problem: String| Error::File { path: path.clone(), problem };
        let bytes = files::read(&path, TENANT_FILE_BYTES_MAX)?;
        let file: TenantFile =
            serde_json::from_slice(&bytes).map_err(|error| refuse(format!("no tenant file: {error}")))?;
        let mut keys = TenantKeys { root_key: [0; 32], standby_key: [0; 32] };
        let read = hex::decode_to_slice(&file.root_key, &mut keys.root_key)
            .and_then(|()| hex::decode_to_slice(&file.standby_key, &mut keys.standby_key));
        if file.version != 1 || read.is_err() || keys.tenant().to_string() != file.tenant {
            return Err(refuse(
                "version, keys or tenant id are not as `strongroom tenant init` writes them".to_owned(),
            ));
        }
        Ok(keys)
    }

    /// The newest statement signed here, if there is one.
    ///
    /// # Errors
    /// [`Error::File`], or as [`VerifiedStatement::verify`].
    pub fn statement(&self, tenant: TenantId) -> Result<Option<VerifiedStatement>, Error> {
        let path = self.statement_file();
        if !path.exists() {
            return Ok(None);
        }
        VerifiedStatement::verify(&read_statement(&path)?, tenant).map(Some)
    }

    /// Keeps a statement as the newest one signed here.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn keep(&self, signed: &SignedStatement) -> Result<(), Error> {
        files::replace(&self.statement_file(), &signed.encode_to_vec())
    }
}

/// Reads a file with an encoded `SignedStatement`. Nothing is verified yet.
///
/// # Errors
/// [`Error::File`].
pub fn read_statement(path: &Path) -> Result<SignedStatement, Error> {
    let bytes = files::read(path, STATEMENT_BYTES_MAX + 128)?;
    strongroom_proto::canonical::decode(&bytes, STATEMENT_BYTES_MAX + 128)
        .map_err(|error| Error::File { path: path.to_owned(), problem: format!("no statement file: {error}") })
}

/// The newest statement that the tenant signed: of the folder's and the host's, the one with the higher serial.
///
/// # Errors
/// As [`Folder::statement`], and [`Error::Refused`].
pub async fn previous(folder: &Folder, client: &Client, tenant: TenantId) -> Result<Option<VerifiedStatement>, Error> {
    let here = folder.statement(tenant)?;
    let there = client.get_statement().await?;
    let there = there.map(|signed| VerifiedStatement::verify(&signed, tenant)).transpose()?;
    Ok([here, there].into_iter().flatten().max_by_key(VerifiedStatement::serial))
}

/// The lowest epoch of each role that anything new may be sealed to, where it was chosen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LowestEpochs {
    /// Of the client role.
    pub client: Option<u64>,
    /// Of the custodian role.
    pub custodian: Option<u64>,
}

impl LowestEpochs {
    /// One for both roles.
    #[must_use]
    pub fn both(epoch: Option<u64>) -> Self {
        Self { client: epoch, custodian: epoch }
    }

    /// A role's.
    #[must_use]
    pub fn of(self, role: Role) -> Option<u64> {
        if role == Role::Custodian { self.custodian } else { self.client }
    }
}

/// What the next statement is to say.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// The tenant.
    pub keys: TenantKeys,
    /// The newest statement so far.
    pub previous: Option<&'a Statement>,
    /// The operational key to list, valid for 90 days from now.
    pub operational_key: [u8; 32],
    /// The tenant's time.
    pub now: Time,
    /// Images of the published release.
    pub images: Vec<Image>,
    /// What was attested, for every role that the statement names.
    pub attested: Vec<AttestedIdentity>,
    /// PCR16 of further manifests that a role's enclaves are going to have.
    pub manifests: Vec<(Role, Pcr)>,
    /// Whether images and manifests of the previous statement stay accepted, as they must while a fleet changes over.
    pub keep: bool,
    /// The lowest epoch of every role that anything new may be sealed to; the newest, if left out.
    pub lowest_epoch: Option<u64>,
    /// WebAuthn relying party id.
    pub rp_id: String,
    /// Origins that assertions may come from.
    pub origins: Vec<String>,
    /// Top origins of cross-origin frames.
    pub top_origins: Vec<String>,
    /// Recipient hashes of MPC servers.
    pub mpc_recipients: Vec<[u8; 32]>,
}

impl Draft<'_> {
    /// Refuses a lowest epoch that was not attested, and one that opens again what an earlier statement gave up.
    ///
    /// # Errors
    /// [`Error::Input`].
    pub fn check_lowest_epoch(&self) -> Result<(), Error> {
        self.check_lowest_epochs(LowestEpochs::both(self.lowest_epoch))
    }

    /// As [`Draft::check_lowest_epoch`], for roles that are at different epochs.
    ///
    /// # Errors
    /// [`Error::Input`].
    pub fn check_lowest_epochs(&self, lowest: LowestEpochs) -> Result<(), Error> {
        let refuse = |problem| Err(Error::input("lowest epoch", problem));
        for role in [Role::Client, Role::Custodian] {
            let Some(wanted) = lowest.of(role) else { continue };
            let of_role = self.attested.iter().filter(|attested| attested.identity.role == role);
            let Some(newest) = of_role.map(|attested| attested.identity.epoch).max() else { continue };
            let name = role_name(role);
            if wanted > newest {
                return refuse(format!("{wanted}; the newest of the {name} role is {newest}"));
            }
            let before = self.previous.and_then(|previous| strongroom_proto::statement::role(previous, role));
            if let Some(before) = before.filter(|before| wanted < before.lowest_epoch) {
                return refuse(format!("{wanted}; the {name} role gave up all below {}", before.lowest_epoch));
            }
        }
        Ok(())
    }

    /// The next statement, sorted and not signed: serial one higher, epochs added to those before, the newest the lowest to seal to
    /// unless another was chosen.
    #[must_use]
    pub fn build(&self) -> Statement {
        self.build_with(LowestEpochs::both(self.lowest_epoch))
    }

    /// As [`Draft::build`], for roles that are at different epochs.
    #[must_use]
    pub fn build_with(&self, lowest: LowestEpochs) -> Statement {
        let kept = self.previous.filter(|_| self.keep);
        let mut images: Vec<_> = self.images.iter().map(measurement).collect();
        images.extend(kept.into_iter().flat_map(|previous| previous.images.iter().cloned()));
        let mut statement = Statement {
            root_key: self.keys.root_key.to_vec(),
            standby_key: self.keys.standby_key.to_vec(),
            serial: self.previous.map_or(0, |previous| previous.serial).saturating_add(1),
            operational_keys: self.operational_keys(),
            images,
            client: self.role(Role::Client, lowest),
            custodian: self.role(Role::Custodian, lowest),
            mpc_recipients: self.mpc_recipients.iter().map(|hash| hash.to_vec()).collect(),
            rp_id: self.rp_id.clone(),
            origins: self.origins.clone(),
            top_origins: self.top_origins.clone(),
        };
        sort(&mut statement);
        statement
    }

    /// This key, and those of the previous statement that have not ended.
    fn operational_keys(&self) -> Vec<OperationalKey> {
        let now = self.now.unix_ms();
        let not_before_ms = now.saturating_sub(NOT_BEFORE_MARGIN_MS);
        let not_after_ms = not_before_ms.saturating_add(OPERATIONAL_KEY_MS_MAX);
        let this = OperationalKey { key: self.operational_key.to_vec(), not_before_ms, not_after_ms };
        let before = self.previous.into_iter().flat_map(|previous| &previous.operational_keys);
        let others = before.filter(|entry| entry.key != self.operational_key && entry.not_after_ms > now).cloned();
        others.chain([this]).collect()
    }

    fn role(&self, role: Role, lowest: LowestEpochs) -> Option<RoleStatement> {
        let previous = self.previous.and_then(|previous| strongroom_proto::statement::role(previous, role));
        let attested: Vec<_> =
            self.attested.iter().map(|attested| &attested.identity).filter(|identity| identity.role == role).collect();
        let newest = attested.iter().map(|identity| identity.epoch).max()?;
        let lowest_epoch = lowest.of(role).unwrap_or(newest);
        let mut pcr16: Vec<_> = attested.iter().map(|identity| identity.pcr16.to_vec()).collect();
        let further = self.manifests.iter().filter(|(of, _)| *of == role);
        pcr16.extend(further.map(|(_, pcr16)| pcr16.to_vec()));
        pcr16.extend(previous.filter(|_| self.keep).into_iter().flat_map(|role| role.pcr16.iter().cloned()));
        let mut epochs: Vec<Epoch> = previous.map(|role| role.epochs.clone()).unwrap_or_default();
        epochs.extend(attested.iter().map(|identity| Epoch {
            epoch: identity.epoch,
            kek_id: identity.kek_id.0.to_vec(),
            channel_key_hash: ContentHash::of(&identity.channel_key).0.to_vec(),
            receipt_key: identity.receipt_key.to_vec(),
        }));
        Some(RoleStatement { pcr16, epochs, lowest_epoch })
    }
}

pub(crate) fn measurement(image: &Image) -> ImageMeasurement {
    ImageMeasurement { pcr0: image.pcr0.to_vec(), pcr1: image.pcr1.to_vec(), pcr2: image.pcr2.to_vec() }
}

#[cfg(test)]
mod tests;
