//! A host in this process, with the enclaves' keys behind it: honest, but for what it is told to tamper with.

use std::sync::{Arc, Mutex};

use prost::Message;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use strongroom_proto::id::{ContentHash, Head, RecordId, sha256};
use strongroom_proto::intent as wire;
use strongroom_proto::v1::backup_service_server::BackupService;
use strongroom_proto::v1::eject_service_server::EjectService;
use strongroom_proto::v1::passkey_service_server::PasskeyService;
use strongroom_proto::v1::recovery_service_server::RecoveryService;
use strongroom_proto::v1::{
    AbortBackupRequest, AbortBackupResponse, Act, ActRequest, ActResponse, AddPasskeyRequest, CapsuleChunk,
    CarryOutRequest, CommitBackupRequest, CommitBackupResponse, CompleteRecoveryRequest, CompleteRecoveryResponse,
    CreateBackupRequest, CreateBackupResponse, ExportAuditRequest, ExportAuditResponse, ExportCapsuleRequest,
    GenerationRef, GetBackupRequest, GetBackupResponse, GetClientCiphertextsRequest, GetClientCiphertextsResponse,
    GetRecoveryRequest, GetRecoveryResponse, ListBackupsRequest, ListBackupsResponse, ListPasskeysRequest,
    ListPasskeysResponse, ListRecoveriesRequest, ListRecoveriesResponse, ListRecoveryMethodsRequest,
    ListRecoveryMethodsResponse, NewCredential, OpenActKind, PrepareRequest, PrepareResponse, PutSharesRequest,
    PutSharesResponse, Receipt, RecoverRequest, RecoverResponse, RehearseBackupRequest, RehearseBackupResponse,
    ReleaseRecoveryRequest, ReportStoredRequest, ReportStoredResponse, Role, StoredShare,
};
use tonic::{Request, Response, Status};

use super::*;
use enclave::{Deed, Enclave};

mod enclave;
mod kept;
mod releases;
mod world;

pub(super) use enclave::Fault;
pub(super) use kept::{Hand, Kept};
pub(super) use world::{Both, One, alone_of, alone_view, both_of, one_of, world, world_of};

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
    NoCustodianReceipt,
    /// In place of the custodian's.
    ClientReceiptTwice,
    /// Beside both.
    ThirdReceipt,
    CustodianSignedByClient,
    CustodianRelease,
    CustodianDamaged,
    ReleasesSwapped,
    /// Of a role that the act does not name.
    UnaskedRelease,
}

/// The calls that reached the host.
pub(super) type Calls = Arc<Mutex<Vec<Vec<u8>>>>;

#[derive(Clone)]
pub(super) struct Host {
    tamper: Tamper,
    pub(super) calls: Calls,
    /// Every passkey that may sign.
    keys: Arc<Mutex<Vec<NewCredential>>>,
    enclaves: Vec<Enclave>,
    /// The receipts of the last put.
    put: Arc<Mutex<Vec<Receipt>>>,
    /// What the caller brought or was handed.
    pub(super) kept: Kept,
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

    /// The enclaves of the roles that an act names.
    fn named(&self, act: &Act) -> Vec<&Enclave> {
        self.check_assertions(act);
        let intent = wire::decode(&act.intent).unwrap();
        self.enclaves.iter().filter(|it| wire::part(&intent, it.role).is_some()).collect()
    }

    fn tampered(&self, mut receipts: Vec<SignedReceipt>) -> Vec<SignedReceipt> {
        match self.tamper {
            Tamper::NoReceipt => receipts.clear(),
            Tamper::NoCustodianReceipt => receipts.truncate(1),
            Tamper::ClientReceiptTwice => receipts[1] = receipts[0].clone(),
            Tamper::ThirdReceipt => receipts.push(SignedReceipt::default()),
            _ => {}
        }
        receipts
    }

    fn act(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        let request = request.into_inner();
        self.called(request.encode_to_vec())?;
        let act = request.act.unwrap();
        let receipts = self.named(&act).into_iter().map(|it| it.receipt(it.deed(&act))).collect();
        Ok(Response::new(ActResponse { receipts: self.tampered(receipts), stages: None }))
    }

    /// Opens the message of each role that an act names, as its intent has it.
    fn stored(&self, act: &Act, id: &RecordId, messages: [(&[u8], u64); 2]) -> Vec<(&Enclave, Deed)> {
        let intent = wire::decode(&act.intent).unwrap();
        let messages = [Role::Client, Role::Custodian].into_iter().zip(messages);
        let messages: Vec<_> = messages.collect();
        let of = |enclave: &Enclave| messages.iter().find(|(role, _)| *role == enclave.role).unwrap().1;
        let named = self.named(act).into_iter().map(|enclave| {
            let (message, epoch) = of(enclave);
            assert_eq!(epoch, 2);
            let named = &wire::part(&intent, enclave.role).unwrap().message_hash;
            assert_eq!(*named, ContentHash::of(message).0);
            (enclave, Deed { sealed: enclave.opened(id, message), ..enclave.deed(act) })
        });
        named.collect()
    }

    /// The sealed client shares, where the caller keeps them.
    fn handed(&self, id: &RecordId, message: &[u8], generation: u64) -> Vec<StoredShare> {
        let client = self.enclaves.iter().find(|it| it.role == Role::Client && !message.is_empty());
        let sealed = client.map(|client| client.sealed(id, message, generation)).unwrap_or_default();
        self.kept.hand_out(sealed)
    }

    pub(super) fn released(&self, request: &RecoverRequest) -> RecoverResponse {
        let act = request.act.as_ref().unwrap();
        let mut response = RecoverResponse::default();
        for enclave in self.named(act) {
            let mut deed = enclave.deed(act);
            let key = match enclave.role {
                Role::Client => &request.client_recipient_key,
                _ => &request.custodian_recipient_key,
            };
            let (release, hash) = enclave.release(key, &deed.event.intent_hash, deed.event.generation);
            deed.sealed = vec![hash];
            self.reseal(enclave.role, &request.client_shares, &mut deed, &mut response);
            Self::give(enclave, deed, release, &mut response);
        }
        self.finish(response)
    }

    /// What the client role does with shares that came along: they must be the ones handed out, and may be sealed anew.
    fn reseal(&self, role: Role, brought: &[StoredShare], deed: &mut Deed, response: &mut RecoverResponse) {
        if role == Role::Client {
            let anew = self.kept.anew(brought);
            deed.resealed = anew.iter().map(|share| ContentHash::of(&share.sealed).0.to_vec()).collect();
            response.client_shares = self.kept.tampered(anew);
        }
    }

    fn give(enclave: &Enclave, deed: Deed, release: Vec<u8>, response: &mut RecoverResponse) {
        response.receipts.push(enclave.receipt(deed));
        let place = match enclave.role {
            Role::Client => &mut response.client_release,
            _ => &mut response.custodian_release,
        };
        *place = release;
    }

    fn finish(&self, mut response: RecoverResponse) -> RecoverResponse {
        response.receipts = self.tampered(response.receipts);
        match self.tamper {
            Tamper::ReleasesSwapped => {
                std::mem::swap(&mut response.client_release, &mut response.custodian_release);
            }
            Tamper::UnaskedRelease => response.custodian_release = vec![1],
            _ => {}
        }
        response
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
        let storage = request.storage();
        let act = request.act.unwrap();
        let id = wire::record_id(&wire::decode(&act.intent).unwrap());
        let messages = [
            (request.client_message.as_slice(), request.client_epoch),
            (request.custodian_message.as_slice(), request.custodian_epoch),
        ];
        self.kept.take(&request.client_ciphertexts);
        self.kept.stored_by(storage);
        let client_shares = self.handed(&id, &request.client_message, 1);
        let receipts = self.stored(&act, &id, messages).into_iter().map(|(enclave, mut deed)| {
            deed.event.version = 1;
            let put = GenerationRef { generation: 1, put_intent_hash: deed.event.intent_hash.clone() };
            (deed.active, deed.pending) = (Some(put), None);
            enclave.receipt_from(deed, id, Head(id.0))
        });
        let receipts = self.tampered(receipts.collect());
        Ok(Response::new(CreateBackupResponse { receipts, client_shares, ..CreateBackupResponse::default() }))
    }

    async fn put_shares(&self, request: Request<PutSharesRequest>) -> Result<Response<PutSharesResponse>, Status> {
        let request = request.into_inner();
        self.called(request.encode_to_vec())?;
        let act = request.act.unwrap();
        let id = RecordId::from_slice(&self.enclaves[0].record.record_id).unwrap();
        let messages = [
            (request.client_message.as_slice(), request.client_epoch),
            (request.custodian_message.as_slice(), request.custodian_epoch),
        ];
        self.kept.take(&request.client_ciphertexts);
        let client_shares = self.handed(&id, &request.client_message, 2);
        let stored = self.stored(&act, &id, messages).into_iter();
        let receipts: Vec<SignedReceipt> = stored.map(|(enclave, deed)| enclave.receipt(deed)).collect();
        *self.put.lock().unwrap() = receipts.iter().map(|it| Receipt::decode(it.receipt.as_slice()).unwrap()).collect();
        let receipts = self.tampered(receipts);
        Ok(Response::new(PutSharesResponse { receipts, client_shares, ..PutSharesResponse::default() }))
    }

    async fn commit_backup(
        &self,
        request: Request<CommitBackupRequest>,
    ) -> Result<Response<CommitBackupResponse>, Status> {
        self.called(request.into_inner().encode_to_vec())?;
        let put = self.put.lock().unwrap().clone();
        let receipts = self.enclaves.iter().zip(&put).map(|(enclave, put)| {
            let head = Head::from_slice(&put.head).unwrap();
            enclave.commit(put.pending.as_ref().unwrap(), (put.version, head))
        });
        let receipts = self.tampered(receipts.collect());
        Ok(Response::new(CommitBackupResponse { backup: None, receipts, stages: None }))
    }

    async fn rehearse_backup(
        &self,
        request: Request<RehearseBackupRequest>,
    ) -> Result<Response<RehearseBackupResponse>, Status> {
        let request = request.into_inner();
        self.kept.anew(&request.client_shares);
        let act = request.act.unwrap();
        let mut rehearsals: Vec<_> = self.named(&act).into_iter().map(|it| it.rehearsal(&act)).collect();
        match self.tamper {
            Tamper::NoReceipt => rehearsals.clear(),
            Tamper::NoCustodianReceipt => rehearsals.truncate(1),
            Tamper::ClientReceiptTwice => rehearsals[1] = rehearsals[0].clone(),
            _ => {}
        }
        Ok(Response::new(RehearseBackupResponse { rehearsals, stages: None }))
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
        let due = |it: &Enclave| it.due(request.kind(), request.act.as_ref()).map(|(deed, _)| it.receipt(deed));
        let receipts = self.tampered(self.enclaves.iter().filter_map(due).collect());
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

    async fn abort_backup(
        &self,
        request: Request<AbortBackupRequest>,
    ) -> Result<Response<AbortBackupResponse>, Status> {
        self.called(request.into_inner().encode_to_vec())?;
        Ok(Response::new(AbortBackupResponse::default()))
    }

    async fn report_stored(
        &self,
        request: Request<ReportStoredRequest>,
    ) -> Result<Response<ReportStoredResponse>, Status> {
        let request = request.into_inner();
        self.called(request.encode_to_vec())?;
        self.kept.reported(request);
        Ok(Response::new(ReportStoredResponse::default()))
    }

    async fn get_client_ciphertexts(
        &self,
        request: Request<GetClientCiphertextsRequest>,
    ) -> Result<Response<GetClientCiphertextsResponse>, Status> {
        Ok(Response::new(self.kept.ciphertexts(&request.into_inner())))
    }

    type ExportCapsuleStream = tonic::codegen::BoxStream<CapsuleChunk>;

    async fn export_capsule(
        &self,
        _: Request<ExportCapsuleRequest>,
    ) -> Result<Response<Self::ExportCapsuleStream>, Status> {
        nobody_asks()
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
        let receipts = self.named(&act).into_iter().map(|it| it.receipt(it.deed(&act))).collect();
        Ok(Response::new(ActResponse { receipts: self.tampered(receipts), stages: None }))
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
