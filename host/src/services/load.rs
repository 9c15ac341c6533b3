//! Rows that several services need, read to types.

use prost::Message;
use strongroom_proto::enclave::v1::{KekRef, SealedRecord, SealedShare, StatementRef};
use strongroom_proto::id::{TenantId, sha256};
use strongroom_proto::limits::PAIRS_MAX;
use strongroom_proto::v1::{Pair, Receipt, Role, SignedReceipt, SignedStatement, Statement};

use super::App;
use super::epochs::Epochs;
use super::listing::Place;
use crate::error::Error;
use crate::keys::{self, Key, Kind, Name};
use crate::rows::{GenerationNote, KekRow, RecordRow, ShareRow, decode};
use crate::store::{Expect, Row, Write};

/// The stored statement.
pub(super) struct StoredStatement {
    pub(super) signed: SignedStatement,
    sha256: [u8; 32],
    client: Option<Epochs>,
    custodian: Option<Epochs>,
    /// The PCR16 values that it lists of each role, the client's first.
    pcr16: [Vec<Vec<u8>>; 2],
}

impl StoredStatement {
    /// Reads a statement's row.
    pub(super) fn read(row: Option<&[u8]>) -> Result<Self, Error> {
        let row = row.ok_or(Error::State("the tenant has no statement"))?;
        let signed: SignedStatement = decode(row)?;
        let statement: Statement = decode(&signed.statement)?;
        let pcr16 = [&statement.client, &statement.custodian]
            .map(|role| role.as_ref().map(|role| role.pcr16.clone()).unwrap_or_default());
        let (client, custodian) = (Epochs::named(statement.client), Epochs::named(statement.custodian));
        Ok(Self { signed, sha256: sha256(&[row]), client, custodian, pcr16 })
    }

    /// How a request names it.
    pub(super) fn reference(&self) -> StatementRef {
        StatementRef { sha256: self.sha256.to_vec(), signed: None }
    }

    /// What it says of a role's epochs.
    pub(super) fn epochs(&self, role: Role) -> Result<&Epochs, Error> {
        self.named_epochs(role).ok_or(Error::State("the statement does not name the role"))
    }

    /// The newest epoch of a role that it names; `None` where it does not name the role.
    pub(super) fn newest_epoch(&self, role: Role) -> Option<u64> {
        self.named_epochs(role).map(Epochs::newest)
    }

    /// The PCR16 values of a role that devices believe.
    pub(super) fn pcr16(&self, role: Role) -> &[Vec<u8>] {
        match (role, &self.pcr16) {
            (Role::Client, [listed, _]) | (Role::Custodian, [_, listed]) => listed,
            (Role::Unspecified, _) => &[],
        }
    }

    fn named_epochs(&self, role: Role) -> Option<&Epochs> {
        match role {
            Role::Client => self.client.as_ref(),
            Role::Custodian => self.custodian.as_ref(),
            Role::Unspecified => None,
        }
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
#[derive(Clone)]
pub(super) struct StoredKek {
    pub(super) reference: KekRef,
    pub(super) wrapped: Vec<u8>,
}

impl App {
    /// The KEK of an epoch.
    pub(super) async fn kek(&self, tenant: &TenantId, role: Role, epoch: u64) -> Result<StoredKek, Error> {
        let place = (*tenant, role, epoch);
        if let Some(kek) = self.keks.get(&place) {
            return Ok(kek);
        }
        let row = self.store.get(keys::kek(tenant, role, epoch)).await?.ok_or(Error::NotFound("epoch"))?;
        let row: KekRow = decode(&row)?;
        let sha256 = sha256(&[&row.wrapped]).to_vec();
        let kek = StoredKek { reference: KekRef { epoch, sha256, wrapped: Vec::new() }, wrapped: row.wrapped };
        self.keks.keep(place, kek.clone());
        Ok(kek)
    }

    /// A record as it stands.
    pub(super) async fn record(&self, place: &Place) -> Result<StoredRecord, Error> {
        StoredRecord::read(self.store.get(place.key()).await?.as_deref())
    }

    /// The sealed shares of one generation of a record, as far as there are any.
    ///
    /// # Errors
    /// `VERSION_CONFLICT` where the record does not stand there any more as it was read: its shares would not fit it.
    pub(super) async fn shares(
        &self,
        place: &Place,
        record: &StoredRecord,
        generation: u64,
    ) -> Result<Vec<SealedShare>, Error> {
        let prefix = share_prefix(place, generation);
        let (mut now, mut rows) = self.store.get_all_with(vec![place.key()], vec![prefix]).await?;
        if Expect::unchanged(now.pop().flatten().as_deref()) != record.unchanged {
            return Err(Error::Conflict(Kind::Record));
        }
        shares(place, generation, rows.pop().unwrap_or_default())
    }
}

/// Start of the keys of a generation's shares.
pub(super) fn share_prefix(place: &Place, generation: u64) -> Key {
    keys::shares(&place.tenant, &place.record, place.role, generation)
}

/// Reads the rows of a generation's shares, which come in the order of their pairs.
pub(super) fn shares(place: &Place, generation: u64, rows: Vec<Row>) -> Result<Vec<SealedShare>, Error> {
    let prefix = share_prefix(place, generation);
    let share = |(key, row): Row| {
        let pair = keys::last_name(&prefix, &key).ok_or(Error::Internal("a share's key does not parse"))?;
        let ShareRow { sealed, epoch } = decode(&row)?;
        Ok(SealedShare { generation, pair: pair.as_str().to_owned(), sealed, epoch })
    };
    rows.into_iter().map(share).collect()
}

/// The rows of a generation's shares.
pub(super) fn share_keys(place: &Place, note: &GenerationNote) -> Result<Vec<Key>, Error> {
    let Place { tenant, role, record, .. } = place;
    let key = |pair: &Pair| {
        let pair = Name::parse("pair", &pair.id)?;
        Ok(keys::share(tenant, record, *role, note.generation, &pair))
    };
    note.pairs.iter().map(key).collect()
}

/// The writes of new shares.
pub(super) fn new_shares(place: &Place, shares: Vec<SealedShare>) -> Result<Vec<Write>, Error> {
    if shares.len() > PAIRS_MAX {
        return Err(Error::Internal("the enclave answered too many shares"));
    }
    share_rows(place, shares)
}

/// The writes of shares that are not there yet, of any number of generations.
pub(super) fn share_rows(place: &Place, shares: Vec<SealedShare>) -> Result<Vec<Write>, Error> {
    let write = |share: SealedShare| {
        let pair =
            Name::parse("pair", &share.pair).map_err(|_| Error::Internal("the enclave named a malformed pair"))?;
        let key = keys::share(&place.tenant, &place.record, place.role, share.generation, &pair);
        Ok(Write::new(key, ShareRow { sealed: share.sealed, epoch: share.epoch }.encode_to_vec()))
    };
    shares.into_iter().map(write).collect()
}

/// What a signed receipt says; the enclave made it, so that it decodes.
pub(super) fn receipt(signed: Option<&SignedReceipt>) -> Result<Receipt, Error> {
    let signed = signed.ok_or(Error::Internal("a receipt is missing"))?;
    Receipt::decode(signed.receipt.as_slice()).map_err(|_| Error::Internal("a receipt does not decode"))
}
