//! The view of a wallet: its records as the enclave sees them, signed.
//!
//! One record that does not open would have the enclave refuse the whole view. Such a record is left out, and said in the log: a device
//! shows exactly what is signed, and a host that wants to leave a record out needs no damage for it.

use strongroom_proto::enclave::v1::{GetView, SealedRecord, request, response};
use strongroom_proto::id::{RecordId, TenantId};
use strongroom_proto::limits::RECORDS_MAX;
use strongroom_proto::v1::{Reason, Role, SignedView, WalletView};

use crate::enclave::Slots;
use crate::error::Error;
use crate::keys::{self, Kind, Name};
use crate::rows::decode;
use crate::services::listing::Place;
use crate::services::load::{StoredRecord, StoredStatement};
use crate::services::{App, begin};
use crate::status::reason_name;

/// Most readings of a wallet's records for one view: every one but the last seals the lowest of them again, or finds which are damaged.
const VIEW_READS_MAX: usize = 4;

/// What a view is of, and who signs it.
pub(super) struct Subject<'a> {
    pub(super) app: &'a App,
    pub(super) enclave: Slots<'a>,
    pub(super) tenant: &'a TenantId,
    pub(super) wallet: &'a Name,
    pub(super) statement: &'a StoredStatement,
    /// The newest epoch, which signs.
    pub(super) epoch: u64,
}

impl Subject<'_> {
    /// The records of the wallet as the enclave sees them, without those that are damaged.
    pub(super) async fn view(&self, nonce: Vec<u8>) -> Result<SignedView, Error> {
        for _ in 0..VIEW_READS_MAX {
            let records = self.records().await?;
            if self.sealed_again(&records).await? {
                continue;
            }
            match self.ask(records.clone(), nonce.clone()).await {
                Err(error) if is_damaged(&error) && !records.is_empty() => self.search(&records, error).await?,
                result => return result,
            }
        }
        Err(Error::Conflict(Kind::Record))
    }

    /// What is stored of the wallet's records, without what is known to be damaged.
    async fn records(&self) -> Result<Vec<SealedRecord>, Error> {
        let prefix = keys::records(self.tenant, self.wallet, self.role());
        let rows = self.app.store.scan(prefix.clone(), None, RECORDS_MAX).await?;
        let mut records = Vec::with_capacity(rows.len());
        for (key, row) in rows {
            let id = keys::last_id(&prefix, &key).ok_or(Error::Internal("a record's key does not parse"))?;
            match StoredRecord::read(Some(&row)) {
                Ok(StoredRecord { sealed, .. }) if sealed.record_id == id => {
                    if !self.app.damaged.knows(self.tenant, self.role(), &sealed) {
                        records.push(sealed);
                    }
                }
                _ => self.warn(&RecordId(id), "INTERNAL_ERROR"),
            }
        }
        Ok(records)
    }

    /// Seals the lowest records again where the records lie under more than one epoch beside the newest, and says whether it did.
    async fn sealed_again(&self, records: &[SealedRecord]) -> Result<bool, Error> {
        let others = records.iter().map(|record| record.epoch).filter(|epoch| *epoch != self.epoch);
        let Some(stays) = others.max() else { return Ok(false) };
        let low: Vec<&SealedRecord> = records.iter().filter(|record| record.epoch < stays).collect();
        for record in &low {
            let id = RecordId::from_slice(&record.record_id).ok_or(Error::Internal("a record without its id"))?;
            let place = Place { tenant: *self.tenant, wallet: self.wallet.clone(), role: self.role(), record: id };
            match self.app.reseal_record(&place, self.statement).await {
                // Another write came first: what it wrote is read next.
                Ok(()) | Err(Error::Conflict(_)) => {}
                Err(error) if is_damaged(&error) => self.leave_out(record, &error),
                Err(error) => return Err(error),
            }
        }
        Ok(!low.is_empty())
    }

    /// Asks for each record alone, and remembers those that are refused. An error that also an empty view meets is no record's fault.
    async fn search(&self, records: &[SealedRecord], refused: Error) -> Result<(), Error> {
        let nonce = || vec![0; 32];
        self.ask(Vec::new(), nonce()).await?;
        let mut found = false;
        for record in records {
            match self.ask(vec![record.clone()], nonce()).await {
                Ok(_) => {}
                Err(error) if is_damaged(&error) => {
                    self.leave_out(record, &error);
                    found = true;
                }
                Err(error) => return Err(error),
            }
        }
        if found { Ok(()) } else { Err(refused) }
    }

    async fn ask(&self, records: Vec<SealedRecord>, nonce: Vec<u8>) -> Result<SignedView, Error> {
        let opens: Vec<u64> = [self.epoch].into_iter().chain(records.iter().map(|record| record.epoch)).collect();
        let keks = self.app.keks(self.tenant, self.role(), self.statement, &opens).await?;
        let (kek, other_kek) = keks.references();
        let (tenant, wallet) = (self.tenant.0.to_vec(), self.wallet.as_str().to_owned());
        let body = GetView { tenant, kek, wallet, nonce, records, other_kek };
        match self.enclave.ask(request::Body::GetView(body), &keks.known(None)).await? {
            response::Body::View(view) => view.view.ok_or(Error::Internal("a view is missing")),
            _ => Err(Error::Internal("an enclave's answer to GetView")),
        }
    }

    fn leave_out(&self, record: &SealedRecord, error: &Error) {
        self.app.damaged.note(self.tenant, self.role(), record);
        let id = RecordId::from_slice(&record.record_id).unwrap_or(RecordId([0; 32]));
        self.warn(&id, reason_name(error.reason()));
    }

    fn warn(&self, record: &RecordId, reason: &str) {
        let (tenant, role, wallet) = (self.tenant, self.role(), self.wallet.as_str());
        tracing::warn!(name: "damaged, and left out of the view", %tenant, ?role, wallet, %record, reason);
    }

    fn role(&self) -> Role {
        self.enclave.role()
    }
}

/// What the enclave of a role says of a wallet now, for the host's own lists: nobody verifies it, so that its nonce needs no randomness.
///
/// # Errors
/// Where the role has no enclave here or no epoch in the statement, or the enclave does not answer.
pub(in crate::services) async fn read(
    app: &App,
    tenant: &TenantId,
    wallet: &Name,
    role: Role,
) -> Result<WalletView, Error> {
    app.enclave(role)?;
    let look = || async {
        let statement = StoredStatement::read(app.store.get(keys::statement(tenant)).await?.as_deref())?;
        let enclave = app.enclave_of(role, &statement)?;
        let epoch = statement.epochs(role)?.newest();
        let signed = Subject { app, enclave, tenant, wallet, statement: &statement, epoch }.view(vec![0; 32]).await?;
        decode(&signed.view)
    };
    begin(look).await
}

/// Whether the enclave says that a record is not what it should be. A KEK that is missing here is no record's damage: leaving out all
/// that lies under it would look like a wallet without backups.
fn is_damaged(error: &Error) -> bool {
    matches!(error, Error::Enclave { reason: Reason::DecryptFailed | Reason::BadRequest, .. })
}
