//! Key policies: who may do what with a key, under which conditions. Parsed once, strictly: what this
//! service does not evaluate is refused by its name, never ignored. `NotPrincipal`, principals other than
//! `AWS`, policy variables and `BinaryEquals` are among that.
//!
//! The rules are AWS's: a matching Deny wins, else a matching Allow allows, else nothing does. All
//! conditions of a statement must match, and of one condition's values one must. There is no IAM: an
//! account principal lets every user of that account in.

use super::authorization::Caller;
use super::blob::EncryptionContext;
use super::error::{Kind, KmsError};
use strongroom_attestation::Pcrs;

mod condition;
mod document;
mod json;
mod operator;
mod pattern;
mod subject;

use condition::Condition;
use pattern::{ActionPattern, PrincipalPattern, glob};
pub use subject::Fact;

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
    actions: Scope<ActionPattern>,
    resources: Scope<String>,
    conditions: Vec<Condition>,
}

/// `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Clone, Debug)]
struct Scope<T> {
    negated: bool,
    patterns: Vec<T>,
}

impl<T> Scope<T> {
    fn covers(&self, matches: impl Fn(&T) -> bool) -> bool {
        self.patterns.iter().any(matches) != self.negated
    }
}

/// What a policy says of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decision {
    /// A statement allows it, and none denies it.
    Allowed,
    /// No statement speaks of it.
    NotAllowed,
    /// A statement denies it.
    Denied,
}

/// What a caller wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The action, `kms:Decrypt` for example.
    pub action: &'a str,
    /// Who wants it.
    pub caller: &'a Caller,
    /// The caller's account, 12 digits.
    pub account: &'a str,
    /// The key's ARN.
    pub key_arn: &'a str,
    /// The encryption context of the call.
    pub context: &'a EncryptionContext,
    /// The PCRs of a verified attestation document, where the call has a `Recipient`.
    pub pcrs: Option<&'a Pcrs>,
    /// What the operation says of itself.
    pub facts: &'a [(Fact, String)],
    /// The time, milliseconds since 1970-01-01T00:00:00Z.
    pub now_ms: u64,
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
            actions: Scope { negated: false, patterns: vec![ActionPattern::all()] },
            resources: Scope { negated: false, patterns: vec!["*".to_owned()] },
            conditions: Vec::new(),
        };
        Self { text, statements: vec![statement] }
    }

    /// The document as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the policy says of the request.
    #[must_use]
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        let mut decision = Decision::NotAllowed;
        for statement in self.statements.iter().filter(|statement| statement.matches(request)) {
            if !statement.allow {
                return Decision::Denied;
            }
            decision = Decision::Allowed;
        }
        decision
    }
}

impl Statement {
    fn matches(&self, request: &Request<'_>) -> bool {
        let principal = request.caller.principal.arn();
        self.principals.iter().any(|pattern| pattern.matches(principal, request.account))
            && self.actions.covers(|pattern| pattern.matches(request.action))
            && self.resources.covers(|pattern| glob(pattern, request.key_arn))
            && self.conditions.iter().all(|condition| condition.matches(request))
    }
}

fn malformed(what: impl std::fmt::Display) -> KmsError {
    KmsError::new(Kind::MalformedPolicyDocument, format!("the key policy is refused: {what}"))
}

#[cfg(test)]
mod tests;
