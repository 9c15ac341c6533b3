//! Keys of the store: one function for each kind of row.
//!
//! A key is its kind (1 byte) and its parts in a fixed order: ids of 32 bytes as they are, numbers big-endian, texts ended by a
//! 0x00 that a [`Name`] cannot contain. So no two kinds and no two ids share a key, keys that start with a whole part form a range, and
//! rows within it come in the order of their ids. Nothing else in this crate builds a key.

use std::fmt;

use strongroom_proto::id::{ContentHash, RecordId, TenantId};
use strongroom_proto::names::is_id;
use strongroom_proto::v1::Role;

use crate::error::Error;

mod queues;
mod recoveries;

pub use queues::{
    Due, Uncommitted, due, dues, parse_due, parse_uncommitted, parse_unfinished, uncommitted, uncommitted_generation,
    unfinished, unfinished_generation,
};
pub use recoveries::{parse_recovery_place, recoveries, recovery, recovery_place, recovery_places};

/// An id that was checked: 1 to 64 bytes of `[A-Za-z0-9._-]`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Name(String);

impl Name {
    /// The id in `text`.
    ///
    /// # Errors
    /// `BAD_REQUEST` that names `field`.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Error> {
        if is_id(text) { Ok(Self(text.to_owned())) } else { Err(Error::bad(field, "1 to 64 bytes of [A-Za-z0-9._-]")) }
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $byte:literal, $text:literal;)*) => {
        /// What a row is.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[repr(u8)]
        pub enum Kind {
            $($(#[$doc])* $name = $byte,)*
        }

        impl fmt::Display for Kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $text,)* })
            }
        }
    };
}

kinds! {
    /// A tenant.
    Tenant = 1, "tenant";
    /// A tenant's newest statement.
    Statement = 2, "statement";
    /// An API key, by its hash.
    ApiKey = 3, "API key";
    /// A wrapped KEK.
    Kek = 4, "KEK";
    /// A wallet.
    Wallet = 5, "wallet";
    /// A backup.
    Backup = 6, "backup";
    /// A sealed record with its newest receipt.
    Record = 7, "record";
    /// A sealed share.
    Share = 8, "share";
    /// The receipt of one act.
    Event = 9, "event";
    /// A stored reply.
    Reply = 10, "reply";
    /// When a stored reply was made.
    ReplyTime = 11, "reply time";
    /// An act that waits, by the time when the host tries to carry it out.
    Due = 12, "due act";
    /// A statement of a tenant, by its serial.
    StatementSerial = 13, "statement by serial";
    /// A generation that waits for its commit, by the time when the host tries to commit it.
    Uncommitted = 14, "generation to commit";
    /// What a device encrypted itself.
    ClientCiphertext = 15, "client ciphertext";
    /// What is missing of a backup's generations, and what was given up.
    Books = 16, "books of a backup";
    /// A recovery, by the hash of the intent that started it.
    Recovery = 17, "recovery";
    /// Which recovery was the wallet's first, second and so on.
    RecoveryPlace = 18, "place of a recovery";
    /// A generation of which a part is missing, by the time until when.
    Unfinished = 19, "unfinished generation";
    /// What is sealed under an epoch.
    Listed = 20, "list of an epoch";
    /// An attestation, by the identity that it vouches for.
    Attestation = 21, "attestation";
}

/// A row's key, or the start of several.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Key {
    kind: Kind,
    bytes: Vec<u8>,
}

impl Key {
    /// What the row is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The key as it is stored.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn new(kind: Kind) -> Self {
        Self { kind, bytes: vec![kind as u8] }
    }

    fn fixed<const N: usize>(mut self, part: &[u8; N]) -> Self {
        self.bytes.extend_from_slice(part);
        self
    }

    fn number(self, number: u64) -> Self {
        self.fixed(&number.to_be_bytes())
    }

    fn role(self, role: Role) -> Self {
        let byte = match role {
            Role::Unspecified => 0,
            Role::Client => 1,
            Role::Custodian => 2,
        };
        self.fixed(&[byte])
    }

    fn name(mut self, name: &Name) -> Self {
        self.bytes.extend_from_slice(name.0.as_bytes());
        self.bytes.push(0);
        self
    }
}

/// Start of all tenants' keys.
#[must_use]
pub fn tenants() -> Key {
    Key::new(Kind::Tenant)
}

/// A tenant.
#[must_use]
pub fn tenant(tenant: &TenantId) -> Key {
    Key::new(Kind::Tenant).fixed(&tenant.0)
}

/// A tenant's newest statement.
#[must_use]
pub fn statement(tenant: &TenantId) -> Key {
    Key::new(Kind::Statement).fixed(&tenant.0)
}

/// Start of the keys of all statements of a tenant, in order of their serials.
#[must_use]
pub fn statement_serials(tenant: &TenantId) -> Key {
    Key::new(Kind::StatementSerial).fixed(&tenant.0)
}

/// The statement of a serial.
#[must_use]
pub fn statement_serial(tenant: &TenantId, serial: u64) -> Key {
    statement_serials(tenant).number(serial)
}

/// An API key by its SHA-256.
#[must_use]
pub fn api_key(hash: &[u8; 32]) -> Key {
    Key::new(Kind::ApiKey).fixed(hash)
}

/// Start of the keys of a tenant's KEKs in a role, in order of their epochs.
#[must_use]
pub fn keks(tenant: &TenantId, role: Role) -> Key {
    Key::new(Kind::Kek).fixed(&tenant.0).role(role)
}

/// The wrapped KEK of an epoch.
#[must_use]
pub fn kek(tenant: &TenantId, role: Role, epoch: u64) -> Key {
    keks(tenant, role).number(epoch)
}

/// The attestation of one identity of an epoch: what its enclaves signed is judged by it when they have gone.
#[must_use]
pub fn attestation(tenant: &TenantId, role: Role, epoch: u64, identity: &ContentHash) -> Key {
    Key::new(Kind::Attestation).fixed(&tenant.0).role(role).number(epoch).fixed(&identity.0)
}

/// Start of the keys of a tenant's wallets, in order of their ids.
#[must_use]
pub fn wallets(tenant: &TenantId) -> Key {
    Key::new(Kind::Wallet).fixed(&tenant.0)
}

/// A wallet.
#[must_use]
pub fn wallet(tenant: &TenantId, wallet: &Name) -> Key {
    wallets(tenant).name(wallet)
}

/// Start of the keys of a wallet's backups, in order of their ids.
#[must_use]
pub fn backups(tenant: &TenantId, wallet: &Name) -> Key {
    Key::new(Kind::Backup).fixed(&tenant.0).name(wallet)
}

/// A backup.
#[must_use]
pub fn backup(tenant: &TenantId, wallet: &Name, backup: &Name) -> Key {
    backups(tenant, wallet).name(backup)
}

/// Start of the keys of a wallet's records in a role, in order of their ids.
#[must_use]
pub fn records(tenant: &TenantId, wallet: &Name, role: Role) -> Key {
    Key::new(Kind::Record).fixed(&tenant.0).name(wallet).role(role)
}

/// A record.
#[must_use]
pub fn record(tenant: &TenantId, wallet: &Name, role: Role, record: &RecordId) -> Key {
    records(tenant, wallet, role).fixed(&record.0)
}

/// Start of the keys of a record's shares of one generation, in order of their pairs.
#[must_use]
pub fn shares(tenant: &TenantId, record: &RecordId, role: Role, generation: u64) -> Key {
    Key::new(Kind::Share).fixed(&tenant.0).fixed(&record.0).role(role).number(generation)
}

/// The sealed share of a pair.
#[must_use]
pub fn share(tenant: &TenantId, record: &RecordId, role: Role, generation: u64, pair: &Name) -> Key {
    shares(tenant, record, role, generation).name(pair)
}

/// Start of the keys of what a device encrypted itself of one generation, in order of its pairs.
#[must_use]
pub fn ciphertexts(tenant: &TenantId, record: &RecordId, generation: u64) -> Key {
    Key::new(Kind::ClientCiphertext).fixed(&tenant.0).fixed(&record.0).number(generation)
}

/// What a device encrypted itself of a pair.
#[must_use]
pub fn ciphertext(tenant: &TenantId, record: &RecordId, generation: u64, pair: &Name) -> Key {
    ciphertexts(tenant, record, generation).name(pair)
}

/// The books of a backup, by the id that its records share.
#[must_use]
pub fn books(tenant: &TenantId, record: &RecordId) -> Key {
    Key::new(Kind::Books).fixed(&tenant.0).fixed(&record.0)
}

/// Start of the keys of the receipts of a backup's records, in order of role and version.
#[must_use]
pub fn events(tenant: &TenantId, record: &RecordId) -> Key {
    Key::new(Kind::Event).fixed(&tenant.0).fixed(&record.0)
}

/// The receipt of the act that led to a version.
#[must_use]
pub fn event(tenant: &TenantId, record: &RecordId, role: Role, version: u64) -> Key {
    events(tenant, record).role(role).number(version)
}

/// The stored reply to a request id.
#[must_use]
pub fn reply(tenant: &TenantId, request: &Name) -> Key {
    Key::new(Kind::Reply).fixed(&tenant.0).name(request)
}

/// Start of the keys of all reply times, the oldest first.
#[must_use]
pub fn reply_times() -> Key {
    Key::new(Kind::ReplyTime)
}

/// When the reply to a request id was made, in milliseconds since the Unix epoch.
#[must_use]
pub fn reply_time(time_ms: u64, tenant: &TenantId, request: &Name) -> Key {
    reply_times().number(time_ms).fixed(&tenant.0).name(request)
}

/// Start of the keys of what is sealed under an epoch, in order of the records' ids.
#[must_use]
pub fn listed(tenant: &TenantId, role: Role, epoch: u64) -> Key {
    Key::new(Kind::Listed).fixed(&tenant.0).role(role).number(epoch)
}

/// A record that is sealed under an epoch, as generation 0, or one of its generations whose shares are.
#[must_use]
pub fn listed_part(tenant: &TenantId, role: Role, epoch: u64, record: &RecordId, generation: u64) -> Key {
    listed(tenant, role, epoch).fixed(&record.0).number(generation)
}

/// Reads what [`listed_part`] wrote, behind the prefix of [`listed`].
#[must_use]
pub fn parse_listed(prefix: &Key, key: &[u8]) -> Option<(RecordId, u64)> {
    let (record, generation) = key.strip_prefix(prefix.bytes())?.split_first_chunk()?;
    Some((RecordId(*record), u64::from_be_bytes(generation.try_into().ok()?)))
}

/// The key of a row that a scan of `prefix` gave, whether or not it parses.
#[must_use]
pub fn scanned(prefix: &Key, bytes: Vec<u8>) -> Key {
    Key { kind: prefix.kind, bytes }
}

/// The name that ends a key which starts with `prefix`.
#[must_use]
pub fn last_name(prefix: &Key, key: &[u8]) -> Option<Name> {
    let text = key.strip_prefix(prefix.bytes())?.strip_suffix(&[0])?;
    Name::parse("key", std::str::from_utf8(text).ok()?).ok()
}

/// The id of 32 bytes that ends a key which starts with `prefix`.
#[must_use]
pub fn last_id(prefix: &Key, key: &[u8]) -> Option<[u8; 32]> {
    key.strip_prefix(prefix.bytes())?.try_into().ok()
}

/// Reads what [`reply_time`] wrote.
#[must_use]
pub fn parse_reply_time(key: &[u8]) -> Option<(u64, TenantId, Name)> {
    let rest = key.strip_prefix(&[Kind::ReplyTime as u8])?;
    let (time, rest) = rest.split_first_chunk()?;
    let (tenant, rest) = rest.split_first_chunk()?;
    let request = std::str::from_utf8(rest.strip_suffix(&[0])?).ok()?;
    Some((u64::from_be_bytes(*time), TenantId(*tenant), Name::parse("request_id", request).ok()?))
}

/// Reads the role and version of an event's key that starts with `prefix`.
#[must_use]
pub fn parse_event(prefix: &Key, key: &[u8]) -> Option<(Role, u64)> {
    let (role, version) = key.strip_prefix(prefix.bytes())?.split_first()?;
    Some((Role::try_from(i32::from(*role)).ok()?, u64::from_be_bytes(version.try_into().ok()?)))
}

/// Reads the number that ends a key which starts with `prefix`.
#[must_use]
pub fn last_number(prefix: &Key, key: &[u8]) -> Option<u64> {
    key.strip_prefix(prefix.bytes())?.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests;
