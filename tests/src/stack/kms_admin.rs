//! The key administrator's part: makes each role's KMS key and sets its policy, through the AWS SDK and real TLS.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_kms::Client;
use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
use serde_json::{Value, json};
use strongroom_attestation::Pcr;
use strongroom_proto::v1::Role;
use strongroom_runtime::clock::Clock;
use strongroom_runtime::kms::connector::Connector;
use strongroom_runtime::kms::tls;
use strongroom_runtime::transport::Dial;
use strongroom_sdk::key_policy::{Draft, ImagePcrs};
use strongroom_simulated::devkms::users::AccessKey;
use strongroom_simulated::{Authority, Measurements, SimulatedNsm};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy_bidirectional, duplex};
use tokio::net::TcpStream;

use super::roles;

/// The region of the stack.
pub const REGION: &str = "eu-central-1";
/// Its account.
pub const ACCOUNT: &str = "111122223333";
/// IAM user of the key administrator.
pub const ADMINISTRATOR: &str = "key-administrator";
/// IAM user whose access key the host hands to the client role's enclave.
pub const ENCLAVE_USER: &str = "client-enclave";
/// The same for the custodian role's.
pub const CUSTODIAN_USER: &str = "custodian-enclave";

/// Answers the connector's preface and leads to one address.
pub struct Direct(pub SocketAddr);

impl Dial for Direct {
    type Stream = DuplexStream;

    async fn connect(&self) -> io::Result<DuplexStream> {
        let (ours, mut theirs) = duplex(64 * 1024);
        let mut kms = TcpStream::connect(self.0).await?;
        tokio::spawn(async move {
            let length = theirs.read_u8().await?;
            let mut name = vec![0; usize::from(length)];
            theirs.read_exact(&mut name).await?;
            theirs.write_u8(0).await?;
            copy_bidirectional(&mut theirs, &mut kms).await
        });
        Ok(ours)
    }
}

/// Whose calls these are.
pub struct KmsAdmin(Client);

impl KmsAdmin {
    /// The administrator's client of the development KMS at `address`, whose state is the folder `state`.
    pub fn new(address: SocketAddr, state: &Path, authority: Authority) -> Result<Self> {
        let key = AccessKey::read(state, ADMINISTRATOR)?;
        let clock = Clock::default();
        clock.anchor(&SimulatedNsm::new(authority, &Measurements::of_bytes(b"key administrator"))?)?;
        let tls = tls::client_config(&clock, Some(&fs::read(state.join("tls-root.der"))?))?;
        let connector = Connector::new(Arc::new(Direct(address)), tls, &format!("kms.{REGION}.amazonaws.com"))?;
        let config = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::from_keys(&key.access_key_id, key.secret_access_key.expose(), None))
            .time_source(clock)
            .http_client(connector)
            .build();
        Ok(Self(Client::from_conf(config)))
    }

    /// Makes a symmetric key that only the administrator can use so far; gives its ARN.
    pub async fn create_key(&self, role: Role) -> Result<String> {
        let created = self.0.create_key().policy(policy(role, roles::kms_user(role), &[], &[])?).send().await?;
        created.key_metadata.and_then(|metadata| metadata.arn).context("CreateKey gave no ARN")
    }

    /// Lets enclaves of a role use its key: each image under each manifest, of (PCR0, PCR16).
    pub async fn admit(&self, role: Role, key_arn: &str, images: &[(String, String)]) -> Result<()> {
        self.admit_carelessly(role, key_arn, images, &[]).await
    }

    /// The same, and lets the enclaves' caller do the named actions without any attestation.
    pub async fn admit_carelessly(
        &self,
        role: Role,
        key_arn: &str,
        images: &[(String, String)],
        actions: &[&str],
    ) -> Result<()> {
        self.put_policy(key_arn, &policy(role, roles::kms_user(role), images, actions)?).await
    }

    /// As [`KmsAdmin::admit`], with the credentials of this IAM user alone.
    pub async fn admit_user(&self, user: &str, role: Role, key_arn: &str, images: &[(String, String)]) -> Result<()> {
        self.put_policy(key_arn, &policy(role, user, images, &[])?).await
    }

    /// Gives a key this policy.
    pub async fn put_policy(&self, key_arn: &str, policy: &str) -> Result<()> {
        self.0.put_key_policy().key_id(key_arn).policy(policy).send().await?;
        Ok(())
    }
}

/// The policy that an operator would be given, and beside it what a careless one has.
fn policy(role: Role, caller: &str, images: &[(String, String)], unattested: &[&str]) -> Result<String> {
    let user = |id: &str| format!("arn:aws:iam::{ACCOUNT}:user/{id}");
    let enclave = user(caller);
    let pcr = |text: &String| -> Result<Pcr> { Pcr::try_from(hex::decode(text)?).ok().context("no PCR") };
    let image = |text: &String| Ok(ImagePcrs { pcr0: pcr(text)?, pcr1: None, pcr2: None });
    let draft = Draft {
        role,
        enclaves: vec![enclave.clone()],
        administrators: vec![user(ADMINISTRATOR)],
        images: images.iter().map(|(pcr0, _)| image(pcr0)).collect::<Result<_>>()?,
        manifests: images.iter().map(|(_, pcr16)| pcr(pcr16)).collect::<Result<_>>()?,
    };
    let text = draft.build()?;
    if unattested.is_empty() {
        return Ok(text);
    }
    let mut policy: Value = serde_json::from_str(&text)?;
    let statements = policy["Statement"].as_array_mut().context("no statements")?;
    statements.push(json!({
        "Sid": "Careless", "Effect": "Allow", "Principal": { "AWS": enclave }, "Action": unattested, "Resource": "*",
    }));
    Ok(policy.to_string())
}
