//! Policies of the client role, and their change. What protects nothing, and what nobody could satisfy, has no value here.

use strongroom_proto::limits::DELAY_SECONDS_MAX;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{ChangePolicyAction, Policy};

use super::{Base, EncodedIntent, plain};
use crate::error::Error;
use crate::view::Record;

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

/// Another policy for the client role.
///
/// # Errors
/// As [`EncodedIntent::new`].
pub fn change_policy(base: &Base<'_>, record: &Record, policy: ClientPolicy) -> Result<EncodedIntent, Error> {
    let action = ChangePolicyAction { client_policy: Some(policy.into()), custodian_policy: None };
    plain(base, record, Action::ChangePolicy(action))
}
