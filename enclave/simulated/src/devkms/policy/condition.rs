//! Conditions: an operator, a condition key and the values that the policy lists.

use super::{Request, malformed};
use crate::devkms::error::KmsError;

use super::pattern::glob;

/// The highest PCR.
const PCR_INDEX_MAX: u8 = 31;

/// What a condition asks about.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Subject {
    /// `kms:RecipientAttestation:ImageSha384` (which is PCR0) and `kms:RecipientAttestation:PCR<n>`.
    Pcr(u8),
    /// `kms:EncryptionContext:<key>`.
    Context(String),
    /// `kms:EncryptionContextKeys`, which has many values.
    ContextKeys,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Comparison {
    Equals,
    EqualsIgnoreCase,
    Like,
}

/// Which of the request's values must pass.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Quantifier {
    TheOne,
    Any,
    All,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Operator {
    /// `Null`: whether the key must be missing.
    Null { missing: bool },
    /// A comparison of strings.
    String { comparison: Comparison, negated: bool, quantifier: Quantifier },
}

/// One condition of a statement.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    operator: Operator,
    subject: Subject,
    values: Vec<String>,
}

impl Condition {
    pub(super) fn parse(operator: &str, key: &str, values: Vec<String>) -> Result<Self, KmsError> {
        let subject = Subject::parse(key)?;
        let operator = match operator {
            "Null" => match &values[..] {
                [value] if value == "true" => Operator::Null { missing: true },
                [value] if value == "false" => Operator::Null { missing: false },
                _ => return Err(malformed(format!("Null on {key:?} needs \"true\" or \"false\""))),
            },
            operator => string_operator(operator)?,
        };
        // AWS gives no meaning to a plain comparison with a key of many values.
        if subject == Subject::ContextKeys
            && matches!(operator, Operator::String { quantifier: Quantifier::TheOne, .. })
        {
            return Err(malformed(format!("{key:?} needs ForAnyValue or ForAllValues")));
        }
        Ok(Self { operator, subject, values })
    }

    pub(super) fn matches(&self, request: &Request<'_>) -> bool {
        let found = self.subject.values(request);
        match self.operator {
            Operator::Null { missing } => found.is_empty() == missing,
            Operator::String { comparison, negated, quantifier } => {
                let passes = |value: &String| {
                    let listed = self.values.iter().any(|wanted| comparison.holds(wanted, value));
                    listed != negated
                };
                match quantifier {
                    Quantifier::TheOne => found.first().map_or(negated, passes),
                    Quantifier::Any => found.iter().any(passes),
                    Quantifier::All => found.iter().all(passes),
                }
            }
        }
    }
}

impl Comparison {
    fn holds(self, wanted: &str, value: &str) -> bool {
        match self {
            Self::Equals => wanted == value,
            Self::EqualsIgnoreCase => wanted.to_lowercase() == value.to_lowercase(),
            Self::Like => glob(wanted, value),
        }
    }
}

impl Subject {
    fn parse(key: &str) -> Result<Self, KmsError> {
        let unknown = || malformed(format!("{key:?} is no condition key that this service evaluates"));
        // Names of condition keys have no case; the context key within one is compared as it is.
        let lower = key.to_ascii_lowercase();
        if lower == "kms:recipientattestation:imagesha384" {
            return Ok(Self::Pcr(0));
        }
        if let Some(index) = lower.strip_prefix("kms:recipientattestation:pcr") {
            return index
                .parse()
                .ok()
                .filter(|number: &u8| *number <= PCR_INDEX_MAX && number.to_string() == index)
                .map(Self::Pcr)
                .ok_or_else(unknown);
        }
        if lower == "kms:encryptioncontextkeys" {
            return Ok(Self::ContextKeys);
        }
        match lower.strip_prefix("kms:encryptioncontext:") {
            Some(name) if !name.is_empty() => Ok(Self::Context(key[key.len() - name.len()..].to_owned())),
            _ => Err(unknown()),
        }
    }

    /// The request's values; none where it lacks the key.
    fn values(&self, request: &Request<'_>) -> Vec<String> {
        match self {
            Self::Pcr(index) => request.pcrs.and_then(|pcrs| pcrs.get(index)).map(hex::encode).into_iter().collect(),
            Self::Context(name) => request.context.get(name).cloned().into_iter().collect(),
            Self::ContextKeys => request.context.keys().cloned().collect(),
        }
    }
}

fn string_operator(text: &str) -> Result<Operator, KmsError> {
    let (quantifier, name) = match text.split_once(':') {
        Some(("ForAnyValue", name)) => (Quantifier::Any, name),
        Some(("ForAllValues", name)) => (Quantifier::All, name),
        _ => (Quantifier::TheOne, text),
    };
    let (comparison, negated) = match name {
        "StringEquals" => (Comparison::Equals, false),
        "StringNotEquals" => (Comparison::Equals, true),
        "StringEqualsIgnoreCase" => (Comparison::EqualsIgnoreCase, false),
        "StringNotEqualsIgnoreCase" => (Comparison::EqualsIgnoreCase, true),
        "StringLike" => (Comparison::Like, false),
        "StringNotLike" => (Comparison::Like, true),
        _ => return Err(malformed(format!("{text:?} is no operator that this service evaluates"))),
    };
    Ok(Operator::String { comparison, negated, quantifier })
}
