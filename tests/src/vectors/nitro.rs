//! Nitro attestation documents: a genuine one holds at its own time and not now; a debug one never holds.

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde_json::Value;
use strongroom_attestation::{AttestationError, Root, Time, verify};
use strongroom_proto::id::ContentHash;

use super::Decision;

pub(super) fn decide(file: &Path, document: &[u8]) -> Result<Decision> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or("document").to_owned();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis();
    let now = Time::from_unix_ms(u64::try_from(now)?);
    let own = own_time(document);
    let at_own = own.map(|time| verify(document, &Root::aws(), time));
    let at_now = verify(document, &Root::aws(), now);
    let accepted = matches!(at_own, Some(Ok(_))) && at_now.is_err();
    let text = match (&at_own, &at_now) {
        (Some(Ok(genuine)), Err(error)) => {
            format!("genuine at its own time {}; refused now: {error}", genuine.timestamp())
        }
        (Some(Err(error)), _) | (None, Err(error)) => format!("refused at any time: {error}"),
        (_, Ok(genuine)) => format!("genuine now, {}", genuine.timestamp()),
    };
    let expected = is_genuine(file, document)?.map(|genuine| genuine == accepted);
    Ok(Decision { name, text, expected })
}

/// The time that a document states, before anything of it is verified: at the epoch every document is from the future.
fn own_time(document: &[u8]) -> Option<Time> {
    match verify(document, &Root::aws(), Time::from_unix_ms(0)) {
        Err(AttestationError::FromTheFuture { timestamp, .. }) => Some(timestamp),
        _ => None,
    }
}

/// What `manifest.json` beside the file says of these bytes.
fn is_genuine(file: &Path, document: &[u8]) -> Result<Option<bool>> {
    let manifest = file.with_file_name("manifest.json");
    if !manifest.is_file() {
        return Ok(None);
    }
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest)?)?;
    let hash = hex::encode(ContentHash::of(document).0);
    let entries = manifest.as_array().context("manifest.json is no list")?;
    let flag = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_bool).unwrap_or_default();
    Ok(entries
        .iter()
        .find(|entry| entry.get("sha256").and_then(Value::as_str) == Some(&hash))
        .map(|entry| flag(entry, "genuine") && !flag(entry, "debug")))
}
