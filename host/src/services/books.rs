//! The host's books of a backup: what is missing of its generations, and what was given up. They bind this host alone: an enclave knows
//! nothing of them.
//!
//! One row for each backup, beside its records. Whoever changes it expects the records as he read them, and the commit of a generation
//! expects it: so an abort and a commit that meet do not both happen.

use prost::Message;
use strongroom_proto::id::{RecordId, TenantId};
use strongroom_proto::v1::{Backup, BackupReason, BackupState, ClientCiphertext, Pair, Role, SecretKind, Storage};

use super::App;
use super::backup::show::show;
use super::generations::Generations;
use super::listing::Place;
use crate::clock::now_ms;
use crate::error::Error;
use crate::keys::{self, Key, Name, Uncommitted};
use crate::rows::{BackupRow, BooksRow, CiphertextRow, GenerationBook, RecordRow, UnfinishedRow, decode};
use crate::store::{Expect, Write};

/// How long a part may be missing before its generation is given up: a day.
pub(super) const UNFINISHED_MS_MAX: u64 = 24 * 3600 * 1000;

/// The books of one backup, and what must still stand in the store when they are replaced.
pub(super) struct Books {
    key: Key,
    pub(super) row: BooksRow,
    expect: Expect,
}

impl Books {
    /// Reads the row of the books; without one every generation is whole.
    pub(super) fn read(tenant: &TenantId, record: &RecordId, row: Option<&[u8]>) -> Result<Self, Error> {
        let books = row.map(decode).transpose()?.unwrap_or_default();
        Ok(Self { key: keys::books(tenant, record), row: books, expect: Expect::unchanged(row) })
    }

    /// Checks that nothing keeps a generation from being committed.
    ///
    /// # Errors
    /// `BACKUP_INCOMPLETE` where a part is missing, `STATE_INVALID` where it was given up.
    pub(super) fn check_commit(&self, generation: u64) -> Result<(), Error> {
        match self.row.generations.iter().find(|book| book.generation == generation) {
            Some(book) if book.closed != 0 => Err(closed(BackupReason::try_from(book.closed).unwrap_or_default())),
            Some(book) if !book.failed.is_empty() => {
                Err(Error::Incomplete("a part of the generation was reported as failed"))
            }
            Some(book) if !book.missing.is_empty() => Err(Error::Incomplete("a part of the generation is not stored")),
            _ => Ok(()),
        }
    }

    /// A write that leaves the books as they were read, and fails where they are not so any more.
    pub(super) fn guard(&self) -> Write {
        self.replace(&self.row)
    }

    /// The write of other books in their place.
    pub(super) fn replace(&self, row: &BooksRow) -> Write {
        let put = (!row.generations.is_empty()).then(|| row.encode_to_vec());
        Write { key: self.key.clone(), expect: self.expect, put }
    }
}

/// Why nothing can be done about a generation that was given up.
fn closed(reason: BackupReason) -> Error {
    Error::State(match reason {
        BackupReason::Aborted => "the generation is CLOSED: it was aborted",
        BackupReason::Expired => "the generation is CLOSED: a part of it was missing for too long",
        _ => "the generation is CLOSED",
    })
}

/// A backup with everything that the host knows of it, as it stood at one moment.
pub(super) struct Stored {
    tenant: TenantId,
    wallet: Name,
    id: Name,
    pub(super) row: BackupRow,
    pub(super) record: RecordId,
    records: Vec<(Role, RecordRow)>,
    /// The records' rows as they were read.
    unchanged: Vec<Write>,
    pub(super) books: Books,
}

impl Stored {
    /// Finds a backup of a call.
    pub(super) async fn find(app: &App, tenant: &TenantId, wallet: &str, backup: &str) -> Result<Self, Error> {
        let (wallet, id) = (Name::parse("wallet", wallet)?, Name::parse("backup", backup)?);
        let row = app.store.get(keys::backup(tenant, &wallet, &id)).await?.ok_or(Error::NotFound("backup"))?;
        Self::read(app, tenant, &wallet, &id, decode(&row)?).await
    }

    /// Reads what stands beside a backup's row.
    pub(super) async fn read(
        app: &App,
        tenant: &TenantId,
        wallet: &Name,
        id: &Name,
        row: BackupRow,
    ) -> Result<Self, Error> {
        let record = row.record_id()?;
        let roles: Vec<Role> = row.roles().collect();
        let place = |role: &Role| keys::record(tenant, wallet, *role, &record);
        let keys = [keys::books(tenant, &record)].into_iter().chain(roles.iter().map(place));
        let rows = app.store.get_all(keys.collect()).await?;
        let [books, rows @ ..] = rows.as_slice() else { return Err(Error::Internal("rows are missing")) };
        let books = Books::read(tenant, &record, books.as_deref())?;
        let (mut records, mut unchanged) = (Vec::new(), Vec::new());
        for (role, found) in roles.iter().zip(rows) {
            let Some(found) = found else { continue };
            records.push((*role, decode(found)?));
            let expect = Expect::unchanged(Some(found));
            unchanged.push(Write { key: place(role), expect, put: Some(found.clone()) });
        }
        Ok(Self { tenant: *tenant, wallet: wallet.clone(), id: id.clone(), row, record, records, unchanged, books })
    }

    pub(super) fn generations(&self) -> Result<Generations<'_>, Error> {
        self.generations_at(now_ms())
    }

    fn generations_at(&self, now_ms: u64) -> Result<Generations<'_>, Error> {
        let records: Vec<_> = self.records.iter().map(|(role, record)| (*role, record)).collect();
        Generations::read(&self.row, &records, &self.books.row, now_ms)
    }

    /// As callers see it. A record that did not open for a view lately is suspect.
    pub(super) fn show(&self, app: &App) -> Result<Backup, Error> {
        let records: Vec<_> = self.records.iter().map(|(role, record)| (*role, record)).collect();
        let mut backup = show(&self.wallet, &self.id, &self.row, &records, &self.books.row)?;
        let known = |(role, row): &(Role, RecordRow)| {
            row.record.as_ref().is_some_and(|record| app.damaged.knows(&self.tenant, *role, record))
        };
        if backup.reason() == BackupReason::Unspecified && self.records.iter().any(known) {
            backup.reason = BackupReason::Suspect.into();
        }
        Ok(backup)
    }

    /// What stands of a generation that is neither active nor given up, to be changed.
    ///
    /// # Errors
    /// `NOT_FOUND` where no record names it, `STATE_INVALID` that says its state where that is final.
    pub(super) fn open_generation(&self, generation: u64) -> Result<GenerationBook, Error> {
        let all = self.generations()?;
        if all.is_deleted() {
            return Err(Error::State("the backup was deleted"));
        }
        all.pairs(generation).ok_or(Error::NotFound("generation"))?;
        match all.state(generation) {
            BackupState::Closed => return Err(closed(all.reason(generation))),
            BackupState::Active => return Err(Error::State("the generation is ACTIVE")),
            BackupState::Superseded => return Err(Error::State("the generation is SUPERSEDED")),
            BackupState::Pending | BackupState::Unspecified => {}
        }
        if all.is_half_committed(generation) {
            return Err(Error::State("the generation is PENDING, and the custodian has committed it"));
        }
        let book = self.books.row.generations.iter().find(|book| book.generation == generation);
        let whole = || GenerationBook { generation, added_ms: now_ms(), ..GenerationBook::default() };
        Ok(book.cloned().unwrap_or_else(whole))
    }

    /// The books with what stands of one generation now.
    fn with(&self, book: GenerationBook) -> BooksRow {
        let mut row = self.books.row.clone();
        row.generations.retain(|it| it.generation != book.generation);
        if book.closed != 0 || !book.missing.is_empty() {
            row.generations.push(book);
        }
        row.generations.sort_by_key(|it| it.generation);
        row
    }

    /// Changes what stands of one generation, if nothing of the backup has moved since it was read, and gives the backup as it is then.
    pub(super) async fn change(mut self, app: &App, book: GenerationBook, more: Vec<Write>) -> Result<Self, Error> {
        let row = self.with(book);
        let writes = [self.books.replace(&row)].into_iter().chain(self.unchanged.iter().cloned()).chain(more);
        app.store.commit(writes.collect()).await?;
        self.books.row = row;
        Ok(self)
    }

    /// Where a role's record stands.
    pub(super) fn place(&self, role: Role) -> Place {
        Place { tenant: self.tenant, wallet: self.wallet.clone(), role, record: self.record }
    }

    /// The row that has a generation given up unless its parts come.
    pub(super) fn unfinished(&self, generation: u64, since_ms: u64) -> Write {
        unfinished((&self.tenant, &self.record), &self.wallet, &self.id, generation, since_ms)
    }
}

fn unfinished(
    (tenant, record): (&TenantId, &RecordId),
    wallet: &Name,
    backup: &Name,
    generation: u64,
    since_ms: u64,
) -> Write {
    let time_ms = since_ms.saturating_add(UNFINISHED_MS_MAX);
    let key = Uncommitted { time_ms, tenant: *tenant, record: *record, generation };
    let row = UnfinishedRow { wallet: wallet.as_str().to_owned(), backup: backup.as_str().to_owned() };
    Write::new(keys::unfinished_generation(&key), row.encode_to_vec())
}

/// A generation that is put, as the books know it.
pub(super) struct Put<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) wallet: &'a Name,
    pub(super) backup: &'a Name,
    pub(super) row: &'a BackupRow,
    pub(super) generation: u64,
    pub(super) pairs: &'a [Pair],
    pub(super) ciphertexts: &'a [ClientCiphertext],
}

impl Put<'_> {
    /// Whether the caller has to report a part of it.
    pub(super) fn is_unfinished(&self) -> bool {
        self.row.is_self_managed()
    }

    /// The books afterwards, which name no generation that the records do not `name`, and the rows that go with them.
    pub(super) fn writes(&self, books: &Books, named: impl Fn(u64) -> bool) -> Result<(BooksRow, Vec<Write>), Error> {
        let mut row = books.row.clone();
        row.generations.retain(|book| named(book.generation) && book.generation != self.generation);
        let record = self.row.record_id()?;
        let mut writes = Vec::new();
        if self.is_unfinished() {
            let (added_ms, missing) = (now_ms(), self.pairs.iter().map(|pair| pair.id.clone()).collect());
            let missing_since_ms = added_ms;
            let generation = self.generation;
            row.generations.push(GenerationBook {
                generation,
                added_ms,
                missing,
                missing_since_ms,
                ..GenerationBook::default()
            });
            let of = (self.tenant, &record);
            writes.push(unfinished(of, self.wallet, self.backup, generation, missing_since_ms));
        }
        for ClientCiphertext { pair, ciphertext, sha256 } in self.ciphertexts {
            let pair = Name::parse("client_ciphertexts.pair", pair)?;
            let row = CiphertextRow { ciphertext: ciphertext.clone(), sha256: sha256.clone() };
            let key = keys::ciphertext(self.tenant, &record, self.generation, &pair);
            writes.push(Write::new(key, row.encode_to_vec()));
        }
        if row != books.row {
            writes.push(books.replace(&row));
        }
        Ok((row, writes))
    }
}

/// The role with whose record a backup's ciphertexts come and go.
pub(super) fn keeper(roles: &[Role]) -> Role {
    if roles.contains(&Role::Client) { Role::Client } else { Role::Custodian }
}

/// Checks that the device's ciphertexts are there exactly where no enclave keeps the client share, and their bytes exactly where the
/// host is to keep them.
pub(super) fn check_ciphertexts(row: &BackupRow, given: &[ClientCiphertext]) -> Result<(), Error> {
    const FIELD: &str = "client_ciphertexts.ciphertext";
    let in_escrow = row.secret == i32::from(SecretKind::Key);
    let needed = in_escrow || !row.roles().any(|role| role == Role::Client);
    if needed == given.is_empty() {
        let limit = if needed {
            "one for each pair, sorted by pair: no enclave keeps the client share"
        } else {
            "empty: an enclave keeps the client share"
        };
        return Err(Error::bad("client_ciphertexts", limit));
    }
    match (row.is_self_managed(), given) {
        (true, given) if given.iter().any(|it| !it.ciphertext.is_empty()) => {
            Err(Error::bad(FIELD, "empty: the caller keeps it"))
        }
        (false, given) if given.iter().any(|it| it.ciphertext.is_empty()) => {
            Err(Error::bad(FIELD, "required: the host keeps it"))
        }
        _ => Ok(()),
    }
}

/// Who is to keep the client's part, by a creation.
pub(super) fn storage(given: i32) -> Result<Storage, Error> {
    match Storage::try_from(given) {
        Ok(Storage::Unspecified | Storage::Managed) => Ok(Storage::Managed),
        Ok(Storage::SelfManaged) => Ok(Storage::SelfManaged),
        Err(_) => Err(Error::bad("storage", "a known storage")),
    }
}
