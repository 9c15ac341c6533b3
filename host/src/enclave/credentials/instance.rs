//! Credentials of the role of the EC2 instance that the host runs on, from the instance metadata service, version 2.
//!
//! The AWS library's client fetches a token for each attempt, retries and gives up in time; it knows no way without a token, as version 1 was. Its
//! credentials provider is not used: it hides failures behind the credentials that it had before, gives expired ones a new end by the
//! clock of this machine, and keeps them in memory.

use std::net::SocketAddr;
use std::time::Duration;

use aws_config::imds::Client;
use aws_config::imds::client::error::ImdsError;
use aws_config::provider_config::ProviderConfig;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::Deserialize;
use strongroom_proto::enclave::v1::SetCredentials;
use strongroom_proto::id::sha256;
use zeroize::Zeroizing;

use super::Credentials;
use super::connector::{Connector, authority};
use crate::error::Error;

/// Longest time that reading takes, all attempts together.
pub(super) const READ_TIME_MAX: Duration = Duration::from_secs(5);
/// Longest time of one attempt.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(1);
/// Most attempts.
const ATTEMPTS_MAX: u32 = 3;
/// How long a token holds. The library uses none in its last two minutes again, so each attempt has its own: IMDS may have forgotten one.
const TOKEN_TIME: Duration = Duration::from_mins(1);

/// What IMDS says of a role.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    code: String,
    #[serde(default)]
    access_key_id: String,
    #[serde(default)]
    secret_access_key: Zeroizing<String>,
    #[serde(default)]
    token: Zeroizing<String>,
    #[serde(default)]
    expiration: String,
}

/// Asks for the credentials of the instance's role.
///
/// # Errors
/// Where the service does not answer in time, has no such role, or answers anything else. No error quotes the answer.
pub(super) async fn read(role: &str, imds: SocketAddr) -> Result<Credentials, Error> {
    let asked = tokio::time::timeout(READ_TIME_MAX, ask(role, imds)).await;
    let asked = asked.unwrap_or(Err("no answer in time"));
    let text = asked.map_err(|cause| refused(role, imds, cause))?;
    parse(&text).map_err(|cause| refused(role, imds, cause))
}

async fn ask(role: &str, imds: SocketAddr) -> Result<Zeroizing<String>, &'static str> {
    let client = Client::builder()
        .configure(&ProviderConfig::without_region().with_http_client(Connector(imds)))
        .endpoint(format!("http://{}", authority(imds)))
        .map_err(|_| "its address makes no URL")?
        .token_ttl(TOKEN_TIME)
        .max_attempts(ATTEMPTS_MAX)
        .operation_attempt_timeout(ATTEMPT_TIME_MAX)
        .operation_timeout(READ_TIME_MAX)
        .build();
    let path = format!("/latest/meta-data/iam/security-credentials/{role}");
    client.get(path).await.map(|text| Zeroizing::new(text.into())).map_err(|error| cause(&error))
}

fn cause(error: &ImdsError) -> &'static str {
    match error {
        ImdsError::FailedToLoadToken(_) => "it gives no token: it must be on, and its hop limit must reach the host",
        ImdsError::ErrorResponse(answer) => match answer.response().status().as_u16() {
            401 => "it takes none of its tokens",
            404 => "the instance has no role of this name",
            _ => "it refuses",
        },
        ImdsError::IoError(_) => "it does not answer",
        _ => "no answer that makes sense",
    }
}

fn parse(text: &str) -> Result<Credentials, &'static str> {
    // What the parser says may quote the text.
    let answer: Answer = serde_json::from_str(text).map_err(|_| "no credentials in its answer")?;
    if answer.code != "Success" {
        return Err("its answer is not a success: the role must trust EC2");
    }
    if [&answer.access_key_id, &*answer.secret_access_key, &*answer.token].iter().any(|text| text.is_empty()) {
        return Err("its answer lacks a part");
    }
    let expires = DateTime::from_str(&answer.expiration, Format::DateTime).ok().and_then(|time| time.to_millis().ok());
    let expires = expires.and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms != 0);
    let message = SetCredentials {
        access_key_id: answer.access_key_id,
        secret_access_key: answer.secret_access_key.to_string(),
        session_token: answer.token.to_string(),
        expires_at_ms: expires.ok_or("its answer has no time of expiry")?,
    };
    // When EC2 last wrote it is in the text too, so every renewal has another hash.
    Ok(Credentials::new(sha256(&[text.as_bytes()]), message))
}

fn refused(role: &str, imds: SocketAddr, cause: &'static str) -> Error {
    let place = format!("role {role}, http://{}", authority(imds));
    Error::io("ask the instance metadata service:", place)(std::io::Error::other(cause))
}

#[cfg(test)]
mod tests;
