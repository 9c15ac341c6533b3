//! The IAM credentials of a role's KMS key: where they are read from, how often, and their way to the enclave. They are never logged nor
//! kept in memory.

use std::time::Duration;

use prost::Message;
use strongroom_proto::enclave::v1::{Request, SetCredentials, request::Body};
use zeroize::Zeroize;

use crate::config::CredentialSource;
use crate::error::Error;

mod connector;
mod file;
mod instance;

/// How often a file is read again.
const FILE_EVERY: Duration = Duration::from_secs(30);
/// Shortest and longest wait until the instance's credentials are asked for again. EC2 has the next ones at least five minutes before the
/// old ones end, so an enclave has them four minutes before that.
const INSTANCE_EVERY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));

/// Credentials on their way to the enclave; erased on drop.
pub(super) struct Credentials {
    /// Tells one content of the source from the next.
    pub(super) hash: [u8; 32],
    request: Request,
}

impl Credentials {
    fn new(hash: [u8; 32], message: SetCredentials) -> Self {
        Self { hash, request: Request { body: Some(Body::SetCredentials(message)) } }
    }

    /// The request that gives them to the enclave, encoded; the connection erases it once it is sent.
    pub(super) fn encode(&self) -> Vec<u8> {
        self.request.encode_to_vec()
    }

    /// When they end, milliseconds since 1970-01-01T00:00:00Z; 0 where they do not.
    pub(super) fn expires_at_ms(&self) -> u64 {
        match &self.request.body {
            Some(Body::SetCredentials(message)) => message.expires_at_ms,
            _ => 0,
        }
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        if let Some(Body::SetCredentials(message)) = &mut self.request.body {
            message.access_key_id.zeroize();
            message.secret_access_key.zeroize();
            message.session_token.zeroize();
        }
    }
}

/// Refuses at the start what can be seen to be wrong then: a file, but not the instance, which may not have its role yet.
///
/// # Errors
/// As [`read`], for a file.
pub(super) fn check(source: &CredentialSource) -> Result<(), Error> {
    match source {
        CredentialSource::File(path) => file::read(path).map(drop),
        CredentialSource::InstanceRole { .. } => Ok(()),
    }
}

/// Reads the source. Takes at most [`instance::READ_TIME_MAX`].
///
/// # Errors
/// Where it cannot be read or does not hold what it should. No error quotes its content.
pub(super) async fn read(source: &CredentialSource) -> Result<Credentials, Error> {
    match source {
        CredentialSource::File(path) => file::read(path),
        CredentialSource::InstanceRole { role, imds } => instance::read(role, *imds).await,
    }
}

/// How long to wait until the source is read again, where the enclave has credentials that end at `expires_at_ms`. A clock that is wrong
/// moves it between its limits only.
pub(super) fn again(source: &CredentialSource, expires_at_ms: u64, now_ms: u64) -> Duration {
    match source {
        CredentialSource::File(_) => FILE_EVERY,
        CredentialSource::InstanceRole { .. } => {
            let left = Duration::from_millis(expires_at_ms.saturating_sub(now_ms));
            (left / 2).clamp(INSTANCE_EVERY.0, INSTANCE_EVERY.1)
        }
    }
}

/// How long to wait after a failure.
pub(super) fn retry(source: &CredentialSource) -> Duration {
    match source {
        // At the next look at the enclave.
        CredentialSource::File(_) => Duration::ZERO,
        CredentialSource::InstanceRole { .. } => INSTANCE_EVERY.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_again_well_before_they_end() {
        let file = CredentialSource::File("/c".into());
        let instance = CredentialSource::InstanceRole { role: "r".to_owned(), imds: "127.0.0.1:80".parse().unwrap() };
        let now: i64 = 1_800_000_000_000;
        for (left_s, expect_s) in [
            (21_600, 60),
            (300, 60),
            (120, 60),
            (119, 59),
            (60, 30),
            (11, 5),
            (10, 5),
            (1, 5),
            (0, 5),
            (-1, 5),
            (-9_999, 5),
        ] {
            let expires = now + left_s * 1000;
            let (expires, now) = (u64::try_from(expires).unwrap(), u64::try_from(now).unwrap());
            assert_eq!(again(&instance, expires, now).as_secs(), expect_s, "{left_s}");
            assert_eq!(again(&file, expires, now), FILE_EVERY);
        }
        assert_eq!((retry(&instance), retry(&file)), (INSTANCE_EVERY.0, Duration::ZERO));
        assert_eq!(again(&instance, u64::MAX, 0), INSTANCE_EVERY.1);
    }
}
