//! Whether a capsule is whole and says one thing: every part of the form that it must have, and each as the others have it.
//!
//! This is no reason to believe it. What it says comes to the store, and opens in an enclave or does not.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_proto::enclave::v1::{SealedRecord, SealedShare};
use strongroom_proto::id::{RecordId, TenantId, sha256};
use strongroom_proto::limits::{CIPHERTEXT_BYTES_MAX, GENERATIONS_MAX};
use strongroom_proto::names;
use strongroom_proto::v1::{
    Capsule, CapsuleCiphertext, CapsuleGeneration, CapsuleKek, CapsuleRole, ClientCiphertext, Receipt, Role,
    SecretKind, SignedReceipt, SignedStatement, Statement, Storage,
};

use super::form;
use crate::clock::now_ms;
use crate::error::Error;
use crate::keys::Name;
use crate::rows::{BackupRow, GenerationNote, RecordRow, SealNote};
use crate::services::epochs::Epochs;
use crate::services::listing::Place;
use crate::services::{books, check, roles};

/// What a capsule holds, as rows.
pub(super) struct Checked {
    pub(super) tenant: TenantId,
    pub(super) statement: SignedStatement,
    pub(super) serial: u64,
    pub(super) wallet: Name,
    pub(super) backup: Name,
    pub(super) row: BackupRow,
    pub(super) roles: Vec<CheckedRole>,
    pub(super) ciphertexts: Vec<(u64, ClientCiphertext)>,
}

/// One role's part of it.
pub(super) struct CheckedRole {
    pub(super) place: Place,
    pub(super) keks: Vec<CapsuleKek>,
    pub(super) record: RecordRow,
    pub(super) shares: Vec<SealedShare>,
    /// Receipts by their versions.
    pub(super) events: BTreeMap<u64, SignedReceipt>,
    /// The generation that waits.
    pub(super) pending: u64,
}

/// Checks a capsule whose statement was found to be this tenant's.
pub(super) fn check(
    tenant: TenantId,
    signed: SignedStatement,
    statement: Statement,
    capsule: Capsule,
) -> Result<Checked, Error> {
    if capsule.format != 1 {
        return Err(Error::bad("format", "1"));
    }
    let wallet = Name::parse("wallet", &capsule.wallet)?;
    let backup = Name::parse("backup", &capsule.backup)?;
    let row = row(&capsule)?;
    let record = row.record_id().map_err(|_| Error::bad("record_id", "exactly 32 bytes"))?;
    let serial = statement.serial;
    let (client, custodian) = (Epochs::named(statement.client), Epochs::named(statement.custodian));
    let mut checked = Vec::with_capacity(capsule.roles.len());
    for part in capsule.roles {
        let role = check::role("roles.role", part.role)?;
        let epochs = if role == Role::Client { &client } else { &custodian };
        let newest = epochs.as_ref().map(Epochs::newest).ok_or_else(|| Error::bad("roles.role", "of the statement"))?;
        let place = Place { tenant, wallet: wallet.clone(), role, record };
        let checked_role = self::role(&row, &backup, place, part, newest);
        checked.push(checked_role.map_err(|error| error.in_role(roles::name(role)))?);
    }
    let ciphertexts = ciphertexts(&row, &mut checked, capsule.ciphertexts)?;
    Ok(Checked { tenant, statement: signed, serial, wallet, backup, row, roles: checked, ciphertexts })
}

/// The backup's row, of the roles that the capsule has.
fn row(capsule: &Capsule) -> Result<BackupRow, Error> {
    if !names::is_method(&capsule.method) {
        return Err(Error::bad("method", "1 to 32 bytes of [A-Z0-9_-]"));
    }
    let secret = SecretKind::try_from(capsule.secret).unwrap_or_default();
    if secret == SecretKind::Unspecified {
        return Err(Error::bad("secret", "a known kind"));
    }
    let storage = Storage::try_from(capsule.storage).unwrap_or_default();
    if storage == Storage::Unspecified {
        return Err(Error::bad("storage", "a known storage"));
    }
    form::pairs("pairs", &capsule.pairs)?;
    RecordId::from_slice(&capsule.record_id).ok_or_else(|| Error::bad("record_id", "exactly 32 bytes"))?;
    let roles: Vec<i32> = capsule.roles.iter().map(|part| part.role).collect();
    if roles.is_empty() || !form::ascends(&roles, |role| *role) {
        return Err(Error::bad("roles", "client, custodian or both, in this order"));
    }
    if capsule.made_in != roles {
        return Err(Error::bad("made_in", "the roles of roles: the capsule was cut short, or lacks one"));
    }
    Ok(BackupRow {
        record_id: capsule.record_id.clone(),
        method: capsule.method.clone(),
        secret: capsule.secret,
        pairs: capsule.pairs.clone(),
        roles,
        created_ms: now_ms(),
        storage: capsule.storage,
    })
}

fn role(row: &BackupRow, backup: &Name, place: Place, part: CapsuleRole, newest: u64) -> Result<CheckedRole, Error> {
    form::manifest(&part.manifest, &place)?;
    form::keks(&part.keks, newest)?;
    form::attestations(&part.attestations, &part.keks, &place)?;
    form::open_acts(&part.open_acts)?;
    if !(1..=form::RECORD_BYTES_MAX).contains(&part.record.len()) {
        return Err(Error::bad("roles.record", format!("1 to {} bytes", form::RECORD_BYTES_MAX)));
    }
    let newest = form::receipt("roles.receipt", part.receipt.as_ref(), &place)?;
    let signed = part.receipt.clone().unwrap_or_default();
    let mut role = CheckedRole {
        record: RecordRow {
            record: Some(SealedRecord {
                wallet: place.wallet.as_str().to_owned(),
                record_id: place.record.0.to_vec(),
                backup: backup.as_str().to_owned(),
                epoch: part.epoch,
                sealed: part.record,
            }),
            receipt: part.receipt,
            generations: Vec::new(),
            open_acts: part.open_acts,
            closed: false,
            outside: row.keeps_outside(place.role),
        },
        place,
        keks: part.keks,
        shares: Vec::new(),
        events: BTreeMap::from([(newest.version, signed)]),
        pending: newest.pending.as_ref().map_or(0, |pending| pending.generation),
    };
    let field = "roles.generations";
    if !(1..=GENERATIONS_MAX).contains(&part.generations.len()) || !form::ascends(&part.generations, |it| it.generation)
    {
        return Err(Error::bad(field, format!("1 to {GENERATIONS_MAX}, in order of their numbers, each once")));
    }
    for generation in part.generations {
        role.take(generation, &newest)?;
    }
    role.check_named(&newest)?;
    role.check_keks(part.epoch)?;
    Ok(role)
}

impl CheckedRole {
    /// Takes a generation in.
    fn take(&mut self, given: CapsuleGeneration, newest: &Receipt) -> Result<(), Error> {
        let CapsuleGeneration { generation, pairs, epoch, shares, put, seals } = given;
        form::pairs("roles.generations.pairs", &pairs)?;
        let field = "roles.generations.put";
        let receipt = form::receipt(field, put.as_ref(), &self.place)?;
        let about = receipt.pending.as_ref().or(receipt.active.as_ref()).map(|named| named.generation);
        if about != Some(generation) || generation == 0 {
            return Err(Error::bad(field, "of a put of the generation"));
        }
        let before = self.record.generations.last().map_or(0, |note| note.put_version);
        if receipt.version <= before || receipt.version > newest.version {
            return Err(Error::bad(field, "of a version above the put's before, and not above the newest receipt's"));
        }
        let put = put.unwrap_or_default();
        if self.events.insert(receipt.version, put.clone()).is_some_and(|there| there != put) {
            return Err(Error::bad(field, "the newest receipt where it has its version"));
        }
        let field = "roles.generations.shares";
        let expected = if self.record.outside { &[] } else { pairs.as_slice() };
        let named = shares.iter().map(|share| (share.pair.as_str(), share.generation));
        if !named.eq(expected.iter().map(|pair| (pair.id.as_str(), generation))) {
            let limit = "one for each pair, in their order; none where the caller keeps them";
            return Err(Error::bad(field, limit));
        }
        for share in shares {
            form::sealed(share.sealed.len())?;
            self.shares.push(SealedShare { generation, pair: share.pair, sealed: share.sealed, epoch });
        }
        let field = "roles.generations.seals";
        let of_pair = |id: &str| seals.iter().filter(|seal| seal.pair == id && seal.sha256.len() == 32).count();
        let noted = self.record.outside && pairs.iter().all(|pair| (1..=2).contains(&of_pair(&pair.id)));
        let counted: usize = pairs.iter().map(|pair| of_pair(&pair.id)).sum();
        if counted != seals.len() || (!noted && self.record.outside) || (!self.record.outside && !seals.is_empty()) {
            let limit = "one or two for each pair, with hashes of 32 bytes; none where the host keeps the shares";
            return Err(Error::bad(field, limit));
        }
        let seals = seals.into_iter().map(|it| SealNote { pair: it.pair, sha256: it.sha256, epoch: it.epoch });
        let (put_version, seals) = (receipt.version, seals.collect());
        self.record.generations.push(GenerationNote {
            generation,
            pairs,
            epoch,
            put_version,
            seals,
            ciphertexts: false,
        });
        Ok(())
    }

    /// Checks that what the newest receipt names is there.
    fn check_named(&self, newest: &Receipt) -> Result<(), Error> {
        let is_there = |number: u64| self.record.generations.iter().any(|note| note.generation == number);
        let mut named = newest.active.iter().chain(&newest.pending);
        if newest.active.is_none() || !named.all(|named| is_there(named.generation)) {
            return Err(Error::bad("roles.generations", "with the ones that the newest receipt names"));
        }
        Ok(())
    }

    /// Checks that there is a KEK of every epoch that something lies under, and of no other.
    fn check_keks(&self, epoch: u64) -> Result<(), Error> {
        let notes = &self.record.generations;
        let shares = notes.iter().flat_map(|note| note.seals.iter().map(|seal| seal.epoch).chain([note.epoch]));
        let needed: BTreeSet<u64> = [epoch].into_iter().chain(shares).collect();
        if needed.into_iter().eq(self.keks.iter().map(|kek| kek.epoch)) {
            Ok(())
        } else {
            Err(Error::bad("roles.keks", "one for each epoch that something of the role lies under"))
        }
    }
}

/// Checks what the device encrypted itself: for every generation of the role that it is kept with, or for none.
fn ciphertexts(
    row: &BackupRow,
    roles: &mut [CheckedRole],
    given: Vec<CapsuleCiphertext>,
) -> Result<Vec<(u64, ClientCiphertext)>, Error> {
    let field = "ciphertexts";
    let mut all = Vec::with_capacity(given.len());
    for it in given {
        let ciphertext = it.ciphertext.ok_or_else(|| Error::bad("ciphertexts.ciphertext", "required"))?;
        check::exactly("ciphertexts.ciphertext.sha256", ciphertext.sha256.len(), 32)?;
        check::at_most("ciphertexts.ciphertext.ciphertext", ciphertext.ciphertext.len(), CIPHERTEXT_BYTES_MAX)?;
        if !ciphertext.ciphertext.is_empty() && ciphertext.sha256 != sha256(&[&ciphertext.ciphertext]) {
            return Err(Error::HashMismatch { field: "ciphertexts.ciphertext" });
        }
        all.push((it.generation, ciphertext));
    }
    let keeper = books::keeper(&row.roles().collect::<Vec<_>>());
    let of_keeper = roles.iter_mut().filter(|role| role.place.role == keeper);
    let notes: Vec<&mut GenerationNote> = of_keeper.flat_map(|role| &mut role.record.generations).collect();
    let expected = notes.iter().flat_map(|note| note.pairs.iter().map(|pair| (note.generation, pair.id.as_str())));
    if !all.is_empty() && !all.iter().map(|(generation, it)| (*generation, it.pair.as_str())).eq(expected) {
        return Err(Error::bad(field, "one for each pair of each generation, in their order"));
    }
    let just: Vec<ClientCiphertext> = all.iter().map(|(_, ciphertext)| ciphertext.clone()).collect();
    books::check_ciphertexts(row, &just)?;
    for note in notes {
        note.ciphertexts = !all.is_empty();
    }
    Ok(all)
}
