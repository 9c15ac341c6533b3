//! A complete Strongroom on this machine: development KMS, a simulated enclave for each role, host, and a tenant, on loopback and unix
//! sockets in one folder.

pub mod backend;
pub mod fleet;
pub mod image;
pub mod kms_admin;
pub mod process;
pub mod rogue;
pub mod roles;
mod settings;
mod tenant;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use strongroom_proto::v1::Role;
use strongroom_simulated::{Authority, Measurements};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::frames::Frames;
use image::Image;
use kms_admin::{ACCOUNT, ADMINISTRATOR, CUSTODIAN_USER, ENCLAVE_USER, KmsAdmin, REGION};
use process::{Process, binary, libfaketime};

/// Longest time until each enclave has a manifest, credentials, KMS and the time; in a virtual machine they are slow.
const SERVING_TIME_MAX: Duration = Duration::from_mins(3);

/// Passphrase of the tenant's root and standby keys in the stack.
pub const PASSPHRASE: &str = "a passphrase for this stack alone";

/// The relying party of the stack's tenant.
pub const RP_ID: &str = "wallet.example";
/// Its origin.
pub const ORIGIN: &str = "https://wallet.example";

/// A running stack. Dropping it kills every process; the folder goes with whoever made it.
#[derive(Debug)]
pub struct Stack {
    folder: PathBuf,
    /// What runs as every enclave.
    image: Image,
    /// Each role, with the ARN of its KMS key.
    keys: Vec<(Role, String)>,
    processes: Option<Processes>,
}

#[derive(Debug)]
struct Processes {
    kms: Process,
    kms_address: SocketAddr,
    /// In the order of the stack's roles.
    enclaves: Vec<Process>,
    host: Process,
    api: SocketAddr,
}

impl Stack {
    /// Starts everything for client shares in `folder` and makes a tenant with an API key and a statement.
    pub async fn start(folder: &Path) -> Result<Self> {
        Self::start_with(folder, roles::CLIENT).await
    }

    /// As [`Stack::start`], with an enclave for each of these roles.
    pub async fn start_with(folder: &Path, roles: &[Role]) -> Result<Self> {
        Self::start_image(folder, roles, Image::Simulated(binary("strongroom-simulated")?)).await
    }

    /// As [`Stack::start_with`], with another image than the simulated enclave.
    pub async fn start_image(folder: &Path, roles: &[Role], image: Image) -> Result<Self> {
        let mut stack = Self::prepare(folder, roles, image).await?;
        stack.start_enclaves_and_host().await?;
        stack.make_tenant()?;
        Ok(stack)
    }

    /// Starts the development KMS, makes each role's key, its manifest and its policy.
    async fn prepare(folder: &Path, roles: &[Role], image: Image) -> Result<Self> {
        for sub in ["kms", "logs", "run", "tenant"] {
            fs::create_dir_all(folder.join(sub))?;
        }
        let authority = Authority::open(&folder.join("attestation-authority"))?;
        fs::write(folder.join("attestation-root.der"), authority.root_der())?;
        let (kms, kms_address) = start_kms(folder)?;
        let admin = KmsAdmin::new(kms_address, &folder.join("kms"), authority)?;
        let mut stack = Self { folder: folder.to_owned(), image, keys: Vec::new(), processes: None };
        for role in roles {
            let key = admin.create_key(*role).await?;
            let pcr16 = stack.write_manifest(*role, &key, &roles::manifest(folder, *role))?;
            admin.admit(*role, &key, &[(hex::encode(stack.measurements()?.pcr0), pcr16)]).await?;
            stack.keys.push((*role, key));
        }
        drop(kms);
        Ok(stack)
    }

    /// Starts every process over what the folder holds.
    pub async fn start_enclaves_and_host(&mut self) -> Result<()> {
        let (kms, kms_address) = start_kms(&self.folder)?;
        let enclaves = self.start_enclaves()?;
        settings::write_host(&self.folder, kms_address, self.roles())?;
        let (host, api) = start_host(&self.folder, None)?;
        self.processes = Some(Processes { kms, kms_address, enclaves, host, api });
        self.wait_until_serving().await
    }

    fn start_enclaves(&self) -> Result<Vec<Process>> {
        self.roles().map(|role| start_enclave(&self.folder, &self.image, role)).collect()
    }

    /// Kills the host alone, and starts it again over the same database and enclaves.
    pub async fn restart_host(&mut self) -> Result<()> {
        self.replace_host(None).await
    }

    /// As [`Stack::restart_host`], with the wall clock of the host alone moved, such as by `+10y`.
    pub async fn restart_host_at(&mut self, clock: &str) -> Result<()> {
        self.replace_host(Some(clock)).await
    }

    async fn replace_host(&mut self, clock: Option<&str>) -> Result<()> {
        let processes = self.processes.take().context("the stack is not running")?;
        processes.host.kill();
        let (host, api) = start_host(&self.folder, clock)?;
        self.processes = Some(Processes { host, api, ..processes });
        self.wait_until_serving().await
    }

    /// Kills a role's enclave alone, and starts it again: the host finds it by itself, and perhaps serves on for a moment.
    pub async fn restart_enclave(&mut self, role: Role) -> Result<()> {
        let place = self.roles().position(|it| it == role).context("no enclave of this role here")?;
        let processes = self.processes.as_mut().context("the stack is not running")?;
        processes.enclaves.remove(place).kill();
        processes.enclaves.insert(place, start_enclave(&self.folder, &self.image, role)?);
        self.wait_until_serving().await
    }

    /// Kills enclaves and host, and starts them again over the same database and KMS.
    pub async fn restart_enclaves_and_host(&mut self) -> Result<()> {
        let Processes { kms, kms_address, enclaves, host, .. } =
            self.processes.take().context("the stack is not running")?;
        host.kill();
        enclaves.into_iter().for_each(Process::kill);
        let enclaves = self.start_enclaves()?;
        let (host, api) = start_host(&self.folder, None)?;
        self.processes = Some(Processes { kms, kms_address, enclaves, host, api });
        self.wait_until_serving().await
    }

    /// Kills everything, and starts it over an empty database. The tenant is registered again, with the same keys and a new API key: what
    /// another operator does.
    pub async fn start_over(&mut self) -> Result<()> {
        self.kill();
        for end in ["", "-wal", "-shm"] {
            let path = format!("{}{end}", self.database().display());
            if Path::new(&path).exists() {
                fs::remove_file(path)?;
            }
        }
        self.start_enclaves_and_host().await?;
        self.register_again()
    }

    /// Kills every process as a power failure would.
    pub fn kill(&mut self) {
        if let Some(processes) = self.processes.take() {
            processes.host.kill();
            processes.enclaves.into_iter().for_each(Process::kill);
            processes.kms.kill();
        }
    }

    /// Waits until the host says that it serves, which it does once its enclaves lack nothing.
    async fn wait_until_serving(&self) -> Result<()> {
        let started = Instant::now();
        let channel = Endpoint::new(self.api()?)?.connect().await?;
        let mut health = HealthClient::new(channel);
        loop {
            let answer = health.check(HealthCheckRequest::default()).await?.into_inner();
            if answer.status() == ServingStatus::Serving {
                return Ok(());
            }
            if started.elapsed() > SERVING_TIME_MAX {
                let missing = |role| Frames::connect(&self.enclave_socket(role))?.missing();
                let missing = self.roles().map(missing).collect::<Result<Vec<_>>>()?;
                bail!("not serving; the enclaves lack {missing:?}; logs are in {}", self.folder.join("logs").display());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Runs the `strongroom` command with the stack's settings; gives its standard output.
    pub fn strongroom(&self, arguments: &[&str]) -> Result<String> {
        let output = self.strongroom_command(arguments)?.output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        bail!("strongroom {} failed:\n{text}{}", arguments.join(" "), String::from_utf8_lossy(&output.stderr))
    }

    /// The `strongroom` command with the stack's development root and passphrase.
    pub fn strongroom_command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary("strongroom")?);
        command
            .env("STRONGROOM_PASSPHRASE", PASSPHRASE)
            .arg("--development-root")
            .arg(self.folder.join("attestation-root.der"))
            .args(arguments);
        Ok(command)
    }

    /// Makes a wallet, as the tenant's backend does.
    pub fn create_wallet(&self, wallet: &str) -> Result<()> {
        let key = self.api_key_file();
        let service = ["--host", &self.api()?, "--api-key-file", path_text(&key)?];
        self.strongroom(&[&["tenant", "create-wallet", "--wallet", wallet], &service[..]].concat()).map(|_| ())
    }

    /// Arguments that say to every device command which service it talks to.
    pub fn service_arguments(&self) -> Result<Vec<String>> {
        let key = self.api_key_file();
        Ok(["--tenant", &self.tenant()?, "--host", &self.api()?, "--api-key-file", path_text(&key)?]
            .map(str::to_owned)
            .into())
    }

    /// Address of the gRPC API.
    pub fn api(&self) -> Result<String> {
        Ok(format!("http://{}", self.processes()?.api))
    }

    /// Address of the development KMS.
    pub fn kms_address(&self) -> Result<SocketAddr> {
        Ok(self.processes()?.kms_address)
    }

    /// The process ids of KMS, host and the enclaves in the order of the roles.
    pub fn process_ids(&self) -> Result<Vec<u32>> {
        let Processes { kms, host, enclaves, .. } = self.processes()?;
        Ok([kms, host].into_iter().chain(enclaves).map(Process::id).collect())
    }

    /// The roles that have an enclave here.
    pub fn roles(&self) -> impl Iterator<Item = Role> + '_ {
        self.keys.iter().map(|(role, _)| *role)
    }

    /// ARN of a role's KMS key.
    pub fn key_arn(&self, role: Role) -> Result<&str> {
        let mut keys = self.keys.iter();
        Ok(&keys.find(|(it, _)| *it == role).context("no enclave of this role here")?.1)
    }

    /// The process of a role's enclave.
    pub fn enclave(&self, role: Role) -> Result<&Process> {
        let place = self.roles().position(|it| it == role).context("no enclave of this role here")?;
        self.processes()?.enclaves.get(place).context("the stack is not running")
    }

    /// The processes of all enclaves.
    pub fn enclaves(&self) -> Result<&[Process]> {
        Ok(&self.processes()?.enclaves)
    }

    /// The host's process.
    pub fn host(&self) -> Result<&Process> {
        Ok(&self.processes()?.host)
    }

    fn processes(&self) -> Result<&Processes> {
        self.processes.as_ref().context("the stack is not running")
    }

    /// The folder of everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What runs as every enclave.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The host's database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.folder.join("strongroom.db")
    }

    /// The socket of a role's enclave.
    #[must_use]
    pub fn enclave_socket(&self, role: Role) -> PathBuf {
        roles::socket(&self.folder, role)
    }

    /// The operator's socket.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.folder.join("run/admin.sock")
    }

    /// The file with the tenant's API key.
    #[must_use]
    pub fn api_key_file(&self) -> PathBuf {
        self.folder.join("tenant/api-key")
    }

    /// The tenant's id, hex.
    pub fn tenant(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.join("tenant/id"))?)
    }

    /// What every enclave measures as.
    pub fn measurements(&self) -> Result<Measurements> {
        self.image.measurements()
    }

    fn write_manifest(&self, role: Role, key_arn: &str, out: &Path) -> Result<String> {
        self.write_manifest_of(1, role, key_arn, out)
    }

    /// Writes the manifest for a release of this number, and gives the PCR16 that it leads to.
    pub fn write_manifest_of(&self, release: u32, role: Role, key_arn: &str, out: &Path) -> Result<String> {
        let printed = self.strongroom(&[
            "operator",
            "manifest",
            "--role",
            roles::name(role),
            "--kms-key-arn",
            key_arn,
            "--region",
            REGION,
            "--release",
            &release.to_string(),
            "--development-kms-root",
            path_text(&self.folder.join("kms/tls-root.der"))?,
            "--out",
            path_text(out)?,
        ])?;
        value(&printed, "pcr16")
    }
}

/// Starts the development KMS over `kms` and `attestation-root.der` in `folder`; gives its address.
pub fn start_kms(folder: &Path) -> Result<(Process, SocketAddr)> {
    let mut command = Command::new(binary("strongroom-devkms")?);
    command
        .args(["--listen", "127.0.0.1:0", "--region", REGION, "--account", ACCOUNT])
        .args(["--user", ADMINISTRATOR, "--user", ENCLAVE_USER, "--user", CUSTODIAN_USER, "--state"])
        .arg(folder.join("kms"))
        .arg("--attestation-root")
        .arg(folder.join("attestation-root.der"));
    let (process, address) = Process::start(command, &folder.join("logs/kms"), "listening")?;
    Ok((process, address.parse()?))
}

fn start_host(folder: &Path, clock: Option<&str>) -> Result<(Process, SocketAddr)> {
    let mut command = Command::new(binary("strongroom-host")?);
    if let Some(clock) = clock {
        // Timers run by the other clock, which stays true.
        command.env("LD_PRELOAD", libfaketime()?).env("FAKETIME", clock).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    command.arg("--config").arg(folder.join("host.toml"));
    let (host, line) = Process::start(command, &folder.join("logs/host"), "strongroom-host ready")?;
    let api =
        line.split_whitespace().find_map(|word| word.strip_prefix("api=")).context("no api= in the ready line")?;
    Ok((host, api.parse()?))
}

/// Starts the enclave of a role from `image`.
pub fn start_enclave(folder: &Path, image: &Image, role: Role) -> Result<Process> {
    image.start(folder, role)
}

/// The value of a printed line `name value`.
pub fn value(printed: &str, name: &str) -> Result<String> {
    let found = printed.lines().find_map(|line| line.split_once(' ').filter(|(word, _)| *word == name));
    Ok(found.with_context(|| format!("no line {name:?} in:\n{printed}"))?.1.trim().to_owned())
}

/// A path as an argument.
pub fn path_text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
