//! The IAM users of the development KMS: one private file each in the folder `users` of its state, in the
//! form of the host's credentials file, so that a file can be handed over as it is.
//!
//! A user is made once, with an access key of its own, and read when the service starts. Its secret is in
//! that file and in memory, and in no log and no answer.

use crate::error::SimulatedError;
use crate::private_file;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use zeroize::{Zeroize as _, Zeroizing};

/// Most users of one service.
pub const USERS_MAX: usize = 100;
/// Longest name of a user, in bytes, as IAM has it.
pub const USER_NAME_BYTES_MAX: usize = 64;
/// Longest access key id, in bytes, as IAM has it.
pub const ACCESS_KEY_ID_BYTES_MAX: usize = 128;

/// Bytes of randomness in an access key id and in a secret: 16 characters in base 32, 40 in base 64.
const ID_RANDOM_BYTES: usize = 10;
const SECRET_RANDOM_BYTES: usize = 30;

/// A text that is erased on drop and never shown.
pub struct SecretText(String);

impl SecretText {
    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for SecretText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// An access key, as the file of its user has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    /// The public half, which every signature names.
    pub access_key_id: String,
    /// The half that signs.
    pub secret_access_key: SecretText,
    /// The token that each call must carry where the key is a temporary one.
    pub session_token: Option<SecretText>,
    /// When it ends, milliseconds since 1970-01-01T00:00:00Z; never where it is 0.
    #[serde(default)]
    pub expires_at_ms: u64,
}

/// All users, by access key id.
#[derive(Debug, Default)]
pub struct Users(BTreeMap<String, (String, AccessKey)>);

impl Users {
    /// Reads the users of the folder `state`.
    ///
    /// # Errors
    /// [`SimulatedError::File`], [`SimulatedError::Form`].
    pub fn open(state: &Path) -> Result<Self, SimulatedError> {
        let folder = state.join("users");
        let mut users = BTreeMap::new();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self(users)),
            Err(error) => return Err(SimulatedError::file(&folder)(error)),
        };
        for entry in entries {
            let path = entry.map_err(SimulatedError::file(&folder))?.path();
            // Another file, such as the unfinished one of a process that was killed, is nobody's.
            let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".toml")) else { continue };
            check_name(name)?;
            let key = AccessKey::read(state, name)?;
            if users.len() == USERS_MAX {
                return Err(form(&path, format!("there are more than {USERS_MAX} users")));
            }
            if users.insert(key.access_key_id.clone(), (name.to_owned(), key)).is_some() {
                return Err(form(&path, "two users have its access key id".to_owned()));
            }
        }
        Ok(Self(users))
    }

    /// The user of an access key id, and the key.
    #[must_use]
    pub fn get(&self, access_key_id: &str) -> Option<(&str, &AccessKey)> {
        self.0.get(access_key_id).map(|(name, key)| (name.as_str(), key))
    }
}

impl AccessKey {
    /// Reads the access key of a user.
    ///
    /// # Errors
    /// [`SimulatedError::File`] where there is no such user, [`SimulatedError::Form`].
    pub fn read(state: &Path, name: &str) -> Result<Self, SimulatedError> {
        let path = file_of(state, name);
        let content = private_file::read(&path)?.map(Zeroizing::new);
        let content = content.ok_or_else(|| SimulatedError::file(&path)(std::io::ErrorKind::NotFound.into()))?;
        // An error of the parser may quote the file, so it is not shown.
        let key: Option<Self> = std::str::from_utf8(&content).ok().and_then(|text| toml::from_str(text).ok());
        let key = key.ok_or_else(|| form(&path, "it must have access_key_id and secret_access_key".to_owned()))?;
        if is_access_key_id(&key.access_key_id) && !key.secret_access_key.expose().is_empty() {
            Ok(key)
        } else {
            Err(form(&path, "its access key is malformed".to_owned()))
        }
    }
}

/// The file of a user.
#[must_use]
pub fn file_of(state: &Path, name: &str) -> PathBuf {
    state.join("users").join(format!("{name}.toml"))
}

/// Makes a user with an access key; one that is there stays as it is.
///
/// # Errors
/// [`SimulatedError::Refused`] for a name that IAM would not take, [`SimulatedError::File`].
pub fn make(state: &Path, name: &str) -> Result<(), SimulatedError> {
    check_name(name)?;
    let path = file_of(state, name);
    let folder = state.join("users");
    std::fs::create_dir_all(&folder).map_err(SimulatedError::file(&folder))?;
    if path.exists() {
        return Ok(());
    }
    let (mut id, mut secret) = ([0; ID_RANDOM_BYTES], Zeroizing::new([0; SECRET_RANDOM_BYTES]));
    let random = SystemRandom::new();
    random
        .fill(&mut id)
        .and_then(|()| random.fill(&mut secret[..]))
        .map_err(|_| SimulatedError::file(&path)(std::io::Error::other("no randomness")))?;
    let content = Zeroizing::new(format!(
        "access_key_id = \"AKIA{}\"\nsecret_access_key = \"{}\"\n",
        base32(id),
        Zeroizing::new(base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &secret[..])).as_str()
    ));
    // Where another process has just made him, his key is as good.
    private_file::create(&path, content.as_bytes()).map(|_| ())
}

/// Whether a text has the form of an access key id.
pub(crate) fn is_access_key_id(text: &str) -> bool {
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !text.is_empty() && text.len() <= ACCESS_KEY_ID_BYTES_MAX && text.bytes().all(is_byte)
}

fn check_name(name: &str) -> Result<(), SimulatedError> {
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.is_empty() || name.len() > USER_NAME_BYTES_MAX || !name.bytes().all(is_byte) {
        let reason = "not 1 to 64 letters, digits, '-' and '_'";
        return Err(SimulatedError::Refused { what: "user", value: name.to_owned(), reason });
    }
    Ok(())
}

fn form(path: &Path, reason: String) -> SimulatedError {
    SimulatedError::Form { path: path.to_owned(), reason }
}

/// RFC 4648's base 32 of 80 bits, without padding, as they are a multiple of five.
fn base32(bytes: [u8; ID_RANDOM_BYTES]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits = bytes.iter().fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    let digits = (0..bytes.len() * 8 / 5).rev();
    digits.map(|digit| char::from(ALPHABET[(bits >> (5 * digit) & 31) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_user_is_made_once_with_a_key_of_its_own() {
        let state = tempfile::tempdir().unwrap();
        for name in ["one", "two", "one"] {
            make(state.path(), name).unwrap();
        }
        let keys = ["one", "two"].map(|name| AccessKey::read(state.path(), name).unwrap());
        assert_ne!(keys[0].access_key_id, keys[1].access_key_id);
        assert_ne!(keys[0].secret_access_key.expose(), keys[1].secret_access_key.expose());
        make(state.path(), "one").unwrap();
        assert_eq!(AccessKey::read(state.path(), "one").unwrap().access_key_id, keys[0].access_key_id);
        assert_eq!((keys[0].access_key_id.len(), keys[0].secret_access_key.expose().len()), (20, 40));
        assert!(keys[0].access_key_id.starts_with("AKIA"));
        let users = Users::open(state.path()).unwrap();
        assert_eq!(users.get(&keys[1].access_key_id).unwrap().0, "two");
        assert!(users.get("AKIANOBODY").is_none());
        assert_eq!(std::fs::metadata(file_of(state.path(), "one")).unwrap().permissions().mode() & 0o777, 0o600);
        let shown = format!("{users:?}");
        assert!(shown.contains("[redacted]") && !shown.contains(keys[0].secret_access_key.expose()), "{shown}");
    }

    #[test]
    fn names_and_files_of_another_form_are_refused() {
        let state = tempfile::tempdir().unwrap();
        let longest = "n".repeat(USER_NAME_BYTES_MAX);
        make(state.path(), &longest).unwrap();
        for name in ["", "../x", "a b", "a.b", "\u{e4}", &format!("{longest}n")] {
            assert!(matches!(make(state.path(), name), Err(SimulatedError::Refused { .. })), "{name}");
        }
        let good = "access_key_id = \"AKIA\"\nsecret_access_key = \"planted\"\n";
        let path = file_of(state.path(), "user");
        std::fs::write(&path, good).unwrap();
        Users::open(state.path()).unwrap();
        for content in [
            String::new(),
            good.replace("AKIA", ""),
            good.replace("AKIA", "a b"),
            good.replace("AKIA", &"a".repeat(ACCESS_KEY_ID_BYTES_MAX + 1)),
            good.replace("\"planted\"", "\"\""),
            good.replace("\"planted\"", "planted"),
            format!("{good}more = 1\n"),
        ] {
            std::fs::write(&path, &content).unwrap();
            let error = Users::open(state.path()).unwrap_err();
            assert!(matches!(error, SimulatedError::Form { .. }), "{content}");
            assert!(!error.to_string().contains("planted"), "{error}");
        }
        std::fs::write(&path, good).unwrap();
        std::fs::write(file_of(state.path(), "twin"), good).unwrap();
        assert!(Users::open(state.path()).unwrap_err().to_string().contains("two users"));
    }

    #[test]
    fn the_number_of_users_has_an_edge() {
        let state = tempfile::tempdir().unwrap();
        for number in 0..USERS_MAX {
            make(state.path(), &format!("user-{number}")).unwrap();
        }
        Users::open(state.path()).unwrap();
        make(state.path(), "one-more").unwrap();
        assert!(Users::open(state.path()).unwrap_err().to_string().contains("more than"));
    }

    #[test]
    fn base_32_is_rfc_4648() {
        assert_eq!(base32(*b"foobarfoob"), "MZXW6YTBOJTG633C");
        assert_eq!(base32([0xff; 10]), "7777777777777777");
    }
}
