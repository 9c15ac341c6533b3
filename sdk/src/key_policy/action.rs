//! The actions of KMS, and what each means for a key that only attested enclaves may use.

/// What it means where a policy allows an action.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Meaning {
    /// The enclave's: to be allowed under attestation alone.
    Attested,
    /// Shows or keeps the key; uses it for nothing and takes nothing away.
    Harmless,
    /// Changes the key policy, and so everything.
    Changes,
    /// Uses the key without an enclave, lends it, copies it or ends it.
    Defeats,
    /// Of no use for this key.
    Unneeded,
}

use Meaning::{Attested, Changes, Defeats, Harmless, Unneeded};

/// Every action of KMS.
const ACTIONS: &[(&str, Meaning)] = &[
    ("CancelKeyDeletion", Harmless),
    ("ConnectCustomKeyStore", Unneeded),
    ("CreateAlias", Unneeded),
    ("CreateCustomKeyStore", Unneeded),
    ("CreateGrant", Defeats),
    ("CreateKey", Unneeded),
    ("Decrypt", Attested),
    ("DeleteAlias", Unneeded),
    ("DeleteCustomKeyStore", Unneeded),
    ("DeleteImportedKeyMaterial", Defeats),
    ("DeriveSharedSecret", Defeats),
    ("DescribeCustomKeyStores", Unneeded),
    ("DescribeKey", Harmless),
    ("DisableKey", Unneeded),
    ("DisableKeyRotation", Unneeded),
    ("DisconnectCustomKeyStore", Unneeded),
    ("EnableKey", Harmless),
    ("EnableKeyRotation", Harmless),
    ("Encrypt", Defeats),
    ("GenerateDataKey", Attested),
    ("GenerateDataKeyPair", Defeats),
    ("GenerateDataKeyPairWithoutPlaintext", Defeats),
    ("GenerateDataKeyWithoutPlaintext", Defeats),
    ("GenerateMac", Unneeded),
    ("GenerateRandom", Unneeded),
    ("GetKeyPolicy", Harmless),
    ("GetKeyRotationStatus", Harmless),
    ("GetParametersForImport", Defeats),
    ("GetPublicKey", Unneeded),
    ("ImportKeyMaterial", Defeats),
    ("ListAliases", Unneeded),
    ("ListGrants", Harmless),
    ("ListKeyPolicies", Harmless),
    ("ListKeyRotations", Harmless),
    ("ListKeys", Unneeded),
    ("ListResourceTags", Harmless),
    ("ListRetirableGrants", Unneeded),
    ("PutKeyPolicy", Changes),
    ("ReEncryptFrom", Defeats),
    ("ReEncryptTo", Defeats),
    ("ReplicateKey", Defeats),
    ("RetireGrant", Harmless),
    ("RevokeGrant", Harmless),
    ("RotateKeyOnDemand", Harmless),
    ("ScheduleKeyDeletion", Defeats),
    ("Sign", Unneeded),
    ("SynchronizeMultiRegionKey", Defeats),
    ("TagResource", Harmless),
    ("UntagResource", Harmless),
    ("UpdateAlias", Unneeded),
    ("UpdateCustomKeyStore", Unneeded),
    ("UpdateKeyDescription", Harmless),
    ("UpdatePrimaryRegion", Defeats),
    ("Verify", Unneeded),
    ("VerifyMac", Unneeded),
];

/// The actions that a pattern such as `kms:Decrypt*` matches. AWS compares them without case.
pub(super) fn matching(pattern: &str) -> impl Iterator<Item = (&'static str, Meaning)> {
    let pattern = pattern.to_ascii_lowercase();
    ACTIONS.iter().copied().filter(move |(name, _)| glob(&pattern, &format!("kms:{}", name.to_ascii_lowercase())))
}

/// The actions that are not among these.
pub(super) fn others(of: &[&'static str]) -> Vec<(&'static str, Meaning)> {
    ACTIONS.iter().copied().filter(|(name, _)| !of.contains(name)).collect()
}

/// Whether `text` is of the form of `pattern`, in which `*` stands for any string and `?` for any character. Goes through the pattern once,
/// and keeps which beginnings of the text it has matched so far: the time is the product of both lengths, whatever the pattern.
fn glob(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut matched = vec![false; text.len() + 1];
    matched[0] = true;
    for wanted in pattern.chars() {
        if wanted == '*' {
            let first = matched.iter().position(|is| *is).unwrap_or(matched.len());
            matched[first..].fill(true);
            continue;
        }
        let next = |at: usize| at > 0 && matched[at - 1] && (wanted == '?' || wanted == text[at - 1]);
        matched = (0..=text.len()).map(next).collect();
    }
    matched[text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_aws_says() {
        let names = |pattern: &str| matching(pattern).map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names("*").len(), ACTIONS.len());
        assert_eq!(names("kms:*").len(), ACTIONS.len());
        for (pattern, expect) in [
            ("kms:Decrypt", &["Decrypt"][..]),
            ("KMS:dECRYPT", &["Decrypt"]),
            ("kms:Decrypt*", &["Decrypt"]),
            ("kms:?ecrypt", &["Decrypt"]),
            ("kms:ReEncrypt*", &["ReEncryptFrom", "ReEncryptTo"]),
            ("*:*crypt", &["Decrypt", "Encrypt"]),
            ("k*:Ge*DataKey", &["GenerateDataKey"]),
            ("kms:Decryp", &[]),
            ("Decrypt", &[]),
            ("s3:*", &[]),
            ("kms:Decrypt?", &[]),
            ("", &[]),
        ] {
            assert_eq!(names(pattern), expect, "{pattern}");
        }
        // Exponential matchers never end here.
        assert_eq!(names(&format!("{}b", "*a".repeat(5_000))), [""; 0]);
        assert_eq!(others(&["Decrypt"]).len(), ACTIONS.len() - 1);
    }
}
