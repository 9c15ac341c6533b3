//! The host's clock. Enclaves take their time from the NSM; the host's own tables and its log have this one.

use std::path::Path;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::program::{self, Ended};
use super::report::Report;

/// Seconds by which the clock may be off: a `Date` has whole seconds, and takes a moment to arrive.
const SKEW_SECONDS_MAX: i64 = 5;
const TODO: &str = "run chronyd (or another client) against 169.254.169.123";

/// `date` is of instance metadata, which is the only other clock that is looked at.
pub(super) fn check(program: &Path, date: Option<String>, report: &mut Report) {
    let name = "clock, synchronised";
    match program::run(program, &["show", "--property=NTPSynchronized", "--value"]) {
        Ok(Ended { success: true, out, .. }) if out.trim() == "yes" => report.ok(name, "so says the kernel"),
        Ok(Ended { success: true, out, .. }) if out.trim() == "no" => report.warn(name, "no, says the kernel", TODO),
        Ok(Ended { out, err, .. }) => report.warn(name, format!("unknown: {out}{err}"), TODO),
        Err(error) => report.warn(name, format!("unknown: {}: {error}", program.display()), TODO),
    }
    let name = "clock, against instance metadata";
    let Some(date) = date else {
        return report.skip(name, "NOT COMPARED: it gave no Date");
    };
    let Ok(theirs) = rfc2822::parse(&date) else {
        return report.warn(name, format!("unknown: it says {date}"), TODO);
    };
    let skew = Timestamp::now().as_second().saturating_sub(theirs.timestamp().as_second());
    if skew.abs() <= SKEW_SECONDS_MAX {
        report.ok(name, format!("{skew} s off, the host's clock alone"));
    } else {
        report.warn(name, format!("{skew} s off; more than {SKEW_SECONDS_MAX}"), TODO);
    }
}
