//! HTTP/1.1 over TLS on a loopback address: reads a request within limits of size and time, has its
//! signature verified, hands it to [`operations`](super::operations), writes the answer. Decides nothing
//! about keys.

use super::DevKms;
use super::authorization::{Authorization, Caller};
use super::error::{Kind, KmsError};
use super::operations::{Operation, run};
use super::sigv4::{SignedRequest, verify};
use super::tls::TlsRoot;
use crate::error::SimulatedError;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Longest body, in bytes: an attestation document of AWS's limit in base64, and the rest.
pub const BODY_BYTES_MAX: usize = 512 * 1024;
/// Most connections at a time; further ones wait to be accepted.
pub const CONNECTIONS_MAX: usize = 128;
/// Longest TLS handshake.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Longest wait for a request's header, also on an idle connection.
pub const HEADER_MAX: Duration = Duration::from_mins(1);
/// Longest wait for a request's body.
pub const BODY_MAX: Duration = Duration::from_secs(10);

const CONTENT_TYPE_JSON: &str = "application/x-amz-json-1.1";

/// A bound service that does not answer yet.
pub struct Server {
    kms: Arc<DevKms>,
    listener: TcpListener,
    tls: TlsAcceptor,
}

impl Server {
    /// Binds a loopback address; port 0 takes a free one.
    ///
    /// # Errors
    /// [`SimulatedError::Refused`] for an address that is not loopback or not free,
    /// [`SimulatedError::Certificate`], [`SimulatedError::Tls`].
    pub async fn bind(kms: DevKms, root: &TlsRoot, address: SocketAddr) -> Result<Self, SimulatedError> {
        let refused = |reason| SimulatedError::Refused { what: "listen address", value: address.to_string(), reason };
        if !address.ip().is_loopback() {
            return Err(refused("only loopback addresses are allowed"));
        }
        let tls = TlsAcceptor::from(Arc::new(root.server_config(kms.place())?));
        let listener = TcpListener::bind(address).await.map_err(|_| refused("it cannot be bound"))?;
        Ok(Self { kms: Arc::new(kms), listener, tls })
    }

    /// The bound address.
    ///
    /// # Errors
    /// [`SimulatedError::Refused`] where the system does not say.
    pub fn local_address(&self) -> Result<SocketAddr, SimulatedError> {
        self.listener.local_addr().map_err(|_| SimulatedError::Refused {
            what: "listen address",
            value: String::new(),
            reason: "the system does not tell it",
        })
    }

    /// Answers until `stop` is done; calls in flight are dropped then.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = tokio::task::JoinSet::new();
        tokio::pin!(stop);
        loop {
            let next = async {
                let permit = Arc::clone(&permits).acquire_owned().await;
                (permit, self.listener.accept().await)
            };
            tokio::select! {
                () = &mut stop => return,
                Some(_) = connections.join_next() => {}
                (permit, accepted) = next => match (permit, accepted) {
                    (Ok(permit), Ok((stream, peer))) => {
                        connections.spawn(serve(Arc::clone(&self.kms), self.tls.clone(), stream, peer.ip(), permit));
                    }
                    // Out of file descriptors, for example: others may free some.
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        }
    }
}

async fn serve(kms: Arc<DevKms>, tls: TlsAcceptor, stream: TcpStream, peer: IpAddr, _permit: OwnedSemaphorePermit) {
    // A peer that fails the handshake, or goes, needs no answer.
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = timeout(HANDSHAKE_MAX, tls.accept(stream)).await else {
        return;
    };
    let service = service_fn(move |request| answer(Arc::clone(&kms), peer, request));
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    kms: Arc<DevKms>,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let operation = request_operation(&request);
    let known = operation.as_ref().ok().copied();
    let result = match operation {
        Ok(operation) => call(kms, operation, peer, request).await,
        Err(error) => Err(error),
    };
    log(known, result.as_ref().err());
    Ok(match result {
        Ok(value) => response(StatusCode::OK, None, &value),
        Err(error) => {
            let status = StatusCode::from_u16(error.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            response(status, Some(error.kind), &error.body())
        }
    })
}

async fn call(
    kms: Arc<DevKms>,
    operation: Operation,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Result<Value, KmsError> {
    // Before the body, so that a stranger's megabytes are not read.
    let authorization = Authorization::parse(kms.place(), text(request.headers(), AUTHORIZATION.as_str()))?;
    let (head, body) = request.into_parts();
    let body = timeout(BODY_MAX, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    let body = match body {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Err(KmsError::validation(format!("the body is broken or above {BODY_BYTES_MAX} bytes"))),
        Err(_) => return Err(KmsError::validation("the body came too slowly")),
    };
    let act = move || {
        let query = head.uri.query().unwrap_or_default();
        let signed = SignedRequest { method: head.method.as_str(), query, headers: &head.headers, body: &body };
        let principal = verify(kms.place(), kms.users(), &authorization, &signed, kms.now_ms())?;
        run(&kms, operation, &Caller { principal, source_ip: peer.to_canonical() }, &body)
    };
    // Verifying signatures, RSA and fsync take milliseconds that other connections should not wait.
    tokio::task::spawn_blocking(act).await.unwrap_or_else(|_| Err(super::error::internal("the operation panicked")))
}

fn request_operation(request: &Request<Incoming>) -> Result<Operation, KmsError> {
    if request.method() != Method::POST || request.uri().path() != "/" {
        return Err(KmsError::new(Kind::UnknownOperation, "only POST / is answered"));
    }
    if text(request.headers(), CONTENT_TYPE.as_str()) != Some(CONTENT_TYPE_JSON) {
        return Err(KmsError::new(Kind::UnknownOperation, format!("the content type must be {CONTENT_TYPE_JSON}")));
    }
    Operation::of_target(text(request.headers(), "x-amz-target"))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn response(status: StatusCode, kind: Option<Kind>, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(CONTENT_TYPE_JSON));
    if let Some(kind) = kind {
        headers.insert("x-amzn-errortype", http::HeaderValue::from_static(kind.name()));
    }
    response
}

/// One line for each call on standard error: operation and outcome, nothing that a peer wrote but what
/// a refusal says of it.
fn log(operation: Option<Operation>, error: Option<&KmsError>) {
    let operation = operation.map_or_else(|| "?".to_owned(), |operation| format!("{operation:?}"));
    match error {
        None => eprintln!("devkms: {operation} ok"),
        Some(error) => eprintln!("devkms: {operation} {}: {}", error.kind.name(), error.message.escape_debug()),
    }
}

#[cfg(test)]
mod tests;
