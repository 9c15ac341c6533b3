//! AWS's error types: `__type`, a message and a status. Made nowhere else.

use serde_json::{Value, json};

/// The error types of AWS KMS that this service answers with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "each is AWS's own name, without Exception")]
pub enum Kind {
    AccessDenied,
    Disabled,
    DryRunOperation,
    ExpiredToken,
    IncompleteSignature,
    IncorrectKey,
    InvalidCiphertext,
    InvalidSignature,
    KmsInternal,
    KmsInvalidState,
    LimitExceeded,
    MalformedPolicyDocument,
    MissingAuthenticationToken,
    NotFound,
    Serialization,
    UnknownOperation,
    UnrecognizedClient,
    UnsupportedOperation,
    Validation,
}

impl Kind {
    /// AWS's name: the value of `__type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDeniedException",
            Self::Disabled => "DisabledException",
            Self::DryRunOperation => "DryRunOperationException",
            Self::ExpiredToken => "ExpiredTokenException",
            Self::IncompleteSignature => "IncompleteSignatureException",
            Self::IncorrectKey => "IncorrectKeyException",
            Self::InvalidCiphertext => "InvalidCiphertextException",
            Self::InvalidSignature => "InvalidSignatureException",
            Self::KmsInternal => "KMSInternalException",
            Self::KmsInvalidState => "KMSInvalidStateException",
            Self::LimitExceeded => "LimitExceededException",
            Self::MalformedPolicyDocument => "MalformedPolicyDocumentException",
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::NotFound => "NotFoundException",
            Self::Serialization => "SerializationException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::UnrecognizedClient => "UnrecognizedClientException",
            Self::UnsupportedOperation => "UnsupportedOperationException",
            Self::Validation => "ValidationException",
        }
    }

    /// The HTTP status: the client's fault, but for our own.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::KmsInternal => 500,
            Self::DryRunOperation => 412,
            _ => 400,
        }
    }
}

/// A refusal, as it is answered. Its message holds no secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KmsError {
    /// AWS's error type.
    pub kind: Kind,
    /// What is wrong, for people.
    pub message: String,
}

impl KmsError {
    /// A refusal with a message.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(&self) -> Value {
        json!({ "__type": self.kind.name(), "message": self.message })
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new(Kind::Validation, message)
    }
}

/// What fails without the caller's doing; the cause goes to the log of the process, not to the peer.
pub(crate) fn internal(what: &'static str) -> KmsError {
    KmsError::new(Kind::KmsInternal, format!("the development KMS failed: {what}"))
}
