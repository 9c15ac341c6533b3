//! Points in time and distances between them, as arguments and for messages. Never asks a clock.

use std::fmt;

const DAY_SECONDS: u64 = 86_400;

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Time(u64);

impl Time {
    /// From milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_unix_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix_ms(self) -> u64 {
        self.0
    }

    /// Reads the digits of an X.509 time after its year, `MMDDHHMMSSZ` (RFC 5280, section 4.1.2.5).
    pub(crate) fn from_x509(year: u64, rest: &[u8]) -> Option<Self> {
        let [digits @ .., b'Z'] = rest else {
            return None;
        };
        if digits.len() != 10 || !(1970..=9999).contains(&year) {
            return None;
        }
        let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|i| {
            let (tens, ones) = (digits[i], digits[i + 1]);
            if tens.is_ascii_digit() && ones.is_ascii_digit() {
                u64::from(tens - b'0') * 10 + u64::from(ones - b'0')
            } else {
                u64::MAX
            }
        });
        let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 60;
        if !in_range {
            return None;
        }
        let seconds = days_before(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second;
        Some(Self(seconds * 1000))
    }
}

/// Days from 1970-01-01 to the date, by the calendar that starts its years in March.
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    // 719,468 days lie between the first of March of the year 0 and 1970-01-01.
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

impl fmt::Display for Time {
    /// As RFC 3339 in UTC, to the second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        let days = seconds / DAY_SECONDS + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// A distance between two points in time, for messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span(u64);

impl Span {
    /// From milliseconds.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// From the earlier to the later point, or nothing.
    pub(crate) fn between(earlier: Time, later: Time) -> Self {
        Self(later.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Span {
    /// In the largest unit of which there are at least two.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        match seconds {
            0..120 => write!(f, "{seconds} s"),
            120..7200 => write!(f, "{} min", seconds / 60),
            7200..172_800 => write!(f, "{} h", seconds / 3600),
            _ => write!(f, "{} days", seconds / DAY_SECONDS),
        }
    }
}

/// When a certificate is valid, both ends included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) not_before: Time,
    pub(crate) not_after: Time,
}

impl Window {
    /// Whether `at` lies within. The end has a resolution of one second, so that second counts whole.
    pub(crate) fn contains(&self, at: Time) -> bool {
        self.not_before <= at && at.0 / 1000 <= self.not_after.0 / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x509_times_are_read_and_written() {
        for (year, rest, expect) in [
            (1970, "0101000000Z", Some("1970-01-01T00:00:00Z")),
            (2019, "1028132805Z", Some("2019-10-28T13:28:05Z")),
            (2024, "0229235959Z", Some("2024-02-29T23:59:59Z")),
            (2024, "0301000000Z", Some("2024-03-01T00:00:00Z")),
            (2049, "1231235959Z", Some("2049-12-31T23:59:59Z")),
            (2100, "0228000000Z", Some("2100-02-28T00:00:00Z")),
            (1969, "1231235959Z", None),
            (2024, "1301000000Z", None),
            (2024, "0001000000Z", None),
            (2024, "0132000000Z", None),
            (2024, "0101240000Z", None),
            (2024, "0101006000Z", None),
            (2024, "0101000060Z", None),
            (2024, "010100000Z", None),
            (2024, "01010000000Z", None),
            (2024, "0101000000", None),
            (2024, "01010000 0Z", None),
            (2024, "", None),
        ] {
            let time = Time::from_x509(year, rest.as_bytes());
            assert_eq!(time.map(|t| t.to_string()).as_deref(), expect, "{year} {rest}");
        }
        assert_eq!(Time::from_unix_ms(u64::MAX).to_string().len(), "584556019-04-03T14:25:51Z".len());
    }

    #[test]
    fn spans_read_well() {
        for (ms, expect) in [
            (0, "0 s"),
            (119_999, "119 s"),
            (120_000, "2 min"),
            (40 * 60_000, "40 min"),
            (7_200_000, "2 h"),
            (172_800_000, "2 days"),
        ] {
            assert_eq!(Span::from_ms(ms).to_string(), expect);
        }
    }
}
