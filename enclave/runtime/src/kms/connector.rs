//! The SDK's HTTP connector over any byte stream: the host's relay, TLS in the enclave, HTTP/1.1.
//!
//! It keeps at most one idle connection and opens another where that one has failed. It reaches one
//! host name only, whatever a request says, and reads no answer past a limit.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http::header::{HOST, HeaderValue};
use http::uri::{PathAndQuery, Scheme, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use crate::error::RuntimeError;
use crate::guard::guarded_task;
use crate::transport::Dial;

/// Longest body of an answer in bytes. The longest that KMS gives to our calls is 12 KiB of base64.
pub const RESPONSE_BODY_BYTES_MAX: usize = 64 * 1024;

/// Longest head of an answer in bytes.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 16 * 1024;

/// Longest time from dialling the relay to the end of the TLS handshake.
pub const CONNECT_TIME_MAX: Duration = Duration::from_millis(1500);

/// Longest name that the relay's preface takes in bytes.
pub const RELAY_NAME_BYTES_MAX: usize = 253;

/// The relay's answer when bytes flow from now on.
const RELAY_CONNECTED: u8 = 0;
/// The relay's answer where the name is not on its list.
const RELAY_NOT_LISTED: u8 = 1;

/// Connects to one host name through the relay. Clones share the idle connection.
pub struct Connector<D>(Arc<Shared<D>>);

struct Shared<D> {
    dial: Arc<D>,
    tls: TlsConnector,
    host: String,
    name: ServerName<'static>,
    idle: Mutex<Option<SendRequest<SdkBody>>>,
}

impl<D: Dial> Connector<D> {
    /// A connector to `https://<host>`, and to nothing else.
    ///
    /// # Errors
    /// [`RuntimeError::Tls`] where `host` is no DNS name of at most 253 bytes.
    pub fn new(dial: Arc<D>, tls: ClientConfig, host: &str) -> Result<Self, RuntimeError> {
        let not_a_name = RuntimeError::Tls("the endpoint is no DNS name");
        let name = ServerName::try_from(host.to_owned());
        let Ok(name @ ServerName::DnsName(_)) = name else { return Err(not_a_name) };
        if host.len() > RELAY_NAME_BYTES_MAX {
            return Err(not_a_name);
        }
        let tls = TlsConnector::from(Arc::new(tls));
        Ok(Self(Arc::new(Shared { dial, tls, host: host.to_owned(), name, idle: Mutex::new(None) })))
    }
}

impl<D> Clone for Connector<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D> fmt::Debug for Connector<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({})", self.0.host)
    }
}

impl<D: Dial> HttpClient for Connector<D> {
    /// The time-outs are this module's own and the SDK's around it.
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl<D: Dial> HttpConnector for Connector<D> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let shared = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move { shared.exchange(request).await })
    }
}

impl<D: Dial> Shared<D> {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let mut request = to_origin_form(request, &self.host)?;
        if let Some(mut sender) = self.take_idle()
            && sender.ready().await.is_ok()
        {
            match sender.try_send_request(request).await {
                Ok(response) => return self.finish(sender, response).await,
                Err(mut error) => match error.take_message() {
                    // Nothing of it was sent: the idle connection had closed.
                    Some(unsent) => request = unsent,
                    None => return Err(ConnectorError::io(error.into_error().into())),
                },
            }
        }
        let mut sender = match tokio::time::timeout(CONNECT_TIME_MAX, self.open()).await {
            Ok(opened) => opened.map_err(|error| ConnectorError::io(error.into()))?,
            Err(elapsed) => return Err(ConnectorError::timeout(elapsed.into())),
        };
        let response = sender.send_request(request).await.map_err(|error| ConnectorError::io(error.into()))?;
        self.finish(sender, response).await
    }

    /// Dials the relay, names the host, and shakes hands.
    async fn open(&self) -> io::Result<SendRequest<SdkBody>> {
        let mut stream = self.dial.connect().await?;
        let length = u8::try_from(self.host.len()).map_err(io::Error::other)?;
        let mut preface = vec![length];
        preface.extend_from_slice(self.host.as_bytes());
        stream.write_all(&preface).await?;
        stream.flush().await?;
        match stream.read_u8().await? {
            RELAY_CONNECTED => {}
            RELAY_NOT_LISTED => return Err(io::Error::other("the relay does not list the name")),
            _ => return Err(io::Error::other("the relay cannot connect")),
        }
        let stream = self.tls.connect(self.name.clone(), stream).await?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(RESPONSE_HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        // The sender reports whatever the connection ends with.
        tokio::spawn(guarded_task(async move { connection.await.ok() }));
        Ok(sender)
    }

    /// Reads the body whole and keeps the connection for the next call.
    async fn finish(
        &self,
        sender: SendRequest<SdkBody>,
        response: http::Response<Incoming>,
    ) -> Result<HttpResponse, ConnectorError> {
        let (head, body) = response.into_parts();
        let body = Limited::new(body, RESPONSE_BODY_BYTES_MAX).collect().await.map_err(ConnectorError::io)?;
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        let response = http::Response::from_parts(head, SdkBody::from(body.to_bytes()));
        HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
    }

    fn take_idle(&self) -> Option<SendRequest<SdkBody>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The request as HTTP/1.1 sends it to an origin server; refuses any other origin than `https://host`.
fn to_origin_form(request: http::Request<SdkBody>, host: &str) -> Result<http::Request<SdkBody>, ConnectorError> {
    let uri = request.uri();
    let is_ours =
        uri.scheme() == Some(&Scheme::HTTPS) && uri.authority().is_some_and(|authority| authority.as_str() == host);
    if !is_ours {
        return Err(ConnectorError::user("another endpoint than the key's".into()));
    }
    let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let host = HeaderValue::from_str(host).map_err(|error| ConnectorError::user(error.into()))?;
    let (mut head, body) = request.into_parts();
    head.uri = Uri::from(path);
    head.headers.insert(HOST, host);
    Ok(http::Request::from_parts(head, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, expect: Option<&str>) {
        let request = http::Request::builder().uri(uri).body(SdkBody::empty()).unwrap();
        let got = to_origin_form(request, "kms.eu-central-1.amazonaws.com").ok();
        assert_eq!(got.as_ref().map(|request| request.uri().to_string()).as_deref(), expect, "{uri}");
        if let Some(request) = got {
            assert_eq!(request.headers()[HOST], "kms.eu-central-1.amazonaws.com");
        }
    }

    #[test]
    fn only_the_keys_endpoint_is_reached() {
        check("https://kms.eu-central-1.amazonaws.com/", Some("/"));
        check("https://kms.eu-central-1.amazonaws.com", Some("/"));
        check("https://kms.eu-central-1.amazonaws.com/a?b=c", Some("/a?b=c"));
        check("http://kms.eu-central-1.amazonaws.com/", None);
        check("https://kms.eu-west-1.amazonaws.com/", None);
        check("https://kms.eu-central-1.amazonaws.com:444/", None);
        check("https://user@kms.eu-central-1.amazonaws.com/", None);
        check("https://kms.eu-central-1.amazonaws.com.example/", None);
        check("/", None);
    }
}
