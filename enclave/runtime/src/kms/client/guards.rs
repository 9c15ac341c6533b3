//! Dry runs of what the key's policy must deny to whoever calls without an attestation document.
//!
//! A guard against misconfiguration and no proof: the host chooses the credentials, and a policy may let
//! another caller, another tenant's context, or `ReEncrypt` from this key to one elsewhere through. Nothing
//! is wrapped or unwrapped here.

use std::collections::HashMap;

use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{DataKeySpec, DryRunModifierType};
use strongroom_core::KekContext;
use strongroom_proto::id::TenantId;
use strongroom_proto::v1::Role;

use super::{KmsClient, encryption_context};
use crate::kms::KmsError;
use crate::kms::failure::sort;

/// What KMS answers to a dry run that it would allow.
const WOULD_BE_ALLOWED: &str = "DryRunOperationException";

/// What it answers where the key's policy, or the caller's own, denies the call.
const DENIED: &str = "AccessDeniedException";

/// Bytes that `Encrypt` is tried with; the call takes no fewer.
const PLAINTEXT: [u8; 1] = [0];

type Context = Option<HashMap<String, String>>;

impl KmsClient {
    /// Checks that each call that needs no attestation document is denied.
    ///
    /// # Errors
    /// [`KmsError::Unguarded`] with the first call that is not; [`KmsError::Unproven`] where KMS says something else than that
    /// it is denied; and as KMS answers where trying again may help.
    pub async fn guard(&self) -> Result<(), KmsError> {
        for context in contexts() {
            let (sdk, key) = (&self.sdk, &self.key_arn);
            let call = sdk.encrypt().key_id(key).plaintext(Blob::new(PLAINTEXT)).dry_run(true);
            judge("Encrypt", call.set_encryption_context(context.clone()).send().await)?;

            let call = sdk.re_encrypt().source_key_id(key).destination_key_id(key);
            let call = call.dry_run(true).dry_run_modifiers(DryRunModifierType::IgnoreCiphertext);
            let call = call.set_source_encryption_context(context.clone());
            judge("ReEncrypt", call.set_destination_encryption_context(context.clone()).send().await)?;

            let call = sdk.generate_data_key().key_id(key).key_spec(DataKeySpec::Aes256).dry_run(true);
            judge("GenerateDataKey", call.set_encryption_context(context.clone()).send().await)?;

            let call = sdk.decrypt().key_id(key).dry_run(true).dry_run_modifiers(DryRunModifierType::IgnoreCiphertext);
            judge("Decrypt", call.set_encryption_context(context).send().await)?;
        }
        Ok(())
    }
}

/// The context of a KEK, since a policy may let calls of that form through, and none, since it may forget the others. No tenant is
/// known at boot, so this one's id is all zero: a policy that lists tenants is not seen through.
fn contexts() -> [Context; 2] {
    let plausible = KekContext { tenant: TenantId([0; 32]), role: Role::Client, epoch: 1 };
    [Some(encryption_context(&plausible)), None]
}

/// Whether the answer to a dry run says that the call is denied.
fn judge<O, E: ProvideErrorMetadata>(operation: &'static str, answer: Result<O, SdkError<E>>) -> Result<(), KmsError> {
    // A service that knows no dry run has carried it out.
    let Err(error) = answer else { return Err(KmsError::Unguarded(operation)) };
    match error.as_service_error().and_then(ProvideErrorMetadata::code) {
        Some(WOULD_BE_ALLOWED) => Err(KmsError::Unguarded(operation)),
        Some(DENIED) => Ok(()),
        _ => Err(match sort(&error) {
            again @ (KmsError::Throttled { .. } | KmsError::Unavailable(_)) => again,
            KmsError::Denied(why) | KmsError::BadReply(why) => KmsError::Unproven { operation, why },
            _ => KmsError::Unproven { operation, why: "another answer" },
        }),
    }
}
