//! A user of the stack's tenant: a device with a software passkey and one wallet, through the sdk's library.

use anyhow::{Context, Result};
use strongroom_attestation::Root;
use strongroom_proto::contents::Share;
use strongroom_proto::id::TenantId;
use strongroom_proto::secret::Secret;
use strongroom_proto::v1::{Act, CreateBackupRequest, Curve, Intent, Pair, Role, SecretKind};
use strongroom_sdk::Trust;
use strongroom_sdk::client::{ApiKey, Client};
use strongroom_sdk::device::{Device, PasskeyAt, choose};
use strongroom_sdk::intent::{self, ClientPolicy, Creation, EncodedIntent};
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::prepare::Prepared;
use strongroom_sdk::seal::{self, RecipientKey};

use crate::stack::{ORIGIN, RP_ID, Stack};

/// Asks for the passkey and nothing else.
pub const PASSKEY_POLICY: ClientPolicy = ClientPolicy::PASSKEY;

/// A device, its passkey, its wallet.
pub struct User {
    /// The checked connection.
    pub device: Device,
    /// The gRPC client, for what the device does not check.
    pub client: Client,
    /// The passkey.
    pub passkey: Passkey,
    /// The wallet's id.
    pub wallet: String,
}

/// The development root of a stack, which the caller trusts in code.
pub fn trust(stack: &Stack) -> Result<Trust> {
    let root = std::fs::read(stack.folder().join("attestation-root.der"))?;
    Ok(Trust::development(Root::development(&root)))
}

/// The tenant of a stack.
pub fn tenant(stack: &Stack) -> Result<TenantId> {
    TenantId::from_slice(&hex::decode(stack.tenant()?.trim())?).context("the tenant id is 32 bytes")
}

impl User {
    /// A new user with a new wallet and a new passkey.
    pub async fn new(stack: &Stack, wallet: &str) -> Result<Self> {
        let user = Self::returning(stack, wallet, Passkey::create(RP_ID)?).await?;
        user.client.create_wallet(wallet).await?;
        Ok(user)
    }

    /// The user of an existing wallet on another device, with the passkey that was synced to it.
    pub async fn returning(stack: &Stack, wallet: &str, passkey: Passkey) -> Result<Self> {
        let client = Client::connect(&stack.api()?, ApiKey::read(&stack.api_key_file())?).await?;
        let device = Device::new(client.clone(), tenant(stack)?, trust(stack)?);
        Ok(Self { device, client, passkey, wallet: wallet.to_owned() })
    }

    /// The wallet as the service has it, checked.
    pub async fn prepare(&self) -> Result<Prepared> {
        Ok(self.device.prepare(&self.wallet).await?)
    }

    /// What a backup of two pairs is to be.
    pub fn creation_of(&self, backup: &str) -> Creation {
        Creation {
            backup: backup.to_owned(),
            method: "PASSKEY".to_owned(),
            secret: SecretKind::Share,
            pairs: pairs(),
            policy: PASSKEY_POLICY,
            custodian: None,
            credential: self.passkey.registration(),
            label: "a phone".to_owned(),
        }
    }

    /// Backs up two shares.
    pub async fn backup(&self, backup: &str, secrets: [&[u8]; 2]) -> Result<()> {
        let prepared = self.prepare().await?;
        self.device.backup(&prepared, &self.creation_of(backup), shares(secrets), &mut self.asked()).await?;
        Ok(())
    }

    /// Recovers the active generation of the only backup.
    pub async fn recover(&self) -> Result<Vec<Vec<u8>>> {
        let prepared = self.prepare().await?;
        let recovered = self.device.recover(&prepared, None, &mut self.asked()).await?;
        Ok(recovered.shares.iter().map(|share| share.bytes.expose().to_vec()).collect())
    }

    /// The passkey, asked from the tenant's page.
    #[must_use]
    pub fn asked(&self) -> PasskeyAt<'_> {
        PasskeyAt { passkey: &self.passkey, origin: ORIGIN }
    }

    /// A creation as the device sends it, for a host that keeps what it sees.
    pub fn creation(
        &self,
        prepared: &Prepared,
        creation: &Creation,
        secrets: [&[u8]; 2],
    ) -> Result<CreateBackupRequest> {
        let (intent, record_id) = intent::create_backup(&prepared.base(Role::Client)?, creation)?;
        let identity = &prepared.role(Role::Client)?.attested.identity;
        let message = seal::seal_shares(identity, &record_id, &shares(secrets))?;
        Ok(CreateBackupRequest { client_epoch: identity.epoch, ..self.finish(intent, creation, message)? })
    }

    /// A creation around a message that somebody else sealed.
    pub fn creation_around(
        &self,
        prepared: &Prepared,
        creation: &Creation,
        message: Vec<u8>,
    ) -> Result<CreateBackupRequest> {
        let (intent, _) = intent::create_backup(&prepared.base(Role::Client)?, creation)?;
        self.finish(intent, creation, message)
    }

    fn finish(&self, intent: Intent, creation: &Creation, message: Vec<u8>) -> Result<CreateBackupRequest> {
        let intent = intent::with_client_message(intent, &message)?;
        Ok(CreateBackupRequest {
            request_id: creation.backup.clone(),
            act: Some(self.sign(&intent)?),
            credential: Some(creation.credential.clone()),
            client_message: message,
            ..CreateBackupRequest::default()
        })
    }

    /// A recovery as the device sends it, and the key that it is for.
    pub fn recovery(&self, prepared: &Prepared) -> Result<(Act, RecipientKey)> {
        let record = choose(prepared, None)?;
        let recipient = RecipientKey::generate()?;
        let intent = intent::recover(&prepared.base(Role::Client)?, record, 1, recipient.hash())?;
        Ok((self.sign(&intent)?, recipient))
    }

    /// The act that the passkey signs.
    pub fn sign(&self, intent: &EncodedIntent) -> Result<Act> {
        let assertion = self.passkey.assert(&intent.hash, ORIGIN)?;
        Ok(Act { intent: intent.bytes.clone(), assertions: vec![assertion], tenant_signature: None })
    }
}

/// The pairs of a backup.
#[must_use]
pub fn pairs() -> Vec<Pair> {
    let pair = |id: &str, curve: Curve| Pair { id: id.to_owned(), curve: curve.into() };
    vec![pair("eth-main", Curve::Secp256k1), pair("sol-main", Curve::Ed25519)]
}

/// The shares of a backup of two pairs.
#[must_use]
pub fn shares(secrets: [&[u8]; 2]) -> Vec<Share> {
    let share = |pair: &str, bytes: &[u8]| Share { pair: pair.to_owned(), bytes: Secret::new(bytes.to_vec()) };
    vec![share("eth-main", secrets[0]), share("sol-main", secrets[1])]
}
