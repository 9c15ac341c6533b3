//! The wallet company of a stack with both roles: its backend, which seals the custodian's shares and signs, and its MPC server, which
//! opens what the custodian role releases.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use strongroom_proto::contents::Share;
use strongroom_proto::id::RecordId;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{Pair, TenantSignature};
use strongroom_sdk::Error;
use strongroom_sdk::client::{ApiKey, Client};
use strongroom_sdk::device::{Answer, Consent, Device, TenantBackend};
use strongroom_sdk::exchange::{CustodianSeal, Delivery, OwnCiphertexts, SentAlone, SentDraft, SignedDraft};
use strongroom_sdk::intent::{Alone, ClientPolicy, CustodianPolicy, EjectWindow, Policies};
use strongroom_sdk::keys::{KeyUse, SigningKey};
use strongroom_sdk::seal::{MpcKey, MpcRecipient};
use strongroom_sdk::statement::VerifiedStatement;
use strongroom_sdk::tenant::Folder;
use strongroom_sdk::tenant::custodian::{Held, Order, OrderedAct, Service};

use crate::stack::Stack;
use crate::user::{pairs, shares, tenant, trust};

/// What the company asks of releases of its share: the user's passkey, and its own signature.
pub const CUSTODIAN_POLICY: CustodianPolicy = CustodianPolicy::PASSKEY_AND_TENANT;

/// The company, as far as one wallet is concerned.
#[derive(Debug)]
pub struct Company {
    device: Device,
    client: Client,
    statement: VerifiedStatement,
    key: SigningKey,
    mpc: MpcKey,
    wallet: String,
    pairs: Vec<Pair>,
    /// Its shares of what is backed up next, in the order of the pairs.
    shares: Mutex<[Vec<u8>; 2]>,
    /// Between a draft and its signature.
    held: Mutex<Option<Held>>,
}

impl Company {
    /// The company of the stack's tenant, with these shares of a wallet.
    pub async fn new(stack: &Stack, wallet: &str, secrets: [&[u8]; 2]) -> Result<Arc<Self>> {
        let folder = Folder::new(&stack.folder().join("tenant/keys"));
        let tenant = tenant(stack)?;
        let unprotected = || Err(wrong("passphrase", "the stack's keys for daily work have none"));
        let client = Client::connect(&stack.api()?, ApiKey::read(&stack.api_key_file())?).await?;
        Ok(Arc::new(Self {
            device: Device::new(client.clone(), tenant, trust(stack)?),
            client,
            statement: folder.statement(tenant)?.context("the stack's tenant has a statement")?,
            key: SigningKey::read(&folder.key_file(KeyUse::Operational), KeyUse::Operational, unprotected)?,
            mpc: MpcKey::read(&stack.mpc_key_file(), unprotected)?,
            wallet: wallet.to_owned(),
            pairs: pairs(),
            shares: Mutex::new(secrets.map(<[u8]>::to_vec)),
            held: Mutex::default(),
        }))
    }

    /// Whom the custodian role releases to.
    pub fn recipient(&self) -> Result<MpcRecipient> {
        Ok(MpcRecipient::listed(self.mpc.public_key(), &self.statement)?)
    }

    /// Other shares, for the next generation.
    pub fn refresh(&self, secrets: [&[u8]; 2]) {
        *self.shares.lock().unwrap_or_else(PoisonError::into_inner) = secrets.map(<[u8]>::to_vec);
    }

    /// Opens what the custodian role released to the company's MPC server.
    pub fn open(&self, delivery: &Delivery, record: RecordId) -> Result<Vec<Vec<u8>>> {
        let shares = self.mpc.open(delivery, &self.statement, &self.wallet, record, &self.pairs)?;
        Ok(shares.iter().map(|share| share.bytes.expose().to_vec()).collect())
    }

    /// Releases the company's own shares of a backup without a passkey to its MPC server, by its signature alone, and opens them there.
    pub async fn release_alone(&self, backup: &str) -> Result<Vec<Vec<u8>>> {
        let prepared = self.device.prepare(&self.wallet).await?;
        let recipient = self.recipient()?;
        let service = Service::new(&prepared, &self.statement)?;
        let solo = service.release_alone(Some(backup), None, &recipient, &[])?.sign(&self.key)?;
        let (acted, delivery) = solo.send(&self.client).await?;
        self.open(&delivery.context("nothing was released")?, acted.receipt().record_id)
    }

    /// Lets the user eject for the time that is usual: from the only backup, or from the one that is named.
    pub async fn open_window(&self, backup: Option<&str>) -> Result<()> {
        let prepared = self.device.prepare(&self.wallet).await?;
        let service = Service::new(&prepared, &self.statement)?;
        service.enable_eject(backup, EjectWindow::default())?.sign(&self.key)?.send(&self.client).await?;
        Ok(())
    }

    fn own_shares(&self) -> Vec<Share> {
        let [one, other] = &*self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        shares([one, other])
    }

    async fn seal_draft(&self, draft: &[u8]) -> Result<CustodianSeal, Error> {
        let prepared = self.device.prepare(&self.wallet).await?;
        let service = Service::new(&prepared, &self.statement)?;
        let fields = strongroom_proto::intent::decode(draft).map_err(|_| wrong("draft", "it is no intent"))?;
        let act = match &fields.action {
            Some(Action::CreateBackup(action)) => OrderedAct::CreateBackup {
                backup: &action.backup,
                method: "PASSKEY",
                policies: Policies { client: Some(ClientPolicy::PASSKEY), custodian: Some(CUSTODIAN_POLICY) },
            },
            _ => OrderedAct::PutShares { record_id: the_record(&fields.custodian.unwrap_or_default().record_id)? },
        };
        let order = Order { wallet: &self.wallet, pairs: &self.pairs, act, newest: &[] };
        let (held, seal) = service.check_draft(draft, &order)?.seal(self.own_shares())?;
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        Ok(seal)
    }

    async fn send_signed(&self, signed: SignedDraft) -> Result<SentDraft, Error> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        let held = held.ok_or_else(|| wrong("draft", "none waits for its signature"))?;
        let prepared = self.device.prepare(&self.wallet).await?;
        let ready = held.finish(signed)?.sign(&self.key)?;
        Ok(ready.send(&self.client, &prepared).await?.1)
    }

    /// Makes the custodian's record beside what the device encrypted, or its next generation.
    async fn send_beside(&self, own: OwnCiphertexts) -> Result<SentAlone, Error> {
        let prepared = self.device.prepare(&self.wallet).await?;
        let service = Service::new(&prepared, &self.statement)?;
        let whole = if own.record_id.is_empty() {
            let (backup, method) = (own.backup.clone(), own.method.clone());
            let alone = Alone { backup, method, pairs: self.pairs.clone(), policy: CustodianPolicy::TENANT };
            service.create_alone(&alone, self.own_shares())?
        } else {
            service.put_alone(the_record(&own.record_id)?, &self.pairs, self.own_shares())?
        };
        let ready = whole.with_device(own)?.sign(&self.key)?;
        let (_, sent) = ready.send(&self.client, &prepared).await?;
        Ok(ready.told(sent))
    }

    /// Signs whatever its user asks. A real backend compares the intent with what was ordered first: `tenant::consent`.
    fn consent_to(&self, intent: &[u8]) -> Result<TenantSignature, Error> {
        self.key.sign_intent(intent)
    }
}

impl TenantBackend for Company {
    fn consent<'a>(&'a self, intent: &'a [u8]) -> Consent<'a> {
        Box::pin(async move { self.consent_to(intent) })
    }

    fn seal<'a>(&'a self, draft: &'a [u8]) -> Answer<'a, CustodianSeal> {
        Box::pin(self.seal_draft(draft))
    }

    fn send_alone(&self, own: OwnCiphertexts) -> Answer<'_, SentAlone> {
        Box::pin(self.send_beside(own))
    }

    fn send(&self, signed: SignedDraft) -> Answer<'_, SentDraft> {
        Box::pin(self.send_signed(signed))
    }
}

fn the_record(id: &[u8]) -> Result<RecordId, Error> {
    RecordId::from_slice(id).ok_or_else(|| wrong("draft", "it names no record"))
}

fn wrong(field: &str, problem: &str) -> Error {
    Error::Input { field: field.to_owned(), problem: problem.to_owned() }
}
