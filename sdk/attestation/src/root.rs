//! The root that a chain must end at, pinned by fingerprint. Holds no certificate: the root's DER is
//! the first entry of each document's bundle, and counts only if it has this fingerprint.

use ring::digest::{SHA256, digest};

/// SHA-256 of the DER of `aws.nitro-enclaves`, valid from 2019-10-28 to 2049-10-28.
const AWS_ROOT_SHA256: [u8; 32] = [
    0x64, 0x1a, 0x03, 0x21, 0xa3, 0xe2, 0x44, 0xef, 0xe4, 0x56, 0x46, 0x31, 0x95, 0xd6, 0x06, 0x31, 0x7e, 0xd7, 0xcd,
    0xcc, 0x3c, 0x17, 0x56, 0xe0, 0x98, 0x93, 0xf3, 0xc6, 0x8f, 0x79, 0xbb, 0x5b,
];

/// Which root certificate a document's chain must end at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Root {
    fingerprint: [u8; 32],
    development: bool,
}

impl Root {
    /// The root of AWS Nitro Enclaves.
    #[must_use]
    pub const fn aws() -> Self {
        Self { fingerprint: AWS_ROOT_SHA256, development: false }
    }

    /// Another root, for tests and development only: whoever holds its key makes any document. `der`
    /// is the root certificate.
    #[must_use]
    pub fn development(der: &[u8]) -> Self {
        Self::development_by_fingerprint(sha256(der))
    }

    /// As [`Root::development`], by SHA-256 of the root certificate's DER.
    #[must_use]
    pub const fn development_by_fingerprint(fingerprint: [u8; 32]) -> Self {
        Self { fingerprint, development: true }
    }

    /// SHA-256 of the root certificate's DER.
    #[must_use]
    pub const fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// Whether this is another root than that of AWS.
    #[must_use]
    pub const fn is_development(&self) -> bool {
        self.development
    }

    /// What messages call it.
    pub(crate) const fn name(&self) -> &'static str {
        if self.development { "DEVELOPMENT root" } else { "AWS Nitro Enclaves root" }
    }
}

/// SHA-256 as an array.
pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, data).as_ref());
    out
}

/// Lower-case hex.
pub(crate) fn hex(data: &[u8]) -> String {
    use std::fmt::Write as _;
    data.iter().fold(String::with_capacity(data.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
