//! TLS to KMS: version 1.3 only, post-quantum key exchange first, Amazon's roots only.
//!
//! What the host records today must not open in twenty years, so X25519MLKEM768 is offered first;
//! the two classical groups stand behind it for endpoints that lack it. Certificates are checked at
//! the enclave's own time.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::pki_types::{CertificateDer, TrustAnchor};
use rustls::{ClientConfig, RootCertStore};

use crate::clock::Clock;
use crate::error::RuntimeError;

/// Longest development root in bytes.
pub const ROOT_BYTES_MAX: usize = 4096;

/// SHA-256 of the public keys (SPKI DER) of Amazon Trust Services' roots.
const AMAZON_ROOTS: [(&str, [u8; 32]); 5] = [
    (
        "Amazon Root CA 1",
        [
            0xfb, 0xe3, 0x01, 0x80, 0x31, 0xf9, 0x58, 0x6b, 0xcb, 0xf4, 0x17, 0x27, 0xe4, 0x17, 0xb7, 0xd1, 0xc4, 0x5c,
            0x2f, 0x47, 0xf9, 0x3b, 0xe3, 0x72, 0xa1, 0x7b, 0x96, 0xb5, 0x07, 0x57, 0xd5, 0xa2,
        ],
    ),
    (
        "Amazon Root CA 2",
        [
            0x7f, 0x42, 0x96, 0xfc, 0x5b, 0x6a, 0x4e, 0x3b, 0x35, 0xd3, 0xc3, 0x69, 0x62, 0x3e, 0x36, 0x4a, 0xb1, 0xaf,
            0x38, 0x1d, 0x8f, 0xa7, 0x12, 0x15, 0x33, 0xc9, 0xd6, 0xc6, 0x33, 0xea, 0x24, 0x61,
        ],
    ),
    (
        "Amazon Root CA 3",
        [
            0x36, 0xab, 0xc3, 0x26, 0x56, 0xac, 0xfc, 0x64, 0x5c, 0x61, 0xb7, 0x16, 0x13, 0xc4, 0xbf, 0x21, 0xc7, 0x87,
            0xf5, 0xca, 0xbb, 0xee, 0x48, 0x34, 0x8d, 0x58, 0x59, 0x78, 0x03, 0xd7, 0xab, 0xc9,
        ],
    ),
    (
        "Amazon Root CA 4",
        [
            0xf7, 0xec, 0xde, 0xd5, 0xc6, 0x60, 0x47, 0xd2, 0x8e, 0xd6, 0x46, 0x6b, 0x54, 0x3c, 0x40, 0xe0, 0x74, 0x3a,
            0xbe, 0x81, 0xd1, 0x09, 0x25, 0x4d, 0xcf, 0x84, 0x5d, 0x4c, 0x2c, 0x78, 0x53, 0xc5,
        ],
    ),
    (
        "Starfield Services Root Certificate Authority - G2",
        [
            0x2b, 0x07, 0x1c, 0x59, 0xa0, 0xa0, 0xae, 0x76, 0xb0, 0xea, 0xdb, 0x2b, 0xad, 0x23, 0xba, 0xd4, 0x58, 0x0b,
            0x69, 0xc3, 0x60, 0x1b, 0x63, 0x0c, 0x2e, 0xaf, 0x06, 0x13, 0xaf, 0xa8, 0x3f, 0x92,
        ],
    ),
];

/// The TLS configuration of the KMS client.
///
/// `development_root` is the manifest's own root (X.509 DER), and then the only one.
///
/// # Errors
/// [`RuntimeError::Tls`] where a root does not parse or one of Amazon's is not known.
pub fn client_config(clock: &Clock, development_root: Option<&[u8]>) -> Result<ClientConfig, RuntimeError> {
    let roots = match development_root {
        Some(der) => development_roots(der)?,
        None => amazon_roots()?,
    };
    let mut config = ClientConfig::builder_with_details(Arc::new(crypto_provider()), Arc::new(clock.clone()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| RuntimeError::Tls("no version 1.3"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Every connection checks the certificate at its own time.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Suites of version 1.3 only, whatever another crate of the build has switched on in rustls.
fn crypto_provider() -> CryptoProvider {
    let default = provider::default_provider();
    CryptoProvider {
        cipher_suites: default.cipher_suites.iter().copied().filter(|suite| suite.tls13().is_some()).collect(),
        kx_groups: vec![provider::kx_group::X25519MLKEM768, provider::kx_group::X25519, provider::kx_group::SECP256R1],
        ..default
    }
}

fn development_roots(der: &[u8]) -> Result<RootCertStore, RuntimeError> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(der.to_vec()))
        .map_err(|_| RuntimeError::Tls("the development root does not parse"))?;
    Ok(roots)
}

/// Mozilla's list holds the roots' bytes; the hashes above choose among them.
fn amazon_roots() -> Result<RootCertStore, RuntimeError> {
    let known: Vec<[u8; 32]> = AMAZON_ROOTS.iter().map(|(_, hash)| *hash).collect();
    let roots: RootCertStore =
        webpki_roots::TLS_SERVER_ROOTS.iter().filter(|anchor| known.contains(&key_hash(anchor))).cloned().collect();
    if roots.len() == AMAZON_ROOTS.len() {
        Ok(roots)
    } else {
        Err(RuntimeError::Tls("a root of Amazon's is not known"))
    }
}

/// SHA-256 of an anchor's SPKI DER, of which the anchor holds the content only.
fn key_hash(anchor: &TrustAnchor<'_>) -> [u8; 32] {
    let content = anchor.subject_public_key_info.as_ref();
    let mut hash = Context::new(&SHA256);
    hash.update(&[0x30]);
    hash.update(&der_length(content.len()));
    hash.update(content);
    let mut out = [0; 32];
    out.copy_from_slice(hash.finish().as_ref());
    out
}

/// A DER length below 64 KiB, which every public key's is.
fn der_length(length: usize) -> Vec<u8> {
    let [.., high, low] = length.to_be_bytes();
    match length {
        0..=0x7f => vec![low],
        0x80..=0xff => vec![0x81, low],
        _ => vec![0x82, high, low],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_amazons_roots_are_found() {
        let mut names: Vec<String> = amazon_roots()
            .unwrap()
            .roots
            .iter()
            .map(|anchor| String::from_utf8_lossy(anchor.subject.as_ref()).into_owned())
            .collect();
        names.sort();
        for (name, _) in AMAZON_ROOTS {
            let at = names.iter().position(|subject| subject.contains(name));
            names.remove(at.unwrap_or_else(|| panic!("{name} is not among {names:?}")));
        }
        assert_eq!(names, Vec::<String>::new());
    }

    #[test]
    fn only_tls_1_3_with_the_post_quantum_group_first() {
        let provider = crypto_provider();
        let groups: Vec<_> = provider.kx_groups.iter().map(|group| format!("{:?}", group.name())).collect();
        assert_eq!(groups, ["X25519MLKEM768", "X25519", "secp256r1"]);
        assert!(provider.cipher_suites.iter().all(|suite| suite.tls13().is_some()));
    }

    #[test]
    fn a_development_root_must_parse_and_stands_alone() {
        let clock = Clock::default();
        assert!(client_config(&clock, Some(b"no certificate")).is_err());
        assert!(client_config(&clock, Some(b"")).is_err());
        assert!(client_config(&clock, None).is_ok());
    }
}
