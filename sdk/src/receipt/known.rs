//! Receipts that somebody kept, such as a tenant's backend: how a record stood, without the act that led there.

use strongroom_proto::id::{Head, RecordId};
use strongroom_proto::v1::{Role, SignedReceipt};

use super::{PART, read};
use crate::error::{Error, array, expect, expect_bytes};
use crate::statement::VerifiedStatement;

/// How a record stood, as its enclave signed it.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownReceipt {
    /// The wallet.
    pub wallet: String,
    /// The record.
    pub record_id: RecordId,
    /// Its version.
    pub version: u64,
    /// Its head.
    pub head: Head,
}

/// The newest of some receipts about one record in one role. `None` where there are none.
///
/// # Errors
/// As [`super::verify`] for each; [`Error::Mismatch`] where they are of several records, or where two of one version have two heads: then
/// the host has forked the record.
pub fn newest(
    receipts: &[SignedReceipt],
    statement: &VerifiedStatement,
    role: Role,
) -> Result<Option<KnownReceipt>, Error> {
    let mut known =
        receipts.iter().map(|signed| KnownReceipt::read(signed, statement, role)).collect::<Result<Vec<_>, _>>()?;
    known.sort_by_key(|receipt| receipt.version);
    for (before, after) in known.iter().zip(known.iter().skip(1)) {
        expect(PART, "wallet", after.wallet.as_str(), &before.wallet)?;
        expect_bytes(PART, "record_id", after.record_id, before.record_id)?;
        if after.version == before.version {
            expect_bytes(PART, "head, beside another receipt of the same version,", after.head, before.head)?;
        }
    }
    Ok(known.pop())
}

impl KnownReceipt {
    fn read(signed: &SignedReceipt, statement: &VerifiedStatement, role: Role) -> Result<Self, Error> {
        let receipt = read(signed, statement, role)?;
        Ok(Self {
            record_id: RecordId(array(PART, "record_id", &receipt.record_id)?),
            version: receipt.version,
            head: Head(array(PART, "head", &receipt.head)?),
            wallet: receipt.wallet,
        })
    }
}
