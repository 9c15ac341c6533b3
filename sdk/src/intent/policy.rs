//! Policies of both roles, and their change. What protects nothing, and what nobody could satisfy, has no value here.

use strongroom_proto::limits::DELAY_SECONDS_MAX;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{ChangePolicyAction, Policy, Role};

use super::{Base, EncodedIntent, plain};
use crate::error::Error;
use crate::view::Backup;

/// What a release from the client role needs besides a passkey, which it always needs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ClientPolicy {
    /// What the tenant signs.
    pub tenant: TenantConsent,
    /// How long a release waits after its consents.
    pub delay: Delay,
}

/// Whether a release needs the tenant's signature, and what that vouches for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TenantConsent {
    /// No signature of the tenant.
    #[default]
    NotNeeded,
    /// An operational key signs the same intent.
    Signature,
    /// And so vouches that the head which the intent names is the newest that the tenant knows.
    NewestHead,
}

/// The time between consents and release: at most 30 days.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Delay(u32);

impl Delay {
    /// None.
    pub const NONE: Self = Self(0);

    /// So many seconds.
    ///
    /// # Errors
    /// [`Error::Input`] past [`DELAY_SECONDS_MAX`].
    pub fn from_seconds(seconds: u32) -> Result<Self, Error> {
        if seconds <= DELAY_SECONDS_MAX {
            return Ok(Self(seconds));
        }
        Err(Error::input("delay", format!("{seconds} s; at most {DELAY_SECONDS_MAX} are allowed")))
    }

    /// In seconds.
    #[must_use]
    pub fn seconds(self) -> u32 {
        self.0
    }
}

impl ClientPolicy {
    /// A passkey and nothing else.
    pub const PASSKEY: Self = Self { tenant: TenantConsent::NotNeeded, delay: Delay::NONE };
}

impl From<ClientPolicy> for Policy {
    fn from(policy: ClientPolicy) -> Self {
        Self {
            passkey: true,
            tenant_signature: policy.tenant != TenantConsent::NotNeeded,
            delay_seconds: policy.delay.0,
            newest_head: policy.tenant == TenantConsent::NewestHead,
        }
    }
}

impl TryFrom<Policy> for ClientPolicy {
    type Error = Error;

    fn try_from(policy: Policy) -> Result<Self, Error> {
        if !policy.passkey {
            return Err(Error::input("policy", "a client share always needs a passkey"));
        }
        let tenant = match (policy.tenant_signature, policy.newest_head) {
            (false, false) => TenantConsent::NotNeeded,
            (true, false) => TenantConsent::Signature,
            (true, true) => TenantConsent::NewestHead,
            (false, true) => {
                return Err(Error::input("policy", "the newest head needs the tenant's signature, which names it"));
            }
        };
        Ok(Self { tenant, delay: Delay::from_seconds(policy.delay_seconds)? })
    }
}

/// What a release from the custodian role needs: the tenant's signature, a passkey, or both.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CustodianPolicy(Policy);

impl CustodianPolicy {
    /// The tenant's signature and nothing else: for methods without a passkey.
    pub const TENANT: Self =
        Self(Policy { passkey: false, tenant_signature: true, delay_seconds: 0, newest_head: false });
    /// The passkey that signs for the client's share too, and nothing else.
    pub const PASSKEY: Self =
        Self(Policy { passkey: true, tenant_signature: false, delay_seconds: 0, newest_head: false });
    /// Both: neither the company nor whoever holds the passkey gets the share alone.
    pub const PASSKEY_AND_TENANT: Self =
        Self(Policy { passkey: true, tenant_signature: true, delay_seconds: 0, newest_head: false });
}

impl TryFrom<Policy> for CustodianPolicy {
    type Error = Error;

    fn try_from(policy: Policy) -> Result<Self, Error> {
        if !policy.passkey && !policy.tenant_signature {
            return Err(Error::input("policy", "a custodian share needs a passkey or the tenant's signature"));
        }
        if policy.newest_head && !policy.tenant_signature {
            return Err(Error::input("policy", "the newest head needs the tenant's signature, which names it"));
        }
        Delay::from_seconds(policy.delay_seconds)?;
        Ok(Self(policy))
    }
}

impl From<CustodianPolicy> for Policy {
    fn from(policy: CustodianPolicy) -> Self {
        policy.0
    }
}

/// Policies for the roles of a backup. A change names exactly the roles that have one here.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Policies {
    /// The client role's.
    pub client: Option<ClientPolicy>,
    /// The custodian role's.
    pub custodian: Option<CustodianPolicy>,
}

impl Policies {
    /// The policy for a role.
    #[must_use]
    pub fn of(&self, role: Role) -> Option<Policy> {
        match role {
            Role::Client => self.client.map(Into::into),
            Role::Custodian => self.custodian.map(Into::into),
            Role::Unspecified => None,
        }
    }
}

impl From<ClientPolicy> for Policies {
    fn from(client: ClientPolicy) -> Self {
        Self { client: Some(client), custodian: None }
    }
}

/// Other policies, for the roles that have one.
///
/// # Errors
/// As [`EncodedIntent::new`]; [`Error::Input`] without any policy, [`Error::RoleNotServed`] where a role's record is not here.
pub fn change_policy<'a>(
    base: &Base<'_>,
    backup: impl Into<Backup<'a>>,
    policies: impl Into<Policies>,
) -> Result<EncodedIntent, Error> {
    let (backup, policies) = (backup.into(), policies.into());
    for role in [Role::Client, Role::Custodian].into_iter().filter(|role| policies.of(*role).is_some()) {
        backup.record(role)?;
    }
    let named = backup.filter(|role, _| policies.of(role).is_some(), || Error::input("policy", "none is given"))?;
    let action =
        ChangePolicyAction { client_policy: policies.of(Role::Client), custodian_policy: policies.of(Role::Custodian) };
    plain(base, named, Action::ChangePolicy(action))
}
