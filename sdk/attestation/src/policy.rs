//! Which images a verifier trusts. A policy that accepts every image cannot be built.

use crate::error::AttestationError;
use crate::payload::{PCR_INDEX_MAX, Pcr, Pcrs, SHA384_BYTES};
use crate::root::hex;

/// The measurements of one image, as its build prints them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Image {
    /// Kernel, command line and both RAM disks.
    pub pcr0: Pcr,
    /// Kernel, command line and first RAM disk.
    pub pcr1: Pcr,
    /// The application's RAM disk.
    pub pcr2: Pcr,
}

/// The images, and where one is deployed the manifests, that a verifier accepts.
///
/// Every policy names PCR0, never accepts an all-zero value, and has no way to leave a check out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ImagePolicy {
    /// Of each list, one alternative must match in all its PCRs.
    all_of: Vec<Vec<Pcrs>>,
}

impl ImagePolicy {
    /// Accepts documents whose PCR0, PCR1 and PCR2 are those of one of `images`, and whose PCR16 (the
    /// manifest's, locked) is one of `pcr16`.
    ///
    /// # Errors
    /// [`AttestationError::EmptyPolicy`] where a list is empty,
    /// [`AttestationError::ZeroPcrInPolicy`] where a value is all zero.
    pub fn new(images: &[Image], pcr16: &[Pcr]) -> Result<Self, AttestationError> {
        let images =
            images.iter().map(|image| Pcrs::from([(0, image.pcr0), (1, image.pcr1), (2, image.pcr2)])).collect();
        let manifests = pcr16.iter().map(|value| Pcrs::from([(16, *value)])).collect();
        Self::build([("PCR0, PCR1 and PCR2", images), ("PCR16", manifests)])
    }

    /// Accepts documents whose PCR0, which measures the whole image, is one of `pcr0`; whatever the
    /// manifest. For people who look at one enclave, not for clients of a deployment.
    ///
    /// # Errors
    /// As [`ImagePolicy::new`].
    pub fn any_manifest(pcr0: &[Pcr]) -> Result<Self, AttestationError> {
        let images = pcr0.iter().map(|value| Pcrs::from([(0, *value)])).collect();
        Self::build([("PCR0", images)])
    }

    /// Accepts documents that list each of these PCRs with this value; PCR0 must be among them.
    ///
    /// # Errors
    /// As [`ImagePolicy::new`], and [`AttestationError::PcrIndexInPolicy`] for an index past 31.
    pub fn exact(pcrs: Pcrs) -> Result<Self, AttestationError> {
        if !pcrs.contains_key(&0) {
            return Err(AttestationError::EmptyPolicy { what: "PCR0" });
        }
        Self::build([("PCR0", vec![pcrs])])
    }

    fn build<const N: usize>(lists: [(&'static str, Vec<Pcrs>); N]) -> Result<Self, AttestationError> {
        for (what, alternatives) in &lists {
            if alternatives.is_empty() {
                return Err(AttestationError::EmptyPolicy { what });
            }
            for (&index, value) in alternatives.iter().flatten() {
                if index > PCR_INDEX_MAX {
                    return Err(AttestationError::PcrIndexInPolicy { index });
                }
                if value == &[0; SHA384_BYTES] {
                    return Err(AttestationError::ZeroPcrInPolicy { index });
                }
            }
        }
        Ok(Self { all_of: lists.into_iter().map(|(_, list)| list).collect() })
    }

    /// Whether a document with these PCRs is accepted. They are public, so plain comparison will do.
    pub(crate) fn check(&self, pcrs: &Pcrs) -> Result<(), AttestationError> {
        for alternatives in &self.all_of {
            let named = || alternatives.iter().flat_map(Pcrs::keys);
            if let Some(&index) = named().find(|index| !pcrs.contains_key(index)) {
                return Err(AttestationError::PcrNotLocked { index });
            }
            let matches = |wanted: &Pcrs| wanted.iter().all(|(index, value)| pcrs.get(index) == Some(value));
            if !alternatives.iter().any(matches) {
                let mut indices: Vec<_> = named().collect();
                indices.dedup();
                indices.sort_unstable();
                indices.dedup();
                let found: Vec<_> =
                    indices.iter().map(|index| format!("PCR{index} is {}", hex(&pcrs[index]))).collect();
                return Err(AttestationError::NotAccepted { found: found.join(", ") });
            }
        }
        Ok(())
    }
}
