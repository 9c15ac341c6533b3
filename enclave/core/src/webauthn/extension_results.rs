//! Client extension results: read only to refuse secrets that must not leave the device.

use alloc::collections::BTreeMap;
use alloc::string::String;

use serde_json::Value;
use strongroom_proto::v1::Reason;

use crate::refusal::{Refusal, bad, refuse};

/// Refuses PRF results: `toJSON()` of a credential carries them, and a key derived from them opens what the user sealed elsewhere.
pub(super) fn check(json: &str) -> Result<(), Refusal> {
    if json.is_empty() {
        return Ok(());
    }
    let results: BTreeMap<String, Value> =
        serde_json::from_str(json).map_err(|_| bad("assertion.client_extension_results: not a JSON object"))?;
    let prf = results.get("prf").and_then(|prf| prf.get("results")).is_some_and(|results| !results.is_null());
    if prf || results.contains_key("hmacGetSecret") {
        return Err(refuse(
            Reason::PrfResultPresent,
            "assertion.client_extension_results: holds PRF results; strip them on the device",
        ));
    }
    Ok(())
}
