//! The requests' bodies, as AWS names their fields, with AWS's limits. A field that this service does
//! not know is refused.

use super::blob::EncryptionContext;
use super::error::{Kind, KmsError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;

/// Longest `CiphertextBlob`, in bytes.
pub const CIPHERTEXT_BYTES_MAX: usize = 6144;
/// Longest plaintext of `Encrypt`, in bytes.
pub const PLAINTEXT_BYTES_MAX: usize = 4096;
/// Longest `AttestationDocument`, in bytes. The verifier's own limit is lower.
pub const ATTESTATION_BYTES_MAX: usize = 262_144;
/// Most bytes of `GenerateDataKey` and `GenerateRandom`.
pub const RANDOM_BYTES_MAX: usize = 1024;
/// Longest encryption context, keys and values together, in bytes.
pub const CONTEXT_BYTES_MAX: usize = 8192;
/// Longest description, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 8192;

/// Reads a body.
///
/// # Errors
/// `SerializationException` with what is wrong.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, KmsError> {
    // A body holds secrets, and errors of serde_json may quote it.
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        let shown = if text.starts_with("unknown field") || text.starts_with("missing field") {
            text
        } else {
            format!("the body is malformed at line {} column {}", error.line(), error.column())
        };
        KmsError::new(Kind::Serialization, shown)
    })
}

/// Refuses a length.
pub(crate) fn check_length(name: &str, length: usize, min: usize, max: usize) -> Result<(), KmsError> {
    if length < min || length > max {
        return Err(KmsError::validation(format!("{name} has a length of {length}; {min} to {max} are allowed")));
    }
    Ok(())
}

/// Refuses a context that AWS would refuse; and one with two keys that differ by case alone, of which
/// AWS's own documentation warns: a policy's condition could not tell them apart.
pub(crate) fn check_context(context: &EncryptionContext) -> Result<(), KmsError> {
    let names: BTreeSet<String> = context.keys().map(|key| key.to_lowercase()).collect();
    if names.len() != context.len() {
        return Err(KmsError::validation("EncryptionContext has two keys that differ by case alone"));
    }
    let length = context.iter().map(|(key, value)| key.len() + value.len()).sum();
    check_length("EncryptionContext", length, 0, CONTEXT_BYTES_MAX)
}

/// Bytes, in base64.
#[derive(Debug, Default)]
pub struct Blob(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Blob).map_err(|_| D::Error::custom("not base64"))
    }
}

/// Who shall be able to open the answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct Recipient {
    pub(crate) key_encryption_algorithm: String,
    pub(crate) attestation_document: Blob,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct CreateKey {
    pub(crate) policy: Option<String>,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) key_usage: Option<String>,
    pub(crate) key_spec: Option<String>,
    pub(crate) origin: Option<String>,
    #[serde(default)]
    pub(crate) multi_region: bool,
    #[serde(default)]
    pub(crate) bypass_policy_lockout_safety_check: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct KeyOnly {
    pub(crate) key_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct GetKeyPolicy {
    pub(crate) key_id: String,
    pub(crate) policy_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct PutKeyPolicy {
    pub(crate) key_id: String,
    pub(crate) policy_name: Option<String>,
    pub(crate) policy: String,
    #[serde(default)]
    pub(crate) bypass_policy_lockout_safety_check: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct ScheduleKeyDeletion {
    pub(crate) key_id: String,
    pub(crate) pending_window_in_days: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct GenerateDataKey {
    pub(crate) key_id: String,
    #[serde(default)]
    pub(crate) encryption_context: EncryptionContext,
    pub(crate) number_of_bytes: Option<usize>,
    pub(crate) key_spec: Option<String>,
    pub(crate) recipient: Option<Recipient>,
    #[serde(default)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct GenerateDataKeyWithoutPlaintext {
    pub(crate) key_id: String,
    #[serde(default)]
    pub(crate) encryption_context: EncryptionContext,
    pub(crate) number_of_bytes: Option<usize>,
    pub(crate) key_spec: Option<String>,
    #[serde(default)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct Decrypt {
    pub(crate) ciphertext_blob: Option<Blob>,
    pub(crate) key_id: Option<String>,
    #[serde(default)]
    pub(crate) encryption_context: EncryptionContext,
    pub(crate) encryption_algorithm: Option<String>,
    pub(crate) recipient: Option<Recipient>,
    #[serde(default)]
    pub(crate) dry_run: bool,
    #[serde(default)]
    pub(crate) dry_run_modifiers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct Encrypt {
    pub(crate) key_id: String,
    pub(crate) plaintext: Blob,
    #[serde(default)]
    pub(crate) encryption_context: EncryptionContext,
    pub(crate) encryption_algorithm: Option<String>,
    #[serde(default)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct ReEncrypt {
    pub(crate) ciphertext_blob: Option<Blob>,
    pub(crate) source_key_id: Option<String>,
    #[serde(default)]
    pub(crate) source_encryption_context: EncryptionContext,
    pub(crate) source_encryption_algorithm: Option<String>,
    pub(crate) destination_key_id: String,
    #[serde(default)]
    pub(crate) destination_encryption_context: EncryptionContext,
    pub(crate) destination_encryption_algorithm: Option<String>,
    #[serde(default)]
    pub(crate) dry_run: bool,
    #[serde(default)]
    pub(crate) dry_run_modifiers: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(crate) struct GenerateRandom {
    pub(crate) number_of_bytes: Option<usize>,
    pub(crate) recipient: Option<Recipient>,
}
