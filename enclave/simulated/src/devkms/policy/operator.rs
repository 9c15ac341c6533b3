//! Condition operators: a comparison, read together with the values that the policy lists.

use super::malformed;
use super::pattern::glob;
use super::subject::Type;
use crate::devkms::error::KmsError;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::cmp::Ordering;
use std::net::IpAddr;

/// A comparison with the values that the policy lists, of which one must hold.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Comparison {
    Equals(Vec<String>),
    EqualsIgnoreCase(Vec<String>),
    Like(Vec<String>),
    Arn(Vec<Vec<String>>),
    Bool(Vec<bool>),
    Number(Order, Vec<i64>),
    /// Milliseconds since 1970.
    Date(Order, Vec<i64>),
    Ip(Vec<Network>),
}

/// How the request's value must lie to the policy's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// An address range in CIDR notation (RFC 4632, RFC 4291).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Comparison {
    /// Reads the name of an operator without its prefix and suffix; the flag says whether it is negated.
    pub(super) fn parse(name: &str, kind: Type, values: &[String]) -> Result<(Self, bool), KmsError> {
        let texts = || values.to_vec();
        let (comparison, negated, kinds): (_, _, &[Type]) = match name {
            "StringEquals" => (Self::Equals(texts()), false, &[]),
            "StringNotEquals" => (Self::Equals(texts()), true, &[]),
            "StringEqualsIgnoreCase" => (Self::EqualsIgnoreCase(texts()), false, &[]),
            "StringNotEqualsIgnoreCase" => (Self::EqualsIgnoreCase(texts()), true, &[]),
            "StringLike" => (Self::Like(texts()), false, &[]),
            "StringNotLike" => (Self::Like(texts()), true, &[]),
            // AWS has two names for one operator.
            "ArnEquals" | "ArnLike" => (Self::Arn(all(values, "an ARN", arn)?), false, &[Type::Arn, Type::Text]),
            "ArnNotEquals" | "ArnNotLike" => (Self::Arn(all(values, "an ARN", arn)?), true, &[Type::Arn, Type::Text]),
            "Bool" => (Self::Bool(all(values, "\"true\" or \"false\"", boolean)?), false, &[Type::Bool]),
            "IpAddress" => (Self::Ip(all(values, "an address range", network)?), false, &[Type::Ip]),
            "NotIpAddress" => (Self::Ip(all(values, "an address range", network)?), true, &[Type::Ip]),
            _ => match (name.strip_prefix("Numeric").and_then(order), name.strip_prefix("Date").and_then(order)) {
                (Some((order, negated)), _) => {
                    (Self::Number(order, all(values, "an integer", number)?), negated, &[Type::Number, Type::Epoch])
                }
                (_, Some((order, negated))) => {
                    (Self::Date(order, all(values, "a date", date)?), negated, &[Type::Date, Type::Epoch])
                }
                _ => return Err(malformed(format!("{name:?} is no operator that this service evaluates"))),
            },
        };
        if !kinds.is_empty() && !kinds.contains(&kind) {
            return Err(malformed(format!("{name:?} does not go with a key of another type")));
        }
        Ok((comparison, negated))
    }

    /// Whether a value of the request is as one of the policy's asks. One that is of no such type is not.
    pub(super) fn holds(&self, value: &str) -> bool {
        match self {
            Self::Equals(wanted) => wanted.iter().any(|wanted| wanted == value),
            Self::EqualsIgnoreCase(wanted) => wanted.iter().any(|wanted| wanted.to_lowercase() == value.to_lowercase()),
            Self::Like(wanted) => wanted.iter().any(|wanted| glob(wanted, value)),
            Self::Arn(wanted) => arn(value).is_some_and(|parts| {
                wanted.iter().any(|wanted| wanted.iter().zip(&parts).all(|(pattern, part)| glob(pattern, part)))
            }),
            Self::Bool(wanted) => boolean(value).is_some_and(|value| wanted.contains(&value)),
            Self::Number(order, wanted) => {
                number(value).is_some_and(|value| wanted.iter().any(|wanted| order.holds(value.cmp(wanted))))
            }
            Self::Date(order, wanted) => {
                date(value).is_some_and(|value| wanted.iter().any(|wanted| order.holds(value.cmp(wanted))))
            }
            Self::Ip(wanted) => {
                value.parse().is_ok_and(|address| wanted.iter().any(|network| network.contains(address)))
            }
        }
    }
}

impl Order {
    fn holds(self, is: Ordering) -> bool {
        match self {
            Self::Equal => is.is_eq(),
            Self::Less => is.is_lt(),
            Self::LessOrEqual => is.is_le(),
            Self::Greater => is.is_gt(),
            Self::GreaterOrEqual => is.is_ge(),
        }
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        // The bits of IPv4 at the top, as those of IPv6 are.
        let bits = |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
            IpAddr::V6(address) => address.to_bits(),
        };
        let mask = u128::MAX.checked_shl(128 - self.prefix).unwrap_or(0);
        self.address.is_ipv4() == address.is_ipv4() && (bits(self.address) ^ bits(address)) & mask == 0
    }
}

/// The order of an operator's name without `Numeric` or `Date`, and whether it is negated.
fn order(name: &str) -> Option<(Order, bool)> {
    Some(match name {
        "Equals" => (Order::Equal, false),
        "NotEquals" => (Order::Equal, true),
        "LessThan" => (Order::Less, false),
        "LessThanEquals" => (Order::LessOrEqual, false),
        "GreaterThan" => (Order::Greater, false),
        "GreaterThanEquals" => (Order::GreaterOrEqual, false),
        _ => return None,
    })
}

fn all<T>(values: &[String], what: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, KmsError> {
    let parse = |value: &String| parse(value).ok_or_else(|| malformed(format!("{value:?} is not {what}")));
    values.iter().map(parse).collect()
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    text.parse().ok()
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// The six parts of an ARN; the last one may have colons.
fn arn(text: &str) -> Option<Vec<String>> {
    let parts: Vec<String> = text.splitn(6, ':').map(str::to_owned).collect();
    (parts.len() == 6 && parts[0] == "arn").then_some(parts)
}

/// A day, a time of ISO 8601, or seconds since 1970.
fn date(text: &str) -> Option<i64> {
    if let Some(seconds) = number(text) {
        return seconds.checked_mul(1000);
    }
    let day = || {
        text.parse::<Date>().ok().filter(|_| text.len() == 10)?.to_zoned(TimeZone::UTC).ok().map(|day| day.timestamp())
    };
    text.parse::<Timestamp>().ok().or_else(day).map(Timestamp::as_millisecond)
}

/// `203.0.113.0/24`, or one address.
fn network(text: &str) -> Option<Network> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map_or(Some(bits), |prefix| prefix.parse().ok()).filter(|prefix| *prefix <= bits)?;
    Some(Network { address, prefix })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(name: &str, kind: Type, wanted: &str, value: &str) -> bool {
        Comparison::parse(name, kind, &[wanted.to_owned()]).unwrap().0.holds(value)
    }

    #[test]
    fn networks() {
        for (range, address, expect) in [
            ("203.0.113.0/24", "203.0.113.255", true),
            ("203.0.113.0/24", "203.0.114.0", false),
            ("203.0.113.9/24", "203.0.113.1", true),
            ("203.0.113.9", "203.0.113.9", true),
            ("203.0.113.9", "203.0.113.8", false),
            ("0.0.0.0/0", "198.51.100.1", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "198.51.100.1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::1", "::1", true),
            ("::1/127", "::2", false),
            ("127.0.0.1/32", "no address", false),
        ] {
            assert_eq!(holds("IpAddress", Type::Ip, range, address), expect, "{range} {address}");
        }
        for text in ["", "203.0.113.0/33", "::/129", "203.0.113", "203.0.113.0/", "203.0.113.0/-1", "203.0.113.0/24/1"]
        {
            assert_eq!(network(text), None, "{text}");
        }
    }

    #[test]
    fn dates() {
        for (text, expect) in [
            ("1970-01-02", Some(86_400_000)),
            ("1970-01-02T00:00:00Z", Some(86_400_000)),
            ("1970-01-01T01:00:00.5+01:00", Some(500)),
            ("86400", Some(86_400_000)),
            ("1970-01", None),
            ("1970-13-01", None),
            ("1970-01-01T00:00:00", None),
            ("tomorrow", None),
            ("", None),
        ] {
            assert_eq!(date(text), expect, "{text}");
        }
    }

    #[test]
    fn orders() {
        // Whether 6, 7 and 8 pass where the policy says 7.
        for (name, expect) in [
            ("Equals", [false, true, false]),
            ("LessThan", [true, false, false]),
            ("LessThanEquals", [true, true, false]),
            ("GreaterThan", [false, false, true]),
            ("GreaterThanEquals", [false, true, true]),
        ] {
            let passes = ["6", "7", "8"].map(|value| holds(&format!("Numeric{name}"), Type::Number, "7", value));
            assert_eq!(passes, expect, "{name}");
            let days = ["6", "7", "8"].map(|day| format!("1970-01-0{day}T00:00:00Z"));
            let passes = days.map(|day| holds(&format!("Date{name}"), Type::Date, "1970-01-07", &day));
            assert_eq!(passes, expect, "{name}");
        }
        assert!(!holds("NumericLessThan", Type::Number, "7", "six"));
    }

    #[test]
    fn arns_are_compared_part_by_part() {
        let user = "arn:aws:iam::111122223333:user/team/one";
        for (pattern, expect) in [
            (user, true),
            ("arn:aws:iam::111122223333:user/*", true),
            ("arn:aws:iam::*:user/team/on?", true),
            ("arn:*:*:*:*:*", true),
            ("arn:aws:iam::111122223333:role/*", false),
            ("arn:aws:iam::444455556666:user/*", false),
            // A star does not reach over a colon.
            ("arn:aws:*:user/team/one:x:x", false),
            ("arn:aws:IAM::111122223333:user/*", false),
        ] {
            for name in ["ArnEquals", "ArnLike"] {
                assert_eq!(holds(name, Type::Arn, pattern, user), expect, "{pattern}");
            }
        }
        assert!(!holds("ArnLike", Type::Arn, "arn:*:*:*:*:*", "no arn"));
        assert_eq!(arn("*"), None);
    }
}
