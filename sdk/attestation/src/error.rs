//! Every way in which a document or a policy is refused. Decides nothing.

use crate::time::{Span, Time};
use crate::{CABUNDLE_CERTIFICATES_MAX, CERTIFICATE_BYTES_MAX, DOCUMENT_BYTES_MAX, payload::SHA384_BYTES};
use thiserror::Error;

/// Why a document was not verified or not accepted, or a policy not built; each with the value that
/// failed the check.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
pub enum AttestationError {
    /// Longer than [`DOCUMENT_BYTES_MAX`].
    #[error("the attestation document has {bytes} bytes, more than {DOCUMENT_BYTES_MAX}")]
    DocumentTooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The outer structure is not a `COSE_Sign1` of four members (RFC 9052, section 4.2).
    #[error("this is no COSE_Sign1 document: {part} is missing or malformed at byte {at}")]
    NotCoseSign1 {
        /// The part that could not be read.
        part: &'static str,
        /// Where, counted from the document's start.
        at: usize,
    },
    /// The protected header is not exactly {1: -35}, ES384.
    #[error("the document's protected header is {header}, not a1013822 (ES384)")]
    NotEs384 {
        /// The header's first bytes, as hex.
        header: String,
    },
    /// The unprotected header, which nobody signs, has content.
    #[error("the document's unprotected header is not empty")]
    UnprotectedHeader,
    /// The signature is not r ‖ s of P-384.
    #[error("the document's signature has {bytes} bytes, not 96")]
    SignatureLength {
        /// Its length.
        bytes: usize,
    },
    /// Bytes follow the document or its payload.
    #[error("{bytes} bytes follow the end of the {part}")]
    TrailingBytes {
        /// `document` or `payload`.
        part: &'static str,
        /// How many.
        bytes: usize,
    },
    /// A field of the payload is not of its form.
    #[error("the document's {field} is malformed, at byte {at} of its payload")]
    Malformed {
        /// The field.
        field: &'static str,
        /// Where, counted from the payload's start.
        at: usize,
    },
    /// A field that the NSM specification does not have.
    #[error("the document has an unknown field {name:?}")]
    UnknownField {
        /// Its name, cut to 32 characters.
        name: String,
    },
    /// A field or PCR that occurs twice.
    #[error("the document has {field} twice")]
    Duplicate {
        /// Its name.
        field: String,
    },
    /// A field that every document has is missing.
    #[error("the document has no {field}")]
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// A field is too short or too long.
    #[error("the document's {field} has {found} bytes; {min} to {max} are allowed")]
    FieldLength {
        /// Its name.
        field: &'static str,
        /// Its length.
        found: usize,
        /// The least allowed.
        min: usize,
        /// The most allowed.
        max: usize,
    },
    /// The PCRs are not of SHA-384.
    #[error("the document's digest is {found:?}, not \"SHA384\"")]
    Digest {
        /// What it names, cut to 32 characters.
        found: String,
    },
    /// A PCR index past 31.
    #[error("the document has a PCR{index}; the highest is PCR31")]
    PcrIndex {
        /// The index.
        index: u64,
    },
    /// A PCR that is not of 48 bytes.
    #[error("PCR{index} of the document has {bytes} bytes, not {SHA384_BYTES}")]
    PcrLength {
        /// The index.
        index: u8,
        /// Its length.
        bytes: usize,
    },
    /// PCR0, PCR1 or PCR2 is not in the document.
    #[error("the document does not list PCR{index}")]
    PcrMissing {
        /// The index.
        index: u8,
    },
    /// More certificates than [`CABUNDLE_CERTIFICATES_MAX`], or none.
    #[error("the document's cabundle has {found} certificates; 1 to {CABUNDLE_CERTIFICATES_MAX} are allowed")]
    CabundleLength {
        /// How many there are, or at least how many.
        found: u64,
    },
    /// The first certificate of the bundle is not the pinned root.
    #[error("the document's root certificate has SHA-256 {found}, but the {expected_name} has {expected}")]
    ForeignRoot {
        /// SHA-256 of the document's root, hex.
        found: String,
        /// Which root the caller asked for.
        expected_name: &'static str,
        /// SHA-256 of that root, hex.
        expected: String,
    },
    /// A certificate that cannot be read.
    #[error("the {certificate} is no X.509 certificate of at most {CERTIFICATE_BYTES_MAX} bytes: {part} is malformed")]
    Certificate {
        /// Which one.
        certificate: String,
        /// The part that could not be read.
        part: &'static str,
    },
    /// A certificate's validity is over.
    #[error("the {certificate} expired {ago} ago, at {not_after}: the document is old, or your clock is off")]
    CertificateExpired {
        /// Which one.
        certificate: String,
        /// How long ago.
        ago: Span,
        /// The end of its validity.
        not_after: Time,
    },
    /// A certificate's validity has not begun.
    #[error("the {certificate} is valid only in {ahead}, from {not_before}: your clock is off by about {ahead}?")]
    CertificateNotYetValid {
        /// Which one.
        certificate: String,
        /// How far ahead.
        ahead: Span,
        /// The start of its validity.
        not_before: Time,
    },
    /// A certificate may not do what it is used for.
    #[error("the {certificate} lacks the key usage {usage}")]
    KeyUsage {
        /// Which one.
        certificate: String,
        /// `keyCertSign` or `digitalSignature`.
        usage: &'static str,
    },
    /// Signatures, CA flags or path lengths do not make a chain to the root.
    #[error("the certificates make no chain to the root: {reason}")]
    Chain {
        /// The X.509 library's word for it.
        reason: String,
    },
    /// The bundle is not in the order root to issuer of the leaf, or has certificates to spare.
    #[error("the document's cabundle is not in the order of the chain, root first")]
    ChainOrder,
    /// The leaf certificate's key is not of P-384.
    #[error("the leaf certificate's key is not a P-384 key")]
    LeafKey,
    /// The signature is not the leaf's over this payload.
    #[error("the document's signature is wrong: its content was changed or another key signed it")]
    Signature,
    /// The timestamp is ahead of the verifier's clock.
    #[error("the document is {by} in the future (made at {timestamp}): your clock is off by {by}?")]
    FromTheFuture {
        /// By how much.
        by: Span,
        /// The document's timestamp.
        timestamp: Time,
    },
    /// The timestamp is not within the leaf certificate's validity.
    #[error("the document was made at {timestamp}, but its leaf certificate is valid from {not_before} to {not_after}")]
    TimestampOutsideLeaf {
        /// The document's timestamp.
        timestamp: Time,
        /// The start of the leaf's validity.
        not_before: Time,
        /// The end of the leaf's validity.
        not_after: Time,
    },
    /// PCR0, PCR1 or PCR2 is all zero.
    #[error("PCR{index} is all zero: the enclave runs in debug mode, and its memory is readable")]
    DebugMode {
        /// The index.
        index: u8,
    },
    /// A policy that would accept every image.
    #[error("an image policy must list at least one accepted value of {what}")]
    EmptyPolicy {
        /// What is not listed.
        what: &'static str,
    },
    /// A policy that would accept debug mode or a PCR that nothing was measured into.
    #[error("an image policy cannot accept an all-zero PCR{index}")]
    ZeroPcrInPolicy {
        /// The index.
        index: u8,
    },
    /// A policy names a PCR past 31.
    #[error("an image policy names PCR{index}; the highest is PCR31")]
    PcrIndexInPolicy {
        /// The index.
        index: u8,
    },
    /// A PCR that the policy needs is not in the document: it is not locked.
    #[error("the document does not list PCR{index}, which the policy needs: it is not locked")]
    PcrNotLocked {
        /// The index.
        index: u8,
    },
    /// The document's image or manifest is none of the policy's.
    #[error("not an accepted image: {found}")]
    NotAccepted {
        /// The document's values of the PCRs that did not match, hex.
        found: String,
    },
}
