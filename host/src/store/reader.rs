//! A reader's thread: answers gets and scans over its own connection. Never writes.

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::{mpsc, oneshot};

use super::Row;
use super::sqlite::unavailable;
use crate::error::Error;
use crate::keys::Key;

/// What a reader is asked.
pub(super) enum Read {
    /// The values at keys, of one moment.
    Get { keys: Vec<Key>, reply: oneshot::Sender<Result<Vec<Option<Vec<u8>>>, Error>> },
    /// A range.
    Scan { prefix: Key, after: Option<Key>, limit: usize, reply: oneshot::Sender<Result<Vec<Row>, Error>> },
}

/// Runs until the store is dropped. A reply that nobody awaits any more is dropped.
pub(super) fn run(connection: &Connection, mut reads: mpsc::Receiver<Read>) {
    while let Some(read) = reads.blocking_recv() {
        match read {
            Read::Get { keys, reply } => {
                drop(reply.send(get_all(connection, &keys).map_err(|error| unavailable(&error))));
            }
            Read::Scan { prefix, after, limit, reply } => {
                let rows = scan(connection, prefix.bytes(), after.as_ref().map(Key::bytes), limit);
                drop(reply.send(rows.map_err(|error| unavailable(&error))));
            }
        }
    }
}

fn get_all(connection: &Connection, keys: &[Key]) -> rusqlite::Result<Vec<Option<Vec<u8>>>> {
    if let [key] = keys {
        return Ok(vec![get(connection, key.bytes())?]);
    }
    let moment = connection.unchecked_transaction()?;
    let values = keys.iter().map(|key| get(connection, key.bytes())).collect::<rusqlite::Result<_>>()?;
    moment.finish()?;
    Ok(values)
}

/// The value at a key.
pub(super) fn get(connection: &Connection, key: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT value FROM rows WHERE key = ?1")?;
    statement.query_row(params![key], |row| row.get(0)).optional()
}

fn scan(connection: &Connection, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> rusqlite::Result<Vec<Row>> {
    let sql = "SELECT key, value FROM rows WHERE key >= ?1 AND key > ?2 AND key < ?3 ORDER BY key LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let bounds = params![prefix, after.unwrap_or_default(), end(prefix), limit];
    let rows = statement.query_map(bounds, |row| Ok((row.get(0)?, row.get(1)?)))?;
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
