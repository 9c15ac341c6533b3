//! Refusals of the host: gRPC status with its `google.rpc` details, for people.

use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Longest message that is shown, in characters. Longer ones, and control characters, come from no honest host.
const MESSAGE_CHARS_MAX: usize = 600;

/// An error that the host answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// gRPC code.
    pub code: Code,
    /// `google.rpc.ErrorInfo.reason`, such as `RECORD_STALE`; empty where the answer has none.
    pub reason: String,
    /// What the host says.
    pub message: String,
    /// `google.rpc.RetryInfo`: when to try again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        Self {
            code: status.code(),
            reason: details.error_info().map(|info| shown(&info.reason)).unwrap_or_default(),
            message: shown(status.message()),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.reason.is_empty(), self.message.is_empty()) {
            (false, false) => write!(f, "{}: {}", self.reason, self.message)?,
            (false, true) => f.write_str(&self.reason)?,
            (true, false) => write!(f, "{:?}: {}", self.code, self.message)?,
            (true, true) => write!(f, "{:?}", self.code)?,
        }
        match self.retry_after {
            Some(after) => write!(f, " (try again in {} s)", after.as_secs().max(1)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

/// The host is not trusted with the terminal either.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    #[test]
    fn refusals_read_as_reason_and_detail() {
        let mut details = ErrorDetails::with_error_info("RECORD_STALE", "strongroom", []);
        let status = |details| Status::with_error_details(Code::FailedPrecondition, "head is older", details);
        let plain = Refusal::from_status(&status(details.clone()));
        assert_eq!(plain.to_string(), "RECORD_STALE: head is older");
        details.set_retry_info(Some(Duration::from_millis(50)));
        let retry = Refusal::from_status(&status(details));
        assert_eq!(retry.to_string(), "RECORD_STALE: head is older (try again in 1 s)");
        let bare = Refusal::from_status(&Status::new(Code::Internal, "a\u{1b}[2Jb"));
        assert_eq!(bare.to_string(), "Internal: a[2Jb");
        assert_eq!(Refusal::from_status(&Status::new(Code::Unavailable, "")).to_string(), "Unavailable");
        let broken = Status::with_details(Code::NotFound, "gone", vec![0xff, 1].into());
        assert_eq!(Refusal::from_status(&broken).to_string(), "NotFound: gone");
        let long = Refusal::from_status(&Status::new(Code::Internal, "x".repeat(MESSAGE_CHARS_MAX + 1)));
        assert_eq!(long.message.len(), MESSAGE_CHARS_MAX);
    }
}
