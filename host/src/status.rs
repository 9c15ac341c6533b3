//! Errors become gRPC status here, and nowhere else.
//!
//! Each status carries `google.rpc.ErrorInfo` {reason, domain, metadata} and, where trying again helps, `google.rpc.RetryInfo`. So do
//! the refusals that gRPC makes before a service is reached, but for a call whose request did not arrive within its time.

use std::collections::HashMap;
use std::time::Duration;

use strongroom_proto::v1::Reason;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::error::Error;

/// `ErrorInfo.domain` of every status.
pub const DOMAIN: &str = "strongroom";
/// Longest message of a status in bytes.
pub const DETAIL_BYTES_MAX: usize = 512;
/// Longest wait that a status recommends, whatever an enclave asks for; but for what waits for the delay of a policy.
pub const RETRY_MS_MAX: u32 = 60_000;

/// The gRPC code of a reason.
#[must_use]
pub fn code(reason: Reason) -> Code {
    match reason {
        Reason::AuthFailed => Code::Unauthenticated,
        Reason::ProofRejected
        | Reason::OriginNotAllowed
        | Reason::UserNotVerified
        | Reason::PolicyDenied
        | Reason::RecoveryDenied
        | Reason::MethodNotAllowed => Code::PermissionDenied,
        Reason::StateInvalid
        | Reason::IntentExpired
        | Reason::RecipientNotAllowed
        | Reason::RecordStale
        | Reason::StatementStale
        | Reason::EpochNotInStatement
        | Reason::LastPasskey
        | Reason::RecoveryDelayed
        | Reason::EjectNotEnabled
        | Reason::BackupIncomplete
        | Reason::RequestIdReused => Code::FailedPrecondition,
        Reason::BadRequest | Reason::CiphertextHashMismatch | Reason::PrfResultPresent => Code::InvalidArgument,
        Reason::NotFound | Reason::NoValidBackup => Code::NotFound,
        Reason::AlreadyExists => Code::AlreadyExists,
        Reason::OperationInProgress | Reason::VersionConflict => Code::Aborted,
        Reason::RateLimited | Reason::ShareTooLarge | Reason::TooManyPasskeys | Reason::Overloaded => {
            Code::ResourceExhausted
        }
        Reason::EnclaveUnavailable | Reason::KmsUnavailable | Reason::KmsThrottled | Reason::StoreUnavailable => {
            Code::Unavailable
        }
        Reason::DecryptFailed => Code::DataLoss,
        Reason::InternalError | Reason::Unspecified => Code::Internal,
    }
}

/// The reason as `ErrorInfo.reason` carries it.
#[must_use]
pub fn reason_name(reason: Reason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("REASON_").unwrap_or(name)
}

/// The status of an error.
#[must_use]
pub fn status(error: &Error) -> Status {
    let reason = match error.reason() {
        Reason::Unspecified => Reason::InternalError,
        reason => reason,
    };
    let mut details = ErrorDetails::with_error_info(reason_name(reason), DOMAIN, metadata(error));
    if let Some(after) = retry_after(reason, error) {
        details.set_retry_info(Some(after));
    }
    Status::with_error_details(code(reason), message(error), details)
}

/// Completes a refusal that gRPC made by itself: a message that is too large or does not decode, or a method that is not there.
pub(crate) fn complete(response: http::Response<Body>) -> http::Response<Body> {
    let made_here = |status: &Status| status.code() == Code::Ok || !status.details().is_empty();
    match Status::from_header_map(response.headers()).filter(|status| !made_here(status)) {
        Some(status) => completed(&status).into_http(),
        None => response,
    }
}

fn completed(refusal: &Status) -> Status {
    match refusal.code() {
        // What does not decode is its sender's fault, not this host's.
        Code::OutOfRange | Code::Internal | Code::InvalidArgument => status(&Error::bad("message", refusal.message())),
        code => {
            let reason = if code == Code::NotFound { Reason::NotFound } else { Reason::BadRequest };
            let details = ErrorDetails::with_error_info(reason_name(reason), DOMAIN, HashMap::new());
            Status::with_error_details(code, refusal.message(), details)
        }
    }
}

/// The error's text, cut at a character; a fault of the host's own says nothing of its inside.
fn message(error: &Error) -> String {
    match error.cause() {
        Error::Config { .. } | Error::Io { .. } | Error::Serve(_) | Error::Internal(_) => "internal error".to_owned(),
        Error::StoreUnavailable(_) => "the store is unavailable".to_owned(),
        _ => {
            let mut text = error.to_string();
            text.truncate(text.floor_char_boundary(DETAIL_BYTES_MAX));
            text
        }
    }
}

fn metadata(error: &Error) -> HashMap<String, String> {
    let pairs: Vec<(&str, String)> = match error {
        Error::BadRequest { field, limit } => vec![("field", (*field).to_owned()), ("limit", limit.clone())],
        Error::HashMismatch { field } => vec![("field", (*field).to_owned())],
        Error::ShareTooLarge { field, max } => vec![("field", (*field).to_owned()), ("limit", max.to_string())],
        Error::StatementStale { given, stored } => vec![("given", given.to_string()), ("stored", stored.to_string())],
        Error::EpochNotInStatement { given, lowest, newest } => {
            vec![("given", given.to_string()), ("lowest", lowest.to_string()), ("newest", newest.to_string())]
        }
        Error::NotFound(what) | Error::AlreadyExists(what) => vec![("what", (*what).to_owned())],
        Error::Conflict(kind) => vec![("what", kind.to_string())],
        Error::InRole { role, cause } => {
            let mut all = metadata(cause);
            all.insert("role".to_owned(), (*role).to_owned());
            return all;
        }
        _ => Vec::new(),
    };
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn retry_after(reason: Reason, error: &Error) -> Option<Duration> {
    let ms = match error.cause() {
        Error::Enclave { retry_after_ms, .. } if *retry_after_ms > 0 => *retry_after_ms,
        _ => match reason {
            Reason::OperationInProgress | Reason::VersionConflict => 50,
            Reason::Overloaded => 200,
            Reason::RateLimited
            | Reason::EnclaveUnavailable
            | Reason::KmsUnavailable
            | Reason::KmsThrottled
            | Reason::StoreUnavailable => 1_000,
            _ => return None,
        },
    };
    // What waits for its delay says when it is due, be that in days.
    let longest = if reason == Reason::RecoveryDelayed { u32::MAX } else { RETRY_MS_MAX };
    Some(Duration::from_millis(ms.min(longest).into()))
}

#[cfg(test)]
mod tests {
    use strongroom_proto::limits::DELAY_SECONDS_MAX;

    use super::*;
    use crate::keys::Kind;

    fn check(error: &Error, code: Code, reason: &str, retry_ms: Option<u64>) -> ErrorDetails {
        let status = status(error);
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((status.code(), info.reason.as_str(), info.domain.as_str()), (code, reason, DOMAIN), "{error:?}");
        let retry = details.retry_info().and_then(|info| info.retry_delay);
        assert_eq!(retry, retry_ms.map(Duration::from_millis), "{error:?}");
        details
    }

    fn enclave(reason: Reason, retry_after_ms: u32) -> Error {
        Error::Enclave { reason, detail: "intent.wallet: malformed".to_owned(), retry_after_ms }
    }

    #[test]
    fn every_reason_has_the_code_of_the_table() {
        let table: &[(Code, &[&str])] = &[
            (Code::Unauthenticated, &["AUTH_FAILED"]),
            (
                Code::PermissionDenied,
                &[
                    "PROOF_REJECTED",
                    "ORIGIN_NOT_ALLOWED",
                    "USER_NOT_VERIFIED",
                    "METHOD_NOT_ALLOWED",
                    "POLICY_DENIED",
                    "RECOVERY_DENIED",
                ],
            ),
            (
                Code::FailedPrecondition,
                &[
                    "STATE_INVALID",
                    "INTENT_EXPIRED",
                    "RECIPIENT_NOT_ALLOWED",
                    "RECORD_STALE",
                    "STATEMENT_STALE",
                    "EPOCH_NOT_IN_STATEMENT",
                    "REQUEST_ID_REUSED",
                    "LAST_PASSKEY",
                    "RECOVERY_DELAYED",
                    "EJECT_NOT_ENABLED",
                    "BACKUP_INCOMPLETE",
                ],
            ),
            (Code::InvalidArgument, &["BAD_REQUEST", "CIPHERTEXT_HASH_MISMATCH", "PRF_RESULT_PRESENT"]),
            (Code::NotFound, &["NOT_FOUND", "NO_VALID_BACKUP"]),
            (Code::AlreadyExists, &["ALREADY_EXISTS"]),
            (Code::Aborted, &["OPERATION_IN_PROGRESS", "VERSION_CONFLICT"]),
            (Code::ResourceExhausted, &["RATE_LIMITED", "SHARE_TOO_LARGE", "TOO_MANY_PASSKEYS", "OVERLOADED"]),
            (Code::Unavailable, &["ENCLAVE_UNAVAILABLE", "KMS_UNAVAILABLE", "KMS_THROTTLED", "STORE_UNAVAILABLE"]),
            (Code::DataLoss, &["DECRYPT_FAILED"]),
            (Code::Internal, &["INTERNAL_ERROR"]),
        ];
        let mut listed = 0;
        for (expect, names) in table {
            for name in *names {
                let reason = Reason::from_str_name(&format!("REASON_{name}")).unwrap();
                check(&enclave(reason, 7), *expect, name, Some(7));
                listed += 1;
            }
        }
        let known = (1..1_000).filter(|n| Reason::try_from(*n).is_ok()).count();
        assert_eq!(listed, known, "each reason of error.proto stands in the table");
        check(&enclave(Reason::Unspecified, 0), Code::Internal, "INTERNAL_ERROR", None);
    }

    #[test]
    fn errors_of_the_host_carry_their_reason_field_and_retry() {
        check(&Error::Auth, Code::Unauthenticated, "AUTH_FAILED", None);
        check(&Error::Conflict(Kind::Record), Code::Aborted, "VERSION_CONFLICT", Some(50));
        check(&Error::Overloaded("tenant"), Code::ResourceExhausted, "OVERLOADED", Some(200));
        check(&Error::StoreUnavailable("disk".to_owned()), Code::Unavailable, "STORE_UNAVAILABLE", Some(1_000));
        check(&enclave(Reason::KmsThrottled, 0), Code::Unavailable, "KMS_THROTTLED", Some(1_000));
        check(&enclave(Reason::KmsThrottled, u32::MAX), Code::Unavailable, "KMS_THROTTLED", Some(60_000));
        check(&enclave(Reason::RecoveryDelayed, 0), Code::FailedPrecondition, "RECOVERY_DELAYED", None);
        let month = DELAY_SECONDS_MAX * 1000;
        let late = enclave(Reason::RecoveryDelayed, month);
        check(&late, Code::FailedPrecondition, "RECOVERY_DELAYED", Some(month.into()));
        check(&Error::NotFound("wallet"), Code::NotFound, "NOT_FOUND", None);
        let refused = Error::NotFound("record").in_role("custodian");
        let details = check(&refused, Code::NotFound, "NOT_FOUND", None);
        let metadata = details.error_info().unwrap().metadata.clone();
        assert_eq!((metadata["role"].as_str(), metadata["what"].as_str()), ("custodian", "record"));
        assert_eq!(status(&refused).message(), "custodian: no such record");
        check(&late.in_role("client"), Code::FailedPrecondition, "RECOVERY_DELAYED", Some(month.into()));
        let details =
            check(&Error::bad("act.intent", "at most 4096 bytes"), Code::InvalidArgument, "BAD_REQUEST", None);
        assert_eq!(details.error_info().unwrap().metadata["field"], "act.intent");
    }

    #[test]
    fn a_message_is_cut_and_a_fault_says_nothing_of_its_inside() {
        let detail = "\u{e9}".repeat(DETAIL_BYTES_MAX);
        let long = Error::Enclave { reason: Reason::BadRequest, detail, retry_after_ms: 0 };
        assert_eq!(status(&long).message().len(), DETAIL_BYTES_MAX);
        for fault in [Error::Internal("row 7 is broken"), Error::Internal("row 7 is broken").in_role("client")] {
            assert_eq!(status(&fault).message(), "internal error");
        }
        assert!(!status(&Error::StoreUnavailable("/var/lib/x".to_owned())).message().contains("/var"));
    }
}
