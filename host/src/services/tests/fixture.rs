//! A whole host in this process, on a port of its own, before a fake enclave; and the messages that its tests send.

use std::time::Duration;

use prost::Message;
use ring::signature::{Ed25519KeyPair, KeyPair};
use strongroom_proto::v1::admin_service_client::AdminServiceClient;
use strongroom_proto::v1::{
    Act, Assertion, ClientCiphertext, CreateApiKeyRequest, CreateBackupAction, CreateBackupRequest, CreateKekRequest,
    CreateTenantRequest, CreateWalletRequest, Epoch, Intent, Pair, PutStatementRequest, RecoverAction, RecoverRequest,
    Role, RolePart, RoleStatement, SecretKind, SignedStatement, Statement, intent::Action,
};
use strongroom_proto::v1::{tenant_service_client::TenantServiceClient, wallet_service_client::WalletServiceClient};
use strongroom_proto::{intent, prefix};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use super::core::Core;
use crate::config::{Api, Config, Format, Listen, Log, Parent, Relay};
use crate::error::Error;
use crate::testing::{FakeEnclave, enclave_config_of};

pub(super) struct Host {
    pub(super) dir: tempfile::TempDir,
    pub(super) core: std::sync::Arc<Core>,
    pub(super) enclave: Option<FakeEnclave>,
    /// Of the custodian role; the core of a host without one is asked nothing.
    pub(super) custodian: std::sync::Arc<Core>,
    pub(super) custodian_enclave: Option<FakeEnclave>,
    pub(super) roles: Vec<Role>,
    pub(super) api: Channel,
    pub(super) admin: Channel,
    pub(super) stop: oneshot::Sender<()>,
    pub(super) ended: JoinHandle<Result<(), Error>>,
}

/// A tenant with its keys and one of its API keys.
pub(super) struct Caller {
    root: Ed25519KeyPair,
    standby: Ed25519KeyPair,
    /// Those that its statement names.
    roles: Vec<Role>,
    pub(super) tenant: Vec<u8>,
    pub(super) api_key: String,
    pub(super) key_id: String,
}

pub(super) fn config(dir: &std::path::Path, roles: &[Role]) -> Config {
    Config {
        api: Api { listen: "127.0.0.1:0".parse().unwrap(), tls: None, reflection: true },
        admin_socket: dir.join("admin.sock"),
        sqlite: dir.join("db"),
        enclaves: roles.iter().map(|role| enclave_config_of(dir, *role, 2)).collect(),
        relay: Relay { listen: Listen::Unix(dir.join("relay.sock")), names: std::collections::BTreeMap::new() },
        parent: Parent::default(),
        log: Log { level: tracing::level_filters::LevelFilter::OFF, format: Format::Text },
    }
}

impl Host {
    pub(super) async fn start() -> Self {
        Self::start_in(&[Role::Client]).await
    }

    /// A host of these roles, in this order in its configuration.
    pub(super) async fn start_in(roles: &[Role]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let client = Core::start(dir.path());
        let custodian = Core::start_in(Role::Custodian, dir.path());
        Self::serve(dir, roles, client, custodian).await
    }

    /// A host with a store of its own, and enclaves that unwrap and know what those of the other one do.
    pub(super) async fn start_beside(other: &Self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let beside = |core: &std::sync::Arc<Core>| (std::sync::Arc::clone(core), Core::serve(core, dir.path()));
        let (client, custodian) = (beside(&other.core), beside(&other.custodian));
        Self::serve(dir, &other.roles, client, custodian).await
    }

    async fn serve(
        dir: tempfile::TempDir,
        roles: &[Role],
        (core, enclave): (std::sync::Arc<Core>, FakeEnclave),
        (custodian, custodian_enclave): (std::sync::Arc<Core>, FakeEnclave),
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (ready, address) = oneshot::channel();
        let config = config(dir.path(), roles);
        let ended =
            tokio::spawn(crate::serve(config, move |api| ready.send(api).unwrap(), async move { drop(stopped.await) }));
        let address = address.await.unwrap();
        let api = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let admin = format!("unix://{}", dir.path().join("admin.sock").display());
        let admin = Endpoint::from_shared(admin).unwrap().connect().await.unwrap();
        let (enclave, custodian_enclave, roles) = (Some(enclave), Some(custodian_enclave), roles.to_vec());
        let host = Self { dir, core, enclave, custodian, custodian_enclave, roles, api, admin, stop, ended };
        host.wait(tonic_health::pb::health_check_response::ServingStatus::Serving).await;
        host
    }

    pub(super) async fn wait(&self, status: tonic_health::pb::health_check_response::ServingStatus) {
        let mut health = tonic_health::pb::health_client::HealthClient::new(self.api.clone());
        let reached = async {
            let ask = tonic_health::pb::HealthCheckRequest::default();
            while health.check(ask.clone()).await.unwrap().into_inner().status() != status {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reached).await.unwrap();
    }

    /// A tenant with a statement over its first epoch, and a wallet `w`.
    pub(super) async fn caller(&self, seed: u8) -> Caller {
        let caller = self.bare_caller(seed).await;
        let mut tenants = TenantServiceClient::new(self.api.clone());
        let put = PutStatementRequest { statement: Some(caller.statement(1)) };
        tenants.put_statement(caller.says(put)).await.unwrap();
        let mut wallets = WalletServiceClient::new(self.api.clone());
        wallets.create_wallet(caller.says(CreateWalletRequest { wallet: "w".to_owned() })).await.unwrap();
        caller
    }

    /// A tenant with its first KEK and an API key.
    pub(super) async fn bare_caller(&self, seed: u8) -> Caller {
        let caller = self.registered(seed).await;
        let mut admin = AdminServiceClient::new(self.admin.clone());
        for role in &self.roles {
            let kek = CreateKekRequest { tenant: caller.tenant.clone(), role: i32::from(*role) };
            assert_eq!(admin.create_kek(kek).await.unwrap().into_inner().epoch, 1);
        }
        caller
    }

    /// A tenant with an API key and nothing else.
    pub(super) async fn registered(&self, seed: u8) -> Caller {
        let pair = |byte: u8| Ed25519KeyPair::from_seed_unchecked(&[byte; 32]).unwrap();
        let (root, standby) = (pair(seed), pair(seed ^ 0xff));
        let mut admin = AdminServiceClient::new(self.admin.clone());
        let create = CreateTenantRequest {
            root_key: root.public_key().as_ref().to_vec(),
            standby_key: standby.public_key().as_ref().to_vec(),
            display_name: format!("tenant {seed}"),
        };
        let tenant = admin.create_tenant(create).await.unwrap().into_inner().tenant;
        let key = CreateApiKeyRequest { tenant: tenant.clone(), label: "test".to_owned() };
        let key = admin.create_api_key(key).await.unwrap().into_inner();
        Caller { root, standby, roles: self.roles.clone(), tenant, api_key: key.api_key, key_id: key.key_id }
    }
}

impl Caller {
    /// A request with the caller's API key.
    pub(super) fn says<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.api_key).parse().unwrap());
        request
    }

    pub(super) fn statement(&self, serial: u64) -> SignedStatement {
        let part = |role: Role| {
            let epochs = vec![Epoch { epoch: 1, ..Default::default() }];
            self.roles.contains(&role).then_some(RoleStatement { epochs, ..Default::default() })
        };
        let statement = Statement {
            root_key: self.root.public_key().as_ref().to_vec(),
            standby_key: self.standby.public_key().as_ref().to_vec(),
            serial,
            client: part(Role::Client),
            custodian: part(Role::Custodian),
            ..Default::default()
        };
        self.sign(&statement)
    }

    /// A statement with its signature. Either key signs.
    pub(super) fn sign(&self, statement: &Statement) -> SignedStatement {
        let key = if statement.serial.is_multiple_of(2) { &self.standby } else { &self.root };
        let statement = statement.encode_to_vec();
        let signature = key.sign(&prefix::prefixed(prefix::STATEMENT, &statement)).as_ref().to_vec();
        SignedStatement { statement, signature }
    }

    pub(super) fn intent(&self, wallet: &str, part: RolePart, action: Action) -> Intent {
        Intent {
            tenant: self.tenant.clone(),
            wallet: wallet.to_owned(),
            statement_serial: 1,
            client: Some(part),
            action: Some(action),
            ..Default::default()
        }
    }

    /// As [`Caller::intent`], in these roles.
    pub(super) fn intent_in(&self, roles: &[Role], part: &RolePart, action: Action) -> Intent {
        let of = |role: Role| roles.contains(&role).then(|| part.clone());
        Intent {
            client: of(Role::Client),
            custodian: of(Role::Custodian),
            ..self.intent("w", RolePart::default(), action)
        }
    }

    /// As [`Caller::create_backup`], of these roles in wallet `w`.
    pub(super) fn create_in(&self, request_id: &str, roles: &[Role], backup: &str) -> CreateBackupRequest {
        let action = self.creation("w", backup).action.unwrap();
        let message =
            |role: Role| vec![if role == Role::Client { 5 } else { 7 }; if roles.contains(&role) { 1200 } else { 0 }];
        CreateBackupRequest {
            act: Some(act(&self.intent_in(roles, &RolePart::default(), action))),
            client_message: message(Role::Client),
            custodian_message: message(Role::Custodian),
            client_ciphertexts: if roles.contains(&Role::Client) { Vec::new() } else { ciphertexts(&["p1", "p2"]) },
            ..self.create_backup(request_id, "w", backup)
        }
    }

    /// What an intent says of the record of a backup that was made in these roles.
    pub(super) fn part_in(&self, roles: &[Role], backup: &str) -> RolePart {
        let action = self.creation("w", backup).action.unwrap();
        let creation = self.intent_in(roles, &RolePart::default(), action);
        RolePart { record_id: intent::record_id(&creation).0.to_vec(), ..Default::default() }
    }

    pub(super) fn creation(&self, wallet: &str, backup: &str) -> Intent {
        let pair = |id: &str| Pair { id: id.to_owned(), curve: 1 };
        let action = CreateBackupAction {
            backup: backup.to_owned(),
            method: "PASSKEY".to_owned(),
            secret: SecretKind::Share.into(),
            pairs: vec![pair("p1"), pair("p2")],
            generation: 1,
            ..Default::default()
        };
        self.intent(wallet, RolePart::default(), Action::CreateBackup(action))
    }

    pub(super) fn create_backup(&self, request_id: &str, wallet: &str, backup: &str) -> CreateBackupRequest {
        CreateBackupRequest {
            request_id: request_id.to_owned(),
            act: Some(act(&self.creation(wallet, backup))),
            client_message: vec![5; 1200],
            ..Default::default()
        }
    }

    pub(super) fn recover(&self, request_id: &str, wallet: &str, backup: &str) -> RecoverRequest {
        let action = Action::Recover(RecoverAction { generation: 1, eject: false });
        RecoverRequest {
            request_id: request_id.to_owned(),
            act: Some(act(&self.intent(wallet, self.part(wallet, backup), action))),
            client_recipient_key: vec![0; 1216],
            ..Default::default()
        }
    }

    /// What an intent says of a record.
    pub(super) fn part(&self, wallet: &str, backup: &str) -> RolePart {
        RolePart { record_id: intent::record_id(&self.creation(wallet, backup)).0.to_vec(), ..Default::default() }
    }
}

/// What a device encrypted itself, for the host to keep.
pub(super) fn ciphertexts<T: AsRef<str>>(pairs: &[T]) -> Vec<ClientCiphertext> {
    let of = |pair: &T| {
        let ciphertext = format!("ciphertext of {}", pair.as_ref()).into_bytes();
        let sha256 = strongroom_proto::id::sha256(&[&ciphertext]).to_vec();
        ClientCiphertext { pair: pair.as_ref().to_owned(), ciphertext, sha256 }
    };
    pairs.iter().map(of).collect()
}

/// The same, for the caller to keep.
pub(super) fn hashes<T: AsRef<str>>(pairs: &[T]) -> Vec<ClientCiphertext> {
    let without = |it: ClientCiphertext| ClientCiphertext { ciphertext: Vec::new(), ..it };
    ciphertexts(pairs).into_iter().map(without).collect()
}

/// An act that the fake core takes.
pub(super) fn act(intent: &Intent) -> Act {
    Act { intent: intent.encode_to_vec(), assertions: vec![Assertion::default()], tenant_signature: None }
}
