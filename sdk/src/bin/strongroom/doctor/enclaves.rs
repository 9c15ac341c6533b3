//! The enclaves that are to run: their parameters, and whether each image measures what it may.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use strongroom_sdk::attestation::Pcr;
use strongroom_sdk::files;
use strongroom_sdk::image::{Image, Measured};
use strongroom_sdk::key_policy::ImagePcrs;

use super::report::Report;
use super::slots::Given;
use crate::image::IMAGE_BYTES_MAX;

/// Longest file of parameters in bytes.
const PARAMETERS_BYTES_MAX: usize = 16 * 1024;
/// Context ids below are the hypervisor's, the local machine's, the host's and the parent's.
const ENCLAVE_CID_MIN: u64 = 4;
/// nitro-cli gives no enclave less memory than this many times its image.
const MEMORY_PER_IMAGE: u64 = 4;
/// Memory comes in huge pages of this size.
const PAGE_MIB: u64 = 2;

/// What `nitro-cli run-enclave --config` reads. A name that it does not know would be overlooked there, and is refused here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    eif_path: PathBuf,
    memory_mib: u64,
    enclave_cid: Option<u64>,
    enclave_name: Option<String>,
    cpu_count: Option<usize>,
    cpu_ids: Option<Vec<u32>>,
    #[serde(default)]
    debug_mode: bool,
    #[serde(default)]
    attach_console: bool,
}

/// What the enclaves given take together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub(super) enclaves: usize,
    pub(super) memory_mib: u64,
    pub(super) cpus: usize,
}

/// What they take, `None` where no enclave was given or none could be read; and each with its place.
pub(super) fn check(paths: &[PathBuf], images: &[ImagePcrs], report: &mut Report) -> (Option<Wanted>, Vec<Given>) {
    if paths.is_empty() {
        report.skip("enclaves", "NOT LOOKED AT, nor their images: no --enclave is given");
    }
    let mut read: Vec<Parameters> = Vec::new();
    for path in paths {
        let name = format!("enclave {}", path.display());
        let parameters = match parse(path) {
            Ok(parameters) => parameters,
            Err(error) => {
                report.fail(name, error, "write it as deploy/nitro/enclaves has them");
                continue;
            }
        };
        match problem(&parameters, &read) {
            Some((problem, todo)) => report.fail(name, problem, todo),
            None => report
                .ok(name, format!("CID {}, {} MiB", parameters.enclave_cid.unwrap_or_default(), parameters.memory_mib)),
        }
        image(&parameters, images, report);
        read.push(parameters);
    }
    let wanted = read.iter().fold(Wanted::default(), |sum, it| Wanted {
        enclaves: sum.enclaves + 1,
        memory_mib: sum.memory_mib.saturating_add(it.memory_mib.div_ceil(PAGE_MIB).saturating_mul(PAGE_MIB)),
        cpus: sum.cpus.saturating_add(it.cpus()),
    });
    ((wanted.enclaves > 0).then_some(wanted), read.iter().filter_map(Parameters::given).collect())
}

fn parse(path: &Path) -> Result<Parameters, String> {
    let bytes = files::read(path, PARAMETERS_BYTES_MAX).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| format!("not run parameters: {error}"))
}

impl Parameters {
    fn cpus(&self) -> usize {
        self.cpu_count.or(self.cpu_ids.as_ref().map(Vec::len)).unwrap_or_default()
    }

    /// Where the host is to find it; `None` where the parameters do not say.
    fn given(&self) -> Option<Given> {
        Some(Given { name: self.enclave_name.clone()?, cid: self.enclave_cid? })
    }
}

/// What is wrong with the parameters themselves, and what to do.
fn problem(given: &Parameters, before: &[Parameters]) -> Option<(String, &'static str)> {
    if given.debug_mode || given.attach_console {
        return Some((
            "debug mode: every measurement is zero, and no key opens".to_owned(),
            "remove debug_mode and attach_console",
        ));
    }
    if given.cpu_count.is_some() == given.cpu_ids.is_some() || given.cpus() == 0 {
        return Some(("not exactly one of cpu_count and cpu_ids".to_owned(), "give cpu_count"));
    }
    if given.enclave_cid.is_none_or(|cid| !(ENCLAVE_CID_MIN..u64::from(u32::MAX)).contains(&cid)) {
        return Some((
            format!("no enclave_cid from {ENCLAVE_CID_MIN} on"),
            "give the one that the host's configuration has",
        ));
    }
    if given.enclave_name.as_deref().is_none_or(str::is_empty) {
        return Some(("no enclave_name".to_owned(), "give one: it is how the unit ends the enclave"));
    }
    if before.iter().any(|other| other.enclave_cid == given.enclave_cid || other.enclave_name == given.enclave_name) {
        return Some(("the CID or the name of another one given".to_owned(), "give each its own"));
    }
    None
}

fn image(parameters: &Parameters, images: &[ImagePcrs], report: &mut Report) {
    let path = &parameters.eif_path;
    let name = format!("image {}", path.display());
    let (len, [pcr0, pcr1, pcr2]) = match measure(path) {
        Ok(measured) => measured,
        Err(error) => return report.fail(name, error, "build it with make eif, and copy it there"),
    };
    let least = len.div_ceil(1 << 20).saturating_mul(MEMORY_PER_IMAGE);
    if parameters.memory_mib < least {
        let text = format!("{len} bytes: nitro-cli gives it no less than {least} MiB");
        return report.fail(name, text, "raise memory_mib in the parameters, and in allocator.yaml");
    }
    let other = |wanted: Option<Pcr>, is: Pcr| wanted.is_some_and(|wanted| wanted != is);
    let known = images.iter().any(|it| it.pcr0 == pcr0 && !other(it.pcr1, pcr1) && !other(it.pcr2, pcr2));
    let text = format!("measures PCR0 {}", hex::encode(pcr0));
    if images.is_empty() {
        report.warn(
            name,
            format!("{text}, compared with nothing"),
            "give the release's measurements: --image PCR0:PCR1:PCR2",
        );
    } else if known {
        report.ok(name, format!("{text}, one of those given"));
    } else {
        report.fail(
            name,
            format!("{text}, none of those given"),
            "install the image of the release, or rebuild and compare it",
        );
    }
}

/// Length and PCR0 to 2.
fn measure(path: &Path) -> Result<(u64, [Pcr; 3]), String> {
    let len = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if len > IMAGE_BYTES_MAX as u64 {
        return Err(format!("longer than {IMAGE_BYTES_MAX} bytes"));
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let image = Image::from_bytes(&bytes).map_err(|error| error.to_string())?;
    let Measured { pcr0, pcr1, pcr2 } = Measured::of(&image);
    Ok((len, [pcr0.0, pcr1.0, pcr2.0]))
}
