//! A tenant and its publisher: the release key that it pins, the newest release file that it accepted, and enclaves held against it.
//!
//! A mirror may serve an older file, or the publisher two with one serial: the tenant's folder remembers.

use std::path::PathBuf;

use prost::Message;
use strongroom_attestation::{AttestationError, Pcr};
use strongroom_proto::canonical;
use strongroom_proto::id::TenantId;
use strongroom_proto::limits::MANIFEST_BYTES_MAX;
use strongroom_proto::v1::{Manifest, Role, SignedReleaseFile};

use super::Folder;
use super::attested::{attest_role, check_same_key};
use crate::attest::AttestedIdentity;
use crate::client::Client;
use crate::error::Error;
use crate::files;
use crate::identity::manifest_pcr16;
use crate::release::{Accepted, ReleaseFile, SIGNED_RELEASE_BYTES_MAX, VerifiedReleases, decode};
use crate::role::role_name;
use crate::trust::Trust;

/// Longest file with a release key's public half, in bytes: hex and white space.
const RELEASE_KEY_BYTES_MAX: usize = 128;

impl Folder {
    /// The file of the pinned release key: 64 hex digits.
    #[must_use]
    pub fn release_key_file(&self) -> PathBuf {
        self.0.join("release.pub")
    }

    /// The file of the newest release file that was accepted here: an encoded `SignedReleaseFile`.
    #[must_use]
    pub fn release_file(&self) -> PathBuf {
        self.0.join("release.pb")
    }

    /// The pinned release key, if there is one.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn release_key(&self) -> Result<Option<[u8; 32]>, Error> {
        let path = self.release_key_file();
        if !path.exists() {
            return Ok(None);
        }
        let text = files::read(&path, RELEASE_KEY_BYTES_MAX)?;
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim_ascii(), &mut key)
            .map_err(|_| Error::File { path, problem: "is not 32 bytes in hex (64 digits)".to_owned() })?;
        Ok(Some(key))
    }

    /// Pins a release key. Another one in its place is refused: whoever changes publishers removes the file himself.
    ///
    /// # Errors
    /// [`Error::Input`] where another key is pinned, [`Error::File`].
    pub fn pin_release_key(&self, key: &[u8; 32]) -> Result<(), Error> {
        match self.release_key()? {
            Some(pinned) => self.check_pin(&pinned, key),
            None => files::write_whole(&self.release_key_file(), format!("{}\n", hex::encode(key)).as_bytes()),
        }
    }

    fn check_pin(&self, pinned: &[u8; 32], given: &[u8; 32]) -> Result<(), Error> {
        if pinned == given {
            return Ok(());
        }
        let (given, pinned, path) = (hex::encode(given), hex::encode(pinned), self.release_key_file());
        Err(Error::input("release key", format!("{given} is not {pinned}, which is pinned in {}", path.display())))
    }

    /// Verifies a release file with the pinned key, refuses what is older than the newest accepted here or another one with its serial,
    /// and remembers it. `given` is pinned where no key is pinned yet.
    ///
    /// # Errors
    /// [`Error::Input`] where there is no key, or two; [`Error::ReleaseFileTooOld`], [`Error::ReleaseFileFork`], [`Error::File`], or as
    /// [`VerifiedReleases::verify`]. Nothing is remembered then.
    pub fn take_release(
        &self,
        signed: &SignedReleaseFile,
        given: Option<&[u8; 32]>,
    ) -> Result<VerifiedReleases, Error> {
        let key = match (self.release_key()?, given) {
            (Some(pinned), Some(given)) => self.check_pin(&pinned, given).map(|()| pinned)?,
            (Some(key), None) => key,
            (None, Some(key)) => *key,
            (None, None) => {
                return Err(Error::input("release key", "none is pinned yet: give the publisher's".to_owned()));
            }
        };
        let verified = VerifiedReleases::verify(signed, &key)?;
        self.check_newer(signed, verified.file().serial)?;
        self.pin_release_key(&key)?;
        files::replace(&self.release_file(), &signed.encode_to_vec())?;
        Ok(verified)
    }

    /// The kept file's signature is not asked for again: a tenant that changed publishers must still see an older serial.
    fn check_newer(&self, signed: &SignedReleaseFile, serial: u64) -> Result<(), Error> {
        let path = self.release_file();
        if !path.exists() {
            return Ok(());
        }
        let kept = files::read(&path, SIGNED_RELEASE_BYTES_MAX)?;
        let kept = decode(&kept).and_then(|kept| Ok((ReleaseFile::read(&kept)?.serial, kept)));
        let (known, kept) = kept.map_err(|error| Error::File { path, problem: error.to_string() })?;
        if serial < known {
            return Err(Error::ReleaseFileTooOld { found: serial, known });
        }
        if serial == known && signed.release_file != kept.release_file {
            return Err(Error::ReleaseFileFork { serial });
        }
        Ok(())
    }
}

/// As [`attest_role`], against the releases that a statement is to accept: each enclave's image is of one of them, and its manifest names
/// the same one.
///
/// # Errors
/// As [`attest_role`] and [`Accepted::check`].
pub async fn attest_release(
    client: &Client,
    tenant: TenantId,
    role: Role,
    accepted: &Accepted<'_>,
    trust: &Trust,
) -> Result<Vec<AttestedIdentity>, Error> {
    let attested = attest_role(client, tenant, role, &accepted.known_images(), trust).await;
    let attested = attested.map_err(|error| match error {
        Error::Attestation(AttestationError::NotAccepted { found }) => {
            Error::NotReleased { serial: accepted.serial(), found }
        }
        other => other,
    })?;
    attested.iter().try_for_each(|attested| accepted.check(attested))?;
    Ok(attested)
}

/// A manifest that enclaves are going to have while a fleet changes over, read from the operator's file.
#[derive(Clone, Debug, PartialEq)]
pub struct NextManifest {
    /// What it says.
    pub manifest: Manifest,
    /// What it makes of PCR16.
    pub pcr16: Pcr,
}

impl NextManifest {
    /// Reads an encoded manifest.
    ///
    /// # Errors
    /// [`Error::Malformed`], or [`Error::DevelopmentManifest`] where the caller did not ask for development in code.
    pub fn read(bytes: &[u8], trust: &Trust) -> Result<Self, Error> {
        let manifest: Manifest =
            canonical::decode(bytes, MANIFEST_BYTES_MAX).map_err(|error| Error::malformed("manifest", error))?;
        if manifest.development.is_some() && !trust.is_development() {
            return Err(Error::DevelopmentManifest);
        }
        Ok(Self { manifest, pcr16: manifest_pcr16(bytes) })
    }

    /// Refuses a manifest of a release that is not accepted, and one that differs from its role's attested manifests in anything but the
    /// release: a fleet that changes over keeps its KMS key.
    ///
    /// # Errors
    /// [`Error::Mismatch`], [`Error::RoleNotServed`], or as [`Accepted::check_number`].
    pub fn check(&self, accepted: &Accepted<'_>, attested: &[AttestedIdentity]) -> Result<(), Error> {
        accepted.check_number(self.manifest.release)?;
        let role = self.manifest.role();
        let mut of_role = attested.iter().map(|attested| &attested.identity).filter(|it| it.role == role).peekable();
        if of_role.peek().is_none() {
            return Err(Error::RoleNotServed { role: role_name(role) });
        }
        for identity in of_role {
            check_same_key(&self.manifest, &identity.manifest)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
