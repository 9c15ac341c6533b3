//! The document of a virtual machine that only acts as an enclave: it has the form of a genuine one, and 64 zero bytes wherever a genuine one
//! has a certificate or a signature.

use super::parts::Parts;
use strongroom_attestation::{Root, Time, verify};

const EMULATED: &[u8] = include_bytes!("../../../../tests/vectors/attestation/emulated-module.bin");

/// Mends the document's parts as far as its maker could, and expects it to be refused all the same, for this reason.
fn check(expect: &str, mend: impl FnOnce(&mut Parts)) {
    let mut parts = Parts::of(EMULATED);
    let time = Time::from_unix_ms(parts.timestamp());
    mend(&mut parts);
    let refusal = verify(&parts.document(), &Root::aws(), time).map(|_| ()).unwrap_err().to_string();
    assert!(refusal.contains(expect), "wanted {expect:?}, got {refusal:?}");
}

#[test]
fn a_document_with_zero_bytes_for_its_signature_is_refused_however_it_is_mended() {
    let parts = Parts::of(EMULATED);
    assert_eq!((parts.protected.as_slice(), parts.signature.as_slice()), (&[0xa1, 0x01, 0x20][..], &[0; 64][..]));
    assert_eq!(parts.cabundle(), [[0; 64]]);

    check("header is a10120", |_| {});
    let header = vec![0xa1, 0x01, 0x38, 0x22];
    check("signature has 64 bytes", |p| p.protected.clone_from(&header));
    check("certificate", |p| {
        p.protected.clone_from(&header);
        p.signature = vec![0; 96];
    });
}
