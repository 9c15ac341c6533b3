//! The outer `COSE_Sign1` (RFC 9052, section 4.2) and its ES384 signature. Looks at no payload.
//!
//! Real documents come without a tag; Amazon's specification of the document writes it with CBOR tag
//! 18. The tag is not signed and changes no meaning, so both forms are read. Nobody signs the outer
//! lengths either, so each form has one encoding: the shortest, which is what the NSM writes.

use crate::error::AttestationError;
use crate::root::hex;
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};
use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};

/// CBOR tag of a `COSE_Sign1`.
const COSE_SIGN1_TAG: u64 = 18;

/// The tag in its shortest encoding.
const TAG_BYTE: u8 = 0xd2;

/// {1: -35}: the algorithm is ES384 (RFC 9053, section 2.1).
const ES384_HEADER: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];

/// Length of r ‖ s over P-384.
const SIGNATURE_BYTES: usize = 96;

/// A document taken apart, not yet verified.
#[derive(Debug)]
pub(crate) struct Sign1<'a> {
    pub(crate) payload: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Sign1<'a> {
    pub(crate) fn parse(document: &'a [u8]) -> Result<Self, AttestationError> {
        let mut decoder = Decoder::new(document);
        let d = &mut decoder;
        if d.datatype().is_ok_and(|found| found == Type::Tag)
            && part(d, "the tag", Decoder::tag)?.as_u64() != COSE_SIGN1_TAG
        {
            return Err(AttestationError::NotCoseSign1 { part: "the tag", at: 0 });
        }
        let at = d.position();
        if part(d, "the array of 4", Decoder::array)? != Some(4) {
            return Err(AttestationError::NotCoseSign1 { part: "the array of 4", at });
        }
        let protected = part(d, "the protected header", Decoder::bytes)?;
        if protected != ES384_HEADER {
            return Err(AttestationError::NotEs384 { header: hex(&protected[..protected.len().min(16)]) });
        }
        if part(d, "the unprotected header", Decoder::map)? != Some(0) {
            return Err(AttestationError::UnprotectedHeader);
        }
        let payload = part(d, "the payload", Decoder::bytes)?;
        let signature = part(d, "the signature", Decoder::bytes)?;
        if signature.len() != SIGNATURE_BYTES {
            return Err(AttestationError::SignatureLength { bytes: signature.len() });
        }
        match document.len() - d.position() {
            0 if is_shortest(document, payload, signature) => Ok(Self { payload, signature }),
            0 => Err(AttestationError::NotCoseSign1 { part: "the shortest encoding", at: 0 }),
            bytes => Err(AttestationError::TrailingBytes { part: "document", bytes }),
        }
    }

    /// Verifies the signature with the leaf's key, an uncompressed point of P-384.
    pub(crate) fn verify_signature(&self, leaf_key: &[u8]) -> Result<(), AttestationError> {
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, leaf_key)
            .verify(&signed_bytes(self.payload), self.signature)
            .map_err(|_| AttestationError::Signature)
    }
}

/// Whether a document of these parts is what the NSM would write, with the tag or without.
fn is_shortest(document: &[u8], payload: &[u8], signature: &[u8]) -> bool {
    let mut encoder = Encoder::new(Vec::with_capacity(document.len()));
    encoder
        .array(4)
        .and_then(|e| e.bytes(&ES384_HEADER))
        .and_then(|e| e.map(0))
        .and_then(|e| e.bytes(payload))
        .and_then(|e| e.bytes(signature))
        .expect("writing to a Vec cannot fail");
    document.strip_prefix(&[TAG_BYTE]).unwrap_or(document) == encoder.writer()
}

/// The bytes that are signed: `Sig_structure` (RFC 9052, section 4.4) without external data.
fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(payload.len() + 32));
    encoder
        .array(4)
        .and_then(|e| e.str("Signature1"))
        .and_then(|e| e.bytes(&ES384_HEADER))
        .and_then(|e| e.bytes(&[]))
        .and_then(|e| e.bytes(payload))
        .expect("writing to a Vec cannot fail");
    encoder.into_writer()
}

/// Reads one part, and names it and its place where it cannot be read.
fn part<'a, T>(
    decoder: &mut Decoder<'a>,
    part: &'static str,
    read: impl FnOnce(&mut Decoder<'a>) -> Result<T, minicbor::decode::Error>,
) -> Result<T, AttestationError> {
    let at = decoder.position();
    read(decoder).map_err(|_| AttestationError::NotCoseSign1 { part, at })
}
