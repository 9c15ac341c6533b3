//! Decides files of known answers: genuine Nitro documents, KMS answers, W3C passkey ceremonies.
//!
//! A file is known by its content, not by its name. Each vector gives one line: what was decided, and whether the file's own
//! description expects that.

mod kms;
mod nitro;
mod webauthn;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// What was decided about one vector.
#[derive(Debug)]
pub struct Decision {
    /// The vector.
    pub name: String,
    /// What was decided, with the reason.
    pub text: String,
    /// Whether that is what the vector's description says; `None` where it says nothing.
    pub expected: Option<bool>,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.expected {
            Some(true) => "ok        ",
            Some(false) => "UNEXPECTED",
            None => "decided   ",
        };
        write!(f, "{mark} {}: {}", self.name, self.text)
    }
}

/// Decides every vector in a file or in the files of a folder, however deep.
pub fn decide(path: &Path) -> Result<Vec<Decision>> {
    let mut decisions = Vec::new();
    for file in files(path)? {
        let bytes = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        decisions.extend(decide_file(&file, &bytes)?);
    }
    Ok(decisions)
}

fn decide_file(file: &Path, bytes: &[u8]) -> Result<Vec<Decision>> {
    let Ok(json) = serde_json::from_slice::<Value>(bytes) else {
        return Ok(vec![nitro::decide(file, bytes)?]);
    };
    let Some(vectors) = json.get("vectors").and_then(Value::as_array) else {
        // A manifest describes the documents beside it.
        return Ok(Vec::new());
    };
    vectors
        .iter()
        .map(
            |vector| if vector.get("assertion").is_some() { Ok(webauthn::decide(vector)) } else { kms::decide(vector) },
        )
        .collect()
}

fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    entries.sort();
    let nested = entries.iter().map(|entry| files(entry)).collect::<Result<Vec<_>>>()?;
    Ok(nested.concat())
}

/// The bytes of a hex member.
fn hex_member(vector: &Value, name: &str) -> Result<Vec<u8>> {
    let text = vector.get(name).and_then(Value::as_str).with_context(|| format!("no member {name}"))?;
    hex::decode(text).with_context(|| format!("{name} is not hex"))
}

fn text_member<'a>(vector: &'a Value, name: &str) -> &'a str {
    vector.get(name).and_then(Value::as_str).unwrap_or_default()
}
