//! Calls to KMS, each with a fresh attestation document, and the checks of every answer.
//!
//! Nothing of an answer is used before all of its checks have passed. No answer in plain is taken,
//! no alias is followed, and errors say which check failed, never a byte of the answer.

mod guards;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kms::Client;
use aws_sdk_kms::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::config::{BehaviorVersion, IdentityCache, Region, StalledStreamProtectionConfig};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{
    DataKeySpec, KeyEncryptionMechanism, KeyMetadata, KeySpec, KeyState, KeyUsageType, OriginType, RecipientInfo,
};
use aws_smithy_async::rt::sleep::TokioSleep;
use strongroom_core::{KekContext, KekReply, KmsCall};
use strongroom_proto::limits::WRAPPED_KEK_BYTES_MAX;
use strongroom_proto::secret::Secret;

use super::KmsError;
use super::connector::Connector;
use super::credentials::CredentialStore;
use super::envelope::open_envelope;
use super::failure::sort;
use super::recipient::{RecipientKey, Recipients};
use crate::clock::Clock;
use crate::manifest::Manifest;
use crate::nsm::{AttestRequest, Nsm};
use crate::transport::Dial;

/// Bytes of a KEK.
pub const KEK_BYTES: usize = 32;

/// Attempts of one call, the first included.
pub const ATTEMPTS_MAX: u32 = 3;

/// Pause before the second attempt, at most; doubled for each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// Longest pause between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Longest time of one attempt: all of them fit a call.
pub const ATTEMPT_TIME_MAX: Duration = Duration::from_millis(1800);

/// Longest time of one call with all of its attempts. A step that lacks two KEKs makes two calls, and must have said that KMS does not answer
/// before its host's wait of 15 seconds ends: then the host asks another enclave.
pub const CALL_TIME_MAX: Duration = Duration::from_secs(6);

/// The client of one KMS key.
pub struct KmsClient {
    sdk: Client,
    key_arn: String,
    nsm: Arc<dyn Nsm>,
    recipients: Recipients,
}

impl KmsClient {
    /// A client of the manifest's key. `connector` must lead to the manifest's endpoint.
    #[must_use]
    pub fn new<D: Dial>(
        manifest: &Manifest,
        connector: Connector<D>,
        credentials: CredentialStore,
        clock: Clock,
        nsm: Arc<dyn Nsm>,
        recipients: Recipients,
    ) -> Self {
        let time = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIME_MAX)
            .operation_timeout(CALL_TIME_MAX)
            .build();
        let retry = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS_MAX)
            .with_initial_backoff(BACKOFF_MIN)
            .with_max_backoff(BACKOFF_MAX);
        let config = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(manifest.region.clone()))
            .credentials_provider(credentials)
            // The store is the cache; a new push must count at once.
            .identity_cache(IdentityCache::no_cache())
            .http_client(connector)
            .time_source(clock)
            // The time in the answers' headers is not the enclave's.
            .disable_clock_skew_correction(true)
            .sleep_impl(TokioSleep::new())
            .timeout_config(time)
            .retry_config(retry)
            // What it may retry in all is its own: by default the failures of every client of a process count together.
            .retry_partition(RetryPartition::custom("kms").build())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Self { sdk: Client::from_conf(config), key_arn: manifest.key_arn.clone(), nsm, recipients }
    }

    /// Makes one of the core's calls. An unwrap's answer repeats the wrapped form that it was given.
    ///
    /// # Errors
    /// As KMS or the module answers, or the check that the answer fails.
    pub async fn call(&self, call: &KmsCall) -> Result<KekReply, KmsError> {
        match call {
            KmsCall::Generate(context) => self.generate(context).await,
            KmsCall::Unwrap { context, wrapped } => {
                let kek = self.unwrap(context, wrapped).await?;
                Ok(KekReply { wrapped: wrapped.clone(), kek })
            }
        }
    }

    async fn generate(&self, context: &KekContext) -> Result<KekReply, KmsError> {
        let key = self.recipients.newest().await?;
        let call = self.sdk.generate_data_key().key_id(&self.key_arn).key_spec(DataKeySpec::Aes256);
        let call = call.set_encryption_context(Some(encryption_context(context))).recipient(self.recipient(&key)?);
        let output = call.send().await.map_err(|error| sort(&error))?;
        let wrapped = wrapped_of(output.ciphertext_blob())?;
        let kek = self.open(&key, output.key_id(), output.plaintext(), output.ciphertext_for_recipient())?;
        Ok(KekReply { wrapped, kek })
    }

    async fn unwrap(&self, context: &KekContext, wrapped: &[u8]) -> Result<Secret, KmsError> {
        let key = self.recipients.newest().await?;
        let call = self.sdk.decrypt().key_id(&self.key_arn).ciphertext_blob(Blob::new(wrapped));
        let call = call.set_encryption_context(Some(encryption_context(context))).recipient(self.recipient(&key)?);
        let output = call.send().await.map_err(|error| sort(&error))?;
        self.open(&key, output.key_id(), output.plaintext(), output.ciphertext_for_recipient())
    }

    /// Checks that the key is of the one kind that may wrap a KEK.
    ///
    /// # Errors
    /// As KMS answers, or [`KmsError::BadReply`] with the fact that does not hold.
    pub async fn describe(&self) -> Result<(), KmsError> {
        let output = self.sdk.describe_key().key_id(&self.key_arn).send().await.map_err(|error| sort(&error))?;
        check_facts(output.key_metadata().ok_or(KmsError::BadReply("DescribeKey: no metadata"))?, &self.key_arn)
    }

    /// The recipient of one call: a fresh document that carries `key`.
    fn recipient(&self, key: &RecipientKey) -> Result<RecipientInfo, KmsError> {
        let request = AttestRequest { public_key: Some(key.spki()), ..AttestRequest::default() };
        let document = self.nsm.attest(&request).map_err(|_| KmsError::Unavailable("no attestation document"))?;
        Ok(RecipientInfo::builder()
            .key_encryption_algorithm(KeyEncryptionMechanism::RsaesOaepSha256)
            .attestation_document(Blob::new(document))
            .build())
    }

    /// The checks that the answers of both calls share, then the KEK.
    fn open(
        &self,
        key: &RecipientKey,
        key_id: Option<&str>,
        plaintext: Option<&Blob>,
        for_recipient: Option<&Blob>,
    ) -> Result<Secret, KmsError> {
        let envelope = check_reply(&self.key_arn, key_id, plaintext, for_recipient)?;
        kek_of(open_envelope(envelope, key)?)
    }
}

/// Tenant, role and epoch as KMS binds them.
fn encryption_context(context: &KekContext) -> HashMap<String, String> {
    context.pairs().map(|(name, value)| (name.to_owned(), value)).into()
}

/// The answer's envelope, once key, plaintext and presence are checked.
fn check_reply<'a>(
    key_arn: &str,
    key_id: Option<&str>,
    plaintext: Option<&Blob>,
    for_recipient: Option<&'a Blob>,
) -> Result<&'a [u8], KmsError> {
    if key_id != Some(key_arn) {
        return Err(KmsError::BadReply("KeyId is another key's"));
    }
    if plaintext.is_some_and(|plaintext| !plaintext.as_ref().is_empty()) {
        return Err(KmsError::BadReply("Plaintext is present"));
    }
    let envelope = for_recipient.map(AsRef::as_ref).filter(|envelope: &&[u8]| !envelope.is_empty());
    envelope.ok_or(KmsError::BadReply("CiphertextForRecipient is absent"))
}

fn wrapped_of(blob: Option<&Blob>) -> Result<Vec<u8>, KmsError> {
    let wrapped = blob.map(AsRef::as_ref).unwrap_or_default();
    let fits = (1..=WRAPPED_KEK_BYTES_MAX).contains(&wrapped.len());
    if fits { Ok(wrapped.to_vec()) } else { Err(KmsError::BadReply("length of CiphertextBlob")) }
}

fn kek_of(opened: Secret) -> Result<Secret, KmsError> {
    if opened.expose().len() == KEK_BYTES { Ok(opened) } else { Err(KmsError::BadReply("length of the KEK")) }
}

/// Origin, region scope, kind, use and state of the key.
fn check_facts(key: &KeyMetadata, key_arn: &str) -> Result<(), KmsError> {
    let facts = [
        (key.arn() == Some(key_arn), "DescribeKey: another key"),
        (key.origin() == Some(&OriginType::AwsKms), "DescribeKey: Origin is not AWS_KMS"),
        (key.multi_region() == Some(false), "DescribeKey: the key is multi-Region"),
        (key.key_spec() == Some(&KeySpec::SymmetricDefault), "DescribeKey: KeySpec is not SYMMETRIC_DEFAULT"),
        (key.key_usage() == Some(&KeyUsageType::EncryptDecrypt), "DescribeKey: KeyUsage is not ENCRYPT_DECRYPT"),
        (key.key_state() == Some(&KeyState::Enabled) && key.enabled(), "DescribeKey: the key is not enabled"),
    ];
    match facts.into_iter().find(|(holds, _)| !holds) {
        None => Ok(()),
        Some((_, fact)) => Err(KmsError::BadReply(fact)),
    }
}

#[cfg(test)]
mod tests;
