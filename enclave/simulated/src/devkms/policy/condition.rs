//! Conditions: an operator, a condition key and the values that the policy lists.
//!
//! A key that the request lacks makes a comparison false, and a negated one true; with `IfExists` it is
//! true either way. `ForAllValues` holds where there is no value, `ForAnyValue` does not, whatever the
//! comparison. All of this is AWS's rule, traps included.

use super::operator::{Comparison, boolean};
use super::subject::{Subject, Type};
use super::{Request, malformed};
use crate::devkms::error::KmsError;

/// Which of the request's values must pass.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Quantifier {
    TheOne,
    Any,
    All,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    /// `Null`: whether the key must be missing.
    Null {
        missing: bool,
    },
    Compare {
        comparison: Comparison,
        negated: bool,
        quantifier: Quantifier,
        if_exists: bool,
    },
}

/// One condition of a statement.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    subject: Subject,
    test: Test,
}

impl Condition {
    pub(super) fn parse(operator: &str, key: &str, values: &[String]) -> Result<Self, KmsError> {
        let subject = Subject::parse(key)?;
        if operator == "Null" {
            let [Some(missing)] = values.iter().map(|value| boolean(value)).collect::<Vec<_>>()[..] else {
                return Err(malformed(format!("Null on {key:?} needs \"true\" or \"false\"")));
            };
            return Ok(Self { subject, test: Test::Null { missing } });
        }
        let unknown = || malformed(format!("{operator:?} is no operator that this service evaluates"));
        let (quantifier, name) = match operator.split_once(':') {
            Some(("ForAnyValue", name)) => (Quantifier::Any, name),
            Some(("ForAllValues", name)) => (Quantifier::All, name),
            Some(_) => return Err(unknown()),
            None => (Quantifier::TheOne, operator),
        };
        let (name, if_exists) = name.strip_suffix("IfExists").map_or((name, false), |name| (name, true));
        // AWS gives no meaning to a plain comparison with a key of many values.
        if subject.kind() == Type::TextList && quantifier == Quantifier::TheOne {
            return Err(malformed(format!("{key:?} needs ForAnyValue or ForAllValues")));
        }
        let (comparison, negated) = Comparison::parse(name, subject.kind(), values)?;
        Ok(Self { subject, test: Test::Compare { comparison, negated, quantifier, if_exists } })
    }

    pub(super) fn matches(&self, request: &Request<'_>) -> bool {
        let found = self.subject.values(request);
        match &self.test {
            Test::Null { missing } => found.is_empty() == *missing,
            Test::Compare { if_exists: true, .. } if found.is_empty() => true,
            Test::Compare { comparison, negated, quantifier, .. } => {
                let passes = |value: &String| comparison.holds(value) != *negated;
                match quantifier {
                    Quantifier::TheOne => found.first().map_or(*negated, passes),
                    Quantifier::Any => found.iter().any(passes),
                    // To AWS an empty string is no value here.
                    Quantifier::All => found.iter().filter(|value| !value.is_empty()).all(passes),
                }
            }
        }
    }
}
