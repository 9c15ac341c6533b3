//! Reads and verifies AWS Nitro attestation documents: `COSE_Sign1`, ES384, under a chain of
//! certificates that ends at a pinned root.
//!
//! [`verify`] proves that the Nitro hypervisor (or, where the caller wrote [`Root::development`], a
//! development root) signed the document, and gives a [`Genuine`] that says which image asked for
//! it. Keys and user data come out only through [`Genuine::accept`], against an [`ImagePolicy`] that
//! cannot be built without measurements.
//!
//! It does no I/O, has no clock (the time is an argument), no global state, and does not panic on any
//! input. Documents of enclaves in debug mode are always refused.

mod chain;
mod cose;
mod error;
mod genuine;
mod payload;
mod policy;
mod root;
mod time;
mod x509;

pub use error::AttestationError;
pub use genuine::{Attested, Check, Genuine};
pub use payload::{Pcr, Pcrs};
pub use policy::{Image, ImagePolicy};
pub use root::Root;
pub use time::{Span, Time};

/// Longest document that is read, in bytes. The NSM's own answers end at 12 KiB; real documents
/// have 4.4 to 5.3 KB.
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1024;

/// Most certificates in the document's `cabundle`, its root included.
pub const CABUNDLE_CERTIFICATES_MAX: usize = 7;

/// Longest certificate, in bytes, as the NSM specification has it.
pub const CERTIFICATE_BYTES_MAX: usize = 1024;

/// Longest `module_id`, in bytes.
pub const MODULE_ID_BYTES_MAX: usize = 128;

/// Longest `public_key`, in bytes, as the NSM specification has it.
pub const PUBLIC_KEY_BYTES_MAX: usize = 1024;

/// Longest `user_data` and `nonce`, in bytes, as the NSM specification has it.
pub const USER_DATA_BYTES_MAX: usize = 512;

/// How far, in milliseconds, a document's timestamp may lie ahead of the verifier's clock.
pub const CLOCK_SKEW_MS_MAX: u64 = 5 * 60 * 1000;

/// When a document says that it was made. Nobody vouches for that before [`verify`]: an auditor judges an old document at this time.
///
/// # Errors
/// As [`verify`] for a document of the wrong form.
pub fn made_at(document: &[u8]) -> Result<Time, AttestationError> {
    if document.len() > DOCUMENT_BYTES_MAX {
        return Err(AttestationError::DocumentTooLarge { bytes: document.len() });
    }
    Ok(payload::Payload::parse(cose::Sign1::parse(document)?.payload)?.timestamp)
}

/// Verifies that `document` was signed under `root` and holds at the time `at`.
///
/// What is checked: form and size, the certificate chain with the validity, CA flag, path length and
/// key usage of each certificate, the ES384 signature, the document's timestamp, and that the enclave
/// does not run in debug mode. Which image it is, the caller decides with [`Genuine::accept`].
///
/// A verifier's clock may lag by at most [`CLOCK_SKEW_MS_MAX`]: the chain is then judged at the
/// document's own signed timestamp, since a leaf certificate is often only seconds old.
///
/// # Errors
/// [`AttestationError`] names the first check that failed, with the value that failed it.
pub fn verify(document: &[u8], root: &Root, at: Time) -> Result<Genuine, AttestationError> {
    if document.len() > DOCUMENT_BYTES_MAX {
        return Err(AttestationError::DocumentTooLarge { bytes: document.len() });
    }
    let sign1 = cose::Sign1::parse(document)?;
    let payload = payload::Payload::parse(sign1.payload)?;
    let now = not_from_the_future(payload.timestamp, at)?;
    let chain = chain::verify(&payload, root, now)?;
    sign1.verify_signature(&chain.leaf_key)?;
    if !chain.leaf_window.contains(payload.timestamp) {
        return Err(AttestationError::TimestampOutsideLeaf {
            timestamp: payload.timestamp,
            not_before: chain.leaf_window.not_before,
            not_after: chain.leaf_window.not_after,
        });
    }
    payload.refuse_debug_mode()?;
    Ok(Genuine::new(&payload, root, &chain, document.len(), at))
}

/// The time to judge certificates at: `at`, or the document's timestamp where that lies ahead by no
/// more than the skew. It only ever moves forward, so nothing expired becomes valid by it.
fn not_from_the_future(timestamp: Time, at: Time) -> Result<Time, AttestationError> {
    let ahead = timestamp.unix_ms().saturating_sub(at.unix_ms());
    if ahead > CLOCK_SKEW_MS_MAX {
        return Err(AttestationError::FromTheFuture { by: Span::from_ms(ahead), timestamp });
    }
    Ok(timestamp.max(at))
}
