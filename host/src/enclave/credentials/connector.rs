//! Plain HTTP/1.1 to one address, for the AWS library: one connection for each request, an answer of limited length, no TLS, no proxy, no
//! redirect. (The library's own connector brings TLS and its roots even for this, and reads answers of any length.)

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http::header::{HOST, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Longest body of an answer in bytes. Credentials are about 1.5 KiB.
pub(super) const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Longest head of an answer in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest wait for a connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(1);

/// Connects to the address, whatever a request names.
#[derive(Clone, Debug)]
pub(super) struct Connector(pub(super) SocketAddr);

impl HttpClient for Connector {
    /// The time-outs are this module's own and the library's around it.
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let address = self.0;
        HttpConnectorFuture::new(async move { exchange(address, request).await })
    }
}

/// The address as a URL has it, with no port where it is HTTP's.
pub(super) fn authority(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) if address.port() == 80 => address.ip().to_string(),
        SocketAddr::V6(address) if address.port() == 80 => format!("[{}]", address.ip()),
        address => address.to_string(),
    }
}

async fn exchange(address: SocketAddr, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let request = to_origin_form(request, address)?;
    let stream = match tokio::time::timeout(CONNECT_TIME_MAX, TcpStream::connect(address)).await {
        Ok(connected) => connected.map_err(|error| ConnectorError::io(error.into()))?,
        Err(elapsed) => return Err(ConnectorError::timeout(elapsed.into())),
    };
    let io_error = |error: hyper::Error| ConnectorError::io(error.into());
    let handshake = http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(io_error)?;
    let answer = async {
        let (head, body) = sender.send_request(request).await.map_err(io_error)?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(ConnectorError::io)?;
        let response = http::Response::from_parts(head, SdkBody::from(body.to_bytes()));
        HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
    };
    // What the connection ends with, the answer ends with as well.
    let driven = async {
        drop(connection.await);
        std::future::pending().await
    };
    tokio::select! {
        answer = answer => answer,
        ended = driven => Err(ended),
    }
}

/// The request as HTTP/1.1 sends it to an origin server.
fn to_origin_form(
    request: http::Request<SdkBody>,
    address: SocketAddr,
) -> Result<http::Request<SdkBody>, ConnectorError> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    head.uri = Uri::from(path);
    let host = HeaderValue::from_str(&authority(address)).map_err(io::Error::other);
    head.headers.insert(HOST, host.map_err(|error| ConnectorError::user(error.into()))?);
    Ok(http::Request::from_parts(head, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_to_the_address_alone() {
        for (address, host) in [
            ("169.254.169.254:80", "169.254.169.254"),
            ("[fd00:ec2::254]:80", "[fd00:ec2::254]"),
            ("127.0.0.1:1338", "127.0.0.1:1338"),
            ("[::1]:81", "[::1]:81"),
        ] {
            let request = http::Request::builder().uri("http://other.example:9/a/b?c").body(SdkBody::empty()).unwrap();
            let request = to_origin_form(request, address.parse().unwrap()).unwrap();
            assert_eq!(
                (request.uri().to_string().as_str(), &request.headers()[HOST]),
                ("/a/b?c", &HeaderValue::from_static(host))
            );
        }
    }
}
