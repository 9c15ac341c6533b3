//! Two slots for each role of a stack, as an operator has them: `a`, where the stack's own enclaves run, and `b`, empty until the next
//! release. What each party does in an upgrade is done with the command `strongroom`, as `deploy/UPGRADE.md` says.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use strongroom_proto::v1::Role;
use strongroom_sdk::identity::manifest_pcr16;
use strongroom_simulated::Authority;

use super::image::Image;
use super::kms_admin::{ACCOUNT, ADMINISTRATOR, KmsAdmin};
use super::process::Process;
use super::{ORIGIN, RP_ID, Stack, path_text, roles, start_enclave, value};
use crate::frames::Frames;

/// Longest time until an enclave has all that it needs.
const READY_TIME_MAX: Duration = Duration::from_mins(2);

/// Where an enclave of a role runs.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Slot {
    /// In the stack's own folder.
    A,
    /// In a folder of its own.
    B,
}

impl Slot {
    /// The one beside it.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// An image, and the number that its manifests say.
#[derive(Clone, Debug)]
pub struct Release {
    /// In manifests and identities.
    pub number: u32,
    image: Image,
    /// Each role's manifest, with the PCR16 that it makes.
    manifests: Vec<(Role, PathBuf, String)>,
}

impl Release {
    /// What the stack runs.
    pub fn of_stack(stack: &Stack) -> Result<Self> {
        let manifest = |role| {
            let path = stack.folder().join(format!("release-1-{}.manifest", roles::name(role)));
            fs::copy(roles::manifest(stack.folder(), role), &path)?;
            let pcr16 = hex::encode(manifest_pcr16(&fs::read(&path)?));
            Ok((role, path, pcr16))
        };
        let manifests = stack.roles().map(manifest).collect::<Result<_>>()?;
        Ok(Self { number: 1, image: stack.image().clone(), manifests })
    }

    /// The next one: its image differs, and so do its manifests.
    pub fn after(&self, stack: &Stack) -> Result<Self> {
        let number = self.number + 1;
        let folder = stack.folder().join(format!("release-{number}"));
        fs::create_dir(&folder)?;
        let manifest = |role| {
            let path = folder.join(format!("{}.manifest", roles::name(role)));
            let pcr16 = stack.write_manifest_of(number, role, stack.key_arn(role)?, &path)?;
            Ok((role, path, pcr16))
        };
        let manifests = stack.roles().map(manifest).collect::<Result<_>>()?;
        Ok(Self { number, image: self.image.patched(&folder)?, manifests })
    }

    /// `PCR0:PCR1:PCR2`.
    pub fn measured(&self) -> Result<String> {
        let image = self.image.measurements()?;
        Ok([image.pcr0, image.pcr1, image.pcr2].map(hex::encode).join(":"))
    }

    fn of(&self, role: Role) -> Result<&(Role, PathBuf, String)> {
        self.manifests.iter().find(|(it, ..)| *it == role).context("no manifest of this role")
    }
}

/// The second slots of a stack, and what runs anew in the first ones.
#[derive(Debug)]
pub struct Fleet {
    started: HashMap<(Slot, Role), Process>,
    /// How many policy files were written: each keeps its own.
    policies: usize,
}

impl Fleet {
    /// Gives every role of the stack a second slot, which is empty, and starts the host anew with it.
    pub async fn beside(stack: &mut Stack) -> Result<Self> {
        let folder = folder(stack, Slot::B);
        for sub in ["run", "logs"] {
            fs::create_dir_all(folder.join(sub))?;
        }
        // The host's own relay serves it too, and one authority signs for every NSM.
        symlink(stack.folder().join("run/relay.sock"), folder.join("run/relay.sock"))?;
        let authority = folder.join("attestation-authority");
        fs::copy(stack.folder().join("attestation-authority"), &authority)?;
        fs::set_permissions(authority, fs::Permissions::from_mode(0o600))?;
        let config = stack.folder().join("host.toml");
        let mut text = fs::read_to_string(&config)?;
        for role in stack.roles() {
            let name = roles::name(role);
            let (socket, manifest) = (roles::socket(&folder, role), roles::manifest(&folder, role));
            let credentials = stack.folder().join(format!("{name}-credentials.toml"));
            let [socket, manifest, credentials] =
                [socket, manifest, credentials].map(|path| path.display().to_string());
            write!(
                text,
                "\n[[enclave]]\nrole = {name:?}\nunix = {socket:?}\nmanifest = {manifest:?}\n\n[enclave.credentials]\nfile = {credentials:?}\n"
            )?;
        }
        fs::write(config, text)?;
        stack.restart_host().await?;
        Ok(Self { started: HashMap::new(), policies: 0 })
    }

    /// Puts a release's manifest into a slot, and starts its image there.
    pub fn start(&mut self, stack: &Stack, (slot, role): (Slot, Role), release: &Release) -> Result<()> {
        let folder = folder(stack, slot);
        fs::copy(&release.of(role)?.1, roles::manifest(&folder, role))?;
        let process = start_enclave(&folder, &release.image, role)?;
        self.started.insert((slot, role), process);
        Ok(())
    }

    /// Kills what runs in a slot as a power failure would.
    pub fn kill(&mut self, stack: &Stack, (slot, role): (Slot, Role)) -> Result<()> {
        if let Some(process) = self.started.remove(&(slot, role)) {
            process.kill();
            return Ok(());
        }
        if slot == Slot::B {
            bail!("nothing runs in this slot");
        }
        let killed = Command::new("kill").args(["-9", &stack.enclave(role)?.id().to_string()]).status()?;
        if killed.success() { Ok(()) } else { bail!("kill: {killed}") }
    }

    /// A connection to what runs in a slot.
    pub fn frames(&self, stack: &Stack, (slot, role): (Slot, Role)) -> Result<Frames> {
        Frames::connect(&roles::socket(&folder(stack, slot), role))
    }

    /// Waits until the host has given the enclave in a slot all that it needs.
    pub async fn until_ready(&self, stack: &Stack, place: (Slot, Role)) -> Result<()> {
        let started = Instant::now();
        loop {
            let missing = self.frames(stack, place)?.missing()?;
            if missing.is_empty() {
                return Ok(());
            }
            if started.elapsed() > READY_TIME_MAX {
                bail!("the enclave in {place:?} still lacks {missing:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the key administrator does: admits these releases to a role's key, and no other.
    pub async fn admit(&mut self, stack: &Stack, role: Role, releases: &[&Release]) -> Result<PathBuf> {
        self.policies += 1;
        let name = roles::name(role);
        let path = stack.folder().join(format!("{name}-policy-{}.json", self.policies));
        let user = |name: &str| format!("arn:aws:iam::{ACCOUNT}:user/{name}");
        let (enclave, administrator) = (user(roles::kms_user(role)), user(ADMINISTRATOR));
        let mut values = Vec::new();
        for release in releases {
            values.extend([
                "--image".to_owned(),
                release.measured()?,
                "--pcr16".to_owned(),
                release.of(role)?.2.clone(),
            ]);
        }
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let file = path_text(&path)?;
        let start = ["policy", "generate", "--role", name, "--enclave-role", &enclave, "--out", file];
        stack.strongroom(&[&start[..], &["--administrator", &administrator], &values].concat())?;
        let start = ["policy", "lint", file, "--role", name, "--administrator", &administrator];
        stack.strongroom(&[&start[..], &values].concat())?;
        let authority = Authority::open(&stack.folder().join("attestation-authority"))?;
        let admin = KmsAdmin::new(stack.kms_address()?, &stack.folder().join("kms"), authority)?;
        admin.put_policy(stack.key_arn(role)?, &fs::read_to_string(&path)?).await?;
        Ok(path)
    }
}

/// What the tenant does: signs and publishes the next statement over these releases' images and what the host attests now. Gives its
/// serial.
pub fn publish(stack: &Stack, releases: &[&Release], policies: &[(Role, &Path)], more: &[&str]) -> Result<u64> {
    let (folder, api) = (stack.folder().join("tenant"), stack.api()?);
    let (keys, key) = (folder.join("keys"), stack.api_key_file());
    let service = ["--dir", path_text(&keys)?, "--host", &api, "--api-key-file", path_text(&key)?];
    let mut lists = Vec::new();
    for release in releases {
        lists.extend(["--image".to_owned(), release.measured()?]);
    }
    lists.extend(stack.roles().map(|role| format!("--{}", roles::name(role))));
    for (role, path) in policies {
        lists.extend(["--key-policy".to_owned(), format!("{}={}", roles::name(*role), path_text(path)?)]);
    }
    if let Ok(hash) = fs::read_to_string(stack.mpc_recipient_file()) {
        lists.extend(["--mpc-recipient".to_owned(), hash]);
    }
    let lists: Vec<&str> = lists.iter().map(String::as_str).collect();
    let content = ["--rp-id", RP_ID, "--origin", ORIGIN];
    let printed = stack.strongroom(&[&["tenant", "statement"], &service[..], &content, &lists, more].concat())?;
    let serial = value(&printed, "statement")?;
    serial.split(' ').nth(1).and_then(|serial| serial.parse().ok()).with_context(|| format!("no serial in {serial:?}"))
}

fn folder(stack: &Stack, slot: Slot) -> PathBuf {
    match slot {
        Slot::A => stack.folder().to_owned(),
        Slot::B => stack.folder().join("slot-b"),
    }
}
