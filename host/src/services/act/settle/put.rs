//! What a put changes beside its records: the backup's books, what the device encrypted itself, and the queues.

use strongroom_proto::v1::{ClientCiphertext, Role};

use super::super::{Asked, Outcome, PutBackup, Work};
use crate::error::Error;
use crate::keys::{self, Name};
use crate::rows::{BackupRow, decode};
use crate::services::books::{self, Books, Put};
use crate::services::listing::Place;
use crate::services::load::StoredRecord;
use crate::services::{App, commits};
use crate::store::Write;

/// The backup that shares are put into, as it stands.
pub(in super::super) struct Target {
    id: Name,
    row: BackupRow,
    books: Books,
}

impl Target {
    /// Finds the backup that a record is of, and checks that what the device encrypted itself comes along where it must.
    pub(in super::super) async fn find(
        app: &App,
        place: &Place,
        record: &StoredRecord,
        given: &[ClientCiphertext],
    ) -> Result<Self, Error> {
        let id = Name::parse("backup", &record.sealed.backup)?;
        let Place { tenant, wallet, record, .. } = place;
        let rows = app.store.get_all(vec![keys::backup(tenant, wallet, &id), keys::books(tenant, record)]).await?;
        let [Some(row), books] = rows.as_slice() else { return Err(Error::Internal("a record without its backup")) };
        let (row, books) = (decode(row)?, Books::read(tenant, record, books.as_deref())?);
        books::check_ciphertexts(&row, given)?;
        Ok(Self { id, row, books })
    }

    /// The rows of the put, and the backup as it is then.
    pub(in super::super) fn settle(
        self,
        asked: &Asked,
        outcomes: &[Outcome],
    ) -> Result<(PutBackup, Vec<Write>), Error> {
        const NO_PUT: Error = Error::Internal("a put that puts nothing");
        let order = asked.orders.first().ok_or(NO_PUT)?;
        let Work::PutShares { generation, pairs, .. } = &order.work else { return Err(NO_PUT) };
        let put = Put {
            tenant: &asked.tenant,
            wallet: &order.place.wallet,
            backup: &self.id,
            row: &self.row,
            generation: *generation,
            pairs,
            ciphertexts: &asked.brought.ciphertexts,
        };
        let named = |number: u64| {
            outcomes.iter().flat_map(|outcome| &outcome.row.generations).any(|note| note.generation == number)
        };
        let (books, mut writes) = put.writes(&self.books, named)?;
        let waits = |outcome: &&Outcome| outcome.place.role == Role::Client && outcome.receipt.pending.is_some();
        // What is not whole is committed once its parts are reported.
        if let Some(outcome) = outcomes.iter().find(waits).filter(|_| !put.is_unfinished()) {
            writes.push(commits::waiting(&outcome.place, *generation));
        }
        Ok((PutBackup { id: self.id, row: self.row, books }, writes))
    }
}
