//! The roles as types: what differs between keeping client shares and keeping custodian shares stands here and nowhere else.

use strongroom_proto::seal::SealKind;
use strongroom_proto::v1::{
    ChangePolicyAction, CreateBackupAction, GenerationRef, Intent, Policy, Reason, Receipt, Role, RolePart,
    RoleStatement, Statement,
};

use crate::refusal::{Refusal, refuse};

mod sealed {
    pub trait Sealed {}
}

/// The role of an enclave process. One process has one.
pub trait RoleKind: sealed::Sealed + 'static {
    /// The role on the wire.
    const ROLE: Role;
    /// The kind of the shares that it keeps.
    const SHARE: SealKind;

    /// The role's part of an intent.
    fn part(intent: &Intent) -> Option<&RolePart>;
    /// The role's part of a statement.
    fn statement(statement: &Statement) -> Option<&RoleStatement>;
    /// The role's policy in a creation.
    fn policy(creation: &CreateBackupAction) -> Option<&Policy>;
    /// The role's policy in a change of policies.
    fn changed_policy(change: &ChangePolicyAction) -> Option<&Policy>;
    /// The other role, and what the statement says of it.
    fn counterpart(statement: &Statement) -> (Role, Option<&RoleStatement>);
    /// The generation that the other role's receipt lets this role commit.
    fn committed(receipt: &Receipt) -> Option<&GenerationRef>;
    /// What the role asks of a policy beyond the rules for all.
    ///
    /// # Errors
    /// `POLICY_DENIED`, naming the rule.
    fn check_policy(policy: Policy) -> Result<(), Refusal>;
}

/// Keeps the users' shares.
#[derive(Debug)]
pub enum Client {}

impl sealed::Sealed for Client {}

impl RoleKind for Client {
    const ROLE: Role = Role::Client;
    const SHARE: SealKind = SealKind::ClientShare;

    fn part(intent: &Intent) -> Option<&RolePart> {
        intent.client.as_ref()
    }

    fn statement(statement: &Statement) -> Option<&RoleStatement> {
        statement.client.as_ref()
    }

    fn policy(creation: &CreateBackupAction) -> Option<&Policy> {
        creation.client_policy.as_ref()
    }

    fn changed_policy(change: &ChangePolicyAction) -> Option<&Policy> {
        change.client_policy.as_ref()
    }

    fn counterpart(statement: &Statement) -> (Role, Option<&RoleStatement>) {
        (Role::Custodian, statement.custodian.as_ref())
    }

    /// The custodian commits first: what is active there.
    fn committed(receipt: &Receipt) -> Option<&GenerationRef> {
        receipt.active.as_ref()
    }

    fn check_policy(policy: Policy) -> Result<(), Refusal> {
        if policy.passkey {
            Ok(())
        } else {
            Err(refuse(Reason::PolicyDenied, "client_policy.passkey: always needed in the client role"))
        }
    }
}
