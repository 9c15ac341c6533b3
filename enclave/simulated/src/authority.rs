//! The development root: what stands in for AWS's `aws.nitro-enclaves` certificate authority. Shared by
//! the simulated enclaves and the development KMS of one stack, across restarts, through one file.

use crate::certificates::root_parameters;
use crate::error::SimulatedError;
use crate::private_file;
use minicbor::{Decoder, Encoder};
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384};
use rustls_pki_types::PrivatePkcs8KeyDer;
use std::fmt;
use std::path::Path;
use zeroize::Zeroizing;

/// A development root and its key.
pub struct Authority {
    root_der: Vec<u8>,
    key: KeyPair,
}

impl Authority {
    /// A new root with a new P-384 key.
    ///
    /// # Errors
    /// [`SimulatedError::Certificate`].
    pub fn new() -> Result<Self, SimulatedError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
        let root = root_parameters().self_signed(&key)?;
        Ok(Self { root_der: root.der().to_vec(), key })
    }

    /// Loads the authority of a file, or makes one and saves it there (mode 0600). Processes that do
    /// so at the same moment get the same one.
    ///
    /// # Errors
    /// [`SimulatedError::File`], [`SimulatedError::Form`].
    pub fn open(path: &Path) -> Result<Self, SimulatedError> {
        if let Some(content) = private_file::read(path)? {
            return Self::from_bytes(&Zeroizing::new(content), path);
        }
        let new = Self::new()?;
        if private_file::create(path, &new.to_bytes())? { Ok(new) } else { Self::load(path) }
    }

    /// Loads the authority of a file.
    ///
    /// # Errors
    /// [`SimulatedError::File`] where it is not there, [`SimulatedError::Form`].
    pub fn load(path: &Path) -> Result<Self, SimulatedError> {
        let content =
            private_file::read(path)?.ok_or_else(|| SimulatedError::file(path)(std::io::ErrorKind::NotFound.into()))?;
        Self::from_bytes(&Zeroizing::new(content), path)
    }

    /// Saves the authority (mode 0600), over what was there.
    ///
    /// # Errors
    /// [`SimulatedError::File`].
    pub fn save(&self, path: &Path) -> Result<(), SimulatedError> {
        private_file::replace(path, &self.to_bytes())
    }

    /// The root certificate, DER: what `Root::development` takes. Public.
    #[must_use]
    pub fn root_der(&self) -> &[u8] {
        &self.root_der
    }

    pub(crate) fn key(&self) -> &KeyPair {
        &self.key
    }

    /// CBOR [root certificate, PKCS #8 key].
    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut encoder = Encoder::new(Vec::with_capacity(self.root_der.len() + 256));
        encoder
            .array(2)
            .and_then(|e| e.bytes(&self.root_der))
            .and_then(|e| e.bytes(self.key.serialized_der()))
            .expect("writing to a Vec cannot fail");
        Zeroizing::new(encoder.into_writer())
    }

    fn from_bytes(content: &[u8], path: &Path) -> Result<Self, SimulatedError> {
        let form = |reason: String| SimulatedError::Form { path: path.to_owned(), reason };
        let (root_der, pkcs8) = read_pair(content).map_err(|error| form(error.to_string()))?;
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(pkcs8), &PKCS_ECDSA_P384_SHA384)
            .map_err(|error| form(error.to_string()))?;
        // The certificate's own key is in it as these 97 bytes.
        let point = key.public_key_raw();
        if !root_der.windows(point.len()).any(|window| window == point) {
            return Err(form("its key is not the certificate's".to_owned()));
        }
        Ok(Self { root_der: root_der.to_vec(), key })
    }
}

fn read_pair(content: &[u8]) -> Result<(&[u8], &[u8]), minicbor::decode::Error> {
    let mut d = Decoder::new(content);
    if d.array()? != Some(2) {
        return Err(minicbor::decode::Error::message("not a pair"));
    }
    let pair = (d.bytes()?, d.bytes()?);
    if d.position() != content.len() {
        return Err(minicbor::decode::Error::message("bytes follow the pair"));
    }
    Ok(pair)
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority { key: [redacted] }")
    }
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
    }

    #[test]
    fn a_broken_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authority");
        let (one, two) = (Authority::new().unwrap(), Authority::new().unwrap());
        let mixed = Authority { root_der: two.root_der.clone(), key: one.key };
        let good = two.to_bytes();
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
