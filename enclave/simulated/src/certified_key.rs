//! A root certificate and its key in one private file: what the development root of attestation and
//! the one of TLS have in common.

use crate::error::SimulatedError;
use crate::private_file;
use minicbor::{Decoder, Encoder};
use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
use rustls_pki_types::PrivatePkcs8KeyDer;
use std::fmt;
use std::path::Path;
use zeroize::Zeroizing;

/// What a root certificate says, and how its key signs.
pub(crate) struct Profile {
    pub(crate) parameters: CertificateParams,
    pub(crate) algorithm: &'static SignatureAlgorithm,
}

/// A self-signed certificate and its key.
pub(crate) struct CertifiedKey {
    pub(crate) der: Vec<u8>,
    pub(crate) key: KeyPair,
}

impl CertifiedKey {
    /// A new key, and a certificate by the profile.
    pub(crate) fn new(profile: &Profile) -> Result<Self, SimulatedError> {
        let key = KeyPair::generate_for(profile.algorithm)?;
        let certificate = profile.parameters.self_signed(&key)?;
        Ok(Self { der: certificate.der().to_vec(), key })
    }

    /// Loads the file, or makes it. Processes that do so at the same moment get the same one.
    pub(crate) fn open(path: &Path, profile: &Profile) -> Result<Self, SimulatedError> {
        if let Some(content) = private_file::read(path)? {
            return Self::from_bytes(&Zeroizing::new(content), profile.algorithm, path);
        }
        let new = Self::new(profile)?;
        if private_file::create(path, &new.to_bytes())? { Ok(new) } else { Self::load(path, profile.algorithm) }
    }

    pub(crate) fn load(path: &Path, algorithm: &'static SignatureAlgorithm) -> Result<Self, SimulatedError> {
        let content =
            private_file::read(path)?.ok_or_else(|| SimulatedError::file(path)(std::io::ErrorKind::NotFound.into()))?;
        Self::from_bytes(&Zeroizing::new(content), algorithm, path)
    }

    /// CBOR [certificate, PKCS #8 key].
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut encoder = Encoder::new(Vec::with_capacity(self.der.len() + 256));
        encoder
            .array(2)
            .and_then(|e| e.bytes(&self.der))
            .and_then(|e| e.bytes(self.key.serialized_der()))
            .expect("writing to a Vec cannot fail");
        Zeroizing::new(encoder.into_writer())
    }

    fn from_bytes(content: &[u8], algorithm: &'static SignatureAlgorithm, path: &Path) -> Result<Self, SimulatedError> {
        let form = |reason: String| SimulatedError::Form { path: path.to_owned(), reason };
        let (der, pkcs8) = read_pair(content).map_err(|error| form(error.to_string()))?;
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(pkcs8), algorithm)
            .map_err(|error| form(error.to_string()))?;
        // The certificate holds its own public key as these bytes.
        let point = key.public_key_raw();
        if !der.windows(point.len()).any(|window| window == point) {
            return Err(form("its key is not the certificate's".to_owned()));
        }
        Ok(Self { der: der.to_vec(), key })
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

impl fmt::Debug for CertifiedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertifiedKey { key: [redacted] }")
    }
}
