//! What a publisher does: measure images, write the next release file, sign it.
//!
//! Measurements are computed from the image itself; nobody types them.

use std::collections::BTreeMap;

use serde::Deserialize;
use strongroom_attestation::{Image, Time};
use strongroom_proto::id::ContentHash;
use strongroom_proto::prefix;
use strongroom_proto::v1::SignedReleaseFile;

use super::{PART, Release, ReleaseFile, Tool, VerifiedReleases, form};
use crate::error::Error;
use crate::image;
use crate::keys::{KeyUse, SigningKey};

/// Longest image in bytes.
pub const EIF_BYTES_MAX: usize = 1 << 30;

/// The part of an image's metadata that goes into a release file. It is not measured: the publisher's signature vouches for it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    image_version: String,
    custom_metadata: Custom,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Custom {
    built_with: BTreeMap<String, String>,
}

impl Release {
    /// Measures an image file, and gives it a number.
    ///
    /// # Errors
    /// [`Error::Malformed`] for what is no image, or has no metadata of ours.
    pub fn of_image(number: u64, eif: &[u8]) -> Result<Self, Error> {
        let refuse = |reason: String| Error::malformed("image", reason);
        let image = image::Image::from_bytes(eif).map_err(|error| refuse(error.to_string()))?;
        let metadata: Metadata = serde_json::from_slice(&image.metadata)
            .map_err(|error| refuse(format!("its metadata does not say what it was built with: {error}")))?;
        let image::Measured { pcr0, pcr1, pcr2 } = image::Measured::of(&image);
        let tools = metadata.custom_metadata.built_with.into_iter();
        Ok(Self {
            number,
            version: metadata.image_version,
            image: Image { pcr0: pcr0.0, pcr1: pcr1.0, pcr2: pcr2.0 },
            image_hash: ContentHash::of(eif).0,
            kernel_hash: ContentHash::of(&image.kernel).0,
            built_with: tools.map(|(name, version)| Tool { name, version }).collect(),
        })
    }
}

/// What the next release file is to say.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// The file before, by the same key; the first has none.
    pub previous: Option<&'a VerifiedReleases>,
    /// Its own serial, where there is no file before.
    pub serial: u64,
    /// The lowest release that may be accepted.
    pub lowest: u64,
    /// When it is signed.
    pub date: Time,
    /// Newly measured images.
    pub new: Vec<Release>,
    /// Numbers of releases that the file before lists and that stay.
    pub keep: Vec<u64>,
}

impl Draft<'_> {
    /// The file, not signed: its serial one higher than that before.
    ///
    /// # Errors
    /// [`Error::Input`] for a release to keep that the file before does not list, and for one that it lists with another image
    /// or whose number is not above its highest;
    /// [`Error::Malformed`] for what breaks a rule of `release.proto`.
    pub fn build(&self) -> Result<ReleaseFile, Error> {
        let before = self.previous.map(VerifiedReleases::file);
        let highest = before.and_then(|before| before.releases.last()).map_or(0, |release| release.number);
        let listed = |number: u64| before.and_then(|before| before.release(number));
        let mut releases = Vec::new();
        for number in &self.keep {
            let refuse = || Error::input("release", format!("{number} is not in the file before: give its image"));
            releases.push(listed(*number).ok_or_else(refuse)?.clone());
        }
        for release in &self.new {
            let number = release.number;
            let refuse = |problem: String| Err(Error::input("release", problem));
            match listed(number) {
                Some(before) if before.image != release.image => {
                    return refuse(format!("{number} is another image in the file before: number it anew"));
                }
                // It may be the number of a release that was dropped, which manifests and people still know by it.
                None if number <= highest => {
                    return refuse(format!("{number} is not above {highest}, the highest of the file before"));
                }
                _ => {}
            }
            releases.push(release.clone());
        }
        releases.sort_by_key(|release| release.number);
        let serial = before.map_or(Some(self.serial), |before| before.serial.checked_add(1));
        let serial = serial.ok_or_else(|| Error::input("serial", "has no number after it"))?;
        let file = ReleaseFile { serial, lowest: self.lowest, date: self.date, releases };
        form::read(&form::write(&file))
    }
}

impl ReleaseFile {
    /// The release that a rebuilt image is.
    ///
    /// # Errors
    /// [`Error::NotReleased`] says which part differs: the application, the kernel, or what stands beside it.
    pub fn find(&self, rebuilt: &Release) -> Result<&Release, Error> {
        if let Some(release) = self.of_image(&rebuilt.image) {
            return Ok(release);
        }
        let same = self.releases.iter().rev().find(|release| release.image.pcr2 == rebuilt.image.pcr2);
        let found = match same {
            None => format!("PCR2 is {}, another application", hex::encode(rebuilt.image.pcr2)),
            Some(same) => {
                let part = if same.kernel_hash == rebuilt.kernel_hash { "command line or modules" } else { "kernel" };
                let pcr1 = hex::encode(rebuilt.image.pcr1);
                format!("PCR2 is that of release {}, but PCR1 is {pcr1}, with another {part}", same.number)
            }
        };
        Err(Error::NotReleased { serial: self.serial, found })
    }

    /// Signs the file with the release key, after the same checks that every reader makes.
    ///
    /// # Errors
    /// [`Error::Malformed`] for what breaks a rule, [`Error::Input`] for a key of another use.
    pub fn sign(&self, key: &SigningKey) -> Result<SignedReleaseFile, Error> {
        if key.purpose() != KeyUse::Release {
            return Err(Error::input("key", format!("a {} key signs no {PART}", key.purpose().name())));
        }
        let release_file = form::write(self);
        form::read(&release_file)?;
        let signature = key.sign(prefix::RELEASE_FILE, &release_file)?;
        Ok(SignedReleaseFile { release_file, signature })
    }
}
