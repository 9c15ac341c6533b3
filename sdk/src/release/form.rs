//! The form of a release file: the rules of `release.proto`, and its one encoding both ways.

use std::collections::BTreeSet;

use prost::Message;
use strongroom_attestation::{Image, Pcr, Time};
use strongroom_proto::canonical;
use strongroom_proto::limits::{BUILT_WITH_MAX, RELEASE_FILE_BYTES_MAX, RELEASES_MAX, VERSION_BYTES_MAX};
use strongroom_proto::names::is_id;
use strongroom_proto::v1;

use super::{PART, Release, ReleaseFile, Tool};
use crate::error::{Error, array};

/// What every release names: PCR2 depends on them, and who rebuilds needs them.
const BUILT_WITH_NEEDED: [&str; 3] = ["gcc", "libc.a", "rustc"];

/// Reads the one encoding of a release file that keeps every rule.
pub(super) fn read(bytes: &[u8]) -> Result<ReleaseFile, Error> {
    let fields: v1::ReleaseFile =
        canonical::decode(bytes, RELEASE_FILE_BYTES_MAX).map_err(|error| Error::malformed(PART, error))?;
    if fields.serial == 0 {
        return refuse("serial is 0; the first is 1");
    }
    count("releases", fields.releases.len(), 1, RELEASES_MAX)?;
    let releases = fields.releases.into_iter().map(release).collect::<Result<Vec<_>, _>>()?;
    sorted("releases", releases.iter().map(|release| release.number))?;
    let images: BTreeSet<&Pcr> = releases.iter().map(|release| &release.image.pcr0).collect();
    if images.len() != releases.len() {
        return refuse("releases has one PCR0 twice");
    }
    let date = Time::from_unix_ms(fields.date_ms);
    let file = ReleaseFile { serial: fields.serial, lowest: fields.lowest_release, date, releases };
    if file.release(file.lowest).is_none() {
        return refuse("lowest_release is not among the releases");
    }
    Ok(file)
}

/// The one encoding of a release file.
pub(super) fn write(file: &ReleaseFile) -> Vec<u8> {
    let release = |release: &Release| v1::PublishedRelease {
        release: release.number,
        version: release.version.clone(),
        image: Some(crate::tenant::measurement(&release.image)),
        image_hash: release.image_hash.to_vec(),
        kernel_hash: release.kernel_hash.to_vec(),
        built_with: release.built_with.iter().map(built_with).collect(),
    };
    let file = v1::ReleaseFile {
        serial: file.serial,
        lowest_release: file.lowest,
        date_ms: file.date.unix_ms(),
        releases: file.releases.iter().map(release).collect(),
    };
    file.encode_to_vec()
}

fn built_with(tool: &Tool) -> v1::BuiltWith {
    v1::BuiltWith { name: tool.name.clone(), version: tool.version.clone() }
}

fn release(fields: v1::PublishedRelease) -> Result<Release, Error> {
    if fields.release == 0 {
        return refuse("releases.release is 0; the first is 1");
    }
    version("releases.version", &fields.version)?;
    let image = fields.image.ok_or_else(|| Error::malformed(PART, "releases.image is missing"))?;
    let image = Image {
        pcr0: pcr("releases.image.pcr0", &image.pcr0)?,
        pcr1: pcr("releases.image.pcr1", &image.pcr1)?,
        pcr2: pcr("releases.image.pcr2", &image.pcr2)?,
    };
    let field = "releases.built_with";
    count(field, fields.built_with.len(), BUILT_WITH_NEEDED.len(), BUILT_WITH_MAX)?;
    let built_with = fields.built_with.into_iter().map(tool).collect::<Result<Vec<_>, _>>()?;
    sorted(field, built_with.iter().map(|tool| tool.name.as_str()))?;
    if let Some(missing) = BUILT_WITH_NEEDED.iter().find(|name| !built_with.iter().any(|tool| tool.name == **name)) {
        return refuse(format_args!("{field} lacks {missing}"));
    }
    Ok(Release {
        number: fields.release,
        version: fields.version,
        image,
        image_hash: array(PART, "releases.image_hash", &fields.image_hash)?,
        kernel_hash: array(PART, "releases.kernel_hash", &fields.kernel_hash)?,
        built_with,
    })
}

fn tool(fields: v1::BuiltWith) -> Result<Tool, Error> {
    if !is_id(&fields.name) {
        return refuse("releases.built_with.name is not 1 to 64 characters of [A-Za-z0-9._-]");
    }
    version("releases.built_with.version", &fields.version)?;
    Ok(Tool { name: fields.name, version: fields.version })
}

/// Printable ASCII only: whoever reads it on a terminal sees what was signed.
fn version(field: &str, text: &str) -> Result<(), Error> {
    let is_printable = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if is_printable && (1..=VERSION_BYTES_MAX).contains(&text.len()) {
        return Ok(());
    }
    refuse(format_args!("{field} is not 1 to {VERSION_BYTES_MAX} printable ASCII characters"))
}

fn pcr(field: &str, value: &[u8]) -> Result<Pcr, Error> {
    let pcr: Pcr = array(PART, field, value)?;
    if pcr == [0; 48] { refuse(format_args!("{field} is all zero")) } else { Ok(pcr) }
}

fn count(field: &str, len: usize, min: usize, max: usize) -> Result<(), Error> {
    if (min..=max).contains(&len) {
        return Ok(());
    }
    refuse(format_args!("{field} has {len} entries, not {min} to {max}"))
}

/// Strictly ascending, so that a list has one order only and no entry twice.
fn sorted<T: PartialOrd>(field: &str, entries: impl Iterator<Item = T> + Clone) -> Result<(), Error> {
    if entries.clone().zip(entries.skip(1)).all(|(before, after)| before < after) {
        return Ok(());
    }
    refuse(format_args!("{field} is not sorted, or has an entry twice"))
}

fn refuse<T>(reason: impl std::fmt::Display) -> Result<T, Error> {
    Err(Error::malformed(PART, reason))
}
