//! The manifest's place in PCR16, and the lock on the PCRs above it.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA384, digest};

use crate::error::RuntimeError;
use crate::nsm::{MANIFEST_PCR, Nsm, PCR_COUNT};

/// Bytes of a PCR.
pub const PCR_BYTES: usize = 48;

/// Extends PCR16 with SHA-384(`manifest`), locks PCR16 to PCR31, and returns the new value of PCR16.
///
/// # Errors
/// As the module answers, or [`RuntimeError::Manifest`] where PCR16 was not zero before. The PCRs are then spent.
pub fn measure(nsm: &Arc<dyn Nsm>, manifest: &[u8]) -> Result<Vec<u8>, RuntimeError> {
    let hash = digest(&SHA384, manifest);
    let value = nsm.extend_pcr(MANIFEST_PCR, hash.as_ref())?;
    for index in MANIFEST_PCR..PCR_COUNT {
        nsm.lock_pcr(index)?;
    }
    let mut expected = Context::new(&SHA384);
    expected.update(&[0; PCR_BYTES]);
    expected.update(hash.as_ref());
    // Another value means that somebody extended PCR16 before: no verifier would accept it.
    if value == expected.finish().as_ref() { Ok(value) } else { Err(RuntimeError::Manifest("PCR16 was not zero")) }
}
