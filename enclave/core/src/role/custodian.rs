//! The custodian role: keeps the wallet company's shares, and releases them to the MPC recipients of its statement.

use strongroom_proto::id::ContentHash;
use strongroom_proto::seal::SealKind;
use strongroom_proto::v1::{
    ChangePolicyAction, CreateBackupAction, GenerationRef, Intent, Policy, Reason, Receipt, Role, RolePart,
    RoleStatement, SecretKind, Statement,
};

use super::{RoleKind, sealed};
use crate::refusal::{Refusal, refuse};

/// Keeps the wallet company's shares.
#[derive(Debug)]
pub enum Custodian {}

impl sealed::Sealed for Custodian {}

impl RoleKind for Custodian {
    const ROLE: Role = Role::Custodian;
    const SHARE: SealKind = SealKind::CustodianShare;
    const TENANT_CREATES: bool = true;
    const EJECTS_IN_WINDOW: bool = true;

    fn part(intent: &Intent) -> Option<&RolePart> {
        intent.custodian.as_ref()
    }

    fn statement(statement: &Statement) -> Option<&RoleStatement> {
        statement.custodian.as_ref()
    }

    fn policy(creation: &CreateBackupAction) -> Option<&Policy> {
        creation.custodian_policy.as_ref()
    }

    fn changed_policy(change: &ChangePolicyAction) -> Option<&Policy> {
        change.custodian_policy.as_ref()
    }

    /// A key in escrow is the user's; the wallet company's part is a share all the same.
    fn secret(_: SecretKind) -> SecretKind {
        SecretKind::Share
    }

    fn counterpart(statement: &Statement) -> (Role, Option<&RoleStatement>) {
        (Role::Client, statement.client.as_ref())
    }

    /// The client only put it: this role commits first.
    fn committed(receipt: &Receipt) -> Option<&GenerationRef> {
        receipt.pending.as_ref()
    }

    /// The client may still be a commit behind, so what is active there stays here, and not what happens to be active here: else two
    /// puts committed in a row would leave no generation that opens in both roles.
    fn kept(_: Option<GenerationRef>, receipt: &Receipt) -> Option<GenerationRef> {
        receipt.active.clone()
    }

    fn check_recipient(statement: &Statement, recipient: &ContentHash, eject: bool) -> Result<(), Refusal> {
        if eject || statement.mpc_recipients.iter().any(|listed| *listed == recipient.0) {
            Ok(())
        } else {
            Err(refuse(
                Reason::RecipientNotAllowed,
                "intent.custodian.recipient: not one of the statement's mpc_recipients",
            ))
        }
    }

    fn check_policy(_: Policy) -> Result<(), Refusal> {
        Ok(())
    }
}
