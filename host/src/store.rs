//! The store: rows of bytes by key, written all or nothing.
//!
//! A small trait, so that another database can stand behind it. It knows nothing of what rows mean, and what it holds is ciphertext,
//! public or the host's own notes.

use async_trait::async_trait;

use crate::error::Error;
use crate::keys::Key;

mod reader;
mod sqlite;
mod writer;

pub use sqlite::SqliteStore;

/// Most rows that one scan gives.
pub const SCAN_ROWS_MAX: usize = 1024;
/// Most writes in one commit.
pub const COMMIT_WRITES_MAX: usize = 128;

/// What must stand at a key before a write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expect {
    /// No row.
    Nothing,
    /// A row whose value has this SHA-256.
    Sha256([u8; 32]),
}

impl Expect {
    /// What [`Store::get`] gave stands there still.
    #[must_use]
    pub fn unchanged(value: Option<&[u8]>) -> Self {
        value.map_or(Self::Nothing, |value| Self::Sha256(strongroom_proto::id::sha256(&[value])))
    }
}

/// One row of a commit.
#[derive(Clone, Debug)]
pub struct Write {
    /// Where.
    pub key: Key,
    /// What must stand there.
    pub expect: Expect,
    /// What stands there afterwards; `None` deletes.
    pub put: Option<Vec<u8>>,
}

impl Write {
    /// A new row.
    #[must_use]
    pub fn new(key: Key, value: Vec<u8>) -> Self {
        Self { key, expect: Expect::Nothing, put: Some(value) }
    }
}

/// A row as a scan gives it: key and value.
pub type Row = (Vec<u8>, Vec<u8>);

/// What one reading found: the values at its keys, and the rows under its prefixes.
pub type Read = (Vec<Option<Vec<u8>>>, Vec<Vec<Row>>);

/// Rows by key. Every method may fail with `STORE_UNAVAILABLE`, or with `OVERLOADED` before anything was begun.
#[async_trait]
pub trait Store: Send + Sync {
    /// The value at a key.
    async fn get(&self, key: Key) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.get_all(vec![key]).await?.pop().flatten())
    }

    /// The values at several keys, in their order, as they stood at one moment.
    async fn get_all(&self, keys: Vec<Key>) -> Result<Vec<Option<Vec<u8>>>, Error>;

    /// As [`Store::get_all`], with the rows whose keys start with each of `prefixes`, ascending and at most [`SCAN_ROWS_MAX`] of each:
    /// all of one moment.
    async fn get_all_with(&self, keys: Vec<Key>, prefixes: Vec<Key>) -> Result<Read, Error>;

    /// Rows whose key starts with `prefix`, ascending, behind `after` if that is given; at most `limit` and at most
    /// [`SCAN_ROWS_MAX`].
    async fn scan(&self, prefix: Key, after: Option<Key>, limit: usize) -> Result<Vec<Row>, Error>;

    /// Makes all writes or none, and returns when they are durable. A [`Conflict`](Error::Conflict) names the kind of the first row
    /// that was not as expected. After `STORE_UNAVAILABLE` the writes may still have been made, all or none.
    async fn commit(&self, writes: Vec<Write>) -> Result<(), Error>;
}

#[cfg(test)]
mod tests;
