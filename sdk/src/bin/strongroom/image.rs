//! `strongroom image`: builds an enclave image, and says what one measures.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};
use strongroom_sdk::image::{Image, ImageError, Measured, Module, application, boot};
use strongroom_sdk::{Error, files};

use crate::show::Show;

/// Longest kernel, module or executable in bytes.
const PART_BYTES_MAX: usize = 256 << 20;
/// Longest image in bytes.
pub(crate) const IMAGE_BYTES_MAX: usize = 1 << 30;

/// Commands about images.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Build an image from a kernel and the enclave's executable. The same files give the same bytes.
    #[command(after_help = BUILD_HELP)]
    Build(Box<Build>),
    /// Check an image, and print what it holds and measures.
    Inspect(Inspect),
}

const BUILD_HELP: &str = "\
The boot ramdisk holds the modules, the application's ramdisk the executable as /init and nothing else: PCR2 does not depend on the kernel.

Example:
  strongroom image build --kernel bzImage --module nsm.ko --init strongroom-enclave --out strongroom.eif";

#[derive(Args, Debug)]
pub(crate) struct Build {
    /// The kernel, a bzImage: on EC2 the one that nitro-cli ships.
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// A module of that kernel; may be given several times, in the order in which they are loaded.
    #[arg(long = "module", value_name = "FILE")]
    modules: Vec<PathBuf>,
    /// The enclave's static executable.
    #[arg(long, value_name = "FILE")]
    init: PathBuf,
    /// The kernel's command line; what follows `--` in it goes to the enclave.
    #[arg(long, value_name = "TEXT", default_value = "reboot=k panic=1 pci=off console=ttyS0 random.trust_cpu=off")]
    command_line: String,
    /// Time of every file in the image, in seconds since the Unix epoch.
    #[arg(long, value_name = "N", env = "SOURCE_DATE_EPOCH", default_value_t = 0)]
    time: u32,
    /// Version of the release, for the metadata.
    #[arg(long, value_name = "TEXT", default_value = env!("CARGO_PKG_VERSION"))]
    image_version: String,
    /// What the executable was built with, for the metadata: NAME=VERSION; may be given several times.
    #[arg(long = "built-with", value_name = "NAME=VERSION", value_parser = tool)]
    built_with: Vec<(String, String)>,
    /// Memory that nitro-cli gives unless it is told otherwise, in MiB.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u64).range(64..=65536))]
    memory: u64,
    /// The image, a new file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print the measurements as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// The image.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
    /// Write kernel, command line and ramdisks to this folder too: what a virtual machine boots.
    #[arg(long, value_name = "DIR")]
    extract: Option<PathBuf>,
}

fn tool(text: &str) -> Result<(String, String), String> {
    let (name, version) = text.split_once('=').ok_or("not NAME=VERSION")?;
    Ok((name.to_owned(), version.to_owned()))
}

pub(crate) fn run(command: &ImageCommand, show: Show) -> Result<(), Error> {
    match command {
        ImageCommand::Build(options) => build(options, show),
        ImageCommand::Inspect(options) => inspect(options, show),
    }
}

fn build(options: &Build, show: Show) -> Result<(), Error> {
    files::check_new(&options.out)?;
    let modules = options.modules.iter().map(|path| module(path)).collect::<Result<Vec<_>, _>>()?;
    let image = Image {
        default_memory: options.memory << 20,
        default_cpus: 2,
        kernel: part(&options.kernel)?,
        command_line: options.command_line.clone(),
        metadata: metadata(options)?,
        ramdisks: vec![
            boot(options.time, &modules).map_err(refused)?,
            application(options.time, part(&options.init)?).map_err(refused)?,
        ],
    };
    let bytes = image.to_bytes().map_err(refused)?;
    files::write_new(&options.out, &bytes)?;
    report(show, &image, options.json);
    Ok(())
}

fn inspect(options: &Inspect, show: Show) -> Result<(), Error> {
    let bytes = files::read_large(&options.file, IMAGE_BYTES_MAX)?;
    let problem = |error: ImageError| Error::File { path: options.file.clone(), problem: error.to_string() };
    let image = Image::from_bytes(&bytes).map_err(problem)?;
    report(show, &image, options.json);
    let Some(folder) = &options.extract else { return Ok(()) };
    files::write_new(&folder.join("kernel"), &image.kernel)?;
    files::write_new(&folder.join("command-line"), image.command_line.as_bytes())?;
    // The loader puts the ramdisks one behind the other, and the kernel unpacks them all.
    files::write_new(&folder.join("ramdisks"), &image.ramdisks.concat())
}

fn report(show: Show, image: &Image, as_json: bool) {
    let Measured { pcr0, pcr1, pcr2 } = Measured::of(image);
    let pcrs = [("PCR0", pcr0), ("PCR1", pcr1), ("PCR2", pcr2)];
    let sizes: Vec<usize> = image.ramdisks.iter().map(Vec::len).collect();
    if as_json {
        let metadata: Value = serde_json::from_slice(&image.metadata).unwrap_or_default();
        let pcrs: Value =
            pcrs.into_iter().map(|(name, digest)| (name.to_owned(), Value::from(digest.to_string()))).collect();
        let said = json!({
            "measurements": pcrs,
            "command_line": image.command_line,
            "kernel_bytes": image.kernel.len(),
            "ramdisk_bytes": sizes,
            "metadata": metadata,
        });
        println!("{}", escaped_json(&format!("{said:#}")));
        return;
    }
    let command_line = escaped(&image.command_line);
    show.value("kernel", format_args!("{} bytes, command line: {command_line}", image.kernel.len()));
    let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
    show.value("ramdisks", format_args!("{} bytes", sizes.join(" + ")));
    show.value("metadata", escaped(&String::from_utf8_lossy(&image.metadata)));
    // Last, so that nothing of the image's comes after what it measures.
    for (name, digest) in pcrs {
        show.value(name, digest);
    }
}

/// Text from an image on one line, without what a terminal would obey: metadata is not measured, and may be anybody's.
fn escaped(text: &str) -> String {
    let escape = |c: char| if matches!(c, '"' | '\'') { c.to_string() } else { c.escape_debug().to_string() };
    text.chars().map(escape).collect()
}

/// JSON of several lines, where control characters stand in strings alone and may be written otherwise.
fn escaped_json(json: &str) -> String {
    let escape = |c: char| match c {
        c if c != '\n' && c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    json.chars().map(escape).collect()
}

/// In the form that nitro-cli reads.
fn metadata(options: &Build) -> Result<Vec<u8>, Error> {
    let wrong = |_| Error::Input { field: "--time".to_owned(), problem: "is no time".to_owned() };
    let time = Timestamp::from_second(i64::from(options.time)).map_err(wrong)?;
    let tools: Value =
        options.built_with.iter().map(|(name, version)| (name.clone(), Value::from(version.clone()))).collect();
    let metadata = json!({
        "ImageName": "strongroom",
        "ImageVersion": options.image_version,
        "BuildMetadata": {
            "BuildTime": time.to_string(),
            "BuildTool": "strongroom",
            "BuildToolVersion": env!("CARGO_PKG_VERSION"),
            "OperatingSystem": "none",
            "KernelVersion": options.kernel.file_name().map(|name| name.to_string_lossy()),
        },
        "DockerInfo": null,
        "CustomMetadata": { "BuiltWith": tools },
    });
    Ok(metadata.to_string().into_bytes())
}

fn module(path: &Path) -> Result<Module, Error> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Module { name, content: part(path)? })
}

fn part(path: &Path) -> Result<Vec<u8>, Error> {
    files::read_large(path, PART_BYTES_MAX)
}

fn refused(error: ImageError) -> Error {
    match error {
        ImageError::Part { part, problem } => Error::Input { field: part, problem },
        ImageError::Format(problem) => Error::Input { field: "image".to_owned(), problem },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_image_says_of_itself_moves_no_cursor() {
        let hostile = "{\"a\":\"\u{1b}[2A\u{9b}2J\r\nPCR0 00\u{202e}\u{7f}\\\"}";
        let shown = escaped(hostile);
        assert_eq!(shown, "{\"a\":\"\\u{1b}[2A\\u{9b}2J\\r\\nPCR0 00\\u{202e}\\u{7f}\\\\\"}",);
        assert_eq!(escaped("reboot=k console=ttyS0 -- 'é'"), "reboot=k console=ttyS0 -- 'é'");
        let value = json!({ "a": "\u{1b}[2A\u{9b}2J\r\n\u{7f}é" });
        let shown = escaped_json(&format!("{value:#}"));
        assert!(!shown.chars().any(|c| c != '\n' && c.is_control()), "{shown:?}");
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
    }
}
