//! The certificate chain: from the pinned root, through the bundle in its order, to the leaf.
//!
//! `webpki` checks signatures, issuer names, validity, CA flags and path lengths. It ignores key usage
//! and finds its own order, so key usage, order and the messages about time are added here.

use crate::error::AttestationError;
use crate::payload::Payload;
use crate::root::{Root, hex, sha256};
use crate::time::{Span, Time, Window};
use crate::x509::{Facts, p384_point};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::time::Duration;
use webpki::ring::ECDSA_P384_SHA384;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// A verified chain.
#[derive(Debug)]
pub(crate) struct Chain {
    /// The leaf's key: an uncompressed point of P-384.
    pub(crate) leaf_key: Vec<u8>,
    pub(crate) leaf_window: Window,
    /// When all certificates are valid.
    pub(crate) window: Window,
    /// How many certificates there are, root and leaf included.
    pub(crate) certificates: usize,
}

/// Verifies the chain of `payload` to `root` at the time `now`.
pub(crate) fn verify(payload: &Payload<'_>, root: &Root, now: Time) -> Result<Chain, AttestationError> {
    let root_der = payload.cabundle[0];
    let found = sha256(root_der);
    if &found != root.fingerprint() {
        return Err(AttestationError::ForeignRoot {
            found: hex(&found),
            expected_name: root.name(),
            expected: hex(root.fingerprint()),
        });
    }
    let windows = check_each(payload, now)?;
    let leaf_key = check_path(payload, now)?;
    let leaf_window = windows[windows.len() - 1];
    Ok(Chain {
        leaf_key,
        leaf_window,
        window: windows.iter().fold(leaf_window, |all, window| Window {
            not_before: all.not_before.max(window.not_before),
            not_after: all.not_after.min(window.not_after),
        }),
        certificates: windows.len(),
    })
}

/// Checks validity and key usage of each certificate, root first, leaf last.
fn check_each(payload: &Payload<'_>, now: Time) -> Result<Vec<Window>, AttestationError> {
    let leaf = payload.cabundle.len();
    let all = payload.cabundle.iter().copied();
    all.chain([payload.certificate])
        .enumerate()
        .map(|(position, der)| {
            let certificate = || match position {
                0 => "root certificate".to_owned(),
                _ if position == leaf => "leaf certificate".to_owned(),
                _ => format!("CA certificate {position}"),
            };
            let facts =
                Facts::read(der).map_err(|part| AttestationError::Certificate { certificate: certificate(), part })?;
            check_window(facts.window, now, certificate)?;
            let (allowed, usage) = if position == leaf {
                (facts.may_sign_documents(), "digitalSignature")
            } else {
                (facts.may_sign_certificates(), "keyCertSign")
            };
            if !allowed {
                return Err(AttestationError::KeyUsage { certificate: certificate(), usage });
            }
            Ok(facts.window)
        })
        .collect()
}

fn check_window(window: Window, now: Time, certificate: impl Fn() -> String) -> Result<(), AttestationError> {
    if now < window.not_before {
        return Err(AttestationError::CertificateNotYetValid {
            certificate: certificate(),
            ahead: Span::between(now, window.not_before),
            not_before: window.not_before,
        });
    }
    if !window.contains(now) {
        return Err(AttestationError::CertificateExpired {
            certificate: certificate(),
            ago: Span::between(window.not_after, now),
            not_after: window.not_after,
        });
    }
    Ok(())
}

/// Lets `webpki` verify the chain, compares its order with the bundle's, and gives the leaf's key.
fn check_path(payload: &Payload<'_>, now: Time) -> Result<Vec<u8>, AttestationError> {
    let refused = |error: webpki::Error| AttestationError::Chain { reason: error.to_string() };
    let bundle: Vec<_> = payload.cabundle.iter().map(|der| CertificateDer::from(*der)).collect();
    let anchors = [anchor_from_trusted_cert(&bundle[0]).map_err(refused)?];
    let leaf_der = CertificateDer::from(payload.certificate);
    let leaf = EndEntityCert::try_from(&leaf_der).map_err(refused)?;
    let seconds = Duration::from_secs(now.unix_ms() / 1000);
    let path = leaf
        .verify_for_usage(
            &[ECDSA_P384_SHA384],
            &anchors,
            &bundle[1..],
            UnixTime::since_unix_epoch(seconds),
            // Nitro certificates have no extended key usage; one that has it must allow clients.
            KeyUsage::client_auth(),
            None,
            None,
        )
        .map_err(refused)?;
    let in_order = path.intermediate_certificates().map(webpki::Cert::der).eq(bundle[1..].iter().rev().cloned());
    if !in_order {
        return Err(AttestationError::ChainOrder);
    }
    let spki = leaf.subject_public_key_info();
    let point = p384_point(&spki).ok_or(AttestationError::LeafKey)?;
    Ok(point.to_vec())
}
