//! Key policies: who may do what with a key, under which conditions. Parsed once, strictly: what this
//! service does not evaluate is refused, never ignored.
//!
//! The rules are AWS's: a matching Deny wins, else a matching Allow allows, else nothing does. All
//! conditions of a statement must match, and of one condition's values one must. A condition on a key
//! that the request lacks does not match, but for negated operators, `Null` and `ForAllValues`. There
//! is no IAM: an account principal lets every user of that account in.

use super::blob::EncryptionContext;
use super::error::{Kind, KmsError};
use strongroom_attestation::Pcrs;

mod condition;
mod document;
mod pattern;

use condition::Condition;
use pattern::{ActionPattern, PrincipalPattern, glob};

/// Longest policy, in bytes, as AWS has it.
pub const POLICY_BYTES_MAX: usize = 32 * 1024;

/// A key policy.
#[derive(Clone, Debug)]
pub struct KeyPolicy {
    text: String,
    statements: Vec<Statement>,
}

#[derive(Clone, Debug)]
struct Statement {
    allow: bool,
    principals: Vec<PrincipalPattern>,
    actions: Vec<ActionPattern>,
    resources: Vec<String>,
    conditions: Vec<Condition>,
}

/// What a caller wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The action, `kms:Decrypt` for example.
    pub action: &'a str,
    /// The caller's ARN.
    pub principal: &'a str,
    /// The caller's account, 12 digits.
    pub account: &'a str,
    /// The key's ARN.
    pub key_arn: &'a str,
    /// The encryption context of the call.
    pub context: &'a EncryptionContext,
    /// The PCRs of a verified attestation document, where the call has a `Recipient`.
    pub pcrs: Option<&'a Pcrs>,
}

impl KeyPolicy {
    /// Parses a policy document.
    ///
    /// # Errors
    /// `MalformedPolicyDocumentException` with the part that this service does not understand.
    pub fn parse(text: &str) -> Result<Self, KmsError> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(malformed(format!("it has {} bytes, more than {POLICY_BYTES_MAX}", text.len())));
        }
        Ok(Self { text: text.to_owned(), statements: document::parse(text)? })
    }

    /// The policy of a key that was made without one: the whole account may do everything.
    #[must_use]
    pub fn default_of(account: &str) -> Self {
        let text = format!(
            r#"{{"Version":"2012-10-17","Id":"key-default-1","Statement":[{{"Sid":"Enable IAM User Permissions","Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{account}:root"}},"Action":"kms:*","Resource":"*"}}]}}"#
        );
        let statement = Statement {
            allow: true,
            principals: vec![PrincipalPattern::Account(account.to_owned())],
            actions: vec![ActionPattern::all()],
            resources: vec!["*".to_owned()],
            conditions: Vec::new(),
        };
        Self { text, statements: vec![statement] }
    }

    /// The document as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the policy allows the request.
    #[must_use]
    pub fn allows(&self, request: &Request<'_>) -> bool {
        let mut allowed = false;
        for statement in self.statements.iter().filter(|statement| statement.matches(request)) {
            if !statement.allow {
                return false;
            }
            allowed = true;
        }
        allowed
    }
}

impl Statement {
    fn matches(&self, request: &Request<'_>) -> bool {
        self.principals.iter().any(|pattern| pattern.matches(request.principal, request.account))
            && self.actions.iter().any(|pattern| pattern.matches(request.action))
            && self.resources.iter().any(|pattern| glob(pattern, request.key_arn))
            && self.conditions.iter().all(|condition| condition.matches(request))
    }
}

fn malformed(what: impl std::fmt::Display) -> KmsError {
    KmsError::new(Kind::MalformedPolicyDocument, format!("the key policy is refused: {what}"))
}

#[cfg(test)]
mod tests;
