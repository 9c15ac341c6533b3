//! The calls that devices make: who asks, whether he may, and then the host's answer in the tenant's name.
//!
//! Whatever is not written here answers `UNIMPLEMENTED`. A line of the log has the call, the user's name and the outcome, never what
//! was sent.

use std::sync::Arc;

use strongroom_proto::limits::FRAME_BYTES_MAX;
use strongroom_proto::v1::backup_service_client::BackupServiceClient;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::passkey_service_client::PasskeyServiceClient;
use strongroom_proto::v1::recovery_service_client::RecoveryServiceClient;
use strongroom_proto::v1::{
    Act, CommitBackupRequest, CommitBackupResponse, CreateBackupRequest, CreateBackupResponse, CustodianSeal,
    GetBackupRequest, GetBackupResponse, GetClientCiphertextsRequest, GetClientCiphertextsResponse,
    GetStatementRequest, GetStatementResponse, Intent, OwnCiphertexts, PrepareRequest, PrepareResponse, RecoverRequest,
    RecoverResponse, RehearseBackupRequest, RehearseBackupResponse, SealDraftRequest, SentAlone, SentDraft,
    SignIntentRequest, SignIntentResponse, SignedDraft, SignedReceipt,
};
use strongroom_sdk::client::{ApiKey, Client};
use strongroom_sdk::{Error, Trust};
use tonic::metadata::MetadataMap;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::check;
use crate::config::{Config, User, Users};
use crate::custodian::Desk;
use crate::statement::Current;
use crate::store::{Refused, Store};
use v1::backup_service_server::BackupService;
use v1::passkey_service_server::PasskeyService;
use v1::recovery_service_server::RecoveryService;
use v1::tenant_backend_service_server::TenantBackendService;
use v1::tenant_service_server::TenantService;

/// The services of `strongroom.v1`, with every call that is not written here refused.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated from the .proto files")]
pub(crate) mod v1 {
    include!(concat!(env!("OUT_DIR"), "/strongroom.v1.rs"));
}

/// Most bytes of a request: a sealed message of every pair's share, and what stands around it.
pub(crate) const REQUEST_BYTES_MAX: usize = FRAME_BYTES_MAX;

/// Who gives the reasons in errors: the host's are passed on.
const ERROR_DOMAIN: &str = "strongroom";

/// The backend. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Backend(Arc<Inner>);

struct Inner {
    users: Users,
    statement: Arc<Current>,
    store: Store,
    host: InterceptedService<Channel, ApiKey>,
    /// Where the company has shares of its own.
    desk: Option<Desk>,
}

impl Backend {
    pub(crate) fn new(config: Config, channel: Channel, client: Client, trust: Trust) -> Self {
        let statement = Arc::new(config.statement);
        let desk = config.custodian.map(|company| Desk::new(company, client, trust, Arc::clone(&statement)));
        Self(Arc::new(Inner {
            users: config.users,
            store: Store::new(config.receipts, Arc::clone(&statement)),
            statement,
            host: InterceptedService::new(channel, config.api_key),
            desk,
        }))
    }

    /// Reads the statement again, and says in the log which one is in force.
    pub(crate) fn reload_statement(&self) {
        match self.0.statement.reload() {
            Ok(serial) => eprintln!("statement serial={serial}"),
            Err(error) => eprintln!("statement serial={} kept: {error}", self.0.statement.get().verified.serial()),
        }
    }

    /// Carries out a call of the user whose session token came with it.
    async fn call<M, T, F>(
        &self,
        call: &'static str,
        request: Request<M>,
        work: impl FnOnce(Arc<User>, M) -> F,
    ) -> Result<Response<T>, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let (metadata, _, message) = request.into_parts();
        let user = token(&metadata).and_then(|token| self.0.users.by_token(token.as_bytes()));
        let name = user.as_ref().map_or_else(|| "-".to_owned(), |user| user.name.clone());
        let answer = match user {
            Some(user) => work(user, message).await,
            None => Err(Status::unauthenticated("no valid session")),
        };
        let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        eprintln!("call={call} user={name} code={code:?}");
        answer.map(Response::new)
    }

    fn act(&self, user: &User, act: Option<&Act>, wanted: fn(&Action) -> bool) -> Result<Intent, Status> {
        let intent = check::act(self.0.store.tenant(), &user.wallet, act, wanted)?;
        self.0.store.refuse_forked(&intent).map_err(|refused| not_kept(&refused))?;
        Ok(intent)
    }

    /// No answer leaves before its receipts are kept: what the tenant does not know, it could not vouch for.
    fn keep(&self, act: Option<&Act>, intent: &Intent, receipts: &[SignedReceipt]) -> Result<(), Status> {
        let bytes = act.map(|act| act.intent.as_slice()).unwrap_or_default();
        self.0.store.keep_act(bytes, intent, receipts).map_err(|refused| not_kept(&refused))
    }

    /// The newest receipts of the record that an intent is on: what the company's signature goes by.
    fn known(&self, user: &User, intent: &[u8]) -> Result<Vec<SignedReceipt>, Status> {
        let act = Act { intent: intent.to_vec(), ..Act::default() };
        let intent = self.act(user, Some(&act), |_| true)?;
        self.0.store.newest_for(&intent).map_err(|refused| not_kept(&refused))
    }

    fn desk(&self) -> Result<&Desk, Status> {
        self.0.desk.as_ref().ok_or_else(|| Status::unimplemented("this company keeps no shares of its own"))
    }
}

/// The one bearer token of a call.
fn token(metadata: &MetadataMap) -> Option<&str> {
    let mut values = metadata.get_all("authorization").iter();
    let (scheme, token) = values.next()?.to_str().ok()?.split_once(' ')?;
    (values.next().is_none() && scheme.eq_ignore_ascii_case("bearer")).then_some(token)
}

/// The host's answer, or its refusal with all details. What went wrong between this backend and the host is none of the device's
/// business.
fn relay<T>(answer: Result<Response<T>, Status>) -> Result<T, Status> {
    answer.map(Response::into_inner).map_err(|status| {
        let by_host = std::error::Error::source(&status).is_none();
        match status.code() {
            Code::Unauthenticated => Status::internal("the host refuses this backend"),
            code if by_host => Status::with_details(code, status.message(), status.details().to_vec().into()),
            _ => Status::unavailable("the host cannot be reached"),
        }
    })
}

/// Why the company does not do its half: what the device sent, what the host refused, or nothing that is the device's business.
fn not_done(error: Error) -> Status {
    match error {
        Error::NotExpected { .. } => Status::permission_denied(error.to_string()),
        Error::Input { .. } | Error::Malformed { .. } => Status::invalid_argument(error.to_string()),
        Error::Refused(refusal) => {
            let details = ErrorDetails::with_error_info(&refusal.reason, ERROR_DOMAIN, []);
            Status::with_error_details(refusal.code, refusal.message.clone(), details)
        }
        error => {
            eprintln!("custodian: {error}");
            Status::unavailable("the company's half cannot be done now")
        }
    }
}

fn not_kept(refused: &Refused) -> Status {
    match refused {
        Refused::Receipt => Status::data_loss("the host's answer has no valid receipt"),
        Refused::Fork => Status::data_loss("the host shows two histories of this backup"),
        Refused::Store => Status::unavailable("the receipt cannot be kept; try again"),
    }
}

#[tonic::async_trait]
impl PasskeyService for Backend {
    async fn prepare(&self, request: Request<PrepareRequest>) -> Result<Response<PrepareResponse>, Status> {
        let work = |user: Arc<User>, message: PrepareRequest| async move {
            check::wallet(&user.wallet, &message.wallet)?;
            let mut answer = relay(PasskeyServiceClient::new(self.0.host.clone()).prepare(message).await)?;
            // Never the host's: it might show an older one.
            answer.statement = Some(self.0.statement.get().signed.clone());
            Ok(answer)
        };
        self.call("Prepare", request, work).await
    }
}

#[tonic::async_trait]
impl TenantService for Backend {
    async fn get_statement(
        &self,
        request: Request<GetStatementRequest>,
    ) -> Result<Response<GetStatementResponse>, Status> {
        let work = |_: Arc<User>, _: GetStatementRequest| async move {
            Ok(GetStatementResponse { statement: Some(self.0.statement.get().signed.clone()) })
        };
        self.call("GetStatement", request, work).await
    }
}

#[tonic::async_trait]
impl BackupService for Backend {
    async fn create_backup(
        &self,
        request: Request<CreateBackupRequest>,
    ) -> Result<Response<CreateBackupResponse>, Status> {
        let work = |user: Arc<User>, message: CreateBackupRequest| async move {
            let act = message.act.clone();
            let intent = self.act(&user, act.as_ref(), |action| matches!(action, Action::CreateBackup(_)))?;
            let answer = relay(BackupServiceClient::new(self.0.host.clone()).create_backup(message).await)?;
            self.keep(act.as_ref(), &intent, &answer.receipts)?;
            Ok(answer)
        };
        self.call("CreateBackup", request, work).await
    }

    async fn get_backup(&self, request: Request<GetBackupRequest>) -> Result<Response<GetBackupResponse>, Status> {
        let work = |user: Arc<User>, message: GetBackupRequest| async move {
            check::wallet(&user.wallet, &message.wallet)?;
            let answer = relay(BackupServiceClient::new(self.0.host.clone()).get_backup(message).await)?;
            // An act whose answer was lost on its way is caught up with here.
            for receipt in answer.backup.iter().flat_map(|backup| &backup.receipts) {
                self.0.store.keep(receipt, &user.wallet).map_err(|refused| not_kept(&refused))?;
            }
            Ok(answer)
        };
        self.call("GetBackup", request, work).await
    }

    async fn commit_backup(
        &self,
        request: Request<CommitBackupRequest>,
    ) -> Result<Response<CommitBackupResponse>, Status> {
        let work = |user: Arc<User>, message: CommitBackupRequest| async move {
            check::wallet(&user.wallet, &message.wallet)?;
            let answer = relay(BackupServiceClient::new(self.0.host.clone()).commit_backup(message).await)?;
            for receipt in &answer.receipts {
                self.0.store.keep(receipt, &user.wallet).map_err(|refused| not_kept(&refused))?;
            }
            Ok(answer)
        };
        self.call("CommitBackup", request, work).await
    }

    async fn get_client_ciphertexts(
        &self,
        request: Request<GetClientCiphertextsRequest>,
    ) -> Result<Response<GetClientCiphertextsResponse>, Status> {
        let work = |user: Arc<User>, message: GetClientCiphertextsRequest| async move {
            check::wallet(&user.wallet, &message.wallet)?;
            relay(BackupServiceClient::new(self.0.host.clone()).get_client_ciphertexts(message).await)
        };
        self.call("GetClientCiphertexts", request, work).await
    }

    async fn rehearse_backup(
        &self,
        request: Request<RehearseBackupRequest>,
    ) -> Result<Response<RehearseBackupResponse>, Status> {
        let work = |user: Arc<User>, message: RehearseBackupRequest| async move {
            self.act(&user, message.act.as_ref(), |action| matches!(action, Action::Rehearse(_)))?;
            relay(BackupServiceClient::new(self.0.host.clone()).rehearse_backup(message).await)
        };
        self.call("RehearseBackup", request, work).await
    }
}

#[tonic::async_trait]
impl RecoveryService for Backend {
    async fn recover(&self, request: Request<RecoverRequest>) -> Result<Response<RecoverResponse>, Status> {
        let work = |user: Arc<User>, message: RecoverRequest| async move {
            let act = message.act.clone();
            let intent = self.act(&user, act.as_ref(), |action| matches!(action, Action::Recover(_)))?;
            let answer = relay(RecoveryServiceClient::new(self.0.host.clone()).recover(message).await)?;
            self.keep(act.as_ref(), &intent, &answer.receipts)?;
            Ok(answer)
        };
        self.call("Recover", request, work).await
    }
}

#[tonic::async_trait]
impl TenantBackendService for Backend {
    async fn sign_intent(&self, request: Request<SignIntentRequest>) -> Result<Response<SignIntentResponse>, Status> {
        let work = |user: Arc<User>, message: SignIntentRequest| async move {
            let known = self.known(&user, &message.intent)?;
            let signature = self.desk()?.sign(&user, &message.intent, &known).map_err(not_done)?;
            Ok(SignIntentResponse { signature: Some(signature) })
        };
        self.call("SignIntent", request, work).await
    }

    async fn seal_draft(&self, request: Request<SealDraftRequest>) -> Result<Response<CustodianSeal>, Status> {
        let work = |user: Arc<User>, message: SealDraftRequest| async move {
            let known = self.known(&user, &message.draft)?;
            self.desk()?.seal(&user, &message.draft, &known).await.map_err(not_done)
        };
        self.call("SealDraft", request, work).await
    }

    async fn send_draft(&self, request: Request<SignedDraft>) -> Result<Response<SentDraft>, Status> {
        let work = |user: Arc<User>, message: SignedDraft| async move {
            let wanted = |action: &Action| matches!(action, Action::CreateBackup(_) | Action::PutShares(_));
            let act = Act { intent: message.intent.clone(), ..Act::default() };
            let intent = self.act(&user, Some(&act), wanted)?;
            let sent = self.desk()?.send(&user, message).await.map_err(not_done)?;
            self.keep(Some(&act), &intent, &sent.receipts)?;
            Ok(sent)
        };
        self.call("SendDraft", request, work).await
    }

    async fn send_alone(&self, request: Request<OwnCiphertexts>) -> Result<Response<SentAlone>, Status> {
        let work = |user: Arc<User>, message: OwnCiphertexts| async move {
            check::wallet(&user.wallet, &message.wallet)?;
            let sent = self.desk()?.send_alone(&user, message).await.map_err(not_done)?;
            let act = Act { intent: sent.intent.clone(), ..Act::default() };
            let intent = self.act(&user, Some(&act), |_| true)?;
            self.keep(Some(&act), &intent, &sent.receipts)?;
            Ok(sent)
        };
        self.call("SendAlone", request, work).await
    }
}
