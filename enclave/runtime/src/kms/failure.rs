//! Sorts what the SDK says into what the core must know: refused, throttled, unavailable, or a bad answer.

use std::time::Duration;

use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};

use super::KmsError;

/// When to try again after KMS throttled the last attempt.
const THROTTLED_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Codes that mean: not with these credentials, this key or this document.
const DENIED: &[&str] = &[
    "AccessDeniedException",
    "DisabledException",
    "InvalidGrantTokenException",
    "InvalidKeyUsageException",
    "KMSInvalidStateException",
    "NotFoundException",
    "ValidationException",
];

/// Codes that mean: these bytes were not wrapped by this key in this context.
const NOT_UNWRAPPED: &[&str] = &["IncorrectKeyException", "InvalidCiphertextException"];

/// Codes that ask for fewer calls.
const THROTTLED: &[&str] = &[
    "LimitExceededException",
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// Codes that say that the host's credentials do not serve; new ones may.
const CREDENTIALS: &[&str] = &[
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

pub(super) fn sort<E: ProvideErrorMetadata>(error: &SdkError<E>) -> KmsError {
    match error {
        SdkError::ConstructionFailure(_) => KmsError::Unavailable("the call cannot be made"),
        SdkError::TimeoutError(_) => KmsError::Unavailable("time-out"),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => KmsError::Unavailable("time-out"),
        SdkError::DispatchFailure(failure) if failure.is_io() => KmsError::Unavailable("connection"),
        SdkError::DispatchFailure(_) => KmsError::Unavailable("no credentials, or no connection"),
        SdkError::ResponseError(_) => KmsError::BadReply("not of the API's form"),
        // The SDK reports a good status whose body it cannot read as a failure without a code.
        SdkError::ServiceError(service) if service.raw().status().is_success() => {
            KmsError::BadReply("not of the API's form")
        }
        SdkError::ServiceError(service) => sort_code(service.err().code()),
        _ => KmsError::Unavailable("another failure"),
    }
}

fn sort_code(code: Option<&str>) -> KmsError {
    let code = code.unwrap_or_default();
    if let Some(known) = DENIED.iter().find(|known| **known == code) {
        KmsError::Denied(known)
    } else if NOT_UNWRAPPED.contains(&code) {
        KmsError::NotUnwrapped
    } else if THROTTLED.contains(&code) {
        KmsError::Throttled { retry_after: THROTTLED_RETRY_AFTER }
    } else if CREDENTIALS.contains(&code) {
        KmsError::Unavailable("the credentials are refused")
    } else {
        KmsError::Unavailable("KMS failed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &str, expect: &KmsError) {
        assert_eq!(sort_code(Some(code)), *expect, "{code}");
    }

    #[test]
    fn every_code_falls_into_one_sort() {
        check("AccessDeniedException", &KmsError::Denied("AccessDeniedException"));
        check("InvalidCiphertextException", &KmsError::NotUnwrapped);
        check("ThrottlingException", &KmsError::Throttled { retry_after: THROTTLED_RETRY_AFTER });
        check("ExpiredTokenException", &KmsError::Unavailable("the credentials are refused"));
        check("KMSInternalException", &KmsError::Unavailable("KMS failed"));
        check("KeyUnavailableException", &KmsError::Unavailable("KMS failed"));
        check("SomethingNew", &KmsError::Unavailable("KMS failed"));
        assert_eq!(sort_code(None), KmsError::Unavailable("KMS failed"));
    }
}
