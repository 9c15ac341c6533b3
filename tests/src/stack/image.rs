//! What runs as the enclaves of a stack.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};
use serde_json::json;
use strongroom_proto::v1::Role;
use strongroom_sdk::image::{self, Archive, Entry, Measured};
use strongroom_simulated::Measurements;

use super::process::Process;
use super::roles;
use crate::vm::machine::{self, Console};

/// An image of the enclave.
#[derive(Clone, Debug)]
pub enum Image {
    /// The simulated enclave's executable, which measures itself.
    Simulated(PathBuf),
    /// An enclave image, booted in a virtual machine.
    Machine(PathBuf),
}

impl Image {
    /// What it measures as.
    pub fn measurements(&self) -> Result<Measurements> {
        match self {
            Self::Simulated(path) => Ok(Measurements::of_file(path)?),
            Self::Machine(path) => {
                let Measured { pcr0, pcr1, pcr2 } = Measured::of(&machine::read(path)?);
                Ok(Measurements { pcr0: pcr0.0, pcr1: pcr1.0, pcr2: pcr2.0 })
            }
        }
    }

    /// An image file that measures the same, for a release file. A simulated enclave's parts stand where a real image has its own.
    pub fn eif(&self) -> Result<Vec<u8>> {
        let Self::Simulated(path) = self else { bail!("the image of a virtual machine is a file already") };
        let metadata = json!({
            "ImageVersion": "simulated",
            "CustomMetadata": { "BuiltWith": { "gcc": "none", "libc.a": "none", "rustc": "as this test" } },
        });
        let image = image::Image {
            default_memory: 64 << 20,
            default_cpus: 2,
            kernel: b"strongroom simulated enclave".to_vec(),
            command_line: ": no".to_owned(),
            metadata: metadata.to_string().into_bytes(),
            ramdisks: vec![b" kernel".to_vec(), fs::read(path)?],
        };
        let Measured { pcr0, pcr1, pcr2 } = Measured::of(&image);
        let same = self.measurements()? == Measurements { pcr0: pcr0.0, pcr1: pcr1.0, pcr2: pcr2.0 };
        ensure!(same, "the image file measures otherwise than the simulated enclave");
        Ok(image.to_bytes()?)
    }

    /// An image that does the same and measures differently, in a folder: its application has one more byte.
    pub fn patched(&self, folder: &Path) -> Result<Self> {
        let out = folder.join("patched-enclave");
        match self {
            Self::Simulated(path) => {
                let mut executable = fs::read(path)?;
                executable.push(0);
                fs::write(&out, executable)?;
                fs::set_permissions(&out, fs::Permissions::from_mode(0o700))?;
                Ok(Self::Simulated(out))
            }
            Self::Machine(path) => {
                let mut image = machine::read(path)?;
                let mut more = Archive::new(0);
                more.add("patch", Entry::File { content: vec![0], executable: false })?;
                if let Some(application) = image.ramdisks.last_mut() {
                    application.extend(more.to_bytes());
                }
                fs::write(&out, image.to_bytes()?)?;
                Ok(Self::Machine(out))
            }
        }
    }

    /// Starts it as the enclave of a role, in a stack's folder.
    pub(super) fn start(&self, folder: &Path, role: Role) -> Result<Process> {
        let path = match self {
            Self::Simulated(path) => path,
            Self::Machine(path) => return machine::start(folder, path, role, Console::Serial),
        };
        let mut command = Command::new(path);
        command
            .arg("--listen")
            .arg(roles::socket(folder, role))
            .arg("--relay")
            .arg(folder.join("run/relay.sock"))
            .arg("--authority")
            .arg(folder.join("attestation-authority"));
        let log = folder.join("logs").join(format!("{}-enclave", roles::name(role)));
        Ok(Process::start(command, &log, "listening")?.0)
    }
}
