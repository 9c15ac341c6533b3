//! Rows that several services need, read to types.

use prost::Message;
use strongroom_proto::enclave::v1::{KekRef, SealedRecord, SealedShare, StatementRef};
use strongroom_proto::id::{RecordId, TenantId, sha256};
use strongroom_proto::limits::PAIRS_MAX;
use strongroom_proto::v1::{Pair, Receipt, Role, SignedReceipt, SignedStatement, Statement};

use super::App;
use crate::error::Error;
use crate::keys::{self, Key, Name};
use crate::rows::{GenerationNote, KekRow, RecordRow, ShareRow, decode};
use crate::store::{Expect, Write};

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

/// Where a record stands.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) tenant: TenantId,
    pub(super) wallet: Name,
    pub(super) role: Role,
    pub(super) record_id: RecordId,
}

impl Place {
    /// The record's row.
    pub(super) fn key(&self) -> Key {
        keys::record(&self.tenant, &self.wallet, self.role, &self.record_id)
    }

    /// The rows of a generation's shares.
    pub(super) fn share_keys(&self, note: &GenerationNote) -> Result<Vec<Key>, Error> {
        let key = |pair: &Pair| {
            let pair = Name::parse("pair", &pair.id)?;
            Ok(keys::share(&self.tenant, &self.record_id, self.role, note.generation, &pair))
        };
        note.pairs.iter().map(key).collect()
    }

    /// The writes of new shares.
    pub(super) fn new_shares(&self, shares: Vec<SealedShare>) -> Result<Vec<Write>, Error> {
        if shares.len() > PAIRS_MAX {
            return Err(Error::Internal("the enclave answered too many shares"));
        }
        let write = |share: SealedShare| {
            let pair =
                Name::parse("pair", &share.pair).map_err(|_| Error::Internal("the enclave named a malformed pair"))?;
            let key = keys::share(&self.tenant, &self.record_id, self.role, share.generation, &pair);
            Ok(Write::new(key, ShareRow { sealed: share.sealed, epoch: share.epoch }.encode_to_vec()))
        };
        shares.into_iter().map(write).collect()
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

    /// A record with the shares of one of its generations, as they stand at one moment: a re-seal moves them together. No shares where
    /// the record names no such generation.
    pub(super) async fn opened(
        &self,
        place: &Place,
        record: StoredRecord,
        generation: u64,
    ) -> Result<(StoredRecord, Vec<SealedShare>), Error> {
        // The pairs of a generation never change, so that the row read before says where its shares are.
        let Some(note) = record.row.generations.iter().find(|note| note.generation == generation) else {
            return Ok((record, Vec::new()));
        };
        let all = [place.key()].into_iter().chain(place.share_keys(note)?).collect();
        let mut rows = self.store.get_all(all).await?.into_iter();
        let mut shares = Vec::with_capacity(note.pairs.len());
        let opened = StoredRecord::read(rows.next().flatten().as_deref())?;
        for (pair, row) in note.pairs.iter().zip(rows) {
            if let Some(row) = row {
                let ShareRow { sealed, epoch } = decode(&row)?;
                shares.push(SealedShare { generation, pair: pair.id.clone(), sealed, epoch });
            }
        }
        Ok((opened, shares))
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
