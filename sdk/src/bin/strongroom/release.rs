//! `strongroom release`: what a publisher signs, and what anybody checks offline.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use strongroom_sdk::attestation::Time;
use strongroom_sdk::keys::{KeyUse, SigningKey};
use strongroom_sdk::proto::v1::SignedReleaseFile;
use strongroom_sdk::release::{
    Draft, EIF_BYTES_MAX, Release as Published, ReleaseFile, SIGNED_RELEASE_BYTES_MAX, VerifiedReleases, decode,
};
use strongroom_sdk::{Error, device, files};

use crate::options;
use crate::passphrase;
use crate::show::Show;

/// Commands about release files.
#[derive(Debug, Subcommand)]
pub(crate) enum Release {
    /// Make a publisher's release key.
    NewKey(NewKey),
    /// Measure images, and sign the next release file. Measurements are computed, never typed.
    #[command(after_help = SIGN_HELP)]
    Sign(Sign),
    /// Check a release file with the publisher's key, and an image of one's own build against it. Offline.
    #[command(after_help = VERIFY_HELP)]
    Verify(Verify),
    /// Print a release file without checking who signed it.
    Show(ShowFile),
}

const SIGN_HELP: &str = "\
The serial is one higher than that of the file before. During an upgrade the file lists the old release and the new one. An emergency step
back is one more file: it lists the older release again, and a lower lowest release.

Example:
  strongroom release sign --key release.key --previous strongroom.release --keep 3 --image 4=strongroom.eif --lowest-release 3 --out next.release";

const VERIFY_HELP: &str = "\
With --image: which release an image of one's own build (make eif) is. Where it is none, the part that differs is named.

Example:
  strongroom release verify strongroom.release --release-key release.pub --image target/eif/strongroom.eif";

#[derive(Args, Debug)]
pub(crate) struct NewKey {
    /// New file for the private key, protected by a passphrase from `STRONGROOM_PASSPHRASE` or asked for; meant to be offline.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// New file for the public key, which tenants pin.
    #[arg(long, value_name = "FILE")]
    public: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Sign {
    /// The release key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The release file before, by the same key.
    #[arg(long, value_name = "FILE", required_unless_present = "serial")]
    previous: Option<PathBuf>,
    /// The file's serial, where there is no file before: 1 for the first.
    #[arg(long, value_name = "N", conflicts_with = "previous", value_parser = clap::value_parser!(u64).range(1..))]
    serial: Option<u64>,
    /// An image and the number of its release; may be given several times.
    #[arg(long = "image", value_name = "RELEASE=FILE", value_parser = numbered)]
    images: Vec<(u64, PathBuf)>,
    /// A release of the file before that stays; may be given several times.
    #[arg(long, value_name = "RELEASE", conflicts_with = "serial")]
    keep: Vec<u64>,
    /// The lowest release that tenants may accept.
    #[arg(long, value_name = "RELEASE")]
    lowest_release: u64,
    /// The date that people are shown; now, if left out.
    #[arg(long, value_name = "RFC3339")]
    date: Option<jiff::Timestamp>,
    /// The signed release file, a new file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The signed release file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The publisher's key: 64 hex digits, or a file with them.
    #[arg(long, value_name = "HEX|FILE", value_parser = options::release_key)]
    release_key: [u8; 32],
    /// An image to find among the releases.
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ShowFile {
    /// The signed release file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

/// `RELEASE=FILE`.
fn numbered(text: &str) -> Result<(u64, PathBuf), String> {
    let form = "not RELEASE=FILE, such as 4=strongroom.eif";
    let (number, path) = text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or(form)?;
    let number: u64 = number.parse().map_err(|_| form)?;
    if number == 0 { Err("release 0; the first is 1".to_owned()) } else { Ok((number, path.into())) }
}

pub(crate) fn run(command: &Release, show: Show) -> Result<(), Error> {
    match command {
        Release::NewKey(options) => new_key(options, show),
        Release::Sign(options) => sign(options, show),
        Release::Verify(options) => verify(options, show),
        Release::Show(options) => {
            let file = ReleaseFile::read(&read(&options.file)?)?;
            if options.json {
                println!("{:#}", as_json(&file, None, None));
                return Ok(());
            }
            show.caution("signature: NOT CHECKED");
            report(&file, show);
            Ok(())
        }
    }
}

/// A signed release file, not verified.
pub(crate) fn read(path: &Path) -> Result<SignedReleaseFile, Error> {
    let bytes = files::read(path, SIGNED_RELEASE_BYTES_MAX)?;
    decode(&bytes).map_err(|error| Error::File { path: path.to_owned(), problem: error.to_string() })
}

fn new_key(options: &NewKey, show: Show) -> Result<(), Error> {
    [&options.out, &options.public].into_iter().try_for_each(|path| files::check_new(path))?;
    let key = SigningKey::generate(KeyUse::Release)?;
    key.write_protected(&options.out, &passphrase::new_of("the release key")?)?;
    let public = hex::encode(key.public_key());
    files::write_new(&options.public, format!("{public}\n").as_bytes())?;
    show.value("release-key", public);
    Ok(())
}

fn sign(options: &Sign, show: Show) -> Result<(), Error> {
    files::check_new(&options.out)?;
    let new = options.images.iter().map(|(number, path)| image(*number, path)).collect::<Result<Vec<_>, _>>()?;
    let key = SigningKey::read(&options.key, KeyUse::Release, || {
        passphrase::existing("Passphrase of the release key, to sign this file: ")
    })?;
    let previous = options.previous.as_ref().map(|path| VerifiedReleases::verify(&read(path)?, key.public_key()));
    let previous = previous.transpose()?;
    let date = match options.date {
        None => device::now(),
        Some(date) => {
            let before_1970 = |_| Error::Input { field: "--date".to_owned(), problem: "lies before 1970".to_owned() };
            Time::from_unix_ms(u64::try_from(date.as_millisecond()).map_err(before_1970)?)
        }
    };
    let draft = Draft {
        previous: previous.as_ref(),
        serial: options.serial.unwrap_or_default(),
        lowest: options.lowest_release,
        date,
        new,
        keep: options.keep.clone(),
    };
    let file = draft.build()?;
    let signed = file.sign(&key)?;
    files::write_whole(&options.out, &prost::Message::encode_to_vec(&signed))?;
    report(&file, show);
    show.value("signed", options.out.display());
    Ok(())
}

fn verify(options: &Verify, show: Show) -> Result<(), Error> {
    let verified = VerifiedReleases::verify(&read(&options.file)?, &options.release_key)?;
    let file = verified.file();
    let rebuilt = options.image.as_ref().map(|path| image(0, path)).transpose()?;
    let found = rebuilt.as_ref().map(|rebuilt| file.find(rebuilt)).transpose()?;
    if options.json {
        println!("{:#}", as_json(file, Some(&options.release_key), found));
        return Ok(());
    }
    show.check("signature", format_args!("by the release key {}", hex::encode(options.release_key)));
    report(file, show);
    if let (Some(found), Some(rebuilt)) = (found, rebuilt) {
        show.check("image", format_args!("measures as release {}, {}", found.number, found.version));
        if rebuilt.image_hash != found.image_hash {
            show.caution("the file differs from the publisher's in what is not measured: its metadata or its sizes");
        }
    }
    Ok(())
}

/// Measures an image file.
fn image(number: u64, path: &Path) -> Result<Published, Error> {
    let eif = files::read_large(path, EIF_BYTES_MAX)?;
    Published::of_image(number, &eif).map_err(|error| Error::File { path: path.to_owned(), problem: error.to_string() })
}

/// What a release file says, for people.
pub(crate) fn report(file: &ReleaseFile, show: Show) {
    show.value("serial", file.serial);
    show.value("lowest-release", file.lowest);
    show.value("date", file.date);
    for release in &file.releases {
        let given_up = if release.number < file.lowest { " (below the lowest: not to be accepted)" } else { "" };
        show.heading(&format!("Release {}, {}{given_up}", release.number, release.version));
        let image = &release.image;
        for (name, pcr) in [("  PCR0", image.pcr0), ("  PCR1", image.pcr1), ("  PCR2", image.pcr2)] {
            show.value(name, hex::encode(pcr));
        }
        show.value("  image SHA-256", hex::encode(release.image_hash));
        show.value("  kernel SHA-256", hex::encode(release.kernel_hash));
        for tool in &release.built_with {
            show.value(&format!("  built with {}", tool.name), &tool.version);
        }
    }
}

/// The same for programs: who signed it, where that was checked, and which release an image is.
fn as_json(file: &ReleaseFile, signed_by: Option<&[u8; 32]>, image: Option<&Published>) -> Value {
    let release = |release: &Published| {
        let tools = release.built_with.iter().map(|tool| (tool.name.clone(), Value::from(tool.version.clone())));
        json!({
            "release": release.number,
            "version": release.version,
            "measurements": {
                "PCR0": hex::encode(release.image.pcr0),
                "PCR1": hex::encode(release.image.pcr1),
                "PCR2": hex::encode(release.image.pcr2),
            },
            "image_sha256": hex::encode(release.image_hash),
            "kernel_sha256": hex::encode(release.kernel_hash),
            "built_with": tools.collect::<Value>(),
        })
    };
    json!({
        "signed_by": signed_by.map(hex::encode),
        "serial": file.serial,
        "lowest_release": file.lowest,
        "date": file.date.to_string(),
        "releases": file.releases.iter().map(release).collect::<Vec<_>>(),
        "image_is_release": image.map(|release| release.number),
    })
}

#[cfg(test)]
mod tests;
