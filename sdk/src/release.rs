//! Release files: which images a publisher built and measured, and from which release on tenants may accept them.
//!
//! Believes nothing that the release key did not sign. Files are compared by serial alone; their date is for people. Whether a file is
//! older than one that the tenant knows, the tenant's folder says.

use strongroom_attestation::{Image, Time};
use strongroom_proto::limits::RELEASE_FILE_BYTES_MAX;
use strongroom_proto::v1::SignedReleaseFile;
use strongroom_proto::{canonical, prefix, signed};

use crate::attest::AttestedIdentity;
use crate::error::{Error, expect};

mod form;
mod publish;

pub use publish::{Draft, EIF_BYTES_MAX};

pub(crate) const PART: &str = "release file";
/// Longest signed release file in bytes, as it travels.
pub const SIGNED_RELEASE_BYTES_MAX: usize = RELEASE_FILE_BYTES_MAX + 128;

/// What a release file says. Its form is checked, who signed it is not: see [`VerifiedReleases`].
#[derive(Clone, Debug, PartialEq)]
pub struct ReleaseFile {
    /// From 1; grows with every file.
    pub serial: u64,
    /// The lowest release that may be accepted; one of the releases.
    pub lowest: u64,
    /// When it was signed. For people: decides nothing.
    pub date: Time,
    /// By number, ascending; no two with one PCR0.
    pub releases: Vec<Release>,
}

/// One image of a publisher's.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// As manifests name it, from 1.
    pub number: u64,
    /// For people.
    pub version: String,
    /// What it measures as.
    pub image: Image,
    /// SHA-256 of the image file.
    pub image_hash: [u8; 32],
    /// SHA-256 of the kernel in it.
    pub kernel_hash: [u8; 32],
    /// What PCR2 depends on beside the source, sorted by name.
    pub built_with: Vec<Tool>,
}

/// A tool or library, and its version.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Its name, such as `gcc`.
    pub name: String,
    /// Its version, as it says itself.
    pub version: String,
}

impl ReleaseFile {
    /// Reads a file's content without asking who signed it: to show it.
    ///
    /// # Errors
    /// [`Error::Malformed`] names the first rule of `release.proto` that is broken.
    pub fn read(signed: &SignedReleaseFile) -> Result<Self, Error> {
        form::read(&signed.release_file)
    }

    /// The release with this number.
    #[must_use]
    pub fn release(&self, number: u64) -> Option<&Release> {
        self.releases.iter().find(|release| release.number == number)
    }

    /// The release that measures so.
    #[must_use]
    pub fn of_image(&self, image: &Image) -> Option<&Release> {
        self.releases.iter().find(|release| release.image == *image)
    }
}

/// Reads a signed release file as it travels. Nothing is verified yet.
///
/// # Errors
/// [`Error::Malformed`] for another encoding, bytes behind it, or more than [`SIGNED_RELEASE_BYTES_MAX`].
pub fn decode(bytes: &[u8]) -> Result<SignedReleaseFile, Error> {
    canonical::decode(bytes, SIGNED_RELEASE_BYTES_MAX).map_err(|error| Error::malformed(PART, error))
}

/// A release file that the release key signed.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedReleases(ReleaseFile);

impl VerifiedReleases {
    /// Checks the signature, then the form.
    ///
    /// # Errors
    /// [`Error::Signature`], or as [`ReleaseFile::read`].
    pub fn verify(signed: &SignedReleaseFile, release_key: &[u8; 32]) -> Result<Self, Error> {
        signed::verify(prefix::RELEASE_FILE, &signed.release_file, release_key, &signed.signature)
            .map_err(|_| Error::Signature { part: PART })?;
        form::read(&signed.release_file).map(Self)
    }

    /// Every field.
    #[must_use]
    pub fn file(&self) -> &ReleaseFile {
        &self.0
    }

    /// What a tenant takes of it: the chosen releases, or without a choice all from the lowest on.
    ///
    /// # Errors
    /// [`Error::Input`] for a release that is chosen twice or not in the file, [`Error::ReleaseTooLow`] for one below the lowest.
    pub fn accept(&self, chosen: &[u64]) -> Result<Accepted<'_>, Error> {
        let file = &self.0;
        for (at, number) in chosen.iter().enumerate() {
            let refuse = |problem: String| Err(Error::input("release", problem));
            if chosen.iter().take(at).any(|before| before == number) {
                return refuse(format!("{number} is chosen twice"));
            }
            if file.release(*number).is_none() {
                return refuse(format!("{number} is not in the release file, which lists {}", numbers(&file.releases)));
            }
            file.check_lowest(*number)?;
        }
        let is_taken = |release: &&Release| match chosen {
            [] => release.number >= file.lowest,
            _ => chosen.contains(&release.number),
        };
        Ok(Accepted { file, releases: file.releases.iter().filter(is_taken).collect() })
    }
}

impl ReleaseFile {
    fn check_lowest(&self, release: u64) -> Result<(), Error> {
        if release >= self.lowest {
            return Ok(());
        }
        Err(Error::ReleaseTooLow { release, lowest: self.lowest })
    }
}

/// The releases that a statement is to accept: of a signed file, none below its lowest.
#[derive(Clone, Debug)]
pub struct Accepted<'a> {
    file: &'a ReleaseFile,
    releases: Vec<&'a Release>,
}

impl Accepted<'_> {
    /// Their measurements, for the statement.
    #[must_use]
    pub fn images(&self) -> Vec<Image> {
        self.releases.iter().map(|release| release.image.clone()).collect()
    }

    /// Their numbers, for people.
    #[must_use]
    pub fn numbers(&self) -> String {
        numbers(self.releases.iter().copied())
    }

    pub(crate) fn serial(&self) -> u64 {
        self.file.serial
    }

    /// Measurements of every release in the file, so that one that is not accepted is refused by its name.
    pub(crate) fn known_images(&self) -> Vec<Image> {
        self.file.releases.iter().map(|release| release.image.clone()).collect()
    }

    /// Refuses an enclave whose image is of a release that is not accepted, or whose manifest names another release than its image.
    ///
    /// # Errors
    /// [`Error::NotReleased`], [`Error::Mismatch`], or as [`Accepted::check_number`].
    pub fn check(&self, attested: &AttestedIdentity) -> Result<(), Error> {
        let Some(release) = self.file.of_image(&attested.image) else {
            let found = format!("PCR0 is {}", hex::encode(attested.image.pcr0));
            return Err(Error::NotReleased { serial: self.file.serial, found });
        };
        self.check_number(release.number)?;
        expect("manifest", "release", attested.identity.manifest.release, release.number)
    }

    /// Refuses the number of a release that is not accepted.
    ///
    /// # Errors
    /// [`Error::ReleaseTooLow`] or [`Error::ReleaseNotAccepted`].
    pub fn check_number(&self, number: u64) -> Result<(), Error> {
        self.file.check_lowest(number)?;
        if self.releases.iter().any(|release| release.number == number) {
            return Ok(());
        }
        Err(Error::ReleaseNotAccepted { release: number, accepted: self.numbers() })
    }
}

fn numbers<'a>(releases: impl IntoIterator<Item = &'a Release>) -> String {
    let list: Vec<String> = releases.into_iter().map(|release| release.number.to_string()).collect();
    list.join(", ")
}

#[cfg(test)]
mod tests;
