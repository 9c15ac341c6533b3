//! Condition keys: what a condition can ask about, and the request's values of it.

use super::{Request, malformed};
use crate::devkms::error::KmsError;
use jiff::Timestamp;

/// The highest PCR.
const PCR_INDEX_MAX: u8 = 31;

/// What a condition asks about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Subject {
    /// `kms:RecipientAttestation:ImageSha384` (which is PCR0) and `kms:RecipientAttestation:PCR<n>`.
    Pcr(u8),
    /// `kms:EncryptionContext:<key>`, in lower case: AWS compares the key without case.
    Context(String),
    /// One of [`KEYS`].
    Known(usize),
}

/// What a key's values are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Type {
    Text,
    TextList,
    Arn,
    Bool,
    Number,
    Date,
    /// Seconds since 1970, which AWS takes as a number and as a date.
    Epoch,
    Ip,
}

#[derive(Clone, Copy)]
enum Source {
    /// Every request has this value.
    Always(&'static str),
    /// No request has it: there are no services, networks, grants, aliases, sessions or organisations here.
    Never,
    /// What the operation says of itself.
    Fact(Fact),
    /// The algorithm, of the actions that encrypt or decrypt.
    Algorithm,
    ContextKeys,
    PrincipalArn,
    PrincipalAccount,
    PrincipalName,
    Region,
    ResourceAccount,
    PeerAddress,
    CurrentTime,
    EpochTime,
}

/// What only some operations have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fact {
    /// `BypassPolicyLockoutSafetyCheck` of a request.
    BypassPolicyLockoutSafetyCheck,
    /// `PendingWindowInDays` of a request.
    PendingWindowInDays,
    /// Whether `ReEncrypt` names one key twice.
    ReEncryptOnSameKey,
}

/// The keys that this service evaluates, in lower case: AWS compares their names without case.
const KEYS: &[(&str, Type, Source)] = &[
    ("aws:calledvia", Type::TextList, Source::Never),
    ("aws:currenttime", Type::Date, Source::CurrentTime),
    ("aws:epochtime", Type::Epoch, Source::EpochTime),
    ("aws:multifactorauthpresent", Type::Bool, Source::Never),
    ("aws:principalaccount", Type::Text, Source::PrincipalAccount),
    ("aws:principalarn", Type::Arn, Source::PrincipalArn),
    ("aws:principalisawsservice", Type::Bool, Source::Always("false")),
    ("aws:principalorgid", Type::Text, Source::Never),
    ("aws:principaltype", Type::Text, Source::Always("User")),
    ("aws:requestedregion", Type::Text, Source::Region),
    ("aws:resourceaccount", Type::Text, Source::ResourceAccount),
    ("aws:securetransport", Type::Bool, Source::Always("true")),
    ("aws:sourceaccount", Type::Text, Source::Never),
    ("aws:sourcearn", Type::Arn, Source::Never),
    ("aws:sourceip", Type::Ip, Source::PeerAddress),
    ("aws:sourcevpc", Type::Text, Source::Never),
    ("aws:sourcevpce", Type::Text, Source::Never),
    ("aws:username", Type::Text, Source::PrincipalName),
    ("aws:viaawsservice", Type::Bool, Source::Always("false")),
    ("kms:bypasspolicylockoutsafetycheck", Type::Bool, Source::Fact(Fact::BypassPolicyLockoutSafetyCheck)),
    ("kms:calleraccount", Type::Text, Source::PrincipalAccount),
    ("kms:encryptionalgorithm", Type::Text, Source::Algorithm),
    ("kms:encryptioncontextkeys", Type::TextList, Source::ContextKeys),
    ("kms:grantisforawsresource", Type::Bool, Source::Never),
    ("kms:keyorigin", Type::Text, Source::Always("AWS_KMS")),
    ("kms:keyspec", Type::Text, Source::Always("SYMMETRIC_DEFAULT")),
    ("kms:keyusage", Type::Text, Source::Always("ENCRYPT_DECRYPT")),
    ("kms:multiregion", Type::Bool, Source::Always("false")),
    ("kms:reencryptonsamekey", Type::Bool, Source::Fact(Fact::ReEncryptOnSameKey)),
    ("kms:requestalias", Type::Text, Source::Never),
    ("kms:resourcealiases", Type::TextList, Source::Never),
    ("kms:schedulekeydeletionpendingwindowindays", Type::Number, Source::Fact(Fact::PendingWindowInDays)),
    ("kms:viaservice", Type::Text, Source::Never),
];

impl Subject {
    pub(super) fn parse(key: &str) -> Result<Self, KmsError> {
        let unknown = || malformed(format!("{key:?} is no condition key that this service evaluates"));
        let lower = key.to_lowercase();
        if lower == "kms:recipientattestation:imagesha384" {
            return Ok(Self::Pcr(0));
        }
        if let Some(index) = lower.strip_prefix("kms:recipientattestation:pcr") {
            let number = index.parse().ok().filter(|number: &u8| *number <= PCR_INDEX_MAX);
            return number.filter(|number| number.to_string() == index).map(Self::Pcr).ok_or_else(unknown);
        }
        if let Some(name) = lower.strip_prefix("kms:encryptioncontext:") {
            return Some(name)
                .filter(|name| !name.is_empty())
                .map(|name| Self::Context(name.to_owned()))
                .ok_or_else(unknown);
        }
        KEYS.iter().position(|(name, ..)| *name == lower).map(Self::Known).ok_or_else(unknown)
    }

    pub(super) fn kind(&self) -> Type {
        match self {
            Self::Pcr(_) | Self::Context(_) => Type::Text,
            Self::Known(at) => KEYS[*at].1,
        }
    }

    /// The request's values; none where it lacks the key.
    pub(super) fn values(&self, request: &Request<'_>) -> Vec<String> {
        match self {
            Self::Pcr(index) => request.pcrs.and_then(|pcrs| pcrs.get(index)).map(hex::encode).into_iter().collect(),
            // No context has two keys that differ by case alone.
            Self::Context(name) => {
                let found = request.context.iter().find(|(key, _)| key.to_lowercase() == *name);
                found.map(|(_, value)| value.clone()).into_iter().collect()
            }
            Self::Known(at) => KEYS[*at].2.values(request),
        }
    }
}

impl Source {
    fn values(self, request: &Request<'_>) -> Vec<String> {
        let arn_part = |at: usize| request.key_arn.split(':').nth(at).map(str::to_owned);
        let caller = request.caller;
        let one = match self {
            Self::ContextKeys => return request.context.keys().cloned().collect(),
            Self::Always(value) => Some(value.to_owned()),
            Self::Never => None,
            Self::Fact(fact) => request.facts.iter().find(|(known, _)| *known == fact).map(|(_, value)| value.clone()),
            Self::Algorithm => {
                let uses_key = ["crypt", "GenerateDataKey"].iter().any(|word| request.action.contains(word));
                uses_key.then(|| "SYMMETRIC_DEFAULT".to_owned())
            }
            Self::PrincipalArn => Some(caller.principal.arn().to_owned()),
            Self::PrincipalAccount => Some(request.account.to_owned()),
            Self::PrincipalName => Some(caller.principal.name().to_owned()),
            Self::Region => arn_part(3),
            Self::ResourceAccount => arn_part(4),
            Self::PeerAddress => Some(caller.source_ip.to_string()),
            Self::CurrentTime => {
                let time = i64::try_from(request.now_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
                time.map(|time| time.to_string())
            }
            Self::EpochTime => Some((request.now_ms / 1000).to_string()),
        };
        one.into_iter().collect()
    }
}
