//! Conditions of a statement.

use super::json::Json;

/// The highest PCR.
const PCR_INDEX_MAX: u8 = 31;

/// What a condition asks about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Subject {
    /// `kms:RecipientAttestation:ImageSha384`, which is PCR0, and `kms:RecipientAttestation:PCR<n>`.
    Pcr(u8),
    /// `kms:RecipientAttestation:NitroTPMPCR<n>`.
    NitroTpm,
    /// `kms:EncryptionContext:<key>`, in lower case, for AWS compares the key without case.
    Context(String),
    /// Anything else.
    Other,
}

/// An operator, a condition key and the values that the policy lists.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) operator: String,
    pub(super) key: String,
    pub(super) subject: Subject,
    pub(super) values: Vec<String>,
}

impl Condition {
    /// The conditions of a `Condition` element; `None` where its form is not AWS's.
    pub(super) fn list(operators: &[(String, Json)]) -> Option<Vec<Self>> {
        let mut all = Vec::new();
        for (operator, keys) in operators {
            let Json::Object(keys) = keys else { return None };
            for (key, values) in keys {
                let (operator, key, subject) = (operator.clone(), key.clone(), subject(key));
                all.push(Self { operator, key, subject, values: texts(values)? });
            }
        }
        Some(all)
    }

    /// Whether it holds only where the key is there and equals one of the values.
    pub(super) fn demands(&self) -> bool {
        ["StringEquals", "StringEqualsIgnoreCase"].contains(&self.operator.as_str())
    }

    /// Whether a caller without attestation can make it hold: he has no PCRs, and chooses the encryption context. `None` where that depends on
    /// more.
    pub(super) fn holds_unattested(&self) -> Option<bool> {
        let on_missing = self.holds_on_missing()?;
        match self.subject {
            Subject::Pcr(_) => Some(on_missing),
            Subject::Context(_) => Some(true).filter(|_| !self.values.iter().any(|value| value.contains("${"))),
            Subject::NitroTpm | Subject::Other => None,
        }
    }

    /// Whether it holds where the key is missing, as AWS has it; `None` for operators that this lint does not know.
    fn holds_on_missing(&self) -> Option<bool> {
        if self.operator == "Null" {
            return self.values.first().filter(|_| self.values.len() == 1)?.parse().ok();
        }
        let (quantifier, name) = match self.operator.split_once(':') {
            Some((quantifier @ ("ForAnyValue" | "ForAllValues"), name)) => (Some(quantifier), name),
            Some(_) => return None,
            None => (None, self.operator.as_str()),
        };
        let (name, if_exists) = name.strip_suffix("IfExists").map_or((name, false), |name| (name, true));
        let negated = match name {
            "StringEquals" | "StringEqualsIgnoreCase" | "StringLike" => false,
            "StringNotEquals" | "StringNotEqualsIgnoreCase" | "StringNotLike" => true,
            _ => return None,
        };
        Some(if_exists || quantifier.map_or(negated, |quantifier| quantifier == "ForAllValues"))
    }
}

fn texts(json: &Json) -> Option<Vec<String>> {
    let one = |json: &Json| match json {
        Json::Text(text) => Some(text.clone()),
        Json::Bool(value) => Some(value.to_string()),
        Json::List(_) | Json::Object(_) | Json::Other => None,
    };
    match json {
        Json::List(many) if many.is_empty() => None,
        Json::List(many) => many.iter().map(one).collect(),
        json => one(json).map(|text| vec![text]),
    }
}

/// AWS compares the names of condition keys without case.
fn subject(key: &str) -> Subject {
    let lower = key.to_ascii_lowercase();
    if let Some(name) = lower.strip_prefix("kms:encryptioncontext:").filter(|name| !name.is_empty()) {
        return Subject::Context(name.to_owned());
    }
    match lower.strip_prefix("kms:recipientattestation:") {
        Some("imagesha384") => Subject::Pcr(0),
        Some(name) if name.starts_with("nitrotpm") => Subject::NitroTpm,
        Some(name) => {
            let number = name.strip_prefix("pcr").and_then(|digits| digits.parse().ok());
            let known = number.filter(|number: &u8| *number <= PCR_INDEX_MAX && name == format!("pcr{number}"));
            known.map_or(Subject::Other, Subject::Pcr)
        }
        None => Subject::Other,
    }
}
