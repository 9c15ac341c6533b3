//! What the lint finds, each under a name that stays.

use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// The key is not kept for attested enclaves, or they are kept from it, or nobody can tell.
    Error,
    /// Somebody should look at it.
    Warning,
}

macro_rules! rules {
    ($($rule:ident $name:literal $severity:ident $text:literal)*) => {
        /// A rule of the lint.
        #[expect(clippy::doc_markdown, reason = "the texts are for a terminal")]
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum Rule {
            $(#[doc = $text] $rule,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Self] = &[$(Self::$rule),*];

            /// The name, which stays.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$rule => $name,)* }
            }

            /// How bad it is.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$rule => Severity::$severity,)* }
            }

            /// What a finding under it means.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Self::$rule => $text,)* }
            }
        }
    };
}

rules! {
    InvalidJson "invalid-json" Error "This is no JSON, or too long."
    DuplicateKey "duplicate-key" Error "A name stands twice in one object, and readers differ in which counts."
    NotUnderstood "not-understood" Error "This is not the form of a key policy."
    UnknownVersion "unknown-version" Error "The Version must be \"2012-10-17\"."
    NotPrincipal "not-principal" Error "NotPrincipal speaks of everybody else."
    NotAction "not-action" Error "NotAction speaks of every other action, new ones too."
    NotResource "not-resource" Error "NotResource speaks of every other key."
    WildcardPrincipal "wildcard-principal" Error "This allows something to everybody."
    AccountPrincipal "account-principal" Error "This leaves the decision to the IAM of a whole account."
    UnknownPrincipal "unknown-principal" Error "This is not the ARN of one IAM role or user."
    UnknownAction "unknown-action" Error "No action of KMS is named so."
    ForbiddenAction "forbidden-action" Error "This uses the key without an enclave, lends it, copies it or ends it."
    PolicyChange "policy-change" Error "Whoever changes this policy can let another image in, and may not be its operator or its user."
    OneAccount "one-account" Error "This administrator is of the enclaves' account: whoever runs that account may change this policy."
    UnattestedCall "unattested-call" Error "Decrypt or GenerateDataKey is allowed without any attestation."
    ReliesOnDeny "relies-on-deny" Error "This would allow a call without attestation; the condition must stand here, not in a Deny."
    MissingPcr0 "missing-pcr0" Error "Nothing here demands the image: PCR0 or ImageSha384 must equal a measurement."
    MissingPcr16 "missing-pcr16" Error "Nothing here demands the manifest: PCR16 must equal a value."
    MissingRole "missing-role" Error "Nothing here demands the role: kms:EncryptionContext:role must equal it."
    WrongRole "wrong-role" Error "The encryption context is that of another role."
    WeakOperator "weak-operator" Error "This operator does not demand a value; only StringEquals and StringEqualsIgnoreCase do."
    ZeroPcr "zero-pcr" Error "An enclave in debug mode measures all zero, and anybody can read its memory."
    MalformedPcr "malformed-pcr" Error "A measurement is 96 hex digits."
    UnknownPcr "unknown-pcr" Error "This is a measurement of no image or manifest that was named."
    MixedImages "mixed-images" Error "This lets PCRs of one image pass with those of another; each image needs a statement of its own."
    NitroTpm "nitro-tpm" Error "This is a condition of another platform, NitroTPM, and not of enclaves."
    DuplicateCondition "duplicate-condition" Error "Two conditions of one statement ask for the same."
    UnknownCondition "unknown-condition" Error "This condition is none that an enclave's statement needs."
    EnclaveLockedOut "enclave-locked-out" Error "No statement lets an attested enclave do what it must."
    DenyLocksOut "deny-locks-out" Error "This denies what the enclave must do."
    DuplicateSid "duplicate-sid" Warning "Two statements have one Sid."
    WildcardAction "wildcard-action" Warning "A wildcard may match actions that AWS will add."
    UnneededAction "unneeded-action" Warning "Nobody needs this for an enclave's key."
    UpperCasePcr "upper-case-pcr" Warning "KMS compares with lower-case hex: StringEquals never matches this."
    Resource "resource" Warning "In a key policy the Resource is \"*\", which is this key."
    ConditionNotChecked "condition-not-checked" Warning "This condition can only narrow what is allowed, and was not looked into."
    DenyNotChecked "deny-not-checked" Warning "This Deny may keep the enclave out, and its condition was not looked into."
    AdministratorNotChecked "administrator-not-checked" Warning "This one may change the policy, and must not be the operator."
    ImageNotLetIn "image-not-let-in" Warning "An image or manifest that was named is let in nowhere."
}

/// Something that the policy should not have.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Finding {
    /// The statement's place, from 1; 0 where it is about the policy.
    pub statement: usize,
    /// Its Sid, where it has one.
    pub sid: Option<String>,
    /// The rule.
    pub rule: Rule,
    /// What was found, quoted and escaped; may be empty.
    pub found: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.statement, &self.sid) {
            (0, _) => f.write_str("policy")?,
            (place, None) => write!(f, "statement {place}")?,
            (place, Some(sid)) => write!(f, "statement {place} {sid:?}")?,
        }
        write!(f, ": {}", self.rule.text())?;
        if self.found.is_empty() { Ok(()) } else { write!(f, " Found: {}", self.found) }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}
