//! The operations: from a caller, an action and a body to an answer. Knows nothing of HTTP.
//!
//! Each one does the same in the same order: read the body, find the key, verify the attestation
//! document, ask the key's policy, look at the key's state, and only then use the key.

use super::DevKms;
use super::authorization::Caller;
use super::blob::EncryptionContext;
use super::error::{Kind, KmsError};
use super::keys::{Key, KeyId, KeyState};
use super::policy::{Decision, Fact, KeyPolicy, Request};
use serde_json::Value;
use std::sync::Arc;
use strongroom_attestation::Pcrs;

mod administration;
mod data;
mod recipient;

/// The operations of AWS KMS that this service has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "each is AWS's own name")]
pub enum Operation {
    CancelKeyDeletion,
    CreateKey,
    Decrypt,
    DescribeKey,
    DisableKey,
    EnableKey,
    Encrypt,
    GenerateDataKey,
    GenerateDataKeyWithoutPlaintext,
    GenerateRandom,
    GetKeyPolicy,
    PutKeyPolicy,
    ReEncrypt,
    ScheduleKeyDeletion,
}

impl Operation {
    const ALL: [(&'static str, Self); 14] = [
        ("CancelKeyDeletion", Self::CancelKeyDeletion),
        ("CreateKey", Self::CreateKey),
        ("Decrypt", Self::Decrypt),
        ("DescribeKey", Self::DescribeKey),
        ("DisableKey", Self::DisableKey),
        ("EnableKey", Self::EnableKey),
        ("Encrypt", Self::Encrypt),
        ("GenerateDataKey", Self::GenerateDataKey),
        ("GenerateDataKeyWithoutPlaintext", Self::GenerateDataKeyWithoutPlaintext),
        ("GenerateRandom", Self::GenerateRandom),
        ("GetKeyPolicy", Self::GetKeyPolicy),
        ("PutKeyPolicy", Self::PutKeyPolicy),
        ("ReEncrypt", Self::ReEncrypt),
        ("ScheduleKeyDeletion", Self::ScheduleKeyDeletion),
    ];

    /// Reads an `X-Amz-Target` header.
    ///
    /// # Errors
    /// `UnknownOperationException`.
    pub fn of_target(target: Option<&str>) -> Result<Self, KmsError> {
        let name = target.and_then(|target| target.strip_prefix("TrentService."));
        Self::ALL
            .iter()
            .find(|(known, _)| Some(*known) == name)
            .map(|(_, operation)| *operation)
            .ok_or_else(|| KmsError::new(Kind::UnknownOperation, "the development KMS has no such operation"))
    }
}

/// Carries out one call.
///
/// # Errors
/// As AWS answers.
pub fn run(kms: &DevKms, operation: Operation, caller: &Caller, body: &[u8]) -> Result<Value, KmsError> {
    let call = Call { kms, caller };
    match operation {
        Operation::CreateKey => call.create_key(body),
        Operation::DescribeKey => call.describe_key(body),
        Operation::GetKeyPolicy => call.get_key_policy(body),
        Operation::PutKeyPolicy => call.put_key_policy(body),
        Operation::EnableKey => call.set_state(body, "kms:EnableKey", KeyState::Enabled),
        Operation::DisableKey => call.set_state(body, "kms:DisableKey", KeyState::Disabled),
        Operation::ScheduleKeyDeletion => call.schedule_key_deletion(body),
        Operation::CancelKeyDeletion => call.cancel_key_deletion(body),
        Operation::Encrypt => call.encrypt(body),
        Operation::Decrypt => call.decrypt(body),
        Operation::ReEncrypt => call.re_encrypt(body),
        Operation::GenerateDataKey => call.generate_data_key(body),
        Operation::GenerateDataKeyWithoutPlaintext => call.generate_data_key_without_plaintext(body),
        Operation::GenerateRandom => call.generate_random(body),
    }
}

/// One call: the service and who calls it.
struct Call<'a> {
    kms: &'a DevKms,
    caller: &'a Caller,
}

impl Call<'_> {
    /// The key of an id or ARN. Aliases do not exist here.
    fn key(&self, id: &str) -> Result<Arc<Key>, KmsError> {
        let not_found = || KmsError::new(Kind::NotFound, format!("Key {id:?} does not exist"));
        let start = self.kms.place().key_arn("");
        let key_id = KeyId::parse(id.strip_prefix(&start).unwrap_or(id)).ok_or_else(not_found)?;
        self.kms.keys().get(key_id).ok_or_else(not_found)
    }

    fn arn(&self, key: &Key) -> String {
        self.kms.place().key_arn(&key.id.to_string())
    }

    /// Asks the key's policy.
    fn authorize(
        &self,
        key: &Key,
        action: &str,
        context: &EncryptionContext,
        pcrs: Option<&Pcrs>,
    ) -> Result<(), KmsError> {
        self.authorize_with(key, action, context, pcrs, &[])
    }

    /// Asks the key's policy about an action of which there is more to say.
    fn authorize_with(
        &self,
        key: &Key,
        action: &str,
        context: &EncryptionContext,
        pcrs: Option<&Pcrs>,
        facts: &[(Fact, String)],
    ) -> Result<(), KmsError> {
        let because = match self.decide(&key.policy, key.id, action, context, pcrs, facts) {
            Decision::Allowed => return Ok(()),
            Decision::NotAllowed => format!("because no resource-based policy allows the {action} action"),
            Decision::Denied => "with an explicit deny in a resource-based policy".to_owned(),
        };
        let (user, arn) = (self.caller.principal.arn(), self.arn(key));
        let text = format!("User: {user} is not authorized to perform: {action} on resource: {arn} {because}");
        Err(KmsError::new(Kind::AccessDenied, text))
    }

    fn decide(
        &self,
        policy: &KeyPolicy,
        id: KeyId,
        action: &str,
        context: &EncryptionContext,
        pcrs: Option<&Pcrs>,
        facts: &[(Fact, String)],
    ) -> Decision {
        policy.decide(&Request {
            action,
            caller: self.caller,
            account: self.kms.place().account(),
            key_arn: &self.kms.place().key_arn(&id.to_string()),
            context,
            pcrs,
            facts,
            now_ms: self.kms.now_ms(),
        })
    }

    /// Asks the policy about an action that has neither context nor recipient.
    fn authorize_administration(&self, key: &Key, action: &str, facts: &[(Fact, String)]) -> Result<(), KmsError> {
        self.authorize_with(key, action, &EncryptionContext::new(), None, facts)
    }

    /// Whether the key may be used for cryptography now.
    fn check_usable(&self, key: &Key) -> Result<(), KmsError> {
        match key.state {
            KeyState::Enabled => Ok(()),
            KeyState::Disabled => Err(KmsError::new(Kind::Disabled, format!("{} is disabled.", self.arn(key)))),
            KeyState::PendingDeletion => Err(self.pending_deletion(key)),
        }
    }

    fn pending_deletion(&self, key: &Key) -> KmsError {
        KmsError::new(Kind::KmsInvalidState, format!("{} is pending deletion.", self.arn(key)))
    }
}

/// What a dry run answers where the call would be allowed.
fn check_dry_run(dry_run: bool) -> Result<(), KmsError> {
    if dry_run {
        let text = "The request would have succeeded, but the DryRun option is set.";
        return Err(KmsError::new(Kind::DryRunOperation, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
