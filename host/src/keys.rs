//! Keys of the store: one function for each kind of row.
//!
//! A key is its kind (1 byte) and its parts in a fixed order: ids of 32 bytes as they are, numbers big-endian, texts ended by a
//! 0x00 that a [`Name`] cannot contain. So no two kinds and no two ids share a key, keys that start with a whole part form a range, and
//! rows within it come in the order of their ids. Nothing else in this crate builds a key.

use std::fmt;

use strongroom_proto::id::{RecordId, TenantId};
use strongroom_proto::names::is_id;
use strongroom_proto::v1::Role;

use crate::error::Error;

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
    /// What is sealed under an epoch.
    Listed = 20, "list of an epoch";
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

/// The receipt of the act that led to a version.
#[must_use]
pub fn event(tenant: &TenantId, record: &RecordId, role: Role, version: u64) -> Key {
    Key::new(Kind::Event).fixed(&tenant.0).fixed(&record.0).role(role).number(version)
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse("id", text).unwrap()
    }

    /// Every kind of key over ids that invite confusion: prefixes of each other, and pieces that move between neighbours.
    fn all() -> Vec<(String, Key)> {
        let ids: Vec<[u8; 32]> = [0, 1, b'a', 0xff].map(|byte| [byte; 32]).into();
        let texts = ["a", "aa", "a.", "a-a", "A", "0", &"a".repeat(64)];
        let roles = [Role::Client, Role::Custodian];
        let numbers = [0, 1, 0x6100, u64::MAX];
        let mut out = Vec::new();
        for id in &ids {
            let tenant = TenantId(*id);
            out.push((format!("tenant {tenant}"), super::tenant(&tenant)));
            out.push((format!("statement {tenant}"), statement(&tenant)));
            out.push((format!("api {tenant}"), api_key(id)));
            for text in texts {
                let one = name(text);
                out.push((format!("wallet {tenant} {text}"), wallet(&tenant, &one)));
                out.push((format!("reply {tenant} {text}"), reply(&tenant, &one)));
                for number in numbers {
                    out.push((format!("time {number} {tenant} {text}"), reply_time(number, &tenant, &one)));
                }
                for other in texts {
                    let key = backup(&tenant, &one, &name(other));
                    out.push((format!("backup {tenant} {text} {other}"), key));
                }
            }
            for role in roles {
                for number in numbers {
                    out.push((format!("kek {tenant} {role:?} {number}"), kek(&tenant, role, number)));
                    for record_id in &ids {
                        let record_id = RecordId(*record_id);
                        let key = event(&tenant, &record_id, role, number);
                        out.push((format!("event {tenant} {record_id} {role:?} {number}"), key));
                        for epoch in numbers {
                            let key = listed_part(&tenant, role, epoch, &record_id, number);
                            out.push((format!("listed {tenant} {role:?} {epoch} {record_id} {number}"), key));
                        }
                        for text in texts {
                            let key = share(&tenant, &record_id, role, number, &name(text));
                            out.push((format!("share {tenant} {record_id} {role:?} {number} {text}"), key));
                        }
                    }
                }
                for record_id in &ids {
                    for text in texts {
                        let key = record(&tenant, &name(text), role, &RecordId(*record_id));
                        out.push((format!("record {tenant} {text} {role:?} {record_id:?}"), key));
                    }
                }
            }
        }
        out
    }

    #[test]
    fn no_two_rows_share_a_key_and_none_is_the_start_of_another() {
        let keys = all();
        let mut seen: HashMap<&[u8], &str> = HashMap::new();
        for (what, key) in &keys {
            assert_eq!(seen.insert(key.bytes(), what), None, "{what}");
            assert_eq!(key.bytes()[0], key.kind() as u8);
        }
        let mut sorted: Vec<&[u8]> = seen.into_keys().collect();
        sorted.sort_unstable();
        for pair in sorted.windows(2) {
            assert!(!pair[1].starts_with(pair[0]), "{:?}", pair[0]);
        }
    }

    #[test]
    fn rows_stand_in_the_order_of_their_ids() {
        let tenant = TenantId([7; 32]);
        let mut texts = ["b", "a", "a.b", "aa", "a-", "B", "a0"];
        texts.sort_unstable();
        let keys: Vec<Key> = texts.iter().map(|text| wallet(&tenant, &name(text))).collect();
        assert!(keys.windows(2).all(|pair| pair[0].bytes() < pair[1].bytes()));
        assert!(kek(&tenant, Role::Client, 9).bytes() < kek(&tenant, Role::Client, 10).bytes());
        assert!(keys.iter().all(|key| key.bytes().starts_with(wallets(&tenant).bytes())));
    }

    #[test]
    fn names_that_could_end_early_are_refused() {
        for text in ["", "a\0", "\0", "a/b", "a b", "\u{e9}", &"a".repeat(65)] {
            assert!(matches!(Name::parse("wallet", text), Err(Error::BadRequest { field: "wallet", .. })), "{text:?}");
        }
        assert_eq!(name(&"a".repeat(64)).as_str().len(), 64);
    }

    #[test]
    fn a_reply_time_reads_back_and_nothing_else_does() {
        let key = reply_time(77, &TenantId([3; 32]), &name("r-1"));
        assert_eq!(parse_reply_time(key.bytes()), Some((77, TenantId([3; 32]), name("r-1"))));
        for cut in 0..key.bytes().len() {
            assert_eq!(parse_reply_time(&key.bytes()[..cut]), None, "cut at {cut}");
        }
        let prefix = wallets(&TenantId([3; 32]));
        assert_eq!(last_name(&prefix, wallet(&TenantId([3; 32]), &name("w")).bytes()), Some(name("w")));
        assert_eq!(last_name(&prefix, wallet(&TenantId([4; 32]), &name("w")).bytes()), None);
        assert_eq!(last_id(&tenants(), tenant(&TenantId([3; 32])).bytes()), Some([3; 32]));
        assert_eq!(last_id(&tenants(), prefix.bytes()), None);
        let list = listed(&TenantId([3; 32]), Role::Client, 2);
        let part = |epoch| listed_part(&TenantId([3; 32]), Role::Client, epoch, &RecordId([5; 32]), 9);
        assert_eq!(parse_listed(&list, part(2).bytes()), Some((RecordId([5; 32]), 9)));
        assert_eq!(parse_listed(&list, part(3).bytes()), None);
        assert_eq!(parse_listed(&list, list.bytes()), None);
        assert_eq!(parse_reply_time(reply(&TenantId([3; 32]), &name("r-1")).bytes()), None);
    }
}
