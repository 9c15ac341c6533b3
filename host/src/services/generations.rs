//! Where the generations of a backup stand: by its records' receipts, and by the host's books.
//!
//! In force is a generation that every role has active and of which every part is stored. Where the newest one lacks a part or was given
//! up, the one before it goes on to be in force as long as it opens.

use std::collections::BTreeSet;

use strongroom_proto::limits::GRACE_MS;
use strongroom_proto::v1::{
    BackupPart, BackupReason, BackupState, GenerationRef, GenerationState, Pair, Role, SecretKind, StoredPart,
};

use super::load;
use crate::error::Error;
use crate::rows::{BackupRow, BooksRow, GenerationBook, GenerationNote, RecordRow};

/// The generations of a backup, at a time of the host's clock.
pub(super) struct Generations<'a> {
    row: &'a BackupRow,
    books: &'a BooksRow,
    standings: Vec<Standing<'a>>,
    /// Every role's record is there.
    complete: bool,
    now_ms: u64,
}

/// One role's record, and the generations that its newest receipt names.
struct Standing<'a> {
    role: Role,
    record: &'a RecordRow,
    active: u64,
    pending: u64,
}

impl<'a> Standing<'a> {
    fn read(role: Role, record: &'a RecordRow) -> Result<Self, Error> {
        let receipt = load::receipt(record.receipt.as_ref())?;
        let number = |named: Option<GenerationRef>| named.map_or(0, |named| named.generation);
        Ok(Self { role, record, active: number(receipt.active), pending: number(receipt.pending) })
    }

    /// Where a generation stands in the role; `None` where the record does not name it.
    fn state(&self, number: u64) -> Option<GenerationState> {
        self.note(number)?;
        Some(match number {
            active if active == self.active => GenerationState::Active,
            pending if pending == self.pending => GenerationState::Pending,
            _ => GenerationState::Former,
        })
    }

    fn note(&self, number: u64) -> Option<&'a GenerationNote> {
        self.record.generations.iter().find(|note| note.generation == number)
    }
}

impl<'a> Generations<'a> {
    pub(super) fn read(
        row: &'a BackupRow,
        records: &[(Role, &'a RecordRow)],
        books: &'a BooksRow,
        now_ms: u64,
    ) -> Result<Self, Error> {
        let standings =
            records.iter().map(|(role, record)| Standing::read(*role, record)).collect::<Result<Vec<_>, _>>()?;
        let complete = row.roles().all(|role| standings.iter().any(|it| it.role == role)) && !standings.is_empty();
        Ok(Self { row, books, standings, complete, now_ms })
    }

    /// Their numbers: whatever a record names.
    pub(super) fn numbers(&self) -> BTreeSet<u64> {
        self.standings.iter().flat_map(|it| &it.record.generations).map(|note| note.generation).collect()
    }

    /// The pairs of one; `None` where no record names it.
    pub(super) fn pairs(&self, number: u64) -> Option<&'a [Pair]> {
        self.standings.iter().find_map(|it| it.note(number)).map(|note| note.pairs.as_slice())
    }

    /// Whether the backup was deleted in every role.
    pub(super) fn is_deleted(&self) -> bool {
        self.complete && self.standings.iter().all(|it| it.record.closed)
    }

    /// Whether one waits for its commit.
    pub(super) fn waits(&self, number: u64) -> bool {
        self.standings.iter().any(|it| it.role == Role::Client && it.pending == number)
    }

    /// Whether the custodian has committed one that still waits at the client: what was begun so is finished.
    pub(super) fn is_half_committed(&self, number: u64) -> bool {
        self.waits(number) && self.standings.iter().any(|it| it.role == Role::Custodian && it.active == number)
    }

    /// Where one stands over all roles.
    pub(super) fn state(&self, number: u64) -> BackupState {
        match self.book(number) {
            Some(book) if book.closed != 0 => BackupState::Closed,
            Some(book) if !book.missing.is_empty() => BackupState::Pending,
            _ if self.is_active(number) => BackupState::Active,
            _ if !self.opens(number) => BackupState::Pending,
            // The one that every role has active is not whole: this one is in force in its stead.
            _ if self.active().is_some() && self.in_force() == Some(number) => BackupState::Active,
            _ => BackupState::Superseded,
        }
    }

    /// Why one is not, or no longer, active.
    pub(super) fn reason(&self, number: u64) -> BackupReason {
        match self.book(number) {
            Some(book) if book.closed != 0 => BackupReason::try_from(book.closed).unwrap_or_default(),
            Some(book) if !book.failed.is_empty() => BackupReason::Failed,
            _ => BackupReason::Unspecified,
        }
    }

    /// The one that a recovery of all roles would take. Between the two halves of a commit none is the active one of both roles, and the
    /// one before opens in both.
    pub(super) fn in_force(&self) -> Option<u64> {
        let whole = |number: &u64| self.book(*number).is_none_or(|book| book.closed == 0 && book.missing.is_empty());
        let numbers = self.numbers();
        let mut opening = numbers.iter().rev().filter(|number| whole(number) && self.opens(**number));
        match self.active() {
            Some(active) if whole(&active) => Some(active),
            Some(active) => opening.find(|number| **number < active && self.is_in_grace(**number)).copied(),
            None => opening.next().copied(),
        }
    }

    /// The parts that are stored of one, in order of pair and part.
    pub(super) fn stored(&self, number: u64) -> Vec<StoredPart> {
        let book = self.book(number);
        let is_stored = |pair: &Pair| book.is_none_or(|book| !book.missing.contains(&pair.id));
        let key = self.row.secret == SecretKind::Key as i32;
        let mut parts = Vec::new();
        for standing in &self.standings {
            let Some(note) = standing.note(number) else { continue };
            for pair in &note.pairs {
                let mut add = |part: BackupPart| parts.push(StoredPart { pair: pair.id.clone(), part: part.into() });
                match standing.role {
                    Role::Custodian => add(BackupPart::CustodianStored),
                    _ if key => add(BackupPart::KeyStored),
                    _ if is_stored(pair) => add(BackupPart::ClientStored),
                    _ => {}
                }
                if note.ciphertexts && is_stored(pair) {
                    add(BackupPart::ClientStored);
                }
            }
        }
        parts.sort_by(|a, b| (&a.pair, a.part).cmp(&(&b.pair, b.part)));
        parts
    }

    fn book(&self, number: u64) -> Option<&'a GenerationBook> {
        self.books.generations.iter().find(|book| book.generation == number)
    }

    /// The one that every role has active.
    fn active(&self) -> Option<u64> {
        self.numbers().into_iter().find(|number| self.is_active(*number))
    }

    fn is_active(&self, number: u64) -> bool {
        self.in_all(number, |state| state == GenerationState::Active)
    }

    fn opens(&self, number: u64) -> bool {
        self.in_all(number, |state| matches!(state, GenerationState::Active | GenerationState::Former))
    }

    fn in_all(&self, number: u64, holds: fn(GenerationState) -> bool) -> bool {
        self.complete && self.standings.iter().all(|it| it.state(number).is_some_and(holds))
    }

    /// In a record of one role a former generation opens for a while only after the next one was put.
    fn is_in_grace(&self, number: u64) -> bool {
        let next = self.numbers().into_iter().find(|next| *next > number).and_then(|next| self.book(next));
        let ended = |next: &GenerationBook| self.now_ms >= next.added_ms.saturating_add(GRACE_MS);
        self.standings.len() > 1 || !next.is_some_and(ended)
    }
}
