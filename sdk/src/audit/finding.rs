//! What an audit finds, in words for the auditor.

use std::fmt;

use strongroom_proto::id::Head;
use strongroom_proto::v1::Role;
use thiserror::Error;

use crate::error::Error;
use crate::role::role_name;

/// Which receipt a finding is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Spot {
    pub(super) is_newest: bool,
    /// Its place in its list, from 1.
    pub place: usize,
    /// Its role, as it says itself.
    pub role: Role,
    /// Its version, as it says itself; 0 where it cannot be read.
    pub version: u64,
}

impl Spot {
    pub(super) fn of_export(place: usize) -> Self {
        Self { is_newest: false, place, role: Role::Unspecified, version: 0 }
    }

    pub(super) fn of_newest(place: usize) -> Self {
        Self { is_newest: true, ..Self::of_export(place) }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = if self.is_newest { "newest receipt" } else { "receipt" };
        write!(f, "{list} {}", self.place)?;
        if self.version == 0 {
            return Ok(());
        }
        write!(f, " ({}, version {})", role_name(self.role), self.version)
    }
}

/// Something that an honest export does not have.
#[derive(Debug, Error)]
pub enum Finding {
    /// There is nothing to follow.
    #[error("no receipt of the export holds: there is no history")]
    Empty,
    /// A statement that the tenant did not sign so.
    #[error("statement {place}: {error}")]
    Statement {
        /// Its place, from 1.
        place: usize,
        /// Why.
        error: Error,
    },
    /// Statements out of order.
    #[error("statement {place} has serial {serial}, not higher than the one before it")]
    StatementOrder {
        /// Its place, from 1.
        place: usize,
        /// Its serial.
        serial: u64,
    },
    /// The tenant signed two statements of one serial.
    #[error("the tenant signed two different statements with serial {serial}")]
    StatementFork {
        /// The serial.
        serial: u64,
    },
    /// Epochs are only added.
    #[error("statement {serial} drops or changes epoch {epoch} of the {} role", role_name(*.role))]
    EpochChanged {
        /// Serial of the later statement.
        serial: u64,
        /// The role.
        role: Role,
        /// The epoch.
        epoch: u64,
    },
    /// An attestation that vouches for nothing.
    #[error("attestation {place}: {error}")]
    Attestation {
        /// Its place, from 1.
        place: usize,
        /// Why, by the newest statement.
        error: Error,
    },
    /// Bytes that are no receipt.
    #[error("{at}: {problem}")]
    Malformed {
        /// Which.
        at: Spot,
        /// The rule broken.
        problem: String,
    },
    /// No statement names the signer.
    #[error("{at}: no statement names epoch {epoch}")]
    UnknownEpoch {
        /// Which.
        at: Spot,
        /// The epoch that it says.
        epoch: u64,
    },
    /// The signature does not hold.
    #[error("{at}: the signature is wrong: its content was changed or another key signed it")]
    Signature {
        /// Which.
        at: Spot,
    },
    /// No attestation vouches for the signer.
    #[error("{at}: no attestation of epoch {epoch} that holds has the identity {identity}")]
    NotAttested {
        /// Which.
        at: Spot,
        /// The epoch.
        epoch: u64,
        /// The identity's hash, hex.
        identity: String,
    },
    /// A field that has another value than it must.
    #[error("{at}: {field} is {found}, not {expected}")]
    Field {
        /// Which.
        at: Spot,
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// The value that it must have.
        expected: String,
    },
    /// Receipts out of order.
    #[error("{at}: stands after version {before}: receipts were put in another order")]
    Order {
        /// Which.
        at: Spot,
        /// The version before it.
        before: u64,
    },
    /// A receipt twice.
    #[error("{at}: the export has this version already")]
    Repeat {
        /// Which.
        at: Spot,
    },
    /// Receipts are missing.
    #[error("the {} role: {} missing", role_name(*.role), versions(*.from, *.to))]
    Gap {
        /// The role.
        role: Role,
        /// First version that is missing.
        from: u64,
        /// Last version that is missing.
        to: u64,
    },
    /// The chain of heads is broken.
    #[error("{at}: its head {found} does not follow from the one before and its event, which give {expected}")]
    Head {
        /// Which.
        at: Spot,
        /// Its head.
        found: Head,
        /// The head that it must have.
        expected: Head,
    },
    /// Proof that the host ran two histories.
    #[error(
        "FORK of the {} role at version {version}: the enclave signed head {} and head {}: the host restored an older record",
        role_name(*.role), .heads[0], .heads[1]
    )]
    Fork {
        /// The role.
        role: Role,
        /// The version.
        version: u64,
        /// Both heads.
        heads: [Head; 2],
    },
    /// The export ends before a receipt that the auditor has.
    #[error("the {} role: the export ends at version {has}, and {at} shows that there is more: it is an older prefix", role_name(.at.role))]
    Prefix {
        /// The receipt from elsewhere.
        at: Spot,
        /// The export's last version.
        has: u64,
    },
}

fn versions(from: u64, to: u64) -> String {
    if from == to { format!("version {from} is") } else { format!("versions {from} to {to} are") }
}
