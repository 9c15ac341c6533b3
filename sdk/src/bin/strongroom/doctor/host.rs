//! The host's configuration: whether the host itself takes it, where its relay leads, and what its manifests say.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use strongroom_sdk::attestation::Pcr;
use strongroom_sdk::identity::manifest_pcr16;
use strongroom_sdk::proto::canonical;
use strongroom_sdk::proto::limits::MANIFEST_BYTES_MAX;
use strongroom_sdk::proto::v1::{Manifest, Role};
use strongroom_sdk::{files, role_name};

use super::http::WAIT_MAX;
use super::program;
use super::report::Report;
use super::slots::{self, Given};
use crate::operator::check_arn;

/// Longest configuration in bytes, as the host has it.
const CONFIG_BYTES_MAX: usize = 64 * 1024;
const KMS_PORT: u16 = 443;
/// The user that the host's unit runs it as, who may read less than root.
const USER: &str = "strongroom";

/// What is looked at; the host's own check knows the rest.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    enclave: Vec<Enclave>,
    relay: Relay,
}

#[derive(Deserialize)]
pub(super) struct Enclave {
    pub(super) role: String,
    /// None where the enclave is reached otherwise.
    pub(super) vsock: Option<Vsock>,
    pub(super) manifest: PathBuf,
    credentials: Option<Credentials>,
}

#[derive(Deserialize)]
pub(super) struct Vsock {
    pub(super) cid: u64,
}

/// A manifest that could be read.
pub(super) struct Booted {
    pub(super) role: Role,
    pub(super) pcr16: Pcr,
    pub(super) key: String,
    pub(super) is_development: bool,
}

#[derive(Deserialize)]
struct Credentials {
    /// The instance's role whose credentials are fetched; none where they come from a file.
    instance_role: Option<String>,
}

#[derive(Deserialize)]
struct Relay {
    names: BTreeMap<String, String>,
}

/// Every manifest that could be read. `instance_role` is the one that instance metadata names; `given` are the enclaves that are to run.
pub(super) fn check(
    path: &Path,
    program: &Path,
    instance_role: Option<&str>,
    given: &[Given],
    report: &mut Report,
) -> Vec<Booted> {
    let name = format!("host configuration {}", path.display());
    let todo = "correct it; host/strongroom-host.example.toml shows every field";
    let shown = path.to_string_lossy();
    match program::run(program, &["--config", &shown, "--check"]) {
        Ok(ended) if ended.success && is_root() => {
            let todo = format!("sudo -u {USER} {} --config {shown} --check", program.display());
            report.warn(
                &name,
                format!("the host takes it; looked as root: WHETHER {USER} MAY READ its files was not looked at"),
                todo,
            );
        }
        Ok(ended) if ended.success => {
            report.ok(&name, "the host takes it, and whoever runs this may read the files that it names");
        }
        Ok(ended) => report.fail(&name, format!("the host refuses it: {}", ended.err.trim()), todo),
        Err(error) => {
            let text = format!("not checked: {}: {error}", program.display());
            report.fail(&name, text, "install strongroom-host, or name it: --host-program");
        }
    }
    let config = match read(path) {
        Ok(config) => config,
        Err(error) => {
            report.fail(&name, error, todo);
            return Vec::new();
        }
    };
    for (name, target) in &config.relay.names {
        reach(name, target, report);
    }
    slots::check(given, &config.enclave, report);
    for enclave in &config.enclave {
        credentials(enclave, instance_role, report);
    }
    let mut manifests = Vec::new();
    for enclave in &config.enclave {
        let is_used = |other: &Enclave| other.manifest.is_file() || slots::is_given(other, given);
        let another = |other: &Enclave| other.role == enclave.role && is_used(other);
        if !enclave.manifest.exists() && config.enclave.iter().any(another) {
            slots::empty(enclave, given, report);
            continue;
        }
        manifests.extend(manifest(enclave, &config.relay.names, report));
    }
    slots::keys(&manifests, report);
    manifests
}

/// Whether this process has root's eyes.
#[cfg(target_os = "linux")]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

#[cfg(not(target_os = "linux"))]
fn is_root() -> bool {
    false
}

fn read(path: &Path) -> Result<Config, String> {
    let bytes = files::read(path, CONFIG_BYTES_MAX).map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|error| error.to_string())?;
    toml::from_str(text).map_err(|error| error.message().to_owned())
}

fn credentials(enclave: &Enclave, is: Option<&str>, report: &mut Report) {
    let Some(wanted) = enclave.credentials.as_ref().and_then(|it| it.instance_role.as_deref()) else { return };
    let name = format!("credentials, {}", enclave.role);
    match is {
        Some(is) if is == wanted => report.ok(name, format!("of {wanted}, the instance's role")),
        Some(is) => {
            let todo = "name the instance's role in the configuration, or give the instance that profile";
            report.fail(name, format!("of {wanted}, and the instance's role is {is}"), todo);
        }
        None => report.skip(name, format!("of {wanted}; NOT COMPARED, for the instance's role is unknown")),
    }
}

fn reach(name: &str, target: &str, report: &mut Report) {
    let check = format!("KMS {name}");
    let found = if target.is_empty() {
        (name, KMS_PORT).to_socket_addrs().map(Iterator::collect)
    } else {
        target.to_socket_addrs().map(Iterator::collect)
    };
    let addresses: Vec<SocketAddr> = match found {
        Ok(addresses) => addresses,
        Err(error) => return report.fail(check, format!("no address: {error}"), "does the VPC resolve names?"),
    };
    let mut last = "no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, WAIT_MAX) {
            Ok(_) => {
                return report.ok(check, format!("{address} takes connections; TLS and KMS are the enclave's to try"));
            }
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    report.fail(
        check,
        last,
        "let the security group out on 443, and give the subnet a NAT gateway or an endpoint for KMS",
    );
}

fn manifest(enclave: &Enclave, names: &BTreeMap<String, String>, report: &mut Report) -> Option<Booted> {
    let name = format!("manifest {}", enclave.manifest.display());
    let todo = "write it again: strongroom operator manifest";
    let bytes = match files::read(&enclave.manifest, MANIFEST_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) => {
            report.fail(name, error.to_string(), todo);
            return None;
        }
    };
    let Ok(manifest) = canonical::decode::<Manifest>(&bytes, MANIFEST_BYTES_MAX) else {
        report.fail(name, "no manifest, or not in its one encoding", todo);
        return None;
    };
    let pcr16 = manifest_pcr16(&bytes);
    match problem(&manifest, &enclave.role, names) {
        Some(problem) => report.fail(name, problem, todo),
        None => report.ok(
            name,
            format!("release {}, key {}, PCR16 {}", manifest.release, manifest.kms_key_arn, hex::encode(pcr16)),
        ),
    }
    let (role, is_development) = (manifest.role(), manifest.development.is_some());
    Some(Booted { role, pcr16, key: manifest.kms_key_arn, is_development })
}

fn problem(manifest: &Manifest, role: &str, names: &BTreeMap<String, String>) -> Option<String> {
    let is = role_name(manifest.role());
    if is != role {
        return Some(format!("is of the role {is}, and the configuration says {role}"));
    }
    if manifest.release == 0 {
        return Some("has no release".to_owned());
    }
    if manifest.development.is_some() {
        return Some("is for development: devices refuse it".to_owned());
    }
    if let Err(error) = check_arn(&manifest.kms_key_arn, &manifest.region) {
        return Some(format!("names a key that an enclave refuses: {error}"));
    }
    let kms = format!("kms.{}.amazonaws.com", manifest.region);
    (!names.contains_key(&kms)).then(|| format!("asks for {kms}, which relay.names does not list"))
}
