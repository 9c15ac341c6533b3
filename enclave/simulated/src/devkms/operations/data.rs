//! Operations that use keys: wrap, unwrap, random bytes.

use super::{Call, check_dry_run};
use crate::devkms::blob::{self, EncryptionContext, wrap};
use crate::devkms::error::{Kind, KmsError, internal};
use crate::devkms::keys::Key;
use crate::devkms::policy::Fact;
use crate::devkms::request::{
    Blob, CIPHERTEXT_BYTES_MAX, Decrypt, Encrypt, GenerateDataKey, GenerateDataKeyWithoutPlaintext, GenerateRandom,
    PLAINTEXT_BYTES_MAX, RANDOM_BYTES_MAX, ReEncrypt, check_context, check_length, parse,
};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::sync::Arc;
use zeroize::Zeroizing;

const ALGORITHM: &str = "SYMMETRIC_DEFAULT";

/// The dry-run modifier with which a call needs no ciphertext.
const IGNORE_CIPHERTEXT: &str = "IGNORE_CIPHERTEXT";

impl Call<'_> {
    pub(super) fn encrypt(&self, body: &[u8]) -> Result<Value, KmsError> {
        let input: Encrypt = parse(body)?;
        let plaintext = Zeroizing::new(input.plaintext.0);
        check_algorithm(input.encryption_algorithm.as_deref())?;
        check_length("Plaintext", plaintext.len(), 1, PLAINTEXT_BYTES_MAX)?;
        check_context(&input.encryption_context)?;
        let key = self.key(&input.key_id)?;
        self.authorize(&key, "kms:Encrypt", &input.encryption_context, None)?;
        self.check_usable(&key)?;
        check_dry_run(input.dry_run)?;
        let blob = wrap(key.id, &key.material, &input.encryption_context, &plaintext)?;
        Ok(json!({
            "CiphertextBlob": STANDARD.encode(blob),
            "KeyId": self.arn(&key),
            "EncryptionAlgorithm": ALGORITHM,
        }))
    }

    pub(super) fn decrypt(&self, body: &[u8]) -> Result<Value, KmsError> {
        let input: Decrypt = parse(body)?;
        check_algorithm(input.encryption_algorithm.as_deref())?;
        check_context(&input.encryption_context)?;
        let source = Source::new(input.ciphertext_blob, input.key_id, input.dry_run, &input.dry_run_modifiers)?;
        let key = self.source_key(&source)?;
        let genuine = self.genuine(input.recipient.as_ref())?;
        let pcrs = genuine.as_ref().map(strongroom_attestation::Genuine::pcrs);
        self.authorize(&key, "kms:Decrypt", &input.encryption_context, pcrs)?;
        self.check_usable(&key)?;
        let plaintext = source.unwrap(&key, &input.encryption_context)?;
        check_dry_run(input.dry_run)?;
        let mut answer = json!({ "KeyId": self.arn(&key), "EncryptionAlgorithm": ALGORITHM });
        self.answer(&mut answer, &plaintext, genuine)?;
        Ok(answer)
    }

    pub(super) fn re_encrypt(&self, body: &[u8]) -> Result<Value, KmsError> {
        let input: ReEncrypt = parse(body)?;
        check_algorithm(input.source_encryption_algorithm.as_deref())?;
        check_algorithm(input.destination_encryption_algorithm.as_deref())?;
        check_context(&input.source_encryption_context)?;
        check_context(&input.destination_encryption_context)?;
        let source = Source::new(input.ciphertext_blob, input.source_key_id, input.dry_run, &input.dry_run_modifiers)?;
        let from = self.source_key(&source)?;
        let to = self.key(&input.destination_key_id)?;
        let same = [(Fact::ReEncryptOnSameKey, (from.id == to.id).to_string())];
        self.authorize_with(&from, "kms:ReEncryptFrom", &input.source_encryption_context, None, &same)?;
        self.authorize_with(&to, "kms:ReEncryptTo", &input.destination_encryption_context, None, &same)?;
        self.check_usable(&from)?;
        self.check_usable(&to)?;
        let plaintext = source.unwrap(&from, &input.source_encryption_context)?;
        check_dry_run(input.dry_run)?;
        let blob = wrap(to.id, &to.material, &input.destination_encryption_context, &plaintext)?;
        Ok(json!({
            "CiphertextBlob": STANDARD.encode(blob),
            "SourceKeyId": self.arn(&from),
            "KeyId": self.arn(&to),
            "SourceEncryptionAlgorithm": ALGORITHM,
            "DestinationEncryptionAlgorithm": ALGORITHM,
        }))
    }

    pub(super) fn generate_data_key(&self, body: &[u8]) -> Result<Value, KmsError> {
        let input: GenerateDataKey = parse(body)?;
        let length = data_key_length(input.key_spec.as_deref(), input.number_of_bytes)?;
        check_context(&input.encryption_context)?;
        let key = self.key(&input.key_id)?;
        let genuine = self.genuine(input.recipient.as_ref())?;
        let pcrs = genuine.as_ref().map(strongroom_attestation::Genuine::pcrs);
        self.authorize(&key, "kms:GenerateDataKey", &input.encryption_context, pcrs)?;
        self.check_usable(&key)?;
        check_dry_run(input.dry_run)?;
        let data_key = random(length)?;
        let blob = wrap(key.id, &key.material, &input.encryption_context, &data_key)?;
        let mut answer = json!({ "CiphertextBlob": STANDARD.encode(blob), "KeyId": self.arn(&key) });
        self.answer(&mut answer, &data_key, genuine)?;
        Ok(answer)
    }

    /// Makes the data key as [`Call::generate_data_key`] does, and forgets it.
    pub(super) fn generate_data_key_without_plaintext(&self, body: &[u8]) -> Result<Value, KmsError> {
        let input: GenerateDataKeyWithoutPlaintext = parse(body)?;
        let length = data_key_length(input.key_spec.as_deref(), input.number_of_bytes)?;
        check_context(&input.encryption_context)?;
        let key = self.key(&input.key_id)?;
        self.authorize(&key, "kms:GenerateDataKeyWithoutPlaintext", &input.encryption_context, None)?;
        self.check_usable(&key)?;
        check_dry_run(input.dry_run)?;
        let blob = wrap(key.id, &key.material, &input.encryption_context, &random(length)?)?;
        Ok(json!({ "CiphertextBlob": STANDARD.encode(blob), "KeyId": self.arn(&key) }))
    }

    /// No key policy speaks of it, so every caller may.
    pub(super) fn generate_random(&self, body: &[u8]) -> Result<Value, KmsError> {
        let input: GenerateRandom = parse(body)?;
        let length = input.number_of_bytes.unwrap_or_default();
        check_length("NumberOfBytes", length, 1, RANDOM_BYTES_MAX)?;
        let genuine = self.genuine(input.recipient.as_ref())?;
        let mut answer = json!({});
        self.answer(&mut answer, &random(length)?, genuine)?;
        Ok(answer)
    }

    /// The key that a blob names; it must be the one that the caller names, if he does.
    fn source_key(&self, source: &Source) -> Result<Arc<Key>, KmsError> {
        let named = source.key_id.as_ref().map(|id| self.key(id)).transpose()?;
        let Some(blob) = &source.blob else {
            return named.ok_or_else(|| KmsError::validation("without CiphertextBlob a key id is needed"));
        };
        let id = blob::key_id(blob)?;
        match named {
            Some(key) if key.id == id => Ok(key),
            Some(_) => Err(KmsError::new(
                Kind::IncorrectKey,
                "The key ID in the request does not identify a CMK that can perform this operation.",
            )),
            None => self.kms.keys().get(id).ok_or_else(|| {
                KmsError::new(Kind::AccessDenied, "The ciphertext refers to a key that does not exist here.")
            }),
        }
    }
}

/// What `Decrypt` and `ReEncrypt` take a plaintext from.
struct Source {
    blob: Option<Vec<u8>>,
    key_id: Option<String>,
}

impl Source {
    /// The blob is missing only in a dry run that says so.
    fn new(blob: Option<Blob>, key_id: Option<String>, dry_run: bool, modifiers: &[String]) -> Result<Self, KmsError> {
        if !modifiers.is_empty() && (!dry_run || modifiers != [IGNORE_CIPHERTEXT]) {
            return Err(KmsError::validation(format!("DryRunModifiers can only be {IGNORE_CIPHERTEXT}, with DryRun")));
        }
        if !modifiers.is_empty() {
            return Ok(Self { blob: None, key_id });
        }
        let blob = blob.ok_or_else(|| KmsError::validation("CiphertextBlob is missing"))?.0;
        check_length("CiphertextBlob", blob.len(), 1, CIPHERTEXT_BYTES_MAX)?;
        Ok(Self { blob: Some(blob), key_id })
    }

    /// The plaintext; nothing in a dry run without a blob, which ends before anybody uses it.
    fn unwrap(&self, key: &Key, context: &EncryptionContext) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        match &self.blob {
            Some(blob) => blob::unwrap(&key.material, context, blob),
            None => Ok(Zeroizing::default()),
        }
    }
}

/// The bytes of a data key: `KeySpec` or `NumberOfBytes` says them, and not both.
fn data_key_length(key_spec: Option<&str>, number_of_bytes: Option<usize>) -> Result<usize, KmsError> {
    let length = match (key_spec, number_of_bytes) {
        (Some("AES_256"), None) => 32,
        (Some("AES_128"), None) => 16,
        (Some(other), None) => {
            let text = format!(
                "1 validation error detected: Value '{other}' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [AES_256, AES_128]"
            );
            return Err(KmsError::validation(text));
        }
        (None, Some(length)) => length,
        _ => return Err(KmsError::validation("Please specify either number of bytes or key spec.")),
    };
    check_length("NumberOfBytes", length, 1, RANDOM_BYTES_MAX)?;
    Ok(length)
}

fn check_algorithm(algorithm: Option<&str>) -> Result<(), KmsError> {
    if algorithm.is_some_and(|algorithm| algorithm != ALGORITHM) {
        return Err(KmsError::validation(format!("EncryptionAlgorithm can only be {ALGORITHM}")));
    }
    Ok(())
}

fn random(length: usize) -> Result<Zeroizing<Vec<u8>>, KmsError> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    SystemRandom::new().fill(&mut bytes).map_err(|_| internal("randomness"))?;
    Ok(bytes)
}
