//! Registration and assertion pairs of the W3C specification, decided as Strongroom decides: user verification required, no
//! cross-origin use, ES256, EdDSA with Ed25519 and RS256.

use anyhow::{Context, Result};
use serde_json::Value;
use strongroom_core::webauthn::{CredentialKey, Expected, verify};
use strongroom_proto::v1::Assertion;
use strongroom_sdk::registration;

use super::{Decision, hex_member, text_member};

/// COSE algorithms that are taken.
const ALGORITHMS: [i64; 3] = [-7, -8, -257];

pub(super) fn decide(vector: &Value) -> Decision {
    let name = format!("W3C {}", text_member(vector, "title").trim_end_matches(['#', ' ']));
    let decided = ceremony(vector);
    let text = match &decided {
        Ok(()) => "accepted".to_owned(),
        Err(error) => format!("refused: {error}"),
    };
    Decision { name, text, expected: should_pass(vector).map(|should| should == decided.is_ok()) }
}

fn should_pass(vector: &Value) -> Option<bool> {
    let verified = vector.pointer("/assertion_flags/uv")?.as_i64()? == 1;
    let cross_origin = vector.get("cross_origin")?.as_bool()?;
    let algorithm = vector.get("cose_alg")?.as_i64()?;
    Some(verified && !cross_origin && ALGORITHMS.contains(&algorithm))
}

fn ceremony(vector: &Value) -> Result<()> {
    let rp_id = text_member(vector, "rp_id");
    let registered = vector.get("registration").context("no registration")?;
    let asserted = vector.get("assertion").context("no assertion")?;
    let registration = registration::parse(&hex_member(registered, "attestationObject")?, rp_id)?;
    let assertion = Assertion {
        credential_id: hex_member(registered, "credential_id")?,
        authenticator_data: hex_member(asserted, "authenticatorData")?,
        client_data_json: hex_member(asserted, "clientDataJSON")?,
        signature: hex_member(asserted, "signature")?,
        client_extension_results: String::new(),
    };
    anyhow::ensure!(
        assertion.credential_id == registration.credential.id,
        "the registration has another credential id"
    );
    let reason = |refusal: strongroom_core::Refusal| {
        anyhow::anyhow!("{} ({})", refusal.reason.as_str_name().trim_start_matches("REASON_"), refusal.detail)
    };
    let key = CredentialKey::parse(&registration.credential.public_key).map_err(reason)?;
    let expected = Expected {
        challenge: &hex_member(asserted, "challenge")?,
        rp_id,
        origins: &[text_member(vector, "origin").to_owned()],
        top_origins: &[],
    };
    verify(&assertion, &key, &expected).map_err(reason)?;
    Ok(())
}
