//! Credentials from a file that somebody else renews.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use strongroom_proto::enclave::v1::SetCredentials;
use strongroom_proto::id::sha256;
use zeroize::Zeroizing;

use super::Credentials;
use crate::error::Error;

/// Longest credentials file in bytes.
pub(super) const CREDENTIALS_BYTES_MAX: usize = 16 * 1024;

/// The file's content.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
    #[serde(default)]
    session_token: Zeroizing<String>,
    #[serde(default)]
    expires_at_ms: u64,
}

/// Reads the file.
///
/// # Errors
/// Where it cannot be read, others may read it, or it does not hold what it should. No error quotes its content.
pub(super) fn read(path: &Path) -> Result<Credentials, Error> {
    let metadata = std::fs::metadata(path).map_err(Error::io("read credentials", path))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(refused(path, format!("mode {mode:03o}"), "must be readable by its owner alone, such as mode 600"));
    }
    if metadata.len() > CREDENTIALS_BYTES_MAX as u64 {
        let limit = format!("must be at most {CREDENTIALS_BYTES_MAX} bytes");
        return Err(refused(path, format!("{} bytes", metadata.len()), limit));
    }
    let bytes = Zeroizing::new(std::fs::read(path).map_err(Error::io("read credentials", path))?);
    let file: File = std::str::from_utf8(&bytes).ok().and_then(|text| toml::from_str(text).ok()).ok_or_else(|| {
        let fields = "must be TOML with access_key_id, secret_access_key and, optionally, session_token, expires_at_ms";
        refused(path, "its content".to_owned(), fields)
    })?;
    let message = SetCredentials {
        access_key_id: file.access_key_id,
        secret_access_key: file.secret_access_key.to_string(),
        session_token: file.session_token.to_string(),
        expires_at_ms: file.expires_at_ms,
    };
    Ok(Credentials::new(sha256(&[&bytes]), message))
}

fn refused(path: &Path, value: String, limit: impl Into<String>) -> Error {
    Error::config(format!("credentials file {}", PathBuf::from(path).display()), value, limit)
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use strongroom_proto::enclave::v1::{Request, request::Body};

    use super::*;

    fn file(dir: &tempfile::TempDir, content: &str, mode: u32) -> PathBuf {
        let path = dir.path().join("credentials.toml");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn credentials_are_read_and_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let content = "access_key_id = \"AK\"\nsecret_access_key = \"planted\"\nexpires_at_ms = 5\n";
        let one = read(&file(&dir, content, 0o600)).unwrap();
        let request = Request::decode(one.encode().as_slice()).unwrap();
        let Some(Body::SetCredentials(message)) = request.body else { panic!("{request:?}") };
        assert_eq!((message.access_key_id.as_str(), message.expires_at_ms), ("AK", 5));
        assert_eq!((message.secret_access_key.as_str(), message.session_token.as_str()), ("planted", ""));
        let other = read(&file(&dir, &content.replace("planted", "renewed"), 0o400)).unwrap();
        assert_ne!(one.hash, other.hash);
    }

    #[test]
    fn what_is_refused_is_named_and_never_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let good = "access_key_id = \"AK\"\nsecret_access_key = \"planted\"\n";
        for (content, mode, expect) in [
            (good.to_owned(), 0o640, "mode 640"),
            (good.to_owned(), 0o604, "mode 604"),
            (format!("{good}secret = \"planted\""), 0o600, "access_key_id"),
            ("access_key_id = \"planted\"".to_owned(), 0o600, "secret_access_key"),
            ("planted".to_owned(), 0o600, "TOML"),
            ("#".repeat(CREDENTIALS_BYTES_MAX + 1), 0o600, "16385 bytes"),
        ] {
            let error = read(&file(&dir, &content, mode)).err().unwrap();
            assert!(error.to_string().contains(expect), "{error}");
            assert!(!format!("{error} {error:?}").contains("planted"), "{error}");
        }
        let longest = format!("{good}{}", "#".repeat(CREDENTIALS_BYTES_MAX - good.len()));
        read(&file(&dir, &longest, 0o600)).unwrap();
        assert!(read(&dir.path().join("absent")).is_err());
    }
}
