//! Wallets whose shares lie in both roles: a full recovery takes both enclaves, one assertion of the passkey and one signature of the
//! tenant, which the custodian's policy asks for beside it.
//!
//! As in the load of one role, intents are built and signed before the measured window, and answers are checked after it.

use anyhow::{Context, Result, bail, ensure};
use prost::Message;
use strongroom_proto::contents::Share;
use strongroom_proto::id::{ContentHash, RecordId, sha256};
use strongroom_proto::secret::Secret;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{
    Act, CreateBackupRequest, CreateBackupResponse, Intent, Policy, Receipt, RecoverAction, RecoverRequest,
    RecoverResponse, Role, RolePart, SecretKind, SignedReceipt,
};
use strongroom_sdk::client::Client;
use strongroom_sdk::exchange::Delivery;
use strongroom_sdk::intent::{self, Base, Creation, CustodianPolicy, EncodedIntent, INTENT_LIFE_MS};
use strongroom_sdk::keys::{KeyUse, SigningKey};
use strongroom_sdk::prepare::Prepared;
use strongroom_sdk::seal::{self, Expected, MpcKey, RecipientKey};
use strongroom_sdk::statement::VerifiedStatement;
use strongroom_sdk::tenant::Folder;

use super::load::{Window, connect, drive, used, window};
use super::wallets::{WALLETS, pair};
use crate::stack::Stack;
use crate::stack::roles::BOTH;
use crate::user::{PASSKEY_POLICY, User, tenant};

/// What the custodian asks of a release: each of it is in the floor.
const CUSTODIAN_POLICY: Policy = Policy { passkey: true, tenant_signature: true, delay_seconds: 0, newest_head: false };

/// A wallet, with the record of its backup, which has a head in each role.
struct Wallet {
    id: String,
    record_id: RecordId,
    heads: [Vec<u8>; 2],
}

/// The wallets, and what signs for them: the user's passkey and the tenant.
pub(super) struct WalletsOfBoth {
    user: User,
    tenant_key: SigningKey,
    statement: VerifiedStatement,
    mpc: MpcKey,
    recipient: RecipientKey,
    prepared: Prepared,
    clients: Vec<Client>,
    all: Vec<Wallet>,
    share: Vec<u8>,
    requests: usize,
}

impl WalletsOfBoth {
    /// Makes the wallets, each backed up once in both roles.
    pub(super) async fn new(stack: &Stack, share: Vec<u8>) -> Result<Self> {
        let user = User::new(stack, "bench").await?;
        let prepared = user.prepare().await?;
        let folder = Folder::new(&stack.folder().join("tenant/keys"));
        let unprotected = || no_passphrase();
        let mut wallets = Self {
            tenant_key: SigningKey::read(&folder.key_file(KeyUse::Operational), KeyUse::Operational, unprotected)?,
            statement: folder.statement(tenant(stack)?)?.context("the stack's tenant has a statement")?,
            mpc: MpcKey::read(&stack.mpc_key_file(), unprotected)?,
            recipient: RecipientKey::generate()?,
            clients: connect(stack).await?,
            all: Vec::with_capacity(WALLETS),
            user,
            prepared,
            share,
            requests: 0,
        };
        wallets.back_up().await?;
        Ok(wallets)
    }

    async fn back_up(&mut self) -> Result<()> {
        let ids: Vec<String> = (0..WALLETS).map(|number| format!("bench-{number}")).collect();
        let create = |client: Client, id: String| async move { client.create_wallet(&id).await };
        drive(&self.clients, ids.clone(), create).await?;
        let requests = ids.iter().map(|id| self.creation(id)).collect::<Result<Vec<_>>>()?;
        let call = |client: Client, request: CreateBackupRequest| async move { client.create_backup(&request).await };
        let (answers, _) = drive(&self.clients, requests, call).await?;
        for (id, CreateBackupResponse { receipts, .. }) in ids.into_iter().zip(answers) {
            let [client, custodian] = read(&receipts)?;
            let record_id = RecordId::from_slice(&client.record_id).context("a record id")?;
            self.all.push(Wallet { id, record_id, heads: [client.head, custodian.head] });
        }
        Ok(())
    }

    /// Recovers both shares of every wallet once.
    pub(super) async fn recover(&mut self, stack: &Stack) -> Result<Window> {
        self.prepared = self.user.prepare().await?;
        self.requests += 1;
        let requests = self.all.iter().map(|wallet| self.recovery(wallet)).collect::<Result<Vec<_>>>()?;
        let first = requests.first().and_then(|request| request.act.clone()).context("no act")?.intent;
        let before = used(stack)?;
        let call = |client: Client, request: RecoverRequest| async move { client.recover(&request).await };
        let (answers, wall) = drive(&self.clients, requests, call).await?;
        let window = window(stack, before, wall, answers.len()).await?;
        self.check(&answers, first)?;
        Ok(window)
    }

    fn creation(&self, wallet: &str) -> Result<CreateBackupRequest> {
        let creation = Creation {
            backup: "backup".to_owned(),
            method: "PASSKEY".to_owned(),
            secret: SecretKind::Share,
            pairs: vec![pair()],
            policy: PASSKEY_POLICY,
            custodian: Some(CustodianPolicy::try_from(CUSTODIAN_POLICY)?),
            credential: self.user.passkey.registration(),
            label: "a phone".to_owned(),
        };
        let base = Base { wallet, ..self.prepared.base_for(BOTH.iter().copied())? };
        let (intent, record_id) = intent::create_backup(&base, &creation)?;
        let sealed = |role| -> Result<Vec<u8>> {
            let share = Share { pair: pair().id, bytes: Secret::new(self.share.clone()) };
            Ok(seal::seal_shares(&self.prepared.role(role)?.attested.identity, &record_id, &[share])?)
        };
        let (client_message, custodian_message) = (sealed(Role::Client)?, sealed(Role::Custodian)?);
        let hash = |message: &[u8]| Some(ContentHash::of(message));
        let intent = intent::with_messages(intent, hash(&client_message), hash(&custodian_message))?;
        Ok(CreateBackupRequest {
            request_id: format!("{wallet}-creation"),
            act: Some(self.sign(&intent)?),
            credential: Some(creation.credential),
            client_message,
            custodian_message,
            ..CreateBackupRequest::default()
        })
    }

    fn recovery(&self, wallet: &Wallet) -> Result<RecoverRequest> {
        let base = self.prepared.base_for(BOTH.iter().copied())?;
        let request_id = format!("{}-{}", wallet.id, self.requests);
        let [client_head, custodian_head] = wallet.heads.clone();
        let part = |head, recipient: ContentHash| RolePart {
            record_id: wallet.record_id.0.to_vec(),
            head,
            recipient: recipient.0.to_vec(),
            ..RolePart::default()
        };
        let intent = EncodedIntent::new(Intent {
            tenant: base.tenant.0.to_vec(),
            wallet: wallet.id.clone(),
            statement_serial: base.statement_serial,
            client: Some(part(client_head, self.recipient.hash())),
            custodian: Some(part(custodian_head, self.mpc.hash())),
            not_after_ms: base.enclave_time.unix_ms() + INTENT_LIFE_MS,
            nonce: sha256(&[request_id.as_bytes()]).to_vec(),
            action: Some(Action::Recover(RecoverAction { generation: 1, eject: false })),
        })?;
        Ok(RecoverRequest {
            request_id,
            act: Some(self.sign(&intent)?),
            client_recipient_key: self.recipient.public_key().to_vec(),
            custodian_recipient_key: self.mpc.public_key().to_vec(),
            ..RecoverRequest::default()
        })
    }

    /// The act that both the passkey and the tenant sign.
    fn sign(&self, intent: &EncodedIntent) -> Result<Act> {
        let tenant_signature = Some(self.tenant_key.sign_intent(&intent.bytes)?);
        Ok(Act { tenant_signature, ..self.user.sign(intent)? })
    }

    /// Checks that every answer is a release of each role's share of its wallet, opens the first one's, and takes the heads of now.
    fn check(&mut self, answers: &[RecoverResponse], first: Vec<u8>) -> Result<()> {
        for (wallet, answer) in self.all.iter_mut().zip(answers) {
            let receipts = read(&answer.receipts)?;
            let releases = [&answer.client_release, &answer.custodian_release];
            for ((receipt, release), head) in receipts.into_iter().zip(releases).zip(&mut wallet.heads) {
                ensure!(receipt.record_id == wallet.record_id.0, "a receipt of another record");
                let hash = ContentHash::of(release).0.to_vec();
                ensure!(receipt.sealed_hashes == [hash], "a release that its receipt does not name");
                *head = receipt.head;
            }
        }
        let (answer, wallet) = answers.first().zip(self.all.first()).context("no answer")?;
        let identity = &self.prepared.role(Role::Client)?.attested.identity;
        let expected = Expected {
            role: Role::Client,
            tenant: &identity.tenant,
            kek_id: &identity.kek_id,
            record_id: &wallet.record_id,
            intent: &strongroom_proto::intent::hash(&first),
            generation: 1,
            pairs: &[pair()],
        };
        let client = self.recipient.open(&answer.client_release, &expected)?;
        let (receipt, release) = (answer.receipts.get(1).cloned(), answer.custodian_release.clone());
        let delivery = Delivery { intent: first, receipt, release };
        let custodian = self.mpc.open(&delivery, &self.statement, &wallet.id, wallet.record_id, &[pair()])?;
        let same = |share: &Share| share.bytes.expose() == self.share;
        ensure!(client.iter().chain(&custodian).all(same), "a released share has other bytes");
        Ok(())
    }
}

/// The receipts of the client and of the custodian.
fn read(receipts: &[SignedReceipt]) -> Result<[Receipt; 2]> {
    let [client, custodian] = receipts else { bail!("{} receipts, not one of each role", receipts.len()) };
    let [client, custodian] = [client, custodian].map(|signed| Receipt::decode(signed.receipt.as_slice()));
    Ok([client?, custodian?])
}

/// The stack's keys for daily work have no passphrase.
fn no_passphrase<T>() -> Result<T, strongroom_sdk::Error> {
    let (field, problem) = ("passphrase".to_owned(), "the stack's keys for daily work have none".to_owned());
    Err(strongroom_sdk::Error::Input { field, problem })
}
