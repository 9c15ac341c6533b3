//! Devices with a service behind them.

use std::sync::{Arc, Mutex};

use strongroom_proto::id::ContentHash;
use strongroom_proto::v1::backup_service_server::BackupServiceServer;
use strongroom_proto::v1::eject_service_server::EjectServiceServer;
use strongroom_proto::v1::passkey_service_server::PasskeyServiceServer;
use strongroom_proto::v1::recovery_service_server::RecoveryServiceServer;
use strongroom_proto::v1::{Policy, RecordView, Role};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::enclave::{Enclave, Fault};
use super::{Calls, Host, Kept, Tamper};
use crate::client::{ApiKey, Client};
use crate::device::Device;
use crate::passkey::Passkey;
use crate::prepare::Prepared;
use crate::testing::{custodian_view, record_view, record_view_of_both, tenant};
use crate::trust::Trust;

/// A device, its passkey, a service with a record of that passkey, and the calls that reach the host.
pub(in crate::device::tests) async fn world(tamper: Tamper) -> (Device, Passkey, Prepared, Calls) {
    world_of(tamper, |_| {}).await
}

/// As [`world`], with a record that is changed first.
pub(in crate::device::tests) async fn world_of(
    tamper: Tamper,
    change: impl FnOnce(&mut RecordView),
) -> (Device, Passkey, Prepared, Calls) {
    let One { device, passkey, prepared, host } = one_of(tamper, change).await;
    (device, passkey, prepared, host.calls)
}

/// A device and a service of the client role.
pub(in crate::device::tests) struct One {
    pub(in crate::device::tests) device: Device,
    pub(in crate::device::tests) passkey: Passkey,
    pub(in crate::device::tests) prepared: Prepared,
    pub(in crate::device::tests) host: Host,
}

/// As [`world_of`], with its host.
pub(in crate::device::tests) async fn one_of(tamper: Tamper, change: impl FnOnce(&mut RecordView)) -> One {
    let passkey = Passkey::create("wallet.example").unwrap();
    let mut record = of_passkey(record_view(), &passkey);
    change(&mut record);
    let enclaves = vec![Enclave { role: Role::Client, record: record.clone(), tamper, fault: None }];
    let (client, host) = serve(tamper, &passkey, enclaves).await;
    One { device: Device::new(client, tenant(), Trust::aws()), passkey, prepared: Prepared::of(vec![record]), host }
}

/// A record of the custodian role alone.
pub(in crate::device::tests) fn alone_view() -> RecordView {
    let policy = Some(Policy { tenant_signature: true, ..Policy::default() });
    let (method, backup) = ("PASSWORD".to_owned(), "pw".to_owned());
    let roles = vec![Role::Custodian.into()];
    RecordView { roles, credentials: Vec::new(), policy, method, backup, ..custodian_view() }
}

/// A tenant's connection and a service with a backup of the custodian role alone.
pub(in crate::device::tests) async fn alone_of(
    tamper: Tamper,
    fault: Option<Fault>,
    change: impl FnOnce(&mut RecordView),
) -> (Client, Prepared, Host) {
    let mut record = alone_view();
    change(&mut record);
    let enclaves = vec![Enclave { role: Role::Custodian, record: record.clone(), tamper, fault }];
    let passkey = Passkey::create("wallet.example").unwrap();
    let (client, host) = serve(tamper, &passkey, enclaves).await;
    (client, Prepared::of_both(Vec::new(), vec![record]), host)
}

/// A device and a service of both roles.
pub(in crate::device::tests) struct Both {
    pub(in crate::device::tests) device: Device,
    pub(in crate::device::tests) passkey: Passkey,
    pub(in crate::device::tests) prepared: Prepared,
    pub(in crate::device::tests) client: Client,
    pub(in crate::device::tests) host: Host,
}

impl Both {
    /// The calls that reach the host.
    pub(in crate::device::tests) fn host_calls(&self) -> Calls {
        Arc::clone(&self.host.calls)
    }

    /// How many calls reached the host.
    pub(in crate::device::tests) fn calls(&self) -> usize {
        self.host.calls.lock().unwrap().len()
    }
}

/// A service of both roles with a backup in both, whose records are changed first; `fault` is what the custodian's enclave says falsely.
pub(in crate::device::tests) async fn both_of(
    tamper: Tamper,
    fault: Option<Fault>,
    change: impl FnOnce(&mut RecordView, &mut RecordView),
) -> Both {
    let passkey = Passkey::create("wallet.example").unwrap();
    let mut client = of_passkey(record_view_of_both(), &passkey);
    let mut custodian = of_passkey(custodian_view(), &passkey);
    change(&mut client, &mut custodian);
    let enclaves = vec![
        Enclave { role: Role::Client, record: client.clone(), tamper, fault: None },
        Enclave { role: Role::Custodian, record: custodian.clone(), tamper, fault },
    ];
    let (connection, host) = serve(tamper, &passkey, enclaves).await;
    let device = Device::new(connection.clone(), tenant(), Trust::aws());
    let prepared = Prepared::of_both(vec![client], vec![custodian]);
    Both { device, passkey, prepared, client: connection, host }
}

fn of_passkey(mut record: RecordView, passkey: &Passkey) -> RecordView {
    record.credentials[0].id = passkey.credential_id().to_vec();
    record.credentials[0].key_hash = ContentHash::of(&passkey.registration().public_key).0.to_vec();
    record
}

async fn serve(tamper: Tamper, passkey: &Passkey, enclaves: Vec<Enclave>) -> (Client, Host) {
    let keys = Arc::new(Mutex::new(vec![passkey.registration()]));
    let host = Host { tamper, calls: Calls::default(), keys, enclaves, put: Arc::default(), kept: Kept::default() };
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let server = Server::builder()
        .add_service(BackupServiceServer::new(host.clone()))
        .add_service(PasskeyServiceServer::new(host.clone()))
        .add_service(EjectServiceServer::new(host.clone()))
        .add_service(RecoveryServiceServer::new(host.clone()));
    tokio::spawn(server.serve_with_incoming(incoming));
    let api_key = ApiKey::parse(&format!("sr_{}", "00".repeat(32))).unwrap();
    (Client::connect(&format!("http://{address}"), api_key).await.unwrap(), host)
}
