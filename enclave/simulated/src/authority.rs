//! The development root: what stands in for AWS's `aws.nitro-enclaves` certificate authority. Shared by
//! the simulated enclaves and the development KMS of one stack, across restarts, through one file.

use crate::certificates::root_parameters;
use crate::certified_key::{CertifiedKey, Profile};
use crate::error::SimulatedError;
use crate::private_file;
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384};
use std::path::Path;

/// A development root of attestation and its key.
#[derive(Debug)]
pub struct Authority(CertifiedKey);

impl Authority {
    /// A new root with a new P-384 key.
    ///
    /// # Errors
    /// [`SimulatedError::Certificate`].
    pub fn new() -> Result<Self, SimulatedError> {
        CertifiedKey::new(&profile()).map(Self)
    }

    /// Loads the authority of a file, or makes one and saves it there (mode 0600). Processes that do
    /// so at the same moment get the same one.
    ///
    /// # Errors
    /// [`SimulatedError::File`], [`SimulatedError::Form`].
    pub fn open(path: &Path) -> Result<Self, SimulatedError> {
        CertifiedKey::open(path, &profile()).map(Self)
    }

    /// Loads the authority of a file.
    ///
    /// # Errors
    /// [`SimulatedError::File`] where it is not there, [`SimulatedError::Form`].
    pub fn load(path: &Path) -> Result<Self, SimulatedError> {
        CertifiedKey::load(path, &PKCS_ECDSA_P384_SHA384).map(Self)
    }

    /// Saves the authority (mode 0600), over what was there.
    ///
    /// # Errors
    /// [`SimulatedError::File`].
    pub fn save(&self, path: &Path) -> Result<(), SimulatedError> {
        private_file::replace(path, &self.0.to_bytes())
    }

    /// The root certificate, DER: what `Root::development` takes. Public.
    #[must_use]
    pub fn root_der(&self) -> &[u8] {
        &self.0.der
    }

    pub(crate) fn key(&self) -> &KeyPair {
        &self.0.key
    }
}

fn profile() -> Profile {
    Profile { parameters: root_parameters(), algorithm: &PKCS_ECDSA_P384_SHA384 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_the_same_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authority");
        assert!(Authority::load(&path).is_err());
        let first = Authority::open(&path).unwrap();
        let second = Authority::open(&path).unwrap();
        assert_eq!(first.root_der(), second.root_der());
        let other = Authority::new().unwrap();
        assert_ne!(first.root_der(), other.root_der());
        other.save(&path).unwrap();
        assert_eq!(Authority::load(&path).unwrap().root_der(), other.root_der());
        assert!(format!("{other:?}").contains("[redacted]"));
    }

    #[test]
    fn a_broken_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authority");
        let (one, two) = (Authority::new().unwrap(), Authority::new().unwrap());
        let mixed = CertifiedKey { der: two.0.der.clone(), key: one.0.key };
        let good = two.0.to_bytes();
        for (content, expect) in [
            (&mixed.to_bytes()[..], "not the certificate's"),
            (&good[..good.len() - 1], "is not a file"),
            (&[&good[..], &[0]].concat(), "bytes follow"),
            (&[0x83, 0x40, 0x40], "not a pair"),
            (&[0x82, 0x40, 0x40], "is not a file"),
            (&[], "is not a file"),
        ] {
            private_file::replace(&path, content).unwrap();
            let text = Authority::open(&path).unwrap_err().to_string();
            assert!(text.contains(expect), "{text}");
        }
    }
}
