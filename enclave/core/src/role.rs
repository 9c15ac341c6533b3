//! The roles as types: what differs between keeping client shares and keeping custodian shares stands here and nowhere else.

mod client;
mod custodian;

use strongroom_proto::id::ContentHash;
use strongroom_proto::seal::SealKind;
use strongroom_proto::v1::{
    ChangePolicyAction, CreateBackupAction, GenerationRef, Intent, Policy, Receipt, Role, RolePart, RoleStatement,
    SecretKind, Statement,
};

use crate::refusal::Refusal;

pub use client::Client;
pub use custodian::Custodian;

mod sealed {
    pub trait Sealed {}
}

/// The role of an enclave process. One process has one.
pub trait RoleKind: sealed::Sealed + 'static {
    /// The role on the wire.
    const ROLE: Role;
    /// The kind of the shares that it keeps.
    const SHARE: SealKind;
    /// Whether a creation takes the tenant's signature, whatever its policy asks of releases.
    const TENANT_CREATES: bool;
    /// Whether an eject is more than a release to the device: it needs a window that the tenant opened, and a passkey.
    const EJECTS_IN_WINDOW: bool;

    /// The role's part of an intent.
    fn part(intent: &Intent) -> Option<&RolePart>;
    /// The role's part of a statement.
    fn statement(statement: &Statement) -> Option<&RoleStatement>;
    /// The role's policy in a creation.
    fn policy(creation: &CreateBackupAction) -> Option<&Policy>;
    /// The role's policy in a change of policies.
    fn changed_policy(change: &ChangePolicyAction) -> Option<&Policy>;
    /// What the role keeps where a creation says that the secret is `named`.
    fn secret(named: SecretKind) -> SecretKind;
    /// The other role, and what the statement says of it.
    fn counterpart(statement: &Statement) -> (Role, Option<&RoleStatement>);
    /// The generation that the other role's receipt lets this role commit.
    fn committed(receipt: &Receipt) -> Option<&GenerationRef>;
    /// The generation that a commit on the other role's receipt keeps beside the new one; `own` is the active one here.
    fn kept(own: Option<GenerationRef>, receipt: &Receipt) -> Option<GenerationRef>;
    /// Whom the role releases to.
    ///
    /// # Errors
    /// `RECIPIENT_NOT_ALLOWED`, naming the rule.
    fn check_recipient(statement: &Statement, recipient: &ContentHash, eject: bool) -> Result<(), Refusal>;
    /// What the role asks of a policy beyond the rules for all.
    ///
    /// # Errors
    /// `POLICY_DENIED`, naming the rule.
    fn check_policy(policy: Policy) -> Result<(), Refusal>;
}
