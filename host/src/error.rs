//! Why the host refused: one enum for starting and for serving.
//!
//! It never holds a secret or a peer's bytes: details name a field, a limit, a path or a kind of row.

use std::path::PathBuf;

use strongroom_proto::v1::Reason;

use crate::keys::Kind;

/// Everything that the host refuses or fails at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configuration that does not parse, or a value outside its limit.
    #[error("{field} = {value}: {limit}")]
    Config {
        /// Path of the field, such as `api.listen`.
        field: String,
        /// The value as it was given.
        value: String,
        /// What the field must be.
        limit: String,
    },
    /// A file, socket or address that cannot be used.
    #[error("{what} {path}: {cause}", path = path.display())]
    Io {
        /// What was attempted.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// The gRPC server ended by itself.
    #[error("gRPC server")]
    Serve(#[from] tonic::transport::Error),
    /// No API key, an unknown one, or a revoked one: not said which.
    #[error("no valid API key")]
    Auth,
    /// A field of a message is outside its limit.
    #[error("{field}: {limit}")]
    BadRequest {
        /// The field's path in the message.
        field: &'static str,
        /// What it must be.
        limit: String,
    },
    /// More bytes in a sealed message than any share needs.
    #[error("{field}: at most {max} bytes")]
    ShareTooLarge {
        /// The field's path in the message.
        field: &'static str,
        /// The limit in bytes.
        max: usize,
    },
    /// Not there, or another tenant's: not said which.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// What is stored lacks a part; named, so that somebody looks for it.
    #[error("the backup is not whole: {0}")]
    Damaged(String),
    /// The id is taken.
    #[error("{0} already exists")]
    AlreadyExists(&'static str),
    /// The call does not fit the state that stands.
    #[error("{0}")]
    State(&'static str),
    /// The tenant cancelled the recovery.
    #[error("the tenant denied the recovery")]
    RecoveryDenied,
    /// A part of the generation is not stored.
    #[error("{0}")]
    Incomplete(&'static str),
    /// The method is not the backup's.
    #[error("method: the backup's")]
    MethodNotAllowed,
    /// Bytes that do not have the hash which was given with them.
    #[error("{field}: other bytes than its sha256 says")]
    HashMismatch {
        /// The field's path in the message.
        field: &'static str,
    },
    /// A statement whose serial is not above the stored one's.
    #[error("serial {given} is not above the stored serial {stored}")]
    StatementStale {
        /// Serial in the call.
        given: u64,
        /// Serial in the store.
        stored: u64,
    },
    /// A message that is sealed to an epoch which the tenant gave up, or has not named.
    #[error("epoch {given}: sealed to are epochs of the statement from {lowest} to {newest}")]
    EpochNotInStatement {
        /// Epoch in the call.
        given: u64,
        /// Lowest epoch of the statement to seal to.
        lowest: u64,
        /// Newest epoch of the statement.
        newest: u64,
    },
    /// The request id was used for other bytes within 24 h.
    #[error("request_id was used for another request")]
    RequestIdReused,
    /// Another write came first; nothing of this one took effect.
    #[error("another write to the {0} came first")]
    Conflict(Kind),
    /// A named limit on work in flight is reached; nothing was begun.
    #[error("{0}: too much in flight")]
    Overloaded(&'static str),
    /// The enclave does not answer.
    #[error("enclave: {0}")]
    EnclaveUnavailable(&'static str),
    /// The store cannot read or write.
    #[error("store: {0}")]
    StoreUnavailable(String),
    /// The enclave refused.
    #[error("{detail}")]
    Enclave {
        /// Its reason.
        reason: Reason,
        /// Names the field and the limit.
        detail: String,
        /// When to try again in milliseconds; 0 where that does not help.
        retry_after_ms: u32,
    },
    /// One role's share of a call that both roles have part in.
    #[error("{role}: {cause}")]
    InRole {
        /// Its name.
        role: &'static str,
        /// Why not.
        cause: Box<Error>,
    },
    /// A fault of this host or its store's content.
    #[error("{0}")]
    Internal(&'static str),
}

impl Error {
    /// The stable reason that callers see.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Config { .. } | Self::Io { .. } | Self::Serve(_) | Self::Internal(_) => Reason::InternalError,
            Self::Auth => Reason::AuthFailed,
            Self::BadRequest { .. } => Reason::BadRequest,
            Self::ShareTooLarge { .. } => Reason::ShareTooLarge,
            Self::NotFound(_) => Reason::NotFound,
            Self::Damaged(_) => Reason::NoValidBackup,
            Self::AlreadyExists(_) => Reason::AlreadyExists,
            Self::State(_) => Reason::StateInvalid,
            Self::RecoveryDenied => Reason::RecoveryDenied,
            Self::Incomplete(_) => Reason::BackupIncomplete,
            Self::MethodNotAllowed => Reason::MethodNotAllowed,
            Self::HashMismatch { .. } => Reason::CiphertextHashMismatch,
            Self::StatementStale { .. } => Reason::StatementStale,
            Self::EpochNotInStatement { .. } => Reason::EpochNotInStatement,
            Self::RequestIdReused => Reason::RequestIdReused,
            Self::Conflict(_) => Reason::VersionConflict,
            Self::Overloaded(_) => Reason::Overloaded,
            Self::EnclaveUnavailable(_) => Reason::EnclaveUnavailable,
            Self::StoreUnavailable(_) => Reason::StoreUnavailable,
            Self::Enclave { reason, .. } => *reason,
            Self::InRole { cause, .. } => cause.reason(),
        }
    }

    /// The error itself, whatever role it came from.
    #[must_use]
    pub fn cause(&self) -> &Self {
        match self {
            Self::InRole { cause, .. } => cause.cause(),
            error => error,
        }
    }

    /// Says which role it came from.
    pub(crate) fn in_role(self, role: &'static str) -> Self {
        Self::InRole { role, cause: Box::new(self) }
    }

    pub(crate) fn bad(field: &'static str, limit: impl Into<String>) -> Self {
        Self::BadRequest { field, limit: limit.into() }
    }

    pub(crate) fn config(field: impl Into<String>, value: impl Into<String>, limit: impl Into<String>) -> Self {
        Self::Config { field: field.into(), value: value.into(), limit: limit.into() }
    }

    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Io { what, path, cause }
    }
}
