//! `strongroom operator`: the calls of the host's admin socket, and manifests.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use prost::Message;
use strongroom_sdk::attestation::Time;
use strongroom_sdk::client::{admin, connect};
use strongroom_sdk::identity::manifest_pcr16;
use strongroom_sdk::proto::id::TenantId;
use strongroom_sdk::proto::limits::CAPSULE_BYTES_MAX;
use strongroom_sdk::proto::limits::MANIFEST_BYTES_MAX;
use strongroom_sdk::proto::v1::{
    CreateApiKeyRequest, CreateKekRequest, CreateTenantRequest, Development, KekState, ListKeksRequest, Manifest,
    RevokeApiKeyRequest, Role, RotateKekRequest,
};
use strongroom_sdk::{Error, files, role_name};

use crate::options::{self, RoleName};
use crate::show::{Show, plain};

mod fleet;

/// Commands of an operator.
#[derive(Debug, Subcommand)]
pub(crate) enum Operator {
    /// Register a tenant by its two public keys.
    CreateTenant(CreateTenant),
    /// Make an API key of a tenant. It is shown once.
    CreateApiKey(CreateApiKey),
    /// Revoke an API key.
    RevokeApiKey(RevokeApiKey),
    /// Make a tenant's KEK in a role.
    CreateKek(CreateKek),
    /// Make the KEK of a tenant's next epoch in a role. It waits until a statement names it (`tenant statement`).
    RotateKek(CreateKek),
    /// List the epochs of a tenant, and what is sealed under each.
    ListKeks(ListKeks),
    /// List the tenants.
    ListTenants(Socket),
    /// Show the host's enclaves: whether they serve, what they lack, and what they said last.
    Fleet(fleet::Fleet),
    /// Take in a capsule of a registered tenant. The host believes nothing of it: a capsule that lies does not open.
    ImportCapsule(ImportCapsule),
    /// Write an enclave's manifest and print the PCR16 that it makes.
    #[command(after_help = MANIFEST_HELP)]
    Manifest(ManifestOptions),
}

const MANIFEST_HELP: &str = "\
The KMS key's policy must require this PCR16, and the tenant's statement accept it.

Example:
  strongroom operator manifest --role client --region eu-central-1 --release 1 --out client.manifest \\
    --kms-key-arn arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

#[derive(Args, Debug)]
pub(crate) struct Socket {
    /// The host's admin socket.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct CreateTenant {
    #[command(flatten)]
    socket: Socket,
    /// The tenant's root public key, 64 hex digits.
    #[arg(long, value_name = "HEX", value_parser = options::hex32)]
    root_key: [u8; 32],
    /// The tenant's standby public key, 64 hex digits.
    #[arg(long, value_name = "HEX", value_parser = options::hex32)]
    standby_key: [u8; 32],
    /// What the operator's lists call it, at most 64 bytes.
    #[arg(long, value_name = "TEXT", default_value = "")]
    name: String,
}

#[derive(Args, Debug)]
pub(crate) struct CreateApiKey {
    #[command(flatten)]
    socket: Socket,
    /// The tenant's id.
    #[arg(long, value_name = "ID", value_parser = options::tenant_id)]
    tenant: TenantId,
    /// What the operator calls the key, at most 64 bytes.
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,
    /// Write the key to this new file instead of the terminal.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct RevokeApiKey {
    #[command(flatten)]
    socket: Socket,
    /// The key's id, as `create-api-key` printed it.
    #[arg(long, value_name = "ID")]
    key_id: String,
}

#[derive(Args, Debug)]
pub(crate) struct CreateKek {
    #[command(flatten)]
    socket: Socket,
    /// The tenant's id.
    #[arg(long, value_name = "ID", value_parser = options::tenant_id)]
    tenant: TenantId,
    /// The role.
    #[arg(long)]
    role: RoleName,
}

#[derive(Args, Debug)]
pub(crate) struct ListKeks {
    #[command(flatten)]
    socket: Socket,
    /// The tenant's id.
    #[arg(long, value_name = "ID", value_parser = options::tenant_id)]
    tenant: TenantId,
}

#[derive(Args, Debug)]
pub(crate) struct ImportCapsule {
    #[command(flatten)]
    socket: Socket,
    /// The capsule, as `tenant export-capsule` wrote it.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct ManifestOptions {
    /// The role that the enclave serves.
    #[arg(long)]
    role: RoleName,
    /// ARN of the role's KMS key; no alias.
    #[arg(long, value_name = "ARN")]
    kms_key_arn: String,
    /// AWS region of that key.
    #[arg(long, value_name = "REGION")]
    region: String,
    /// Number of the release that the image belongs to.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    release: u64,
    /// FOR DEVELOPMENT ONLY: the root (X.509, DER) of the development KMS. Devices refuse such an enclave by default.
    #[arg(long, value_name = "FILE.der")]
    development_kms_root: Option<PathBuf>,
    /// The new file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(crate) async fn run(command: Operator, show: Show) -> anyhow::Result<()> {
    match command {
        Operator::CreateTenant(options) => create_tenant(&options, show).await?,
        Operator::CreateApiKey(options) => create_api_key(&options, show).await?,
        Operator::RevokeApiKey(options) => {
            let request = RevokeApiKeyRequest { key_id: options.key_id.clone() };
            admin::revoke_api_key(options.socket.connect().await?, request).await?;
            show.value("revoked", &options.key_id);
        }
        Operator::CreateKek(options) => {
            let role: Role = options.role.into();
            let request = CreateKekRequest { tenant: options.tenant.0.to_vec(), role: role.into() };
            show.waiting("making the KEK");
            show.value("epoch", admin::create_kek(options.socket.connect().await?, request).await?);
        }
        Operator::RotateKek(options) => {
            let role: Role = options.role.into();
            let request = RotateKekRequest { tenant: options.tenant.0.to_vec(), role: role.into() };
            show.waiting("making the KEK of the next epoch");
            show.value("epoch", admin::rotate_kek(options.socket.connect().await?, request).await?);
        }
        Operator::ListKeks(options) => list_keks(&options, show).await?,
        Operator::ListTenants(socket) => {
            for tenant in admin::list_tenants(socket.connect().await?).await? {
                let name: String = tenant.display_name.chars().filter(|c| !c.is_control()).collect();
                let since = Time::from_unix_ms(tenant.created_ms);
                show.value("tenant", format_args!("{} since {since} {name:?}", hex::encode(&tenant.tenant)));
            }
        }
        Operator::Fleet(options) => fleet::run(&options, show).await?,
        Operator::ImportCapsule(options) => import_capsule(&options, show).await?,
        Operator::Manifest(options) => manifest(&options, show)?,
    }
    Ok(())
}

impl Socket {
    async fn connect(&self) -> Result<admin::Connection, Error> {
        connect(&format!("unix:{}", self.socket.display())).await
    }
}

async fn create_tenant(options: &CreateTenant, show: Show) -> Result<(), Error> {
    let request = CreateTenantRequest {
        root_key: options.root_key.to_vec(),
        standby_key: options.standby_key.to_vec(),
        display_name: options.name.clone(),
    };
    let tenant = admin::create_tenant(options.socket.connect().await?, request).await?;
    show.value("tenant", tenant);
    Ok(())
}

async fn create_api_key(options: &CreateApiKey, show: Show) -> Result<(), Error> {
    if let Some(path) = &options.out {
        files::check_new(path)?;
    }
    let request = CreateApiKeyRequest { tenant: options.tenant.0.to_vec(), label: options.label.clone() };
    let made = admin::create_api_key(options.socket.connect().await?, request).await?;
    show.value("key-id", &made.key_id);
    match &options.out {
        Some(path) => {
            files::write_new(path, format!("{}\n", made.api_key).as_bytes())?;
            show.value("api-key", format_args!("in {}", path.display()));
        }
        None => show.value("api-key", &made.api_key),
    }
    Ok(())
}

async fn import_capsule(options: &ImportCapsule, show: Show) -> Result<(), Error> {
    let bytes = files::read(&options.file, CAPSULE_BYTES_MAX)?;
    show.waiting("importing");
    let answer = admin::import_capsule(options.socket.connect().await?, &bytes).await?;
    show.value("tenant", hex::encode(&answer.tenant));
    show.value("wallet", plain(&answer.wallet));
    show.value("backup", plain(&answer.backup));
    Ok(())
}

async fn list_keks(options: &ListKeks, show: Show) -> Result<(), Error> {
    let request = ListKeksRequest { tenant: options.tenant.0.to_vec() };
    for kek in admin::list_keks(options.socket.connect().await?, request).await? {
        let state = match kek.state() {
            KekState::Waiting => "waiting for a statement that names it",
            KekState::Current => "current",
            KekState::Retiring => "retiring",
            KekState::Retired => "retired",
            KekState::Unspecified => "unknown",
        };
        let since = Time::from_unix_ms(kek.created_ms);
        let role = role_name(kek.role());
        show.value(
            "kek",
            format_args!(
                "{role} epoch {}, {state}, since {since}: {} records, {} shares",
                kek.epoch, kek.records, kek.shares
            ),
        );
    }
    Ok(())
}

fn manifest(options: &ManifestOptions, show: Show) -> Result<(), Error> {
    check_arn(&options.kms_key_arn, &options.region)?;
    let root = options.development_kms_root.as_ref().map(|path| files::read(path, MANIFEST_BYTES_MAX)).transpose()?;
    if root.is_some() {
        show.warning("DEVELOPMENT: this manifest trusts a KMS that is not Amazon's. Devices refuse it by default.");
    }
    let role: Role = options.role.into();
    let manifest = Manifest {
        role: role.into(),
        kms_key_arn: options.kms_key_arn.clone(),
        region: options.region.clone(),
        release: options.release,
        development: root.map(|der| Development { kms_root_der: der.to_vec() }),
    }
    .encode_to_vec();
    if manifest.len() > MANIFEST_BYTES_MAX {
        let problem = format!("has {} bytes; at most {MANIFEST_BYTES_MAX} are allowed", manifest.len());
        return Err(Error::Input { field: "manifest".to_owned(), problem });
    }
    files::write_new(&options.out, &manifest)?;
    show.value("pcr16", hex::encode(manifest_pcr16(&manifest)));
    Ok(())
}

/// `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`: the enclave refuses aliases and multi-Region keys, so a manifest with one never serves.
pub(crate) fn check_arn(arn: &str, region: &str) -> Result<(), Error> {
    let parts: Vec<&str> = arn.split(':').collect();
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    let is_id = |text: &str| !text.is_empty() && !text.starts_with("mrk-");
    let is_key = matches!(parts.as_slice(), ["arn", _, "kms", of, account, key]
        if *of == region && is_account(account) && key.strip_prefix("key/").is_some_and(is_id));
    if is_key {
        return Ok(());
    }
    let problem =
        format!("not arn:aws:kms:{region}:ACCOUNT:key/ID with an account of 12 digits and a single-Region key");
    Err(Error::Input { field: "--kms-key-arn".to_owned(), problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_arn_of_a_single_region_key_is_taken() {
        let arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd";
        check_arn(arn, "eu-central-1").unwrap();
        for (from, to) in [
            ("key/", "alias/"),
            ("key/1234abcd", "key/"),
            ("key/", "key/mrk-"),
            ("111122223333", "11112222333"),
            ("111122223333", "11112222333x"),
            ("eu-central-1", "eu-west-1"),
            ("kms", "s3"),
            ("arn:aws:kms:", ""),
        ] {
            let error = check_arn(&arn.replace(from, to), "eu-central-1").unwrap_err().to_string();
            assert!(error.starts_with("--kms-key-arn: not arn:aws:kms:eu-central-1:"), "{error}");
        }
    }
}
