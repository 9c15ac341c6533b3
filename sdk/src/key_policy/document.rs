//! From the bytes of a key policy to its statements. What has not the form of a policy is a finding.

use super::POLICY_BYTES_MAX;
use super::finding::{Finding, Rule};
use super::json::{Json, TWICE};
use super::statement::{self, Statement};

const VERSION: &str = "2012-10-17";

/// The statements that could be read; `findings` takes what could not.
pub(super) fn read(text: &[u8], findings: &mut Vec<Finding>) -> Vec<Statement> {
    let mut refuse = |rule, found: String| findings.push(Finding { statement: 0, sid: None, rule, found });
    if text.len() > POLICY_BYTES_MAX {
        refuse(Rule::InvalidJson, format!("{} bytes, more than {POLICY_BYTES_MAX}", text.len()));
        return Vec::new();
    }
    let entries = match serde_json::from_slice(text) {
        Ok(Json::Object(entries)) => entries,
        Ok(_) => {
            refuse(Rule::NotUnderstood, "no object".to_owned());
            return Vec::new();
        }
        Err(error) => {
            let error = error.to_string();
            refuse(if error.starts_with(TWICE) { Rule::DuplicateKey } else { Rule::InvalidJson }, error);
            return Vec::new();
        }
    };
    let (mut version, mut statements) = (None, None);
    for (name, value) in entries {
        match (name.as_str(), value) {
            ("Version", value) => version = Some(value),
            ("Statement", Json::List(list)) if !list.is_empty() => statements = Some(list),
            ("Statement", one @ Json::Object(_)) => statements = Some(vec![one]),
            ("Id", Json::Text(_)) => {}
            _ => refuse(Rule::NotUnderstood, format!("{name:?}")),
        }
    }
    let version = version.as_ref().map(|version| version.text().unwrap_or("no text"));
    if version != Some(VERSION) {
        refuse(Rule::UnknownVersion, version.map_or_else(|| "none".to_owned(), |version| format!("{version:?}")));
    }
    let Some(statements) = statements else {
        refuse(Rule::NotUnderstood, "no Statement".to_owned());
        return Vec::new();
    };
    let numbered = statements.into_iter().zip(1..);
    numbered.filter_map(|(json, place)| statement::read(json, place, findings)).collect()
}
