//! Rows that several services need, read to types.

use prost::Message;
use strongroom_proto::enclave::v1::{KekRef, SealedRecord, SealedShare, StatementRef};
use strongroom_proto::id::{RecordId, TenantId, sha256};
use strongroom_proto::limits::PAIRS_MAX;
use strongroom_proto::v1::{Receipt, Role, SignedReceipt, SignedStatement, Statement};

use super::App;
use crate::error::Error;
use crate::keys;
use crate::rows::{KekRow, RecordRow, ShareRow, decode};
use crate::store::Expect;

/// The stored statement.
pub(super) struct StoredStatement {
    pub(super) signed: SignedStatement,
    sha256: [u8; 32],
}

impl StoredStatement {
    /// Reads a statement's row.
    pub(super) fn read(row: Option<&[u8]>) -> Result<Self, Error> {
        let row = row.ok_or(Error::State("the tenant has no statement"))?;
        Ok(Self { signed: decode(row)?, sha256: sha256(&[row]) })
    }

    /// How a request names it.
    pub(super) fn reference(&self) -> StatementRef {
        StatementRef { sha256: self.sha256.to_vec(), signed: None }
    }

    /// The epoch that a message was sealed to: as the request names it, or the newest.
    pub(super) fn message_epoch(&self, role: Role, named: u64) -> Result<u64, Error> {
        if named > 0 {
            return Ok(named);
        }
        self.newest_epoch(role)?.ok_or(Error::State("the statement does not name the client role"))
    }

    /// The newest epoch of a role that it names; `None` where it does not name the role.
    pub(super) fn newest_epoch(&self, role: Role) -> Result<Option<u64>, Error> {
        let statement: Statement = decode(&self.signed.statement)?;
        let part = match role {
            Role::Client => statement.client,
            Role::Custodian => statement.custodian,
            Role::Unspecified => None,
        };
        Ok(part.and_then(|part| part.epochs.last().map(|epoch| epoch.epoch)))
    }
}

/// A stored record, and what must still stand in the store when it is replaced.
pub(super) struct StoredRecord {
    pub(super) sealed: SealedRecord,
    /// The row without its record.
    pub(super) row: RecordRow,
    pub(super) unchanged: Expect,
}

impl StoredRecord {
    /// Reads a record's row.
    pub(super) fn read(row: Option<&[u8]>) -> Result<Self, Error> {
        let bytes = row.ok_or(Error::NotFound("record"))?;
        let mut row: RecordRow = decode(bytes)?;
        let sealed = row.record.take().ok_or(Error::Internal("a record's row holds no record"))?;
        Ok(Self { sealed, row, unchanged: Expect::unchanged(Some(bytes)) })
    }
}

/// How a request names a KEK, and its wrapped bytes.
pub(super) struct StoredKek {
    pub(super) reference: KekRef,
    pub(super) wrapped: Vec<u8>,
}

impl App {
    /// The KEK of an epoch.
    pub(super) async fn kek(&self, tenant: &TenantId, role: Role, epoch: u64) -> Result<StoredKek, Error> {
        let row = self.store.get(keys::kek(tenant, role, epoch)).await?.ok_or(Error::NotFound("epoch"))?;
        let row: KekRow = decode(&row)?;
        let sha256 = sha256(&[&row.wrapped]).to_vec();
        Ok(StoredKek { reference: KekRef { epoch, sha256, wrapped: Vec::new() }, wrapped: row.wrapped })
    }

    /// The sealed shares of one generation of a record.
    pub(super) async fn shares(
        &self,
        tenant: &TenantId,
        record: &RecordId,
        role: Role,
        generation: u64,
    ) -> Result<Vec<SealedShare>, Error> {
        let prefix = keys::shares(tenant, record, role, generation);
        let rows = self.store.scan(prefix.clone(), None, PAIRS_MAX).await?;
        let share = |(key, row): (Vec<u8>, Vec<u8>)| {
            let pair = keys::last_name(&prefix, &key).ok_or(Error::Internal("a share's key does not parse"))?;
            let ShareRow { sealed, epoch } = decode(&row)?;
            Ok(SealedShare { generation, pair: pair.as_str().to_owned(), sealed, epoch })
        };
        rows.into_iter().map(share).collect()
    }
}

/// The epochs that a record and its shares are sealed under, the record's first.
pub(super) fn epochs(record: &StoredRecord, shares: &[SealedShare]) -> Vec<u64> {
    [record.sealed.epoch].into_iter().chain(shares.iter().map(|share| share.epoch)).collect()
}

/// What a signed receipt says; the enclave made it, so that it decodes.
pub(super) fn receipt(signed: Option<&SignedReceipt>) -> Result<Receipt, Error> {
    let signed = signed.ok_or(Error::Internal("a receipt is missing"))?;
    Receipt::decode(signed.receipt.as_slice()).map_err(|_| Error::Internal("a receipt does not decode"))
}
