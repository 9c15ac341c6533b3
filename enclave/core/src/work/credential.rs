//! A credential that an act brings: the one that the intent names, with a key of a kind that we verify.

use alloc::format;
use alloc::vec::Vec;

use strongroom_proto::id::ContentHash;
use strongroom_proto::limits::CREDENTIAL_ID_BYTES_MAX;
use strongroom_proto::names::is_label;
use strongroom_proto::v1::{CredentialRef, NewCredential, Reason};

use crate::refusal::{Refusal, bad, refuse};
use crate::webauthn::CredentialKey;

/// Checks the form of what the intent names, and that what comes beside it is the same. Returns the `COSE_Key`.
pub(super) fn check(named: &CredentialRef, given: Option<&NewCredential>, field: &str) -> Result<Vec<u8>, Refusal> {
    let given = given.ok_or_else(|| bad("credential: missing"))?;
    if !(1..=CREDENTIAL_ID_BYTES_MAX).contains(&named.id.len()) {
        return Err(bad(format!("{field}.id: not 1 to {CREDENTIAL_ID_BYTES_MAX} bytes")));
    }
    check_label(&named.label, field)?;
    if given.id != named.id || ContentHash::of(&given.public_key).0 != *named.key_hash {
        return Err(refuse(Reason::ProofRejected, "credential: not the one that the intent names"));
    }
    CredentialKey::parse(&given.public_key)?;
    Ok(given.public_key.clone())
}

/// Checks what the user calls a credential.
pub(super) fn check_label(label: &str, field: &str) -> Result<(), Refusal> {
    if is_label(label) {
        Ok(())
    } else {
        Err(bad(format!("{field}.label: more than 64 bytes, or with a control character")))
    }
}
