//! A second enclave beside the stack's, started by a host that is up to no good.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use strongroom_proto::enclave::v1::{Boot, SetCredentials, request, response};
use strongroom_proto::v1::Role;
use strongroom_simulated::Authority;
use strongroom_simulated::devkms::users::AccessKey;
use tempfile::TempDir;

use super::image::Image;
use super::kms_admin::{ENCLAVE_USER, KmsAdmin};
use super::process::Process;
use super::{Stack, roles, start_enclave};
use crate::frames::Frames;

/// Longest wait for it to reach KMS.
const READY_TIME_MAX: Duration = Duration::from_mins(2);

/// The enclave's process, in a folder of its own.
pub struct Rogue {
    folder: TempDir,
    image: Image,
    manifest: Vec<u8>,
    credentials: AccessKey,
    /// Killed on drop.
    process: Process,
}

impl Rogue {
    /// The genuine image under a manifest that names another KMS key, whose policy admits it.
    pub async fn on_own_key(stack: &Stack) -> Result<Self> {
        Self::on_careless_key(stack, &[]).await
    }

    /// The same, where that policy lets these actions through without attestation.
    pub async fn on_careless_key(stack: &Stack, unattested: &[&str]) -> Result<Self> {
        let authority = Authority::open(&stack.folder().join("attestation-authority"))?;
        let admin = KmsAdmin::new(stack.kms_address()?, &stack.folder().join("kms"), authority)?;
        let key_arn = admin.create_key(Role::Client).await?;
        let folder = tempfile::tempdir()?;
        let path = roles::manifest(folder.path(), Role::Client);
        let pcr16 = stack.write_manifest(Role::Client, &key_arn, &path)?;
        let images = [(hex::encode(stack.measurements()?.pcr0), pcr16)];
        admin.admit_carelessly(Role::Client, &key_arn, &images, unattested).await?;
        let image = stack.image().clone();
        Self::start(stack, folder, fs::read(path)?, &image)
    }

    /// Another image under the genuine manifest.
    pub fn with_other_image(stack: &Stack) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let image = stack.image().patched(folder.path())?;
        ensure!(image.measurements()? != stack.measurements()?, "the patched image measures the same");
        let manifest = fs::read(roles::manifest(stack.folder(), Role::Client))?;
        Self::start(stack, folder, manifest, &image)
    }

    /// The genuine image under a manifest that differs in its release alone.
    pub fn with_other_manifest(stack: &Stack) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = roles::manifest(folder.path(), Role::Client);
        stack.write_manifest_of(2, Role::Client, stack.key_arn(Role::Client)?, &path)?;
        let image = stack.image().clone();
        Self::start(stack, folder, fs::read(path)?, &image)
    }

    fn start(stack: &Stack, folder: TempDir, manifest: Vec<u8>, image: &Image) -> Result<Self> {
        for sub in ["run", "logs"] {
            fs::create_dir(folder.path().join(sub))?;
        }
        // The host's own relay serves it too.
        std::os::unix::fs::symlink(stack.folder().join("run/relay.sock"), folder.path().join("run/relay.sock"))?;
        fs::copy(stack.folder().join("attestation-authority"), folder.path().join("attestation-authority"))?;
        fs::set_permissions(folder.path().join("attestation-authority"), fs::Permissions::from_mode(0o600))?;
        // The host holds the genuine enclave's credentials, and hands them to whom it likes.
        let credentials = AccessKey::read(&stack.folder().join("kms"), ENCLAVE_USER)?;
        let process = start_enclave(folder.path(), image, Role::Client)?;
        Ok(Self { folder, image: image.clone(), manifest, credentials, process })
    }

    /// What runs.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// What it has logged.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.process.log)?)
    }

    /// Hands in manifest and credentials, and waits until the enclave lacks nothing, or nothing but KMS.
    pub fn boot(&self) -> Result<Frames> {
        let mut frames = self.hand_in()?;
        let started = Instant::now();
        loop {
            let missing = frames.missing()?;
            if missing.iter().all(|part| part == "kms")
                && (missing.is_empty() || started.elapsed() > Duration::from_secs(3))
            {
                return Ok(frames);
            }
            if started.elapsed() > READY_TIME_MAX {
                bail!("it still lacks {missing:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Hands in manifest and credentials.
    pub fn hand_in(&self) -> Result<Frames> {
        let mut frames = self.answering()?;
        match frames.ask(request::Body::Boot(Boot { manifest: self.manifest.clone() }))? {
            response::Body::Booted(_) => {}
            other => bail!("not booted: {other:?}"),
        }
        frames.ask(request::Body::SetCredentials(SetCredentials {
            access_key_id: self.credentials.access_key_id.clone(),
            secret_access_key: self.credentials.secret_access_key.expose().to_owned(),
            session_token: String::new(),
            expires_at_ms: 0,
        }))?;
        Ok(frames)
    }

    /// A connection that is answered: a machine's bridge closes one now and then that comes when it is busy.
    fn answering(&self) -> Result<Frames> {
        let started = Instant::now();
        loop {
            let asked = Frames::connect(&self.socket()).and_then(|mut frames| frames.missing().map(|_| frames));
            match asked {
                Err(_) if started.elapsed() < READY_TIME_MAX => std::thread::sleep(Duration::from_millis(20)),
                other => return other,
            }
        }
    }

    fn socket(&self) -> PathBuf {
        roles::socket(self.folder.path(), Role::Client)
    }
}
