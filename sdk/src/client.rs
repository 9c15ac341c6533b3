//! The gRPC client: one connection to a host, with the tenant's API key on every call.
//!
//! Judges no answer: `prepare`, `receipt` and `seal` do. Sends a key in the clear to this machine only.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use strongroom_proto::v1::backup_service_client::BackupServiceClient;
use strongroom_proto::v1::passkey_service_client::PasskeyServiceClient;
use strongroom_proto::v1::recovery_service_client::RecoveryServiceClient;
use strongroom_proto::v1::tenant_service_client::TenantServiceClient;
use strongroom_proto::v1::wallet_service_client::WalletServiceClient;
use strongroom_proto::v1::{
    CreateBackupRequest, CreateBackupResponse, CreateWalletRequest, GetAttestationRequest, GetStatementRequest,
    GetWalletRequest, PrepareRequest, PrepareResponse, PutStatementRequest, RecoverRequest, RecoverResponse,
    RehearseBackupRequest, RehearseBackupResponse, Role, RoleAttestation, SignedStatement, Wallet,
};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Response, Status};

use crate::error::Error;
use crate::files;
use crate::status::Refusal;

mod acts;
pub mod admin;
mod backend;
mod books;
mod capsules;

/// Longest wait for a connection.
pub const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest wait for an answer.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_mins(1);
/// How often a call is sent, with the same request id and bytes, while the host is unavailable or the connection is lost.
pub const SEND_ATTEMPTS_MAX: u32 = 3;
/// Longest wait between two of these.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(2);
/// Longest file with an API key in bytes.
const API_KEY_FILE_BYTES_MAX: usize = 1024;
const API_KEY_PREFIX: &str = "sr_";
const API_KEY_DIGITS: usize = 64;

/// A tenant's API key. Prints as `[redacted]`.
#[derive(Clone)]
pub struct ApiKey(MetadataValue<Ascii>);

impl ApiKey {
    /// Reads a key: `sr_` and 64 hex digits.
    ///
    /// # Errors
    /// [`Error::Input`], which does not repeat the text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let digits = text.strip_prefix(API_KEY_PREFIX).unwrap_or_default();
        let well_formed = digits.len() == API_KEY_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let value = well_formed.then(|| format!("Bearer {text}").parse().ok()).flatten();
        let mut value: MetadataValue<Ascii> =
            value.ok_or_else(|| Error::input("API key", "not `sr_` and 64 hex digits"))?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// Reads a key from a file that holds nothing else.
    ///
    /// # Errors
    /// [`Error::File`], or as [`ApiKey::parse`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = files::read(path, API_KEY_FILE_BYTES_MAX)?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        Self::parse(text).map_err(|error| Error::File { path: path.to_owned(), problem: error.to_string() })
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Interceptor for ApiKey {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A connection to a host in the name of one tenant. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    api_key: ApiKey,
}

/// Connects to `https://HOST[:PORT]`, to `http://` on this machine's loopback, or to `unix:PATH`.
///
/// # Errors
/// [`Error::Input`] for another address, [`Error::Connection`] where nobody answers.
pub async fn connect(host: &str) -> Result<Channel, Error> {
    let failed = |error: &dyn std::error::Error| Error::Connection { host: host.to_owned(), problem: chain(error) };
    let mut endpoint = Endpoint::from_shared(host.to_owned()).map_err(|error| Error::input("host", chain(&error)))?;
    if !host.starts_with("unix:") {
        check_scheme(&endpoint)?;
        if endpoint.uri().scheme_str() == Some("https") {
            let tls = ClientTlsConfig::new().with_native_roots();
            endpoint = endpoint.tls_config(tls).map_err(|error| failed(&error))?;
        }
    }
    let endpoint = endpoint.connect_timeout(CONNECT_WAIT_MAX).timeout(ANSWER_WAIT_MAX);
    endpoint.connect().await.map_err(|error| failed(&error))
}

fn check_scheme(endpoint: &Endpoint) -> Result<(), Error> {
    let host = endpoint.uri().host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match endpoint.uri().scheme_str() {
        Some("https") if !host.is_empty() => Ok(()),
        Some("http") if loopback => Ok(()),
        Some("http") => Err(Error::input("host", "http:// is allowed to this machine only; use https://")),
        _ => Err(Error::input("host", "not https://HOST[:PORT], http://127.0.0.1:PORT or unix:PATH")),
    }
}

type Service = InterceptedService<Channel, ApiKey>;

impl Client {
    /// Connects as [`connect`] does.
    ///
    /// # Errors
    /// As [`connect`].
    pub async fn connect(host: &str, api_key: ApiKey) -> Result<Self, Error> {
        Ok(Self { channel: connect(host).await?, api_key })
    }

    fn service(&self) -> Service {
        InterceptedService::new(self.channel.clone(), self.api_key.clone())
    }

    /// The newest statement that the host has; `None` before the first.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn get_statement(&self) -> Result<Option<SignedStatement>, Error> {
        match TenantServiceClient::new(self.service()).get_statement(GetStatementRequest {}).await {
            Err(status) if status.code() == Code::NotFound => Ok(None),
            answer => Ok(body(answer)?.statement),
        }
    }

    /// Stores a statement; gives its serial.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn put_statement(&self, statement: SignedStatement) -> Result<u64, Error> {
        let request = PutStatementRequest { statement: Some(statement) };
        Ok(body(TenantServiceClient::new(self.service()).put_statement(request).await)?.serial)
    }

    /// A fresh attestation of one epoch; epoch 0 is the newest.
    ///
    /// # Errors
    /// [`Error::Refused`], or [`Error::Malformed`] for an answer without one.
    pub async fn get_attestation(&self, role: Role, epoch: u64, nonce: &[u8]) -> Result<RoleAttestation, Error> {
        let request = GetAttestationRequest { role: role.into(), epoch, nonce: nonce.to_vec() };
        let answer = body(TenantServiceClient::new(self.service()).get_attestation(request).await)?;
        answer.attestation.ok_or_else(|| Error::malformed("answer", "it has no attestation"))
    }

    /// Makes a wallet; with an empty id the host chooses one.
    ///
    /// # Errors
    /// [`Error::Refused`], or [`Error::Malformed`] for an answer without one.
    pub async fn create_wallet(&self, wallet: &str) -> Result<Wallet, Error> {
        let request = CreateWalletRequest { wallet: wallet.to_owned() };
        let answer = body(WalletServiceClient::new(self.service()).create_wallet(request).await)?;
        answer.wallet.ok_or_else(|| Error::malformed("answer", "it has no wallet"))
    }

    /// A wallet as the host's books have it.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn get_wallet(&self, wallet: &str) -> Result<Wallet, Error> {
        let request = GetWalletRequest { wallet: wallet.to_owned() };
        let answer =
            retry(|| async { WalletServiceClient::new(self.service()).get_wallet(request.clone()).await }).await?;
        answer.wallet.ok_or_else(|| Error::malformed("answer", "it has no wallet"))
    }

    /// All that a device needs to check the service.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn prepare(&self, wallet: &str, nonce: &[u8; 32]) -> Result<PrepareResponse, Error> {
        let request = PrepareRequest { wallet: wallet.to_owned(), nonce: nonce.to_vec() };
        retry(|| async { PasskeyServiceClient::new(self.service()).prepare(request.clone()).await }).await
    }

    /// Carries out a creation; sent again with the same bytes while the host is unavailable.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn create_backup(&self, request: &CreateBackupRequest) -> Result<CreateBackupResponse, Error> {
        retry(|| async { BackupServiceClient::new(self.service()).create_backup(request.clone()).await }).await
    }

    /// Carries out a recovery; sent again with the same bytes while the host is unavailable.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn recover(&self, request: &RecoverRequest) -> Result<RecoverResponse, Error> {
        retry(|| async { RecoveryServiceClient::new(self.service()).recover(request.clone()).await }).await
    }

    /// Carries out a rehearsal.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn rehearse(&self, request: &RehearseBackupRequest) -> Result<RehearseBackupResponse, Error> {
        retry(|| async { BackupServiceClient::new(self.service()).rehearse_backup(request.clone()).await }).await
    }
}

/// A lost answer costs no second prompt: the host gives the same one for the same request id and bytes. What has none may be
/// carried out twice without harm.
async fn retry<T, F>(mut send: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let started = Instant::now();
    let mut attempt = 1;
    loop {
        match send().await {
            Err(status) if may_pass(&status) && attempt < SEND_ATTEMPTS_MAX && started.elapsed() < ANSWER_WAIT_MAX => {
                let wait = Refusal::from_status(&status).retry_after.unwrap_or(Duration::from_millis(200));
                tokio::time::sleep(wait.min(RETRY_WAIT_MAX)).await;
                attempt += 1;
            }
            answer => return body(answer),
        }
    }
}

fn may_pass(status: &Status) -> bool {
    status.code() == Code::Unavailable || is_local(status)
}

/// Whether the status was made on this side, for a connection that failed. What a host sends has no source.
fn is_local(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// The answer, or the host's refusal.
pub(crate) fn body<T>(answer: Result<Response<T>, Status>) -> Result<T, Error> {
    answer.map(Response::into_inner).map_err(|status| match std::error::Error::source(&status) {
        Some(cause) => Error::Lost(chain(cause)),
        None => Error::Refused(Box::new(Refusal::from_status(&status))),
    })
}

/// An error with its causes: tonic's own text says "transport error" only.
fn chain(error: &dyn std::error::Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
        source = error.source();
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_keys_have_one_form_and_are_never_shown() {
        let key = format!("sr_{}", "0a".repeat(32));
        let parsed = ApiKey::parse(&format!("{key}\n")).unwrap();
        assert_eq!(format!("{parsed:?} {:?}", parsed.0), "[redacted] Sensitive");
        for bad in ["", "sr_", &key[1..], &key[..66], &format!("{key}0"), &key.replace('a', "g"), &format!("x{key}")] {
            let error = ApiKey::parse(bad).unwrap_err().to_string();
            assert_eq!(error, "API key: not `sr_` and 64 hex digits", "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_is_lost_is_no_refusal_of_the_host() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = format!("http://{}", listener.local_addr().unwrap());
        let _hang_up = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(stream);
            }
        });
        let key = ApiKey::parse(&format!("sr_{}", "0a".repeat(32))).unwrap();
        let client = Client::connect(&host, key).await.unwrap();
        let error = client.prepare("w", &[0; 32]).await.unwrap_err();
        assert!(matches!(error, Error::Lost(_)), "{error}");
        let refused = body::<()>(Err(Status::unavailable("no")));
        assert!(matches!(refused, Err(Error::Refused(_))));
        assert!(may_pass(&Status::unavailable("no")) && !may_pass(&Status::unknown("no")));
    }

    #[tokio::test]
    async fn a_key_leaves_the_machine_over_tls_only() {
        for (host, expect) in [
            ("http://192.0.2.1:1", "host: http:// is allowed to this machine only"),
            ("http://localhost.example:1", "host: http:// is allowed"),
            ("http://127.0.0.1.example", "host: http:// is allowed"),
            ("ftp://127.0.0.1", "host: not https://"),
            ("127.0.0.1:1", "host: not https://"),
            ("", "host: "),
            ("http://127.0.0.1:1", "no connection to http://127.0.0.1:1: "),
            ("http://[::1]:1", "no connection to http://[::1]:1: "),
            ("unix:/nowhere/socket", "no connection to unix:/nowhere/socket: "),
        ] {
            let error = connect(host).await.unwrap_err().to_string();
            assert!(error.starts_with(expect), "{host:?}: {error}");
        }
    }
}
