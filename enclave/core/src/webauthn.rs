//! The relying party's half of WebAuthn level 3, section 7.2, as strict as this service can afford to be.
//!
//! It verifies one assertion against one credential and one challenge. It keeps no sign counts (synced passkeys have none), knows no
//! registration ceremony (a registration proves nothing), and never returns whether a signature alone would have held.

mod authenticator_data;
mod client_data;
mod cose;
mod extension_results;

use alloc::string::String;

use ring::digest;
use strongroom_proto::id::sha256;
use strongroom_proto::limits::{
    ASSERTION_SIGNATURE_BYTES_MAX, AUTHENTICATOR_DATA_BYTES_MAX, CLIENT_DATA_BYTES_MAX, CREDENTIAL_ID_BYTES_MAX,
    EXTENSION_RESULTS_BYTES_MAX,
};
use strongroom_proto::v1::{Assertion, Reason};

pub use cose::CredentialKey;

use crate::refusal::{Refusal, bad, refuse};

/// What an assertion must be about.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The challenge's bytes.
    pub challenge: &'a [u8],
    /// The relying party id of the record.
    pub rp_id: &'a str,
    /// Origins that may ask; compared whole.
    pub origins: &'a [String],
    /// Top origins under which a cross-origin frame may ask; compared whole.
    pub top_origins: &'a [String],
}

/// What a verified assertion says of its credential.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Verified {
    /// Flag BE: the credential may be synced. The caller compares it with what the credential said before.
    pub backup_eligible: bool,
}

/// Verifies an assertion.
///
/// # Errors
/// `BAD_REQUEST` for malformed or over-long fields, `PRF_RESULT_PRESENT`, `ORIGIN_NOT_ALLOWED`, `USER_NOT_VERIFIED`, and
/// `PROOF_REJECTED` for all else; the detail names the field.
pub fn verify(assertion: &Assertion, key: &CredentialKey<'_>, expected: &Expected<'_>) -> Result<Verified, Refusal> {
    check_lengths(assertion)?;
    extension_results::check(&assertion.client_extension_results)?;
    client_data::check(&assertion.client_data_json, expected)?;
    let rp_id_hash = sha256(&[expected.rp_id.as_bytes()]);
    let backup_eligible = authenticator_data::check(&assertion.authenticator_data, &rp_id_hash)?;
    let mut signed = assertion.authenticator_data.clone();
    signed.extend_from_slice(digest::digest(&digest::SHA256, &assertion.client_data_json).as_ref());
    if key.verify(&signed, &assertion.signature) {
        Ok(Verified { backup_eligible })
    } else {
        Err(rejected("assertion.signature: does not hold under the credential's key"))
    }
}

fn check_lengths(assertion: &Assertion) -> Result<(), Refusal> {
    for (field, len, max) in [
        ("credential_id", assertion.credential_id.len(), CREDENTIAL_ID_BYTES_MAX),
        ("authenticator_data", assertion.authenticator_data.len(), AUTHENTICATOR_DATA_BYTES_MAX),
        ("client_data_json", assertion.client_data_json.len(), CLIENT_DATA_BYTES_MAX),
        ("signature", assertion.signature.len(), ASSERTION_SIGNATURE_BYTES_MAX),
        ("client_extension_results", assertion.client_extension_results.len(), EXTENSION_RESULTS_BYTES_MAX),
    ] {
        if len > max {
            return Err(bad(alloc::format!("assertion.{field}: {len} bytes, at most {max}")));
        }
    }
    Ok(())
}

/// An assertion that does not prove what it should.
fn rejected(detail: &str) -> Refusal {
    refuse(Reason::ProofRejected, detail)
}

#[cfg(test)]
mod tests;
