//! Client extension results: read only to refuse secrets that must not leave the device.

use serde::Deserialize;
use serde::de::IgnoredAny;
use strongroom_proto::v1::Reason;

use crate::refusal::{Refusal, bad, refuse};

/// What must not be there. A member that comes twice is malformed, so that none can hide behind another of its name.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    prf: Option<Prf>,
    hmac_get_secret: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Prf {
    results: Option<IgnoredAny>,
}

/// Refuses PRF results: `toJSON()` of a credential carries them, and a key derived from them opens what the user sealed elsewhere.
pub(super) fn check(json: &str) -> Result<(), Refusal> {
    if json.is_empty() {
        return Ok(());
    }
    let malformed = || bad("assertion.client_extension_results: not a JSON object of extension results");
    // The derived reader would take an array of the members too.
    if !json.trim_start().starts_with('{') {
        return Err(malformed());
    }
    let results: Results = serde_json::from_str(json).map_err(|_| malformed())?;
    if results.prf.is_some_and(|prf| prf.results.is_some()) || results.hmac_get_secret.is_some() {
        return Err(refuse(
            Reason::PrfResultPresent,
            "assertion.client_extension_results: holds PRF results; strip them on the device",
        ));
    }
    Ok(())
}
