//! Reads over one connection, on the thread that asks. Never writes.
//!
//! A read takes a few microseconds, less than waking another thread for it. What is not in the kernel's cache makes the caller wait for
//! the disk.

use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use super::sqlite::unavailable;
use super::{Read, Row, SCAN_ROWS_MAX};
use crate::error::Error;
use crate::keys::Key;

/// The connection of all reads.
pub(super) struct Reader(Mutex<Connection>);

impl Reader {
    /// Takes a connection, which from here on refuses to write.
    pub(super) fn new(connection: Connection) -> Result<Self, Error> {
        connection.pragma_update(None, "query_only", true).map_err(|error| unavailable(&error))?;
        Ok(Self(Mutex::new(connection)))
    }

    /// The values at keys, of one moment.
    pub(super) fn get_all(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.with(|connection| get_all(connection, keys))
    }

    /// The values at keys and the rows under prefixes, of one moment.
    pub(super) fn get_all_with(&self, keys: &[Key], prefixes: &[Key]) -> Result<Read, Error> {
        self.with(|connection| {
            run_sql(connection, "BEGIN")?;
            let found = both(connection, keys, prefixes);
            // Of a read there is nothing to roll back.
            run_sql(connection, "COMMIT")?;
            found
        })
    }

    /// A range.
    pub(super) fn scan(&self, prefix: &Key, after: Option<&Key>, limit: usize) -> Result<Vec<Row>, Error> {
        self.with(|connection| scan(connection, prefix.bytes(), after.map(Key::bytes), limit))
    }

    fn with<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        // A read that panicked has left nothing half done.
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        read(&connection).map_err(|error| unavailable(&error))
    }
}

fn both(connection: &Connection, keys: &[Key], prefixes: &[Key]) -> rusqlite::Result<Read> {
    let values = keys.iter().map(|key| get(connection, key.bytes())).collect::<rusqlite::Result<_>>()?;
    let rows = prefixes.iter().map(|prefix| scan(connection, prefix.bytes(), None, SCAN_ROWS_MAX));
    Ok((values, rows.collect::<rusqlite::Result<_>>()?))
}

fn get_all(connection: &Connection, keys: &[Key]) -> rusqlite::Result<Vec<Option<Vec<u8>>>> {
    if let [key] = keys {
        return Ok(vec![get(connection, key.bytes())?]);
    }
    run_sql(connection, "BEGIN")?;
    let values = keys.iter().map(|key| get(connection, key.bytes())).collect();
    // Of a read there is nothing to roll back.
    run_sql(connection, "COMMIT")?;
    values
}

/// The value at a key.
pub(super) fn get(connection: &Connection, key: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT value FROM rows WHERE key = ?1")?;
    statement.query_row(params![key], |row| row.get(0)).optional()
}

/// Runs a statement without parameters or rows.
pub(super) fn run_sql(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// Whether a key is there; its value is not looked at.
pub(super) fn exists(connection: &Connection, key: &[u8]) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM rows WHERE key = ?1")?.exists(params![key])
}

// One lower bound: SQLite seeks to one and would look at every row up to the other.
const SCAN: &str = "SELECT key, value FROM rows WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3";
const SCAN_AFTER: &str = "SELECT key, value FROM rows WHERE key > ?1 AND key < ?2 ORDER BY key LIMIT ?3";

fn scan(connection: &Connection, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(if after.is_some() { SCAN_AFTER } else { SCAN })?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let start = after.map_or(prefix, |after| after.max(prefix));
    let rows = statement.query_map(params![start, end(prefix), limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// The lowest key above all that start with `prefix`. A prefix starts with its kind, which is below 0xff, so there is one.
fn end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last.wrapping_add(1));
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests;
