//! The parameters of a creation, checked one by one.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use strongroom_proto::enclave::v1::CreateRecord;
use strongroom_proto::names::{is_id, is_method};
use strongroom_proto::v1::{CreateBackupAction, CredentialRef, Pair, Policy, Role, SecretKind, intent::Action};

use super::super::{credential, message, subject};
use super::FIRST_GENERATION;
use crate::intent::CheckedIntent;
use crate::policy;
use crate::refusal::{Refusal, bad};
use crate::role::RoleKind;

/// A creation whose parameters keep every rule of form.
#[derive(Debug)]
pub(super) struct Creation {
    pub(super) backup: String,
    pub(super) method: String,
    pub(super) secret: SecretKind,
    pub(super) pairs: Vec<Pair>,
    pub(super) policy: Policy,
    pub(super) roles: Vec<Role>,
    /// With its `COSE_Key`; none for methods without a passkey.
    pub(super) credential: Option<(CredentialRef, Vec<u8>)>,
}

impl Creation {
    pub(super) fn check<R: RoleKind>(intent: &CheckedIntent, request: &CreateRecord) -> Result<Self, Refusal> {
        let Some(Action::CreateBackup(action)) = &intent.body.action else {
            return Err(bad("intent.action: not create_backup"));
        };
        if intent.part.subject.is_some() {
            return Err(bad("intent.record_id: a creation starts from no record"));
        }
        subject::brings(intent, true, false)?;
        message::check(intent, &request.message)?;
        if !is_id(&action.backup) {
            return Err(bad("create_backup.backup: not 1 to 64 bytes of [A-Za-z0-9._-]"));
        }
        if !is_method(&action.method) {
            return Err(bad("create_backup.method: not 1 to 32 bytes of [A-Z0-9_-]"));
        }
        if action.generation != FIRST_GENERATION {
            return Err(bad("create_backup.generation: a creation brings generation 1"));
        }
        message::check_pairs(&action.pairs, "create_backup")?;
        let Ok(secret @ (SecretKind::Share | SecretKind::Key)) = SecretKind::try_from(action.secret) else {
            return Err(bad("create_backup.secret: unknown"));
        };
        if secret == SecretKind::Key && intent.body.client.is_none() {
            return Err(bad(
                "create_backup.secret: a key in escrow is the client role's, which the intent does not name",
            ));
        }
        let roles = check_policies(intent, action)?;
        let policy = *R::policy(action).ok_or_else(|| bad("create_backup: no policy for this role"))?;
        R::check_policy(policy)?;
        let credential = check_credential(intent, action, request)?;
        policy::check_credentials(policy, credential.is_some(), "create_backup")?;
        Ok(Self {
            backup: action.backup.clone(),
            method: action.method.clone(),
            secret: R::secret(secret),
            pairs: action.pairs.clone(),
            policy,
            roles,
            credential,
        })
    }
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

/// The first credential. A creation without one names the custodian role alone, and brings none.
fn check_credential(
    intent: &CheckedIntent,
    action: &CreateBackupAction,
    request: &CreateRecord,
) -> Result<Option<(CredentialRef, Vec<u8>)>, Refusal> {
    let given = request.credential.as_ref();
    let Some(named) = action.credential.clone() else {
        if intent.body.client.is_some() {
            return Err(bad("create_backup.credential: missing; the client role always has one"));
        }
        return if given.is_none() { Ok(None) } else { Err(bad("credential: the intent names none")) };
    };
    let public_key = credential::check(&named, given, "create_backup.credential")?;
    Ok(Some((named, public_key)))
}
