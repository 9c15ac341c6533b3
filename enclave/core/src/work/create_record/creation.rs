//! The parameters of a creation, checked one by one.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use strongroom_proto::enclave::v1::CreateRecord;
use strongroom_proto::id::ContentHash;
use strongroom_proto::limits::{CREDENTIAL_ID_BYTES_MAX, MESSAGE_BYTES_MAX, PAIRS_MAX};
use strongroom_proto::names::{is_id, is_label, is_method};
use strongroom_proto::v1::{
    CreateBackupAction, CredentialRef, Curve, Pair, Policy, Reason, Role, SecretKind, intent::Action,
};

use super::FIRST_GENERATION;
use crate::intent::CheckedIntent;
use crate::policy;
use crate::refusal::{Refusal, bad, refuse};
use crate::role::RoleKind;
use crate::webauthn::CredentialKey;

/// A creation whose parameters keep every rule of form.
#[derive(Debug)]
pub(super) struct Creation {
    pub(super) backup: String,
    pub(super) method: String,
    pub(super) secret: SecretKind,
    /// The secrets are 32-byte keys.
    pub(super) escrow: bool,
    pub(super) pairs: Vec<Pair>,
    pub(super) policy: Policy,
    pub(super) roles: Vec<Role>,
    pub(super) credential: CredentialRef,
    /// `COSE_Key`.
    pub(super) public_key: Vec<u8>,
}

impl Creation {
    pub(super) fn check<R: RoleKind>(intent: &CheckedIntent, request: &CreateRecord) -> Result<Self, Refusal> {
        let Some(Action::CreateBackup(action)) = &intent.body.action else {
            return Err(bad("intent.action: not create_backup"));
        };
        check_message(intent, &request.message)?;
        if !is_id(&action.backup) {
            return Err(bad("create_backup.backup: not 1 to 64 bytes of [A-Za-z0-9._-]"));
        }
        if !is_method(&action.method) {
            return Err(bad("create_backup.method: not 1 to 32 bytes of [A-Z0-9_-]"));
        }
        if action.generation != FIRST_GENERATION {
            return Err(bad("create_backup.generation: a creation brings generation 1"));
        }
        check_pairs(&action.pairs)?;
        let Ok(secret @ (SecretKind::Share | SecretKind::Key)) = SecretKind::try_from(action.secret) else {
            return Err(bad("create_backup.secret: unknown"));
        };
        let roles = check_policies(intent, action)?;
        let policy = *R::policy(action).ok_or_else(|| bad("create_backup: no policy for this role"))?;
        R::check_policy(policy)?;
        let (credential, public_key) = check_credential(action, request)?;
        Ok(Self {
            backup: action.backup.clone(),
            method: action.method.clone(),
            secret,
            escrow: secret == SecretKind::Key,
            pairs: action.pairs.clone(),
            policy,
            roles,
            credential,
            public_key,
        })
    }
}

fn check_message(intent: &CheckedIntent, message: &[u8]) -> Result<(), Refusal> {
    if intent.part.subject.is_some() {
        return Err(bad("intent.record_id: a creation starts from no record"));
    }
    if intent.part.recipient.is_some() {
        return Err(bad("intent.recipient: a creation releases nothing"));
    }
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(refuse(
            Reason::ShareTooLarge,
            format!("message: {} bytes, at most {MESSAGE_BYTES_MAX}", message.len()),
        ));
    }
    if intent.part.message_hash != Some(ContentHash::of(message)) {
        return Err(refuse(Reason::CiphertextHashMismatch, "message: not the one that the intent names"));
    }
    Ok(())
}

fn check_pairs(pairs: &[Pair]) -> Result<(), Refusal> {
    if !(1..=PAIRS_MAX).contains(&pairs.len()) {
        return Err(bad(format!("create_backup.pairs: {}, at least 1 and at most {PAIRS_MAX}", pairs.len())));
    }
    for pair in pairs {
        if !is_id(&pair.id) {
            return Err(bad("create_backup.pairs.id: not 1 to 64 bytes of [A-Za-z0-9._-]"));
        }
        if !matches!(Curve::try_from(pair.curve), Ok(Curve::Secp256k1 | Curve::Ed25519)) {
            return Err(bad("create_backup.pairs.curve: unknown"));
        }
    }
    if pairs.windows(2).any(|pair| matches!(pair, [a, b] if a.id >= b.id)) {
        return Err(bad("create_backup.pairs: not sorted by id, or one twice"));
    }
    Ok(())
}

/// The roles that the intent names, each of which must have its policy, and no other.
fn check_policies(intent: &CheckedIntent, action: &CreateBackupAction) -> Result<Vec<Role>, Refusal> {
    let mut roles = Vec::new();
    for (role, part, policy, field) in [
        (Role::Client, &intent.body.client, &action.client_policy, "create_backup.client_policy"),
        (Role::Custodian, &intent.body.custodian, &action.custodian_policy, "create_backup.custodian_policy"),
    ] {
        match (part, policy) {
            (Some(part), Some(policy)) => {
                if !part.record_id.is_empty() || !part.recipient.is_empty() {
                    return Err(bad("intent: a creation starts from no record and releases nothing"));
                }
                policy::check(*policy, field)?;
                roles.push(role);
            }
            (None, None) => {}
            _ => return Err(bad(format!("{field}: present exactly when the intent names the role"))),
        }
    }
    Ok(roles)
}

fn check_credential(action: &CreateBackupAction, request: &CreateRecord) -> Result<(CredentialRef, Vec<u8>), Refusal> {
    let named = action.credential.clone().ok_or_else(|| bad("create_backup.credential: missing"))?;
    let given = request.credential.as_ref().ok_or_else(|| bad("credential: missing"))?;
    if !(1..=CREDENTIAL_ID_BYTES_MAX).contains(&named.id.len()) {
        return Err(bad(format!("create_backup.credential.id: not 1 to {CREDENTIAL_ID_BYTES_MAX} bytes")));
    }
    if !is_label(&named.label) {
        return Err(bad("create_backup.credential.label: more than 64 bytes, or with a control character"));
    }
    if given.id != named.id || ContentHash::of(&given.public_key).0 != *named.key_hash {
        return Err(refuse(Reason::ProofRejected, "credential: not the one that the intent names"));
    }
    CredentialKey::parse(&given.public_key)?;
    Ok((named, given.public_key.clone()))
}
