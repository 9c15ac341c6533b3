//! The client role: keeps the users' shares.

use strongroom_proto::id::ContentHash;
use strongroom_proto::seal::SealKind;
use strongroom_proto::v1::{
    ChangePolicyAction, CreateBackupAction, GenerationRef, Intent, Policy, Reason, Receipt, Role, RolePart,
    RoleStatement, SecretKind, Statement,
};

use super::{RoleKind, sealed};
use crate::refusal::{Refusal, refuse};

/// Keeps the users' shares.
#[derive(Debug)]
pub enum Client {}

impl sealed::Sealed for Client {}

impl RoleKind for Client {
    const ROLE: Role = Role::Client;
    const SHARE: SealKind = SealKind::ClientShare;
    const TENANT_CREATES: bool = false;
    const EJECTS_IN_WINDOW: bool = false;

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

    fn secret(named: SecretKind) -> SecretKind {
        named
    }

    fn counterpart(statement: &Statement) -> (Role, Option<&RoleStatement>) {
        (Role::Custodian, statement.custodian.as_ref())
    }

    /// The custodian commits first: what is active there.
    fn committed(receipt: &Receipt) -> Option<&GenerationRef> {
        receipt.active.as_ref()
    }

    /// The custodian kept it when it committed: the client's receipt of the put named it.
    fn kept(own: Option<GenerationRef>, _: &Receipt) -> Option<GenerationRef> {
        own
    }

    /// The passkey signs for any device.
    fn check_recipient(_: &Statement, _: &ContentHash, _: bool) -> Result<(), Refusal> {
        Ok(())
    }

    fn check_policy(policy: Policy) -> Result<(), Refusal> {
        if policy.passkey {
            Ok(())
        } else {
            Err(refuse(Reason::PolicyDenied, "client_policy.passkey: always needed in the client role"))
        }
    }
}
