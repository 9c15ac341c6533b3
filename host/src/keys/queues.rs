//! Keys of the queues: what the host does by itself, by the time when it tries.

use strongroom_proto::id::{RecordId, TenantId};
use strongroom_proto::v1::Role;

use super::{Key, Kind};

/// Start of the keys of all acts that wait, the next one first.
#[must_use]
pub fn dues() -> Key {
    Key::new(Kind::Due)
}

/// An act that waits.
#[must_use]
pub fn due(due: &Due) -> Key {
    let key = dues().number(due.time_ms).fixed(&due.tenant.0).fixed(&due.record.0).role(due.role);
    key.number(u64::from(due.kind.unsigned_abs())).fixed(&due.intent)
}

/// What the key of an act that waits says.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Due {
    /// When the host tries to carry it out.
    pub time_ms: u64,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where it waits.
    pub record: RecordId,
    /// Of the record.
    pub role: Role,
    /// An `OpenActKind`.
    pub kind: i32,
    /// Hash of the intent that started it.
    pub intent: [u8; 32],
}

/// Reads what [`due`] wrote.
#[must_use]
pub fn parse_due(key: &[u8]) -> Option<Due> {
    let rest = key.strip_prefix(&[Kind::Due as u8])?;
    let (time, rest) = rest.split_first_chunk()?;
    let (tenant, rest) = rest.split_first_chunk()?;
    let (record, rest) = rest.split_first_chunk()?;
    let (role, rest) = rest.split_first()?;
    let (kind, rest) = rest.split_first_chunk()?;
    Some(Due {
        time_ms: u64::from_be_bytes(*time),
        tenant: TenantId(*tenant),
        record: RecordId(*record),
        role: Role::try_from(i32::from(*role)).ok()?,
        kind: i32::try_from(u64::from_be_bytes(*kind)).ok()?,
        intent: rest.try_into().ok()?,
    })
}

/// Start of the keys of all generations that wait for their commit, the next one first.
#[must_use]
pub fn uncommitted() -> Key {
    Key::new(Kind::Uncommitted)
}

/// A generation that waits for its commit.
#[must_use]
pub fn uncommitted_generation(it: &Uncommitted) -> Key {
    generation(uncommitted(), it)
}

/// Start of the keys of all generations of which a part is missing, the next one to give up first.
#[must_use]
pub fn unfinished() -> Key {
    Key::new(Kind::Unfinished)
}

/// A generation of which a part is missing.
#[must_use]
pub fn unfinished_generation(it: &Uncommitted) -> Key {
    generation(unfinished(), it)
}

fn generation(queue: Key, it: &Uncommitted) -> Key {
    queue.number(it.time_ms).fixed(&it.tenant.0).fixed(&it.record.0).number(it.generation)
}

/// What the key of a generation that waits for its commit, or for a part, says.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Uncommitted {
    /// When the host tries to commit it, or gives it up.
    pub time_ms: u64,
    /// Whose it is.
    pub tenant: TenantId,
    /// The record in which it waits.
    pub record: RecordId,
    /// Its number.
    pub generation: u64,
}

/// Reads what [`uncommitted_generation`] wrote.
#[must_use]
pub fn parse_uncommitted(key: &[u8]) -> Option<Uncommitted> {
    parse_generation(Kind::Uncommitted, key)
}

/// Reads what [`unfinished_generation`] wrote.
#[must_use]
pub fn parse_unfinished(key: &[u8]) -> Option<Uncommitted> {
    parse_generation(Kind::Unfinished, key)
}

fn parse_generation(kind: Kind, key: &[u8]) -> Option<Uncommitted> {
    let rest = key.strip_prefix(&[kind as u8])?;
    let (time, rest) = rest.split_first_chunk()?;
    let (tenant, rest) = rest.split_first_chunk()?;
    let (record, rest) = rest.split_first_chunk()?;
    let generation = u64::from_be_bytes(rest.try_into().ok()?);
    let (time_ms, tenant, record) = (u64::from_be_bytes(*time), TenantId(*tenant), RecordId(*record));
    Some(Uncommitted { time_ms, tenant, record, generation })
}
