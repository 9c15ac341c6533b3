//! The flows of a device against a host in this process, with an enclave's keys behind it.

use std::sync::{Arc, Mutex};

use prost::Message;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use strongroom_proto::contents::{Release, decode_shares};
use strongroom_proto::id::{ContentHash, Head, RecordId, sha256};
use strongroom_proto::seal::{Direction, hpke_info};
use strongroom_proto::v1::backup_service_server::{BackupService, BackupServiceServer};
use strongroom_proto::v1::recovery_service_server::{RecoveryService, RecoveryServiceServer};
use strongroom_proto::v1::{
    ActKind, CreateBackupRequest, CreateBackupResponse, Event, GenerationRef, GetBackupRequest, GetBackupResponse,
    ListBackupsRequest, ListBackupsResponse, Receipt, RecoverRequest, RecoverResponse, RehearseBackupRequest,
    RehearseBackupResponse, Role, SecretKind,
};
use strongroom_proto::{intent as wire, signed};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::*;
use crate::client::ApiKey;
use crate::intent::Creation;
use crate::seal::enclave;
use crate::testing::{NOW_MS, WALLET, channel_key, kek_id, now, sign_receipt, stages, tenant};

/// What the host does to an honest enclave's answer, or to the call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tamper {
    Nothing,
    FirstCallLost,
    ReceiptSignature,
    NoReceipt,
    Release,
    ReleaseToItself,
    ReleaseOfAnotherRecord,
}

#[derive(Clone)]
struct Host {
    tamper: Tamper,
    calls: Arc<Mutex<Vec<Vec<u8>>>>,
    passkey: NewCredentialKey,
}

#[derive(Clone)]
struct NewCredentialKey(Vec<u8>);

impl Host {
    fn called(&self, bytes: Vec<u8>) -> Result<(), Status> {
        let mut calls = self.calls.lock().unwrap();
        calls.push(bytes);
        let lost = self.tamper == Tamper::FirstCallLost && calls.len() == 1;
        if lost { Err(Status::unavailable("lost")) } else { Ok(()) }
    }

    fn check_assertion(&self, act: &Act) {
        let assertion = &act.assertions[0];
        let message = [assertion.authenticator_data.as_slice(), &sha256(&[&assertion.client_data_json])].concat();
        let (x, y) = (&self.passkey.0[10..42], &self.passkey.0[45..]);
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, [&[4], x, y].concat());
        key.verify(&message, &assertion.signature).unwrap();
    }

    fn receipt(
        &self,
        act: &Act,
        before: (RecordId, Head, u64),
        put: &[u8],
        sealed: Vec<Vec<u8>>,
    ) -> Vec<SignedReceipt> {
        let intent = wire::decode(&act.intent).unwrap();
        let (record_id, head, version) = before;
        let recipient = intent.client.unwrap().recipient;
        let kind = if recipient.is_empty() { ActKind::CreateBackup } else { ActKind::Recover };
        let event = Event {
            version: version + 1,
            kind: kind.into(),
            intent_hash: wire::hash(&act.intent).0.to_vec(),
            time_ms: NOW_MS + 1,
            generation: 1,
            recipient,
            credential_id: act.assertions[0].credential_id.clone(),
            tenant_key: Vec::new(),
            statement_serial: 3,
        };
        let receipt = Receipt {
            tenant: tenant().0.to_vec(),
            wallet: WALLET.to_owned(),
            role: Role::Client.into(),
            record_id: record_id.0.to_vec(),
            version: event.version,
            head: signed::next_head(&head, &event.encode_to_vec()).0.to_vec(),
            event: event.encode_to_vec(),
            active: Some(GenerationRef { generation: 1, put_intent_hash: put.to_vec() }),
            pending: None,
            intent_hash: event.intent_hash,
            identity_hash: vec![1; 32],
            sealed_hashes: sealed,
            epoch: 2,
            time_ms: event.time_ms,
            stages: Some(stages()),
        };
        let mut signed = sign_receipt(receipt.encode_to_vec());
        match self.tamper {
            Tamper::NoReceipt => return Vec::new(),
            Tamper::ReceiptSignature => signed.signature[0] ^= 1,
            _ => {}
        }
        vec![signed]
    }
}

#[tonic::async_trait]
impl BackupService for Host {
    async fn create_backup(
        &self,
        request: Request<CreateBackupRequest>,
    ) -> Result<Response<CreateBackupResponse>, Status> {
        assert!(request.metadata().get("authorization").unwrap().to_str().unwrap().starts_with("Bearer sr_"));
        let request = request.into_inner();
        self.called(request.encode_to_vec())?;
        let act = request.act.unwrap();
        self.check_assertion(&act);
        let intent = wire::decode(&act.intent).unwrap();
        assert_eq!(intent.client.as_ref().unwrap().message_hash, ContentHash::of(&request.client_message).0);
        let id = wire::record_id(&intent);
        let info = hpke_info(Direction::Request, Role::Client, &tenant(), &kek_id(), &id);
        let shares = decode_shares(&enclave::open(&channel_key(), &info, &request.client_message).unwrap()).unwrap();
        let sealed = shares.iter().map(|share| sha256(&[share.bytes.expose()]).to_vec()).collect();
        let put = wire::hash(&act.intent).0;
        let receipts = self.receipt(&act, (id, Head(id.0), 0), &put, sealed);
        Ok(Response::new(CreateBackupResponse { backup: None, receipts, stages: None }))
    }

    async fn get_backup(&self, _: Request<GetBackupRequest>) -> Result<Response<GetBackupResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn list_backups(&self, _: Request<ListBackupsRequest>) -> Result<Response<ListBackupsResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn rehearse_backup(
        &self,
        _: Request<RehearseBackupRequest>,
    ) -> Result<Response<RehearseBackupResponse>, Status> {
        Ok(Response::new(RehearseBackupResponse::default()))
    }
}

#[tonic::async_trait]
impl RecoveryService for Host {
    async fn recover(&self, request: Request<RecoverRequest>) -> Result<Response<RecoverResponse>, Status> {
        let request = request.into_inner();
        self.called(request.encode_to_vec())?;
        let act = request.act.unwrap();
        self.check_assertion(&act);
        let record_id = RecordId([if self.tamper == Tamper::ReleaseOfAnotherRecord { 1 } else { 10 }; 32]);
        let info = hpke_info(Direction::Release, Role::Client, &tenant(), &kek_id(), &record_id);
        let shares = vec![share("a", 3), share("b", 5)];
        let contents = Release { intent: wire::hash(&act.intent), record_id, generation: 1, shares }.encode().unwrap();
        let to_itself = channel_key();
        let key =
            if self.tamper == Tamper::ReleaseToItself { to_itself.public_key() } else { &request.client_recipient_key };
        let mut release = enclave::seal(key, &info, &contents);
        let hash = ContentHash::of(&release).0.to_vec();
        if self.tamper == Tamper::Release {
            release.push(0);
        }
        let before = (RecordId([10; 32]), Head([11; 32]), 4);
        let receipts = self.receipt(&act, before, &[13; 32], vec![hash]);
        Ok(Response::new(RecoverResponse { client_release: release, receipts, stages: None }))
    }
}

/// A device, its passkey, a service with a record of that passkey, and the calls that reach the host.
async fn world(tamper: Tamper) -> (Device, Passkey, Prepared, Arc<Mutex<Vec<Vec<u8>>>>) {
    let passkey = Passkey::create("wallet.example").unwrap();
    let calls = Arc::default();
    let key = NewCredentialKey(passkey.registration().public_key);
    let host = Host { tamper, calls: Arc::clone(&calls), passkey: key };
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let server = Server::builder()
        .add_service(BackupServiceServer::new(host.clone()))
        .add_service(RecoveryServiceServer::new(host));
    tokio::spawn(server.serve_with_incoming(incoming));
    let api_key = ApiKey::parse(&format!("sr_{}", "00".repeat(32))).unwrap();
    let client = Client::connect(&format!("http://{address}"), api_key).await.unwrap();
    let mut record = record_view();
    record.credentials[0].id = passkey.credential_id().to_vec();
    (Device::new(client, tenant(), Trust::aws()), passkey, Prepared::of(vec![record]), calls)
}

fn creation(passkey: &Passkey, backup: &str) -> Creation {
    Creation {
        backup: backup.to_owned(),
        method: "PASSKEY".to_owned(),
        secret: SecretKind::Share,
        pairs: pairs(),
        policy: Policy { passkey: true, ..Policy::default() },
        credential: passkey.registration(),
        label: "phone".to_owned(),
    }
}

async fn backup(tamper: Tamper, name: &str, shares: Vec<Share>) -> (Result<BackedUp, Error>, Vec<Vec<u8>>) {
    let (device, passkey, prepared, calls) = world(tamper).await;
    let mut at = PasskeyAt { passkey: &passkey, origin: "https://wallet.example" };
    let done = device.backup(&prepared, &creation(&passkey, name), shares, &mut at).await;
    let calls = calls.lock().unwrap().clone();
    (done, calls)
}

async fn recover(tamper: Tamper) -> (Result<Recovered, Error>, Vec<Vec<u8>>) {
    let (device, passkey, prepared, calls) = world(tamper).await;
    let mut at = PasskeyAt { passkey: &passkey, origin: "https://wallet.example" };
    let done = device.recover(&prepared, None, &mut at).await;
    let calls = calls.lock().unwrap().clone();
    (done, calls)
}

#[tokio::test]
async fn a_backup_holds_when_its_receipt_does() {
    let shares = || vec![share("b", 5), share("a", 3)];
    let (done, calls) = backup(Tamper::Nothing, "new", shares()).await;
    assert_eq!((done.unwrap().receipt.version, calls.len()), (1, 1));
    let (done, calls) = backup(Tamper::FirstCallLost, "new", shares()).await;
    assert!(done.is_ok());
    let [first, second] = calls.as_slice() else { panic!("two calls") };
    assert_eq!(first, second, "the same request id and bytes");
    for (tamper, expect) in [
        (Tamper::ReceiptSignature, "the receipt's signature is wrong"),
        (Tamper::NoReceipt, "it has not one receipt of the client role"),
    ] {
        let error = backup(tamper, "new", shares()).await.0.unwrap_err().to_string();
        assert!(error.contains(expect), "{tamper:?}: {error}");
    }
    for (name, shares, expect) in [
        ("main", shares(), "wallet wallet-1 has a backup main already"),
        ("new", vec![share("a", 3)], "list of shares is a, not a, b"),
        ("new", vec![share("a", 0), share("b", 1)], "share of pair a: has 0 bytes"),
    ] {
        let (done, calls) = backup(Tamper::Nothing, name, shares).await;
        let error = done.unwrap_err().to_string();
        assert!(error.contains(expect) && calls.is_empty(), "{error}");
    }
}

#[tokio::test]
async fn a_recovery_gives_only_what_was_asked_for() {
    for tamper in [Tamper::Nothing, Tamper::FirstCallLost] {
        let recovered = recover(tamper).await.0.unwrap();
        let lengths: Vec<usize> = recovered.shares.iter().map(|share| share.bytes.expose().len()).collect();
        assert_eq!((lengths, recovered.receipt.version), (vec![3, 5], 5));
    }
    for (tamper, expect) in [
        (Tamper::ReceiptSignature, "the receipt's signature is wrong"),
        (Tamper::NoReceipt, "it has not one receipt"),
        (Tamper::Release, "receipt's hash of the release is"),
        (Tamper::ReleaseToItself, "the release does not open"),
        (Tamper::ReleaseOfAnotherRecord, "the release does not open"),
    ] {
        let error = recover(tamper).await.0.unwrap_err().to_string();
        assert!(error.contains(expect), "{tamper:?}: {error}");
    }
}

/// An authenticator that lets the user pick a passkey that nobody asked for.
struct Stray<'a>(&'a Passkey);

impl Authenticator for Stray<'_> {
    fn assert(&mut self, _: &str, intent: &IntentHash, _: &[&[u8]]) -> Result<Assertion, Error> {
        self.0.assert(intent, "https://wallet.example")
    }
}

#[tokio::test]
async fn nothing_is_sent_for_a_passkey_that_the_enclave_does_not_list() {
    let (device, passkey, prepared, calls) = world(Tamper::Nothing).await;
    let stranger = Passkey::create("wallet.example").unwrap();
    let recovered = device.recover(&prepared, None, &mut Stray(&stranger)).await;
    assert!(matches!(recovered, Err(Error::UnknownCredential { .. })));
    let rehearsed = device.rehearse(&prepared, None, &mut Stray(&stranger)).await;
    assert!(matches!(rehearsed, Err(Error::UnknownCredential { .. })));
    let shares = vec![share("a", 1), share("b", 1)];
    let backed_up = device.backup(&prepared, &creation(&passkey, "new"), shares, &mut Stray(&stranger)).await;
    assert!(matches!(backed_up, Err(Error::Mismatch { part: "assertion", .. })));
    assert!(calls.lock().unwrap().is_empty());
    let unsigned = device.rehearse(&prepared, None, &mut Stray(&passkey)).await.unwrap_err().to_string();
    assert!(unsigned.contains("number of rehearsals is 0, not 1"), "{unsigned}");
    assert_eq!(prepared.base(Role::Client).unwrap().enclave_time, now());
}
