//! Every way in which the sdk refuses, in words for the person who sees it. Never holds a secret.

use std::fmt::Display;
use std::path::PathBuf;

use strongroom_attestation::{AttestationError, Span};
use strongroom_proto::contents::BadContents;
use strongroom_proto::id::TenantId;
use strongroom_proto::statement::BadStatement;
use strongroom_proto::v1::Reason;
use thiserror::Error;

use crate::status::Refusal;

/// Why a check failed, an input was refused or a call got no answer.
#[derive(Debug, Error)]
pub enum Error {
    /// The statement's form.
    #[error("the tenant statement is malformed: {0}")]
    Statement(BadStatement),
    /// A statement of another tenant than the one pinned.
    #[error("the statement is of tenant {found}, but the tenant pinned is {pinned}")]
    ForeignStatement {
        /// The tenant that its keys make.
        found: TenantId,
        /// The caller's pin.
        pinned: TenantId,
    },
    /// A statement older than one that the caller knows.
    #[error("the statement has serial {found}, but {needed} is known already: the host shows an old statement")]
    StatementTooOld {
        /// Its serial.
        found: u64,
        /// The lowest that is taken.
        needed: u64,
    },
    /// A role that the tenant does not use.
    #[error("the statement names no {role} role")]
    RoleNotInStatement {
        /// Its name.
        role: &'static str,
    },
    /// An epoch that the tenant has not signed.
    #[error("the statement does not name epoch {epoch} of the {role} role")]
    EpochNotInStatement {
        /// The role's name.
        role: &'static str,
        /// The number.
        epoch: u64,
    },
    /// An epoch that the tenant gave up: nothing new may be sealed to it, and its receipt key signs nothing new.
    #[error("epoch {epoch} of the {role} role is older than {lowest}, the lowest that the tenant allows")]
    EpochTooOld {
        /// The role's name.
        role: &'static str,
        /// The number.
        epoch: u64,
        /// The lowest allowed.
        lowest: u64,
    },
    /// The host's answer leaves out a role that is needed.
    #[error("the host's answer has no {role} role")]
    RoleNotServed {
        /// Its name.
        role: &'static str,
    },
    /// An Ed25519 signature that does not hold.
    #[error("the {part}'s signature is wrong: its content was changed or another key signed it")]
    Signature {
        /// What was signed.
        part: &'static str,
    },
    /// The attestation document.
    #[error("the attestation document is refused: {0}")]
    Attestation(#[from] AttestationError),
    /// The device's clock and the enclave's differ too much.
    #[error("your clock is off by {by}: it says {here}, the service says {there}")]
    ClockOff {
        /// By how much.
        by: Span,
        /// The device's time, RFC 3339.
        here: String,
        /// The enclave's time, RFC 3339.
        there: String,
    },
    /// A development manifest where the caller did not ask for development in code.
    #[error("the enclave's manifest is for development: whoever made it can read the shares")]
    DevelopmentManifest,
    /// Something signed or attested is not of its form.
    #[error("the {part} is malformed: {reason}")]
    Malformed {
        /// Which one.
        part: &'static str,
        /// The rule broken.
        reason: String,
    },
    /// A field that has another value than it must.
    #[error("the {part}'s {field} is {found}, not {expected}")]
    Mismatch {
        /// What it belongs to.
        part: &'static str,
        /// Its name.
        field: &'static str,
        /// Its value.
        found: String,
        /// The value that it must have.
        expected: String,
    },
    /// A sealed release, opened, is not of its form.
    #[error("the release is malformed: {0}")]
    Contents(#[from] BadContents),
    /// A message that nobody could be sealed to.
    #[error("the message cannot be sealed: the channel key is not an X-Wing public key")]
    Seal,
    /// A release that does not open.
    #[error("the release does not open: it was sealed to another recipient or for another record, or it was changed")]
    Open,
    /// A rehearsal's result.
    #[error("the backup is damaged: the passkey was accepted, but a share is missing or does not open")]
    Damaged,
    /// What an audit found is not as it must be.
    #[error("the history does not hold: {findings} findings")]
    Audit {
        /// How many.
        findings: usize,
    },
    /// The wallet has no such backup.
    #[error("wallet {wallet} has no {what}")]
    NotFound {
        /// The wallet.
        wallet: String,
        /// What was looked for.
        what: String,
    },
    /// A credential that the enclave does not list.
    #[error("passkey {credential} is not among the credentials of backup {backup}: nothing was sent")]
    UnknownCredential {
        /// The credential's id, hex.
        credential: String,
        /// The backup.
        backup: String,
    },
    /// The passkey at hand is none of the backup's.
    #[error("passkey {credential} is not among the backup's credentials: it was not asked")]
    WrongPasskey {
        /// The credential's id, hex.
        credential: String,
    },
    /// The record's policy asks for the tenant, and this device has no way to ask its backend.
    #[error("backup {backup} needs the tenant's signature too, and this device was given no way to ask for it")]
    TenantNeeded {
        /// The backup.
        backup: String,
    },
    /// The backup has a custodian's share, and this device has no way to the backend that seals it.
    #[error("the backup has a custodian's share too, and this device was given no way to the backend that seals it")]
    CustodianNeeded,
    /// What the enclave would refuse, seen in the view: nobody was asked and nothing was sent.
    #[error("{}: {detail}; nothing was sent", reason_name(*.reason))]
    WouldBeRefused {
        /// The enclave's reason.
        reason: Reason,
        /// The rule, with what breaks it.
        detail: String,
    },
    /// An intent that the tenant's backend does not sign.
    #[error("the intent's {field} is {found}, but the tenant expects {expected}: it was not signed")]
    NotExpected {
        /// Which field of it.
        field: &'static str,
        /// Its value.
        found: String,
        /// The value that the backend expects.
        expected: String,
    },
    /// A release file older than one that was accepted before.
    #[error("the release file has serial {found}, but {known} was accepted before: it is an old one")]
    ReleaseFileTooOld {
        /// Its serial.
        found: u64,
        /// That of the newest file known here.
        known: u64,
    },
    /// Two release files with one serial: the publisher, or whoever has its key, shows different tenants different releases.
    #[error(
        "the release file with serial {serial} is not the one that was accepted before: somebody signed two; ask the publisher"
    )]
    ReleaseFileFork {
        /// The serial of both.
        serial: u64,
    },
    /// An image that no release of the file measures as.
    #[error("the image is in no release of the file with serial {serial}: {found}")]
    NotReleased {
        /// The file's serial.
        serial: u64,
        /// What it measures as.
        found: String,
    },
    /// A release that the publisher gave up.
    #[error("release {release} is below {lowest}, the lowest that the release file allows")]
    ReleaseTooLow {
        /// Its number.
        release: u64,
        /// The lowest allowed.
        lowest: u64,
    },
    /// A release that the tenant did not choose.
    #[error("release {release} is not among those to accept, which are {accepted}")]
    ReleaseNotAccepted {
        /// Its number.
        release: u64,
        /// The others.
        accepted: String,
    },
    /// A key policy with findings.
    #[error("the key policy of the {role} role has {problem}")]
    KeyPolicy {
        /// The role's name.
        role: &'static str,
        /// How many, and how bad.
        problem: String,
    },
    /// An input of the caller breaks a rule.
    #[error("{field}: {problem}")]
    Input {
        /// The field or option.
        field: String,
        /// The rule, with its limit.
        problem: String,
    },
    /// A file that cannot be read or written.
    #[error("{path}: {problem}", path = path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What went wrong.
        problem: String,
    },
    /// A file that would be overwritten.
    #[error("{path} exists already and is not overwritten", path = .0.display())]
    Exists(PathBuf),
    /// A key file that the passphrase does not open.
    #[error("{path}: the passphrase is wrong, or the file was changed", path = .0.display())]
    Passphrase(PathBuf),
    /// Ciphertext that the password does not open.
    #[error("the password is wrong, or the ciphertext was changed: the two cannot be told apart")]
    Password,
    /// A host that hands out sealed shares which this device was not asked to keep.
    #[error(
        "the host handed out the sealed shares of backup {backup}, for the caller to keep them, and the device has no place for them"
    )]
    NoKeeper {
        /// The backup's id.
        backup: String,
    },
    /// Sealed shares or ciphertext that the caller keeps, and that are not here.
    #[error("the share of pair {pair} is kept by its owner, not by the host, and is not here")]
    NotKept {
        /// The pair's id.
        pair: String,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// The host answered with an error.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The connection went before the answer came: whether the host carried out the call is not known.
    #[error("the connection to the host was lost before it answered: {0}")]
    Lost(String),
    /// The host cannot be reached.
    #[error("no connection to {host}: {problem}")]
    Connection {
        /// Its address.
        host: String,
        /// What went wrong.
        problem: String,
    },
}

impl Error {
    pub(crate) fn input(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Input { field: field.into(), problem: problem.into() }
    }

    pub(crate) fn would_be_refused(reason: Reason, detail: impl Into<String>) -> Self {
        Self::WouldBeRefused { reason, detail: detail.into() }
    }

    /// The stable reason, such as `LAST_PASSKEY`, whether the service gave it or this side saw it coming.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(refusal.reason.as_str()).filter(|reason| !reason.is_empty()),
            Self::WouldBeRefused { reason, .. } => Some(reason_name(*reason)),
            _ => None,
        }
    }

    pub(crate) fn malformed(part: &'static str, reason: impl Display) -> Self {
        Self::Malformed { part, reason: reason.to_string() }
    }
}

/// A reason as `google.rpc.ErrorInfo.reason` carries it.
pub(crate) fn reason_name(reason: Reason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("REASON_").unwrap_or(name)
}

/// Refuses a field that is not what it must be.
#[expect(clippy::needless_pass_by_value, reason = "callers compare numbers and short texts that they just made")]
pub(crate) fn expect<T: PartialEq + Display>(
    part: &'static str,
    field: &'static str,
    found: T,
    expected: T,
) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    Err(Error::Mismatch { part, field, found: found.to_string(), expected: expected.to_string() })
}

/// As [`expect`], for bytes, which are shown as hex.
pub(crate) fn expect_bytes(
    part: &'static str,
    field: &'static str,
    found: impl AsRef<[u8]>,
    expected: impl AsRef<[u8]>,
) -> Result<(), Error> {
    let (found, expected) = (found.as_ref(), expected.as_ref());
    if found == expected {
        return Ok(());
    }
    let show = |bytes: &[u8]| if bytes.is_empty() { "empty".to_owned() } else { hex::encode(bytes) };
    Err(Error::Mismatch { part, field, found: show(found), expected: show(expected) })
}

/// The fixed number of bytes that a field has, or a refusal that names it.
pub(crate) fn array<const N: usize>(part: &'static str, field: &str, bytes: &[u8]) -> Result<[u8; N], Error> {
    bytes.try_into().map_err(|_| Error::malformed(part, format_args!("{field} has {} bytes, not {N}", bytes.len())))
}
