//! Key policies of the enclave's KMS keys: written by [`Draft`], judged by [`lint`].
//!
//! The lint is offline and strict: it knows the one form that keeps a key for attested enclaves, and whatever else it meets is a
//! finding. It never gives a policy the benefit of a doubt, and never credits a Deny for what an Allow leaves open.

mod action;
mod condition;
mod document;
mod finding;
mod generate;
mod json;
mod lint;
mod principal;
mod statement;

use strongroom_attestation::{Image, Pcr};
use strongroom_proto::v1::Role;

pub use finding::{Finding, Rule, Severity};
pub use generate::Draft;
pub use lint::{lint, shared_accounts};

/// Longest key policy in bytes, as AWS has it.
pub const POLICY_BYTES_MAX: usize = 32 * 1024;

/// What a key policy asks of an image: PCR0, which measures all of it, and where wanted its parts too.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ImagePcrs {
    /// Kernel, command line and both RAM disks.
    pub pcr0: Pcr,
    /// Kernel, command line and first RAM disk.
    pub pcr1: Option<Pcr>,
    /// The application's RAM disk.
    pub pcr2: Option<Pcr>,
}

impl From<&Image> for ImagePcrs {
    fn from(image: &Image) -> Self {
        Self { pcr0: image.pcr0, pcr1: Some(image.pcr1), pcr2: Some(image.pcr2) }
    }
}

/// What a policy is held against.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The role whose enclaves use the key.
    pub role: Role,
    /// Images that may be let in; none where nobody knows them, and then any is taken.
    pub images: Vec<ImagePcrs>,
    /// Values of PCR16 that may be let in; none where nobody knows them, and then any is taken.
    pub manifests: Vec<Pcr>,
    /// ARNs of those who may change the policy; none where nobody knows them.
    pub administrators: Vec<String>,
}
