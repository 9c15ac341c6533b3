//! The wallets of the load: one user's, whose shares are stored and recovered.
//!
//! Intents are built, sealed and signed before the measured window, and answers are checked after it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use prost::Message;
use strongroom_proto::contents::Share;
use strongroom_proto::id::{ContentHash, IntentHash, RecordId, sha256};
use strongroom_proto::secret::Secret;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{
    CreateBackupRequest, CreateBackupResponse, Curve, Intent, Pair, Receipt, RecoverAction, RecoverRequest,
    RecoverResponse, Role, RolePart, SecretKind, SignedReceipt,
};
use strongroom_sdk::client::{ApiKey, Client};
use strongroom_sdk::device::Device;
use strongroom_sdk::intent::{self, Base, Creation, EncodedIntent, INTENT_LIFE_MS};
use strongroom_sdk::prepare::Prepared;
use strongroom_sdk::seal::{self, Expected, RecipientKey};

use super::floor::SHARE_BYTES;
use super::load::{Window, connect, drive, used, window};
use crate::stack::Stack;
use crate::user::{PASSKEY_POLICY, User, tenant, trust};

/// Wallets, and so calls in one window: the intents of a window all name a head that stands.
pub(super) const WALLETS: usize = 1024;

/// A wallet, with the record of its newest backup.
struct Wallet {
    id: String,
    record_id: Vec<u8>,
    head: Vec<u8>,
}

/// The wallets, and what signs for them.
pub(super) struct Wallets {
    user: User,
    prepared: Prepared,
    recipient: RecipientKey,
    clients: Vec<Client>,
    all: Vec<Wallet>,
    share: Vec<u8>,
    requests: usize,
}

impl Wallets {
    /// Makes the wallets, without backups.
    pub(super) async fn new(stack: &Stack, share: Vec<u8>) -> Result<Self> {
        ensure!(share.len() == SHARE_BYTES, "a share of {} bytes", share.len());
        let user = User::new(stack, "bench").await?;
        let prepared = user.prepare().await?;
        let clients = connect(stack).await?;
        let ids: Vec<String> = (0..WALLETS).map(|number| format!("bench-{number}")).collect();
        let call =
            |client: Client, id: String| async move { client.create_wallet(&id).await.map(|wallet| wallet.wallet) };
        let (made, _) = drive(&clients, ids, call).await?;
        let wallet = |id| Wallet { id, record_id: Vec::new(), head: Vec::new() };
        let all = made.into_iter().map(wallet).collect();
        Ok(Self { user, prepared, recipient: RecipientKey::generate()?, clients, all, share, requests: 0 })
    }

    /// Connects anew, to a host that was started again.
    pub(super) async fn reconnect(&mut self, stack: &Stack) -> Result<()> {
        self.clients = connect(stack).await?;
        self.user.client = self.clients.first().context("no connection")?.clone();
        self.user.device = Device::new(self.user.client.clone(), tenant(stack)?, trust(stack)?);
        Ok(())
    }

    /// Stores one more backup in every wallet.
    pub(super) async fn store(&mut self, stack: &Stack) -> Result<Window> {
        self.prepared = self.user.prepare().await?;
        self.requests += 1;
        let requests = self.all.iter().map(|wallet| self.creation(wallet)).collect::<Result<Vec<_>>>()?;
        let before = used(stack)?;
        let call = |client: Client, request: CreateBackupRequest| async move { client.create_backup(&request).await };
        let (answers, wall) = drive(&self.clients, requests, call).await?;
        let window = window(stack, before, wall, answers.len()).await?;
        for (wallet, answer) in self.all.iter_mut().zip(answers) {
            let CreateBackupResponse { backup, receipts, .. } = answer;
            let receipt = receipt(&receipts)?;
            ensure!(backup.is_some_and(|backup| backup.wallet == wallet.id), "an answer about another wallet");
            (wallet.record_id, wallet.head) = (receipt.record_id, receipt.head);
        }
        Ok(window)
    }

    /// Recovers every wallet's newest backup once.
    pub(super) async fn recover(&mut self, stack: &Stack) -> Result<Window> {
        let requests = self.recoveries(self.all.len()).await?;
        let first = intent_of(requests.first())?;
        let before = used(stack)?;
        let call = |client: Client, request: RecoverRequest| async move { client.recover(&request).await };
        let (answers, wall) = drive(&self.clients, requests, call).await?;
        let window = window(stack, before, wall, answers.len()).await?;
        self.check(&answers, &first)?;
        Ok(window)
    }

    /// Recovers `count` wallets one after the other on one connection; gives each call's time.
    pub(super) async fn recover_alone(&mut self, count: usize) -> Result<Vec<Duration>> {
        let requests = self.recoveries(count).await?;
        let first = intent_of(requests.first())?;
        let client = self.clients.first().context("no connection")?.clone();
        let (mut times, mut answers) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for request in &requests {
            let started = Instant::now();
            answers.push(client.recover(request).await?);
            times.push(started.elapsed());
        }
        self.check(&answers, &first)?;
        Ok(times)
    }

    /// A recovery of the first wallet, signed and not sent.
    pub(super) async fn signed_recovery(&mut self) -> Result<RecoverRequest> {
        self.recoveries(1).await?.pop().context("no recovery")
    }

    /// Sends a recovery of the first wallet and checks its answer.
    pub(super) async fn send(&mut self, stack: &Stack, request: &RecoverRequest) -> Result<Duration> {
        let client = Client::connect(&stack.api()?, ApiKey::read(&stack.api_key_file())?).await?;
        let started = Instant::now();
        let answer = client.recover(request).await?;
        let took = started.elapsed();
        self.check(&[answer], &intent_of(Some(request))?)?;
        Ok(took)
    }

    async fn recoveries(&mut self, count: usize) -> Result<Vec<RecoverRequest>> {
        self.prepared = self.user.prepare().await?;
        self.requests += 1;
        self.all.iter().take(count).map(|wallet| self.recovery(wallet)).collect()
    }

    fn creation(&self, wallet: &Wallet) -> Result<CreateBackupRequest> {
        let creation = Creation {
            backup: format!("backup-{}", self.requests),
            method: "PASSKEY".to_owned(),
            secret: SecretKind::Share,
            pairs: vec![pair()],
            policy: PASSKEY_POLICY,
            custodian: None,
            credential: self.user.passkey.registration(),
            label: "a phone".to_owned(),
        };
        let base = Base { wallet: &wallet.id, ..self.prepared.base(Role::Client)? };
        let (intent, record_id) = intent::create_backup(&base, &creation)?;
        let identity = &self.prepared.role(Role::Client)?.attested.identity;
        let share = Share { pair: pair().id, bytes: Secret::new(self.share.clone()) };
        let message = seal::seal_shares(identity, &record_id, &[share])?;
        Ok(CreateBackupRequest {
            request_id: self.request_id(wallet),
            act: Some(self.user.sign(&intent::with_client_message(intent, &message)?)?),
            credential: Some(creation.credential),
            client_message: message,
            client_epoch: 0,
            ..CreateBackupRequest::default()
        })
    }

    fn recovery(&self, wallet: &Wallet) -> Result<RecoverRequest> {
        let base = self.prepared.base(Role::Client)?;
        let request_id = self.request_id(wallet);
        let part = RolePart {
            record_id: wallet.record_id.clone(),
            head: wallet.head.clone(),
            recipient: self.recipient.hash().0.to_vec(),
            ..RolePart::default()
        };
        let intent = EncodedIntent::new(Intent {
            tenant: base.tenant.0.to_vec(),
            wallet: wallet.id.clone(),
            statement_serial: base.statement_serial,
            client: Some(part),
            custodian: None,
            not_after_ms: base.enclave_time.unix_ms() + INTENT_LIFE_MS,
            nonce: sha256(&[request_id.as_bytes()]).to_vec(),
            action: Some(Action::Recover(RecoverAction { generation: 1, eject: false })),
        })?;
        let act = Some(self.user.sign(&intent)?);
        let client_recipient_key = self.recipient.public_key().to_vec();
        Ok(RecoverRequest { request_id, act, client_recipient_key, ..RecoverRequest::default() })
    }

    fn request_id(&self, wallet: &Wallet) -> String {
        format!("{}-{}", wallet.id, self.requests)
    }

    /// Checks that every answer is a release of its wallet's record, opens the first, and takes the heads that the records have now.
    fn check(&mut self, answers: &[RecoverResponse], first: &IntentHash) -> Result<()> {
        for (wallet, answer) in self.all.iter_mut().zip(answers) {
            let receipt = receipt(&answer.receipts)?;
            ensure!(receipt.record_id == wallet.record_id, "a receipt of another record");
            let hash = ContentHash::of(&answer.client_release).0.to_vec();
            ensure!(receipt.sealed_hashes == [hash], "a release that its receipt does not name");
            wallet.head = receipt.head;
        }
        let identity = &self.prepared.role(Role::Client)?.attested.identity;
        let (answer, wallet) = answers.first().zip(self.all.first()).context("no answer")?;
        let expected = Expected {
            role: identity.role,
            tenant: &identity.tenant,
            kek_id: &identity.kek_id,
            record_id: &RecordId::from_slice(&wallet.record_id).context("a record id")?,
            intent: first,
            generation: 1,
            pairs: &[pair()],
        };
        let shares = self.recipient.open(&answer.client_release, &expected)?;
        ensure!(shares.iter().all(|share| share.bytes.expose() == self.share), "a released share has other bytes");
        Ok(())
    }
}

/// The one pair of every wallet.
pub(super) fn pair() -> Pair {
    Pair { id: "eth-main".to_owned(), curve: Curve::Secp256k1.into() }
}

fn intent_of(request: Option<&RecoverRequest>) -> Result<IntentHash> {
    let act = request.and_then(|request| request.act.as_ref()).context("no act")?;
    Ok(strongroom_proto::intent::hash(&act.intent))
}

fn receipt(receipts: &[SignedReceipt]) -> Result<Receipt> {
    Ok(Receipt::decode(receipts.first().context("no receipt")?.receipt.as_slice())?)
}
