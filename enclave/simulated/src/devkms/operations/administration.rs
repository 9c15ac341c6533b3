//! Operations on keys themselves: they use no key and open nothing.

use super::Call;
use crate::devkms::blob::EncryptionContext;
use crate::devkms::error::{Kind, KmsError};
use crate::devkms::keys::{BackingKey, Key, KeyId, KeyState};
use crate::devkms::policy::{Decision, Fact, KeyPolicy};
use crate::devkms::request::{
    CreateKey, DESCRIPTION_BYTES_MAX, GetKeyPolicy, KeyOnly, PutKeyPolicy, ScheduleKeyDeletion, check_length, parse,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// The one policy that a key has.
const POLICY_NAME: &str = "default";

/// AWS's waiting time before a deletion, in days.
const DELETION_DAYS: std::ops::RangeInclusive<u64> = 7..=30;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl Call<'_> {
    pub(super) fn create_key(&self, body: &[u8]) -> Result<Value, KmsError> {
        let input: CreateKey = parse(body)?;
        for (field, value, only) in [
            ("KeyUsage", &input.key_usage, "ENCRYPT_DECRYPT"),
            ("KeySpec", &input.key_spec, "SYMMETRIC_DEFAULT"),
            ("Origin", &input.origin, "AWS_KMS"),
        ] {
            if value.as_ref().is_some_and(|value| value != only) {
                return Err(unsupported(format!("{field} can only be {only}")));
            }
        }
        if input.multi_region {
            return Err(unsupported("there are no multi-Region keys".to_owned()));
        }
        check_length("Description", input.description.len(), 0, DESCRIPTION_BYTES_MAX)?;
        let id = KeyId::generate()?;
        let policy = match &input.policy {
            None => KeyPolicy::default_of(self.kms.place().account()),
            Some(text) => self.policy(id, text, input.bypass_policy_lockout_safety_check)?,
        };
        let key = Key {
            id,
            created_ms: self.kms.now_ms(),
            description: input.description,
            state: KeyState::Enabled,
            deletion_ms: None,
            policy,
            material: Arc::new(BackingKey::generate()?),
        };
        let metadata = self.metadata(&key);
        self.kms.keys().put(key)?;
        Ok(json!({ "KeyMetadata": metadata }))
    }

    pub(super) fn describe_key(&self, body: &[u8]) -> Result<Value, KmsError> {
        let key = self.key(&parse::<KeyOnly>(body)?.key_id)?;
        self.authorize_administration(&key, "kms:DescribeKey", &[])?;
        Ok(json!({ "KeyMetadata": self.metadata(&key) }))
    }

    pub(super) fn get_key_policy(&self, body: &[u8]) -> Result<Value, KmsError> {
        let input: GetKeyPolicy = parse(body)?;
        let key = self.key(&input.key_id)?;
        self.authorize_administration(&key, "kms:GetKeyPolicy", &[])?;
        check_policy_name(input.policy_name.as_deref())?;
        Ok(json!({ "Policy": key.policy.text(), "PolicyName": POLICY_NAME }))
    }

    pub(super) fn put_key_policy(&self, body: &[u8]) -> Result<Value, KmsError> {
        let input: PutKeyPolicy = parse(body)?;
        let key = self.key(&input.key_id)?;
        check_policy_name(input.policy_name.as_deref())?;
        let bypass = [(Fact::BypassPolicyLockoutSafetyCheck, input.bypass_policy_lockout_safety_check.to_string())];
        let policy = self.policy(key.id, &input.policy, input.bypass_policy_lockout_safety_check);
        self.kms.keys().update(key.id, |key| {
            // Within the update, so that no other change comes between question and act.
            self.authorize_administration(key, "kms:PutKeyPolicy", &bypass)?;
            self.refuse_pending_deletion(key)?;
            key.policy = policy?;
            Ok(())
        })?;
        Ok(json!({}))
    }

    pub(super) fn set_state(&self, body: &[u8], action: &str, state: KeyState) -> Result<Value, KmsError> {
        let key = self.key(&parse::<KeyOnly>(body)?.key_id)?;
        self.kms.keys().update(key.id, |key| {
            self.authorize_administration(key, action, &[])?;
            self.refuse_pending_deletion(key)?;
            key.state = state;
            Ok(())
        })?;
        Ok(json!({}))
    }

    pub(super) fn schedule_key_deletion(&self, body: &[u8]) -> Result<Value, KmsError> {
        let input: ScheduleKeyDeletion = parse(body)?;
        let key = self.key(&input.key_id)?;
        let days = input.pending_window_in_days.unwrap_or(*DELETION_DAYS.end());
        if !DELETION_DAYS.contains(&days) {
            return Err(KmsError::validation("PendingWindowInDays must be 7 to 30"));
        }
        let deletion_ms = self.kms.now_ms().saturating_add(days * DAY_MS);
        self.kms.keys().update(key.id, |key| {
            self.authorize_administration(
                key,
                "kms:ScheduleKeyDeletion",
                &[(Fact::PendingWindowInDays, days.to_string())],
            )?;
            self.refuse_pending_deletion(key)?;
            key.state = KeyState::PendingDeletion;
            key.deletion_ms = Some(deletion_ms);
            Ok(())
        })?;
        Ok(json!({
            "KeyId": self.arn(&key),
            "KeyState": KeyState::PendingDeletion,
            "DeletionDate": seconds(deletion_ms),
            "PendingWindowInDays": days,
        }))
    }

    pub(super) fn cancel_key_deletion(&self, body: &[u8]) -> Result<Value, KmsError> {
        let key = self.key(&parse::<KeyOnly>(body)?.key_id)?;
        self.kms.keys().update(key.id, |key| {
            self.authorize_administration(key, "kms:CancelKeyDeletion", &[])?;
            if key.state != KeyState::PendingDeletion {
                let text = format!("{} is not pending deletion.", self.arn(key));
                return Err(KmsError::new(Kind::KmsInvalidState, text));
            }
            key.state = KeyState::Disabled;
            key.deletion_ms = None;
            Ok(())
        })?;
        Ok(json!({ "KeyId": self.arn(&key) }))
    }

    /// A new policy of a key. Unless the caller asks otherwise, it must let him change it again.
    fn policy(&self, id: KeyId, text: &str, bypass_lockout_check: bool) -> Result<KeyPolicy, KmsError> {
        let policy = KeyPolicy::parse(text)?;
        let facts = [(Fact::BypassPolicyLockoutSafetyCheck, bypass_lockout_check.to_string())];
        let again = self.decide(&policy, id, "kms:PutKeyPolicy", &EncryptionContext::new(), None, &facts);
        if !bypass_lockout_check && again != Decision::Allowed {
            let text = "The new key policy will not allow you to update the key policy in the future.";
            return Err(KmsError::new(Kind::MalformedPolicyDocument, text));
        }
        Ok(policy)
    }

    fn refuse_pending_deletion(&self, key: &Key) -> Result<(), KmsError> {
        match key.state {
            KeyState::PendingDeletion => Err(self.pending_deletion(key)),
            KeyState::Enabled | KeyState::Disabled => Ok(()),
        }
    }

    fn metadata(&self, key: &Key) -> Value {
        let mut metadata = json!({
            "AWSAccountId": self.kms.place().account(),
            "KeyId": key.id.to_string(),
            "Arn": self.arn(key),
            "CreationDate": seconds(key.created_ms),
            "Enabled": key.state == KeyState::Enabled,
            "Description": key.description,
            "KeyUsage": "ENCRYPT_DECRYPT",
            "KeyState": key.state,
            "Origin": "AWS_KMS",
            "KeyManager": "CUSTOMER",
            "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
            "KeySpec": "SYMMETRIC_DEFAULT",
            "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
            "MultiRegion": false,
        });
        if let Some(deletion_ms) = key.deletion_ms {
            metadata["DeletionDate"] = seconds(deletion_ms);
        }
        metadata
    }
}

fn check_policy_name(name: Option<&str>) -> Result<(), KmsError> {
    if name.is_some_and(|name| name != POLICY_NAME) {
        return Err(KmsError::new(Kind::NotFound, "a key has one policy, named default"));
    }
    Ok(())
}

fn unsupported(message: String) -> KmsError {
    KmsError::new(Kind::UnsupportedOperation, message)
}

/// AWS's JSON has times in seconds.
fn seconds(ms: u64) -> Value {
    json!(ms / 1000)
}
