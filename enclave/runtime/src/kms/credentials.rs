//! The IAM credentials that the host hands in: no secret from the host, and they expire.
//!
//! Kept in one place that the KMS client reads at each call; a new set replaces the old one at once.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use strongroom_proto::enclave::v1::SetCredentials;
use tokio::sync::Notify;

use crate::clock::Clock;

/// Longest access key id in bytes.
pub const ACCESS_KEY_ID_BYTES_MAX: usize = 128;
/// Longest secret access key in bytes.
pub const SECRET_ACCESS_KEY_BYTES_MAX: usize = 256;
/// Longest session token in bytes.
pub const SESSION_TOKEN_BYTES_MAX: usize = 8 * 1024;

/// The newest credentials, shared by all threads.
#[derive(Clone)]
pub struct CredentialStore(Arc<State>);

struct State {
    clock: Clock,
    newest: RwLock<Option<Held>>,
    changed: Notify,
}

struct Held {
    credentials: Credentials,
    /// When they expire, or nothing where they do not.
    expires_at_ms: Option<u64>,
}

impl CredentialStore {
    /// An empty store whose expiry follows `clock`.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(State { clock, newest: RwLock::new(None), changed: Notify::new() }))
    }

    /// Replaces the credentials.
    ///
    /// # Errors
    /// The name of the field that has another form, and then the old ones stay.
    pub fn set(&self, pushed: SetCredentials) -> Result<(), &'static str> {
        check(&pushed.access_key_id, 1, ACCESS_KEY_ID_BYTES_MAX, "access_key_id")?;
        check(&pushed.secret_access_key, 1, SECRET_ACCESS_KEY_BYTES_MAX, "secret_access_key")?;
        check(&pushed.session_token, 0, SESSION_TOKEN_BYTES_MAX, "session_token")?;
        let expires_at_ms = Some(pushed.expires_at_ms).filter(|ms| *ms != 0);
        if self.is_past(expires_at_ms) {
            return Err("expires_at_ms: already past");
        }
        let token = Some(pushed.session_token).filter(|token| !token.is_empty());
        let expiry = expires_at_ms.and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
        let credentials = Credentials::new(pushed.access_key_id, pushed.secret_access_key, token, expiry, "host");
        *self.0.newest.write().unwrap_or_else(PoisonError::into_inner) = Some(Held { credentials, expires_at_ms });
        self.0.changed.notify_waiters();
        Ok(())
    }

    /// Whether there are credentials that have not expired.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.current().is_some()
    }

    /// Returns when new credentials came, or after `pause`.
    pub async fn changed(&self, pause: Duration) {
        // Both outcomes lead the caller to look again.
        let _ = tokio::time::timeout(pause, self.0.changed.notified()).await;
    }

    fn current(&self) -> Option<Credentials> {
        let newest = self.0.newest.read().unwrap_or_else(PoisonError::into_inner);
        newest.as_ref().filter(|held| !self.is_past(held.expires_at_ms)).map(|held| held.credentials.clone())
    }

    fn is_past(&self, expires_at_ms: Option<u64>) -> bool {
        match (expires_at_ms, self.0.clock.now_ms()) {
            (Some(expiry), Some(now)) => expiry <= now,
            _ => false,
        }
    }
}

impl ProvideCredentials for CredentialStore {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(
            self.current().ok_or_else(|| CredentialsError::not_loaded("none, or expired")),
        )
    }
}

impl fmt::Debug for CredentialStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialStore([redacted])")
    }
}

/// Visible ASCII only, since the value becomes part of an HTTP header.
fn check(value: &str, min: usize, max: usize, field: &'static str) -> Result<(), &'static str> {
    let fits = (min..=max).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(()) } else { Err(field) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(id: &str, secret: &str, token: &str, expires_at_ms: u64) -> SetCredentials {
        SetCredentials {
            access_key_id: id.into(),
            secret_access_key: secret.into(),
            session_token: token.into(),
            expires_at_ms,
        }
    }

    fn check(pushed: SetCredentials, expect: Result<(), &'static str>) {
        let clock = Clock::default();
        clock.set(1_000_000);
        let store = CredentialStore::new(clock);
        assert_eq!(store.set(pushed), expect);
        assert_eq!(store.is_present(), expect.is_ok());
    }

    #[test]
    fn only_what_fits_a_header_and_has_not_expired_is_taken() {
        check(pushed("id", "secret", "", 0), Ok(()));
        check(pushed("id", "secret", "token", 9_000_000), Ok(()));
        check(pushed(&"i".repeat(128), &"s".repeat(256), &"t".repeat(8192), 0), Ok(()));
        check(pushed("", "secret", "", 0), Err("access_key_id"));
        check(pushed("id", "", "", 0), Err("secret_access_key"));
        check(pushed(&"i".repeat(129), "secret", "", 0), Err("access_key_id"));
        check(pushed("id", &"s".repeat(257), "", 0), Err("secret_access_key"));
        check(pushed("id", "secret", &"t".repeat(8193), 0), Err("session_token"));
        check(pushed("i\r\nd", "secret", "", 0), Err("access_key_id"));
        check(pushed("id", "sec ret", "", 0), Err("secret_access_key"));
        check(pushed("id", "secret", "t\u{f6}ken", 0), Err("session_token"));
        check(pushed("id", "secret", "", 999_999), Err("expires_at_ms: already past"));
    }

    #[test]
    fn they_expire_by_the_enclaves_time_and_a_refused_push_changes_nothing() {
        let clock = Clock::default();
        let store = CredentialStore::new(clock.clone());
        clock.set(1_000_000);
        store.set(pushed("id", "secret", "", 2_000_000)).unwrap();
        assert!(store.set(pushed("", "", "", 0)).is_err());
        assert!(store.is_present());
        clock.set(2_000_000);
        assert!(!store.is_present());
        store.set(pushed("id", "secret", "", 0)).unwrap();
        assert!(store.is_present());
        assert!(!format!("{store:?}").contains("secret\""));
    }
}
