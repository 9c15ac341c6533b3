//! Receipts that somebody kept, such as a tenant's backend: how a record stood, without the act that led there.

use prost::Message;
use strongroom_proto::id::{Head, RecordId};
use strongroom_proto::v1::{Receipt, Role, SignedReceipt};

use super::{PART, read};
use crate::error::{Error, array, expect, expect_bytes};
use crate::statement::VerifiedStatement;

/// How a record stood, as its enclave signed it.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownReceipt {
    /// The role.
    pub role: Role,
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

/// The newest of some receipts about one record in each role, the client's first.
///
/// # Errors
/// As [`newest`]; [`Error::Mismatch`] where the roles' receipts are not about the same record.
pub fn newest_of_roles(receipts: &[SignedReceipt], statement: &VerifiedStatement) -> Result<Vec<KnownReceipt>, Error> {
    let mut known: Vec<KnownReceipt> = Vec::new();
    let mut sorted = 0;
    for role in [Role::Client, Role::Custodian] {
        // Only to sort them; `newest` decodes strictly.
        let is_of = |it: &&SignedReceipt| Receipt::decode(it.receipt.as_slice()).is_ok_and(|it| it.role() == role);
        let of_role: Vec<_> = receipts.iter().filter(is_of).cloned().collect();
        sorted += of_role.len();
        known.extend(newest(&of_role, statement, role)?);
    }
    if sorted != receipts.len() {
        return Err(Error::malformed(PART, "it is of no known role, or no receipt at all"));
    }
    if let [client, custodian] = known.as_slice() {
        expect(PART, "wallet", custodian.wallet.as_str(), &client.wallet)?;
        expect_bytes(PART, "record_id", custodian.record_id, client.record_id)?;
    }
    Ok(known)
}

impl KnownReceipt {
    fn read(signed: &SignedReceipt, statement: &VerifiedStatement, role: Role) -> Result<Self, Error> {
        let receipt = read(signed, statement, role)?;
        Ok(Self {
            role,
            record_id: RecordId(array(PART, "record_id", &receipt.record_id)?),
            version: receipt.version,
            head: Head(array(PART, "head", &receipt.head)?),
            wallet: receipt.wallet,
        })
    }
}
