//! The generations of a record: one active, the former ones, and at most one that waits for its commit.

use alloc::format;
use alloc::vec::Vec;

use strongroom_proto::enclave::v1::Generation;
use strongroom_proto::limits::{GENERATION_STEP_MAX, GENERATIONS_MAX, GRACE_MS};
use strongroom_proto::v1::{GenerationRef, GenerationState, OpenActKind, Reason, Role};

use super::Record;
use crate::platform::EnclaveTime;
use crate::refusal::{Refusal, bad, refuse};

impl Record {
    /// A generation that opens: the active one or a former one. Pending opens nothing.
    pub(crate) fn generation(&self, number: u64) -> Result<&Generation, Refusal> {
        let found = self.content.generations.iter().find(|generation| generation.generation == number);
        found.filter(|generation| generation.generation != self.content.pending).ok_or_else(|| {
            refuse(Reason::NoValidBackup, format!("generation {number}: the record has none that opens"))
        })
    }

    /// A generation as receipts name it.
    pub(crate) fn reference(&self, number: u64) -> Option<GenerationRef> {
        let generation = self.content.generations.iter().find(|generation| generation.generation == number)?;
        Some(GenerationRef { generation: number, put_intent_hash: generation.put_intent_hash.clone() })
    }

    /// Whether the generation that a receipt names opens here: same number, same put.
    pub(crate) fn opens(&self, named: &GenerationRef) -> bool {
        self.generation(named.generation).is_ok_and(|it| it.put_intent_hash == named.put_intent_hash)
    }

    /// Where a generation of the record stands.
    pub(crate) fn state_of(&self, number: u64) -> GenerationState {
        match number {
            active if active == self.content.active => GenerationState::Active,
            pending if pending == self.content.pending => GenerationState::Pending,
            _ => GenerationState::Former,
        }
    }

    /// The numbers of all generations, ascending.
    pub(crate) fn generation_numbers(&self) -> Vec<u64> {
        self.content.generations.iter().map(|generation| generation.generation).collect()
    }

    /// Whether the creation named this role and no other: then nobody else's receipt is needed to commit.
    fn is_alone(&self, role: Role) -> bool {
        self.content.roles == [i32::from(role)]
    }

    /// Checks that a put may bring this generation, and makes room for it. In a record of one role former generations stay openable
    /// for their grace; in a record of two a put replaces the one that waits.
    pub(crate) fn make_room(&mut self, role: Role, number: u64, now: EnclaveTime) -> Result<(), Refusal> {
        let highest = self.content.highest_generation;
        if number <= highest {
            return Err(refuse(
                Reason::StateInvalid,
                format!("put_shares.generation: {number}, and the record has seen {highest}"),
            ));
        }
        if number.saturating_sub(highest) > GENERATION_STEP_MAX {
            return Err(bad(format!(
                "put_shares.generation: {number}, more than {GENERATION_STEP_MAX} above the highest, {highest}"
            )));
        }
        let (alone, pending, awaited) = (self.is_alone(role), self.content.pending, self.awaited(now));
        self.content.generations.retain(|it| {
            let passed = it.superseded_ms > 0 && now.0 >= it.superseded_ms.saturating_add(GRACE_MS);
            it.generation != pending && !(alone && passed && Some(it.generation) != awaited)
        });
        self.content.pending = 0;
        if self.content.generations.len() >= GENERATIONS_MAX {
            return Err(refuse(
                Reason::StateInvalid,
                format!(
                    "put_shares: the record names {GENERATIONS_MAX} generations, the former ones within their grace"
                ),
            ));
        }
        Ok(())
    }

    /// Takes a new generation in: active at once in a record of one role, pending in a record of two.
    pub(crate) fn put(&mut self, role: Role, generation: Generation, now: EnclaveTime) {
        let number = generation.generation;
        self.content.highest_generation = number;
        self.content.generations.push(generation);
        if self.is_alone(role) {
            self.activate(number, now);
        } else {
            self.content.pending = number;
        }
    }

    /// The generation that a recovery waits for: no put and no commit takes it away.
    fn awaited(&self, now: EnclaveTime) -> Option<u64> {
        let recovery = self.content.open_acts.iter().find(|open| open.kind() == OpenActKind::Recovery)?;
        (now.0 < recovery.expires_ms).then_some(recovery.generation)
    }

    /// Commits the pending generation. Of the others `kept` stays, and one that a recovery waits for.
    pub(crate) fn commit(&mut self, kept: u64, now: EnclaveTime) {
        let (pending, awaited) = (self.content.pending, self.awaited(now));
        self.content
            .generations
            .retain(|it| it.generation == pending || it.generation == kept || Some(it.generation) == awaited);
        self.content.pending = 0;
        self.activate(pending, now);
    }

    fn activate(&mut self, number: u64, now: EnclaveTime) {
        let before = self.content.active;
        for former in self.content.generations.iter_mut().filter(|it| it.generation == before) {
            former.superseded_ms = now.0;
        }
        self.content.active = number;
    }

    /// Closes the record: nothing opens any more, and it takes no act.
    pub(crate) fn close(&mut self) {
        let content = &mut self.content;
        content.generations.clear();
        content.credentials.clear();
        content.open_acts.clear();
        (content.active, content.pending, content.closed) = (0, 0, true);
    }
}
