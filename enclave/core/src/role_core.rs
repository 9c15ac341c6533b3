//! The core in the role that a manifest names: chosen once, when the process boots, and never again.

use strongroom_proto::v1::Role;

use crate::enclave::{Core, Deployment};
use crate::platform::Platform;
use crate::role::{Client, Custodian};
use crate::step::{KekReply, KmsFailure, Pending, Step, Work};

/// The core of one enclave process, whichever role it has.
#[derive(Debug)]
pub enum RoleCore<P> {
    /// Keeps client shares.
    Client(Core<P, Client>),
    /// Keeps custodian shares.
    Custodian(Core<P, Custodian>),
}

impl<P: Platform> RoleCore<P> {
    /// The core of a role; `None` where there is no such role.
    #[must_use]
    pub fn new(role: Role, platform: P, deployment: Deployment) -> Option<Self> {
        match role {
            Role::Client => Some(Self::Client(Core::new(platform, deployment))),
            Role::Custodian => Some(Self::Custodian(Core::new(platform, deployment))),
            Role::Unspecified => None,
        }
    }

    /// As [`Core::begin`].
    #[must_use]
    pub fn begin(&self, work: Work) -> Step {
        match self {
            Self::Client(core) => core.begin(work),
            Self::Custodian(core) => core.begin(work),
        }
    }

    /// As [`Core::resume`].
    #[must_use]
    pub fn resume(&self, pending: Pending, reply: Result<KekReply, KmsFailure>) -> Step {
        match self {
            Self::Client(core) => core.resume(pending, reply),
            Self::Custodian(core) => core.resume(pending, reply),
        }
    }
}
