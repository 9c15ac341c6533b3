//! A host in this process, with an enclave's keys behind it: honest, but for what it is told to tamper with.

use std::sync::{Arc, Mutex};

use prost::Message;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use strongroom_proto::contents::{Release, decode_shares};
use strongroom_proto::id::{ContentHash, Head, RecordId, sha256};
use strongroom_proto::limits::GRACE_MS;
use strongroom_proto::seal::{Direction, hpke_info};
use strongroom_proto::v1::backup_service_server::{BackupService, BackupServiceServer};
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::passkey_service_server::{PasskeyService, PasskeyServiceServer};
use strongroom_proto::v1::recovery_service_server::{RecoveryService, RecoveryServiceServer};
use strongroom_proto::v1::{
    Act, ActKind, ActRequest, ActResponse, AddPasskeyRequest, CarryOutRequest, CreateBackupRequest,
    CreateBackupResponse, Event, ExportAuditRequest, ExportAuditResponse, Freshness, GenerationRef, GetBackupRequest,
    GetBackupResponse, ListBackupsRequest, ListBackupsResponse, ListPasskeysRequest, ListPasskeysResponse,
    NewCredential, OpenAct, OpenActKind, PrepareRequest, PrepareResponse, PutSharesRequest, PutSharesResponse, Receipt,
    RecordView, RecoverRequest, RecoverResponse, RehearseBackupRequest, RehearseBackupResponse, ReleaseRecoveryRequest,
    Role,
};
use strongroom_proto::{intent as wire, signed};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::*;
use crate::client::ApiKey;
use crate::seal::enclave;
use crate::testing::{NOW_MS, WALLET, channel_key, kek_id, sign_receipt, stages, tenant};

/// What the host does to an honest enclave's answer, or to the call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Tamper {
    Nothing,
    FirstCallLost,
    ReceiptSignature,
    NoReceipt,
    Release,
    ReleaseToItself,
    ReleaseOfAnotherRecord,
    /// The enclave says that another intent put the active generation.
    PutByAnother,
}

/// The calls that reached the host.
pub(super) type Calls = Arc<Mutex<Vec<Vec<u8>>>>;

#[derive(Clone)]
struct Host {
    tamper: Tamper,
    calls: Calls,
    /// Every passkey that may sign.
    keys: Arc<Mutex<Vec<NewCredential>>>,
    record: RecordView,
}

/// What an act did.
struct Deed {
    event: Event,
    active: Option<GenerationRef>,
    sealed: Vec<Vec<u8>>,
}

impl Host {
    fn called(&self, bytes: Vec<u8>) -> Result<(), Status> {
        let mut calls = self.calls.lock().unwrap();
        calls.push(bytes);
        let lost = self.tamper == Tamper::FirstCallLost && calls.len() == 1;
        if lost { Err(Status::unavailable("lost")) } else { Ok(()) }
    }

    fn check_assertions(&self, act: &Act) {
        for assertion in &act.assertions {
            let message = [assertion.authenticator_data.as_slice(), &sha256(&[&assertion.client_data_json])].concat();
            let keys = self.keys.lock().unwrap();
            let cose = &keys.iter().find(|key| key.id == assertion.credential_id).unwrap().public_key;
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, [&[4], &cose[10..42], &cose[45..]].concat());
            key.verify(&message, &assertion.signature).unwrap();
        }
    }

    /// What an enclave makes of an act on the record, by the rules of its policy.
    fn deed(&self, act: &Act) -> Deed {
        self.check_assertions(act);
        let intent = wire::decode(&act.intent).unwrap();
        let delay = u64::from(self.record.policy.unwrap().delay_seconds) * 1000;
        let later = |now, later, delay| if delay == 0 { (now, 0) } else { (later, delay) };
        let none = Vec::new;
        let ((kind, wait), generation, subject) = match intent.action.clone().unwrap() {
            Action::CreateBackup(_) => ((ActKind::CreateBackup, 0), 1, none()),
            Action::Recover(it) => ((ActKind::Recover, 0), it.generation, none()),
            Action::PutShares(it) => ((ActKind::PutShares, 0), it.generation, none()),
            Action::AddPasskey(it) => ((ActKind::AddPasskey, 0), 0, it.credential.unwrap().id),
            Action::RemovePasskey(it) => {
                let delay = if act.tenant_signature.is_some() { 0 } else { delay };
                (later(ActKind::RemovePasskey, ActKind::StartRemovePasskey, delay), 0, it.credential_id)
            }
            Action::RenamePasskey(it) => ((ActKind::RenamePasskey, 0), 0, it.credential_id),
            Action::ChangePolicy(_) => (later(ActKind::ChangePolicy, ActKind::StartChangePolicy, delay), 0, none()),
            Action::StartRecovery(it) => ((ActKind::StartRecovery, delay), it.generation, none()),
            Action::DeleteBackup(_) => ((ActKind::StartDelete, GRACE_MS), 0, none()),
            Action::Cancel(_) => ((ActKind::Cancel, 0), 0, none()),
            Action::Rehearse(_) | Action::CarryOut(_) | Action::OpenEjectWindow(_) => panic!("no act of its own here"),
        };
        let cancelled_intent_hash = match intent.action.clone().unwrap() {
            Action::Cancel(it) => it.intent_hash,
            _ => Vec::new(),
        };
        let event = Event {
            cancelled_intent_hash,
            version: self.record.version + 1,
            kind: kind.into(),
            intent_hash: wire::hash(&act.intent).0.to_vec(),
            time_ms: NOW_MS + 1,
            generation,
            recipient: intent.client.unwrap().recipient,
            credential_id: act.assertions[0].credential_id.clone(),
            tenant_key: act.tenant_signature.as_ref().map(|it| it.key.clone()).unwrap_or_default(),
            statement_serial: 3,
            subject_credential_id: subject,
            not_before_ms: if wait == 0 { 0 } else { NOW_MS + 1 + wait },
        };
        let put = GenerationRef { generation, put_intent_hash: event.intent_hash.clone() };
        let active = if kind == ActKind::PutShares { put } else { self.active() };
        Deed { event, active: Some(active), sealed: Vec::new() }
    }

    /// What an enclave makes of what waited.
    fn due(&self, kind: OpenActKind, second: Option<&Act>) -> (Deed, OpenAct) {
        let open = self.record.open_acts.iter().find(|open| open.kind() == kind).unwrap().clone();
        let done = match kind {
            OpenActKind::Recovery => ActKind::Recover,
            OpenActKind::PolicyChange => ActKind::ChangePolicy,
            OpenActKind::PasskeyRemoval => ActKind::RemovePasskey,
            OpenActKind::Delete => ActKind::Delete,
            OpenActKind::EjectWindow | OpenActKind::Unspecified => panic!("never carried out"),
        };
        let event = Event {
            version: self.record.version + 1,
            kind: done.into(),
            intent_hash: open.intent_hash.clone(),
            time_ms: open.not_before_ms + 1,
            generation: open.generation,
            recipient: open.recipient.clone(),
            credential_id: Vec::new(),
            tenant_key: second.map(|act| act.tenant_signature.as_ref().unwrap().key.clone()).unwrap_or_default(),
            statement_serial: 3,
            subject_credential_id: open.credential_id.clone(),
            not_before_ms: 0,
            cancelled_intent_hash: Vec::new(),
        };
        let active = Some(self.active()).filter(|_| kind != OpenActKind::Delete);
        (Deed { event, active, sealed: Vec::new() }, open)
    }

    fn active(&self) -> GenerationRef {
        let generation = &self.record.generations[0];
        GenerationRef { generation: generation.generation, put_intent_hash: generation.put_intent_hash.clone() }
    }

    fn receipts(&self, deed: Deed) -> Vec<SignedReceipt> {
        let record = RecordId::from_slice(&self.record.record_id).unwrap();
        self.receipts_from(deed, record, Head::from_slice(&self.record.head).unwrap())
    }

    fn receipts_from(&self, deed: Deed, record_id: RecordId, head: Head) -> Vec<SignedReceipt> {
        let Deed { event, mut active, sealed } = deed;
        if self.tamper == Tamper::PutByAnother {
            active.as_mut().unwrap().put_intent_hash[0] ^= 1;
        }
        let vouched = self.record.policy.unwrap().newest_head && !event.tenant_key.is_empty();
        let freshness = if vouched { Freshness::CallerReceipt } else { Freshness::None };
        let receipt = Receipt {
            tenant: tenant().0.to_vec(),
            wallet: WALLET.to_owned(),
            role: Role::Client.into(),
            record_id: record_id.0.to_vec(),
            version: event.version,
            head: signed::next_head(&head, &event.encode_to_vec()).0.to_vec(),
            event: event.encode_to_vec(),
            active,
            pending: None,
            intent_hash: event.intent_hash,
            identity_hash: vec![1; 32],
            sealed_hashes: sealed,
            epoch: 2,
            time_ms: event.time_ms,
            stages: Some(strongroom_proto::v1::Stages { freshness: freshness.into(), ..stages() }),
        };
        let mut signed = sign_receipt(receipt.encode_to_vec());
        match self.tamper {
            Tamper::NoReceipt => return Vec::new(),
            Tamper::ReceiptSignature => signed.signature[0] ^= 1,
            _ => {}
        }
        vec![signed]
    }

    /// Two shares, sealed to the recipient as an answer to an intent.
    fn release(&self, key: &[u8], intent: &[u8], generation: u64) -> (Vec<u8>, Vec<u8>) {
        let record_id = RecordId([if self.tamper == Tamper::ReleaseOfAnotherRecord { 1 } else { 10 }; 32]);
        let info = hpke_info(Direction::Release, Role::Client, &tenant(), &kek_id(), &record_id);
        let shares = vec![share("a", 3), share("b", 5)];
        let intent = IntentHash::from_slice(intent).unwrap();
        let contents = Release { intent, record_id, generation, shares }.encode().unwrap();
        let to_itself = channel_key();
        let key = if self.tamper == Tamper::ReleaseToItself { to_itself.public_key() } else { key };
        let mut release = enclave::seal(key, &info, &contents);
        let hash = ContentHash::of(&release).0.to_vec();
        if self.tamper == Tamper::Release {
            release.push(0);
        }
        (release, hash)
    }

    /// Opens what was sealed to the channel key for a record; gives a hash for each share.
    fn opened(id: &RecordId, message: &[u8]) -> Vec<Vec<u8>> {
        let info = hpke_info(Direction::Request, Role::Client, &tenant(), &kek_id(), id);
        let shares = decode_shares(&enclave::open(&channel_key(), &info, message).unwrap()).unwrap();
        shares.iter().map(|share| sha256(&[share.bytes.expose()]).to_vec()).collect()
    }

    fn act(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        let request = request.into_inner();
        self.called(request.encode_to_vec())?;
        let receipts = self.receipts(self.deed(&request.act.unwrap()));
        Ok(Response::new(ActResponse { receipts, stages: None }))
    }
}

fn nobody_asks<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not asked for"))
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
        assert_eq!(request.client_epoch, 2);
        let act = request.act.unwrap();
        let intent = wire::decode(&act.intent).unwrap();
        assert_eq!(intent.client.as_ref().unwrap().message_hash, ContentHash::of(&request.client_message).0);
        let id = wire::record_id(&intent);
        let mut deed = self.deed(&act);
        deed.event.version = 1;
        let put = GenerationRef { generation: 1, put_intent_hash: deed.event.intent_hash.clone() };
        let deed = Deed { sealed: Self::opened(&id, &request.client_message), active: Some(put), ..deed };
        let receipts = self.receipts_from(deed, id, Head(id.0));
        Ok(Response::new(CreateBackupResponse { backup: None, receipts, stages: None }))
    }

    async fn put_shares(&self, request: Request<PutSharesRequest>) -> Result<Response<PutSharesResponse>, Status> {
        let request = request.into_inner();
        self.called(request.encode_to_vec())?;
        assert_eq!(request.client_epoch, 2);
        let id = RecordId::from_slice(&self.record.record_id).unwrap();
        let sealed = Self::opened(&id, &request.client_message);
        let deed = Deed { sealed, ..self.deed(&request.act.unwrap()) };
        Ok(Response::new(PutSharesResponse { backup: None, receipts: self.receipts(deed), stages: None }))
    }

    async fn rehearse_backup(
        &self,
        _: Request<RehearseBackupRequest>,
    ) -> Result<Response<RehearseBackupResponse>, Status> {
        Ok(Response::new(RehearseBackupResponse::default()))
    }

    async fn change_policy(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.act(request)
    }

    async fn delete_backup(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.act(request)
    }

    async fn cancel_act(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.act(request)
    }

    async fn carry_out(&self, request: Request<CarryOutRequest>) -> Result<Response<ActResponse>, Status> {
        let request = request.into_inner();
        self.called(request.encode_to_vec())?;
        let receipts = self.receipts(self.due(request.kind(), request.act.as_ref()).0);
        Ok(Response::new(ActResponse { receipts, stages: None }))
    }

    async fn get_backup(&self, _: Request<GetBackupRequest>) -> Result<Response<GetBackupResponse>, Status> {
        nobody_asks()
    }

    async fn list_backups(&self, _: Request<ListBackupsRequest>) -> Result<Response<ListBackupsResponse>, Status> {
        nobody_asks()
    }

    async fn export_audit(&self, _: Request<ExportAuditRequest>) -> Result<Response<ExportAuditResponse>, Status> {
        nobody_asks()
    }
}

#[tonic::async_trait]
impl RecoveryService for Host {
    async fn recover(&self, request: Request<RecoverRequest>) -> Result<Response<RecoverResponse>, Status> {
        let request = request.into_inner();
        self.called(request.encode_to_vec())?;
        let mut deed = self.deed(&request.act.unwrap());
        let event = &deed.event;
        let (client_release, hash) = self.release(&request.client_recipient_key, &event.intent_hash, event.generation);
        deed.sealed = vec![hash];
        Ok(Response::new(RecoverResponse { client_release, receipts: self.receipts(deed), stages: None }))
    }

    async fn release_recovery(
        &self,
        request: Request<ReleaseRecoveryRequest>,
    ) -> Result<Response<RecoverResponse>, Status> {
        let request = request.into_inner();
        self.called(request.encode_to_vec())?;
        let (mut deed, open) = self.due(OpenActKind::Recovery, request.act.as_ref());
        assert_eq!(request.recovery, open.intent_hash);
        let (client_release, hash) = self.release(&request.client_recipient_key, &open.intent_hash, open.generation);
        deed.sealed = vec![hash];
        Ok(Response::new(RecoverResponse { client_release, receipts: self.receipts(deed), stages: None }))
    }

    async fn start_recovery(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.act(request)
    }

    async fn cancel_recovery(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.act(request)
    }
}

#[tonic::async_trait]
impl PasskeyService for Host {
    async fn add_passkey(&self, request: Request<AddPasskeyRequest>) -> Result<Response<ActResponse>, Status> {
        let request = request.into_inner();
        self.called(request.encode_to_vec())?;
        let (act, credential) = (request.act.unwrap(), request.credential.unwrap());
        assert_eq!(act.assertions.len(), 2);
        self.keys.lock().unwrap().push(credential);
        Ok(Response::new(ActResponse { receipts: self.receipts(self.deed(&act)), stages: None }))
    }

    async fn remove_passkey(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.act(request)
    }

    async fn rename_passkey(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.act(request)
    }

    async fn prepare(&self, _: Request<PrepareRequest>) -> Result<Response<PrepareResponse>, Status> {
        nobody_asks()
    }

    async fn list_passkeys(&self, _: Request<ListPasskeysRequest>) -> Result<Response<ListPasskeysResponse>, Status> {
        nobody_asks()
    }
}

/// A device, its passkey, a service with a record of that passkey, and the calls that reach the host.
pub(super) async fn world(tamper: Tamper) -> (Device, Passkey, Prepared, Calls) {
    world_of(tamper, |_| {}).await
}

/// As [`world`], with a record that is changed first.
pub(super) async fn world_of(
    tamper: Tamper,
    change: impl FnOnce(&mut RecordView),
) -> (Device, Passkey, Prepared, Calls) {
    let passkey = Passkey::create("wallet.example").unwrap();
    let mut record = record_view();
    record.credentials[0].id = passkey.credential_id().to_vec();
    record.credentials[0].key_hash = ContentHash::of(&passkey.registration().public_key).0.to_vec();
    change(&mut record);
    let calls = Calls::default();
    let keys = Arc::new(Mutex::new(vec![passkey.registration()]));
    let host = Host { tamper, calls: Arc::clone(&calls), keys, record: record.clone() };
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let server = Server::builder()
        .add_service(BackupServiceServer::new(host.clone()))
        .add_service(PasskeyServiceServer::new(host.clone()))
        .add_service(RecoveryServiceServer::new(host));
    tokio::spawn(server.serve_with_incoming(incoming));
    let api_key = ApiKey::parse(&format!("sr_{}", "00".repeat(32))).unwrap();
    let client = Client::connect(&format!("http://{address}"), api_key).await.unwrap();
    (Device::new(client, tenant(), Trust::aws()), passkey, Prepared::of(vec![record]), calls)
}
