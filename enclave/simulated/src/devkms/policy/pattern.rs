//! Patterns of principals, actions and ARNs.

use super::malformed;
use crate::devkms::error::KmsError;

/// Every action of AWS KMS: a pattern that matches none of them is a mistake in the policy.
const ACTIONS: &[&str] = &[
    "CancelKeyDeletion",
    "ConnectCustomKeyStore",
    "CreateAlias",
    "CreateCustomKeyStore",
    "CreateGrant",
    "CreateKey",
    "Decrypt",
    "DeleteAlias",
    "DeleteCustomKeyStore",
    "DeleteImportedKeyMaterial",
    "DeriveSharedSecret",
    "DescribeCustomKeyStores",
    "DescribeKey",
    "DisableKey",
    "DisableKeyRotation",
    "DisconnectCustomKeyStore",
    "EnableKey",
    "EnableKeyRotation",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "GenerateRandom",
    "GetKeyPolicy",
    "GetKeyRotationStatus",
    "GetParametersForImport",
    "GetPublicKey",
    "ImportKeyMaterial",
    "ListAliases",
    "ListGrants",
    "ListKeyPolicies",
    "ListKeyRotations",
    "ListKeys",
    "ListResourceTags",
    "ListRetirableGrants",
    "PutKeyPolicy",
    "ReEncryptFrom",
    "ReEncryptTo",
    "ReplicateKey",
    "RetireGrant",
    "RevokeGrant",
    "RotateKeyOnDemand",
    "ScheduleKeyDeletion",
    "Sign",
    "SynchronizeMultiRegionKey",
    "TagResource",
    "UntagResource",
    "UpdateAlias",
    "UpdateCustomKeyStore",
    "UpdateKeyDescription",
    "UpdatePrimaryRegion",
    "Verify",
    "VerifyMac",
];

/// A principal of a statement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum PrincipalPattern {
    /// `*`.
    Any,
    /// Everybody of an account.
    Account(String),
    /// One user or role.
    Exact(String),
}

impl PrincipalPattern {
    pub(super) fn parse(text: &str) -> Result<Self, KmsError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_account(text) {
            return Ok(Self::Account(text.to_owned()));
        }
        let parts: Vec<_> = text.splitn(6, ':').collect();
        match parts[..] {
            ["arn", "aws", "iam", "", account, "root"] if is_account(account) => Ok(Self::Account(account.to_owned())),
            ["arn", "aws", "iam" | "sts", "", account, name]
                if is_account(account) && name.contains('/') && !name.contains(['*', '?']) =>
            {
                Ok(Self::Exact(text.to_owned()))
            }
            _ => Err(malformed(format!("{text:?} is no principal"))),
        }
    }

    pub(super) fn matches(&self, principal: &str, account: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Account(own) => own == account,
            Self::Exact(arn) => arn == principal,
        }
    }
}

/// An action of a statement, in lower case: AWS compares them without case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ActionPattern(String);

impl ActionPattern {
    pub(super) fn all() -> Self {
        Self("*".to_owned())
    }

    pub(super) fn parse(text: &str) -> Result<Self, KmsError> {
        let pattern = Self(text.to_ascii_lowercase());
        if ACTIONS.iter().any(|action| pattern.matches(&format!("kms:{action}"))) {
            Ok(pattern)
        } else {
            Err(malformed(format!("{text:?} matches no action of KMS")))
        }
    }

    pub(super) fn matches(&self, action: &str) -> bool {
        glob(&self.0, &action.to_ascii_lowercase())
    }
}

/// Whether `text` is of the form of `pattern`, in which `*` stands for any string and `?` for any
/// character. Takes at most the product of the two lengths, whatever the pattern.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the newest star is, and the text that it was last tried to end at.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                None => return false,
                Some((at, end)) => {
                    star = Some((at, end + 1));
                    p = at + 1;
                    t = end + 1;
                }
            },
        }
    }
    pattern[p..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn globs() {
        for (pattern, text, expect) in [
            ("*", "", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "a", false),
            ("a*", "abc", true),
            ("a*", "ba", false),
            ("*c", "abc", true),
            ("*c", "abcd", false),
            ("a*b*c", "a--b--c", true),
            ("a*b*c", "a--c--b", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("?", "", false),
            ("a**", "a", true),
            ("ABC", "abc", false),
        ] {
            assert_eq!(glob(pattern, text), expect, "{pattern} {text}");
        }
        // Exponential matchers never end here.
        assert!(!glob(&"a*".repeat(50), &format!("{}b", "a".repeat(2000)).replace('a', "c")));
        assert!(!glob(&format!("{}b", "a*".repeat(50)), &"a".repeat(2000)));
    }
}
