//! `ExportCapsule`: everything of one backup, of one moment, in chunks.

use std::collections::BTreeSet;
use std::time::Duration;

use prost::Message;
use strongroom_proto::id::TenantId;
use strongroom_proto::limits::{CAPSULE_BYTES_MAX, CAPSULE_CHUNK_BYTES_MAX};
use strongroom_proto::v1::{
    Capsule, CapsuleChunk, CapsuleCiphertext, CapsuleGeneration, CapsuleKek, CapsuleRole, CapsuleSeal,
    ClientCiphertext, ExportCapsuleRequest, Identity, Role, SignedReceipt, Storage, StoredShare,
};
use tokio::sync::mpsc;

use super::{Chunks, Exporting};
use crate::error::Error;
use crate::keys::{self, Key, Kind, Name};
use crate::rows::{BackupRow, BooksRow, CiphertextRow, GenerationNote, RecordRow, decode};
use crate::services::listing::Place;
use crate::services::load::{self, StoredRecord, StoredStatement};
use crate::services::{App, begin, roles};
use crate::store::Row;

/// Longest wait for a caller to take a chunk: whoever does not read keeps no room from others.
const CHUNK_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest time in which a caller takes a whole capsule: whoever reads slowly keeps no room from others either.
const CAPSULE_WAIT_MAX: Duration = Duration::from_mins(1);
/// Chunks that wait for the caller.
const CHUNKS_WAITING_MAX: usize = 2;

pub(in crate::services) async fn export(
    app: &App,
    tenant: TenantId,
    message: &ExportCapsuleRequest,
) -> Result<Chunks, Error> {
    let wallet = Name::parse("wallet", &message.wallet)?;
    let backup = Name::parse("backup", &message.backup)?;
    let room = app.capsules.export(&tenant)?;
    let bytes = begin(|| capsule(app, &tenant, &wallet, &backup)).await?.encode_to_vec();
    if bytes.len() > CAPSULE_BYTES_MAX {
        return Err(Error::Internal("a backup is larger than a capsule"));
    }
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
    tokio::spawn(send(bytes, sender, room, CAPSULE_WAIT_MAX));
    Ok(Chunks(receiver))
}

/// Sends the chunks until all are taken, the time is over, or the caller has gone. The room is held as long as the bytes are.
pub(in crate::services) async fn send(
    bytes: Vec<u8>,
    sender: mpsc::Sender<Result<CapsuleChunk, tonic::Status>>,
    room: Exporting,
    wait: Duration,
) {
    let all = async {
        for data in bytes.chunks(CAPSULE_CHUNK_BYTES_MAX) {
            let chunk = sender.send(Ok(CapsuleChunk { data: data.to_vec() }));
            if !matches!(tokio::time::timeout(CHUNK_WAIT_MAX, chunk).await, Ok(Ok(()))) {
                break;
            }
        }
    };
    // A capsule that was cut short says so itself.
    let _ = tokio::time::timeout(wait, all).await;
    drop((bytes, room));
}

/// One role's record, and where it stands.
struct Part {
    place: Place,
    record: RecordRow,
}

async fn capsule(app: &App, tenant: &TenantId, wallet: &Name, backup: &Name) -> Result<Capsule, Error> {
    let key = keys::backup(tenant, wallet, backup);
    let row: BackupRow = decode(&app.store.get(key).await?.ok_or(Error::NotFound("backup"))?)?;
    let record = row.record_id()?;
    let place = |role: Role| Place { tenant: *tenant, wallet: wallet.clone(), role, record };
    let places: Vec<Place> = row.roles().map(place).collect();
    let records = app.store.get_all(places.iter().map(Place::key).collect()).await?;
    let parts = places.into_iter().zip(&records).map(part).collect::<Result<Vec<Part>, Error>>()?;

    // Once more, with all that lies beside the records: of one moment, or it is begun anew.
    let events = parts.iter().flat_map(Part::puts);
    let keys: Vec<Key> = [keys::statement(tenant), keys::books(tenant, &record)]
        .into_iter()
        .chain(parts.iter().map(|part| part.place.key()))
        .chain(events)
        .collect();
    let (values, mut rows) = app.store.get_all_with(keys, parts.iter().flat_map(Part::prefixes).collect()).await?;
    let mut values = values.into_iter();
    let statement = values.next().flatten().ok_or(Error::State("the tenant has no statement"))?;
    let books = values.next().flatten();
    if !values.by_ref().take(parts.len()).eq(records) {
        return Err(Error::Conflict(Kind::Record));
    }
    check_whole(books.as_deref(), &parts)?;
    let of_tenant = StoredStatement::read(Some(&statement))?;
    let mut found = Found { events: values, rows: rows.drain(..) };
    let mut capsule = Capsule {
        format: 1,
        statement: Some(decode(&statement)?),
        wallet: wallet.as_str().to_owned(),
        backup: backup.as_str().to_owned(),
        method: row.method.clone(),
        secret: row.secret,
        storage: if row.is_self_managed() { Storage::SelfManaged.into() } else { Storage::Managed.into() },
        pairs: row.pairs.clone(),
        record_id: row.record_id.clone(),
        made_in: parts.iter().map(|part| part.place.role.into()).collect(),
        ..Capsule::default()
    };
    for part in parts {
        let generations = part.generations(&mut found, &mut capsule.ciphertexts)?;
        capsule.roles.push(part.role(app, &of_tenant, generations).await?);
    }
    Ok(capsule)
}

/// A capsule says nothing of the host's books: its next host would take for whole what lacks a part here, or was given up.
fn check_whole(books: Option<&[u8]>, parts: &[Part]) -> Result<(), Error> {
    let books: BooksRow = books.map(decode).transpose()?.unwrap_or_default();
    let named = |number: u64| parts.iter().any(|part| part.record.generations.iter().any(|it| it.generation == number));
    match books.generations.iter().find(|book| named(book.generation) && (book.closed != 0 || !book.missing.is_empty()))
    {
        Some(_) => Err(Error::State(
            "a generation of the backup lacks a part, or was given up: report what is stored or put the next one, and export then",
        )),
        None => Ok(()),
    }
}

fn part((place, row): (Place, &Option<Vec<u8>>)) -> Result<Part, Error> {
    let name = roles::name(place.role);
    let Some(row) = row else { return Err(Error::Damaged(format!("{name}: the record is missing"))) };
    let record: RecordRow = decode(row)?;
    StoredRecord::read(Some(row))?;
    if record.closed {
        return Err(Error::State("the backup was deleted").in_role(name));
    }
    Ok(Part { place, record })
}

/// What was read beside the records, in the order in which it was asked for.
struct Found<E, R> {
    events: E,
    rows: R,
}

impl Part {
    /// Where the receipts of the puts are.
    fn puts(&self) -> impl Iterator<Item = Key> {
        let Place { tenant, role, record, .. } = &self.place;
        self.record.generations.iter().map(|note| keys::event(tenant, record, *role, note.put_version))
    }

    /// Where shares and ciphertexts are: of each generation both, as far as the host keeps them.
    fn prefixes(&self) -> impl Iterator<Item = Key> {
        self.record.generations.iter().flat_map(|note| {
            let shares = (!self.record.outside).then(|| load::share_prefix(&self.place, note.generation));
            let Place { tenant, record, .. } = &self.place;
            let ciphertexts = note.ciphertexts.then(|| keys::ciphertexts(tenant, record, note.generation));
            shares.into_iter().chain(ciphertexts)
        })
    }

    /// Takes the generations, and the ciphertexts that lie beside them, out of what was found.
    fn generations(
        &self,
        found: &mut Found<impl Iterator<Item = Option<Vec<u8>>>, impl Iterator<Item = Vec<Row>>>,
        ciphertexts: &mut Vec<CapsuleCiphertext>,
    ) -> Result<Vec<CapsuleGeneration>, Error> {
        let mut generations = Vec::with_capacity(self.record.generations.len());
        for note in &self.record.generations {
            let put = found.events.next().flatten().ok_or_else(|| self.lacks(note, "the receipt of its put"))?;
            let shares = if self.record.outside { Vec::new() } else { self.shares(note, found.rows.next())? };
            if note.ciphertexts {
                ciphertexts.extend(self.ciphertexts(note, found.rows.next())?);
            }
            let seal = |seal: &crate::rows::SealNote| CapsuleSeal {
                pair: seal.pair.clone(),
                sha256: seal.sha256.clone(),
                epoch: seal.epoch,
            };
            generations.push(CapsuleGeneration {
                generation: note.generation,
                pairs: note.pairs.clone(),
                epoch: note.epoch,
                shares,
                put: Some(decode::<SignedReceipt>(&put)?),
                seals: note.seals.iter().map(seal).collect(),
            });
        }
        Ok(generations)
    }

    fn shares(&self, note: &GenerationNote, rows: Option<Vec<Row>>) -> Result<Vec<StoredShare>, Error> {
        let shares = load::shares(&self.place, note.generation, rows.unwrap_or_default())?;
        for pair in &note.pairs {
            if !shares.iter().any(|share| share.pair == pair.id && share.epoch == note.epoch) {
                return Err(self.lacks(note, &format!("the share of pair {}", pair.id)));
            }
        }
        let handed = shares.into_iter().map(crate::services::brought::handed);
        Ok(handed.filter(|share| note.pairs.iter().any(|pair| pair.id == share.pair)).collect())
    }

    fn ciphertexts(&self, note: &GenerationNote, rows: Option<Vec<Row>>) -> Result<Vec<CapsuleCiphertext>, Error> {
        let Place { tenant, record, .. } = &self.place;
        let prefix = keys::ciphertexts(tenant, record, note.generation);
        let mut all = Vec::with_capacity(note.pairs.len());
        for (key, row) in rows.unwrap_or_default() {
            let pair = keys::last_name(&prefix, &key).ok_or(Error::Internal("a ciphertext's key does not parse"))?;
            let CiphertextRow { ciphertext, sha256 } = decode(&row)?;
            let ciphertext = Some(ClientCiphertext { pair: pair.as_str().to_owned(), ciphertext, sha256 });
            all.push(CapsuleCiphertext { generation: note.generation, ciphertext });
        }
        for pair in &note.pairs {
            if !all.iter().any(|it| it.ciphertext.as_ref().is_some_and(|it| it.pair == pair.id)) {
                return Err(self.lacks(note, &format!("the ciphertext of pair {}", pair.id)));
            }
        }
        Ok(all)
    }

    fn lacks(&self, note: &GenerationNote, what: &str) -> Error {
        Error::Damaged(format!("{}: generation {} has lost {what}", roles::name(self.place.role), note.generation))
    }

    /// The role's part, with the KEKs of all its epochs and an attestation of each.
    async fn role(
        self,
        app: &App,
        statement: &StoredStatement,
        generations: Vec<CapsuleGeneration>,
    ) -> Result<CapsuleRole, Error> {
        let Self { place, record } = self;
        let (tenant, role) = (&place.tenant, place.role);
        let enclave = app.enclave_of(role, statement)?;
        let sealed = record.record.ok_or(Error::Internal("a record's row holds no record"))?;
        let shares = generations.iter().flat_map(|it| it.seals.iter().map(|seal| seal.epoch).chain([it.epoch]));
        let epochs: BTreeSet<u64> = [sealed.epoch].into_iter().chain(shares).collect();
        let (mut keks, mut attestations, mut manifest) = (Vec::new(), Vec::new(), Vec::new());
        for epoch in epochs {
            let kek = app.kek(tenant, role, epoch).await.map_err(|error| match error {
                Error::NotFound(_) => {
                    Error::Damaged(format!("{}: the KEK of epoch {epoch} is missing", roles::name(role)))
                }
                error => error,
            })?;
            let attested = app.attestation(enclave, tenant, &kek).await;
            let attestation = attested.map_err(|error| error.in_role(roles::name(role)))?;
            manifest = decode::<Identity>(&attestation.identity)?.manifest;
            attestations.push(attestation);
            keks.push(CapsuleKek { epoch, wrapped: kek.wrapped });
        }
        Ok(CapsuleRole {
            role: role.into(),
            manifest,
            keks,
            epoch: sealed.epoch,
            record: sealed.sealed,
            receipt: record.receipt,
            generations,
            open_acts: record.open_acts,
            attestations,
        })
    }
}
