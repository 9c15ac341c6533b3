//! Whom a statement speaks of.

use super::json::Json;

/// Longest ARN of a role or user, in bytes: IAM's longest path and name, and what stands before them.
const ARN_BYTES_MAX: usize = 64 + 512 + 64;

/// A principal of a statement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Principal {
    /// `*`.
    Everybody,
    /// An account, by its number or its root: whomever IAM of that account lets.
    Account(String),
    /// One role or user.
    One(String),
    /// Anything else: services, federations, canonical users, ids of those who are gone, typing errors.
    Unknown(String),
}

impl Principal {
    fn parse(text: &str) -> Self {
        if text == "*" {
            return Self::Everybody;
        }
        if is_account(text) {
            return Self::Account(text.to_owned());
        }
        match text.splitn(6, ':').collect::<Vec<_>>()[..] {
            ["arn", "aws" | "aws-cn" | "aws-us-gov", "iam", "", account, "root"] if is_account(account) => {
                Self::Account(account.to_owned())
            }
            _ if is_role_or_user(text) => Self::One(text.to_owned()),
            _ => Self::Unknown(text.to_owned()),
        }
    }

    /// Those of a `Principal` element; `None` where its form is not AWS's.
    pub(super) fn list(json: &Json) -> Option<Vec<Self>> {
        let Json::Object(entries) = json else {
            return json.text().filter(|text| *text == "*").map(|_| vec![Self::Everybody]);
        };
        let mut all = Vec::new();
        for (kind, names) in entries {
            for name in names.texts()? {
                all.push(if kind == "AWS" { Self::parse(name) } else { Self::Unknown(format!("{kind} {name}")) });
            }
        }
        Some(all).filter(|all| !all.is_empty())
    }

    /// How it is written, for a report.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Everybody => "\"*\"".to_owned(),
            Self::Account(text) | Self::One(text) => text.clone(),
            Self::Unknown(text) => format!("{text:?}"),
        }
    }

    /// The account's number, where it has one.
    pub(super) fn account(&self) -> Option<&str> {
        match self {
            Self::Account(account) => Some(account),
            Self::One(arn) => arn.split(':').nth(4),
            Self::Everybody | Self::Unknown(_) => None,
        }
    }

    /// Whether a statement for this one speaks of `other` too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Everybody, _) => true,
            (Self::Account(account), Self::One(_)) => other.account() == Some(account),
            _ => self == other,
        }
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether this is the ARN of one IAM role or user. IAM takes no wildcard here.
pub(super) fn is_role_or_user(text: &str) -> bool {
    let named = |name: &str| {
        let byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
        let path = name.strip_prefix("role/").or_else(|| name.strip_prefix("user/"));
        path.is_some_and(|path| path.split('/').all(|part| !part.is_empty() && part.bytes().all(byte)))
    };
    match text.splitn(6, ':').collect::<Vec<_>>()[..] {
        ["arn", "aws" | "aws-cn" | "aws-us-gov", "iam", "", account, name] => {
            text.len() <= ARN_BYTES_MAX && is_account(account) && named(name)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_are_told_apart() {
        let one = |text: &str| Principal::parse(text) == Principal::One(text.to_owned());
        assert!(one("arn:aws:iam::111122223333:role/a"));
        assert!(one("arn:aws:iam::111122223333:user/team/a.b@c"));
        assert!(one("arn:aws-us-gov:iam::111122223333:role/a"));
        for account in ["111122223333", "arn:aws:iam::111122223333:root"] {
            assert_eq!(Principal::parse(account), Principal::Account("111122223333".to_owned()));
        }
        for text in [
            "",
            "**",
            "arn:aws:iam::1:role/a",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/*",
            "arn:aws:iam::111122223333:role/a?",
            "arn:aws:iam::111122223333:role//a",
            "arn:aws:iam::111122223333:group/a",
            "arn:aws:sts::111122223333:assumed-role/a/b",
            "arn:aws:iam:eu-central-1:111122223333:role/a",
            "arn:other:iam::111122223333:role/a",
            "AROAEXAMPLEEXAMPLE",
            "arn:aws:iam::111122223333:role/${aws:username}",
        ] {
            assert_eq!(Principal::parse(text), Principal::Unknown(text.to_owned()));
        }
    }
}
