//! The writer's thread: commits in groups.
//!
//! Whatever waits is written in one transaction. A commit's expectations are all looked at before any of its rows is written, so that
//! one that conflicts leaves nothing behind and its neighbours alone; nobody is answered before the transaction is durable. When a group fails, each of its commits is tried alone, so that one that does
//! not fit on the disk does not fail its neighbours. After any failure but a full disk the connection is made anew.

use std::time::Instant;

use rusqlite::{Connection, ErrorCode, params};
use strongroom_proto::id::sha256;
use tokio::sync::{mpsc, oneshot};

use super::reader::{exists, get, run_sql};
use super::sqlite::{Opener, unavailable};
use super::{Expect, Write};
use crate::error::Error;
use crate::keys::Kind;

/// Most commits in one transaction.
pub(super) const GROUP_COMMITS_MAX: usize = 256;
/// Bytes of values from which a group takes no further commit.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A commit with its waiting caller.
pub(super) struct Commit {
    pub(super) writes: Vec<Write>,
    pub(super) reply: oneshot::Sender<Result<(), Error>>,
}

impl Commit {
    fn bytes(&self) -> usize {
        self.writes.iter().filter_map(|write| write.put.as_ref()).map(Vec::len).sum()
    }
}

/// Runs until the store is dropped and everything queued is answered.
pub(super) fn run(connection: Connection, opener: &Opener, mut commits: mpsc::Receiver<Commit>) {
    let mut connection = Some(connection);
    while let Some(first) = commits.blocking_recv() {
        let mut bytes = first.bytes();
        let mut group = vec![first];
        while group.len() < GROUP_COMMITS_MAX && bytes < GROUP_BYTES_MAX {
            let Ok(next) = commits.try_recv() else { break };
            bytes = bytes.saturating_add(next.bytes());
            group.push(next);
        }
        write(&mut connection, opener, group);
    }
}

fn write(connection: &mut Option<Connection>, opener: &Opener, group: Vec<Commit>) {
    let all: Vec<&[Write]> = group.iter().map(|commit| commit.writes.as_slice()).collect();
    let results = match attempt(connection, opener, &all) {
        Err(_) if group.len() > 1 => all.iter().map(|one| alone(connection, opener, one)).collect(),
        Err(error) => vec![Err(error)],
        Ok(results) => results,
    };
    for (commit, result) in group.into_iter().zip(results) {
        // A caller that has gone leaves its commit made: the stored reply answers it when it asks again.
        drop(commit.reply.send(result));
    }
}

fn alone(connection: &mut Option<Connection>, opener: &Opener, writes: &[Write]) -> Result<(), Error> {
    attempt(connection, opener, &[writes])?.pop().unwrap_or(Err(Error::Internal("a commit without a result")))
}

/// One transaction. `Err` where none of it is acknowledged.
fn attempt(
    connection: &mut Option<Connection>,
    opener: &Opener,
    group: &[&[Write]],
) -> Result<Vec<Result<(), Error>>, Error> {
    let started = Instant::now();
    let open = match connection.take() {
        Some(open) => open,
        None => opener.open()?,
    };
    match transaction(&open, group) {
        Ok(results) => {
            *connection = Some(open);
            Ok(results)
        }
        Err(error) => {
            let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(name: "store write failed", error = %error, ms);
            let rolled_back = open.is_autocommit() || open.execute_batch("ROLLBACK").is_ok();
            if rolled_back && error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
                *connection = Some(open);
            }
            Err(unavailable(&error))
        }
    }
}

fn transaction(connection: &Connection, group: &[&[Write]]) -> rusqlite::Result<Vec<Result<(), Error>>> {
    run_sql(connection, "BEGIN IMMEDIATE")?;
    let mut results = Vec::with_capacity(group.len());
    for writes in group {
        let conflict = first_conflict(connection, writes)?;
        if conflict.is_none() {
            apply(connection, writes)?;
        }
        results.push(conflict.map_or(Ok(()), |kind| Err(Error::Conflict(kind))));
    }
    run_sql(connection, "COMMIT")?;
    Ok(results)
}

/// The kind of the first row that is not as expected. Nothing is written before all are known to be: to undo a commit inside of a
/// group, SQLite would keep a copy of every page that the group has touched.
fn first_conflict(connection: &Connection, writes: &[Write]) -> rusqlite::Result<Option<Kind>> {
    for write in writes {
        let key = write.key.bytes();
        let as_expected = match &write.expect {
            Expect::Nothing => !exists(connection, key)?,
            Expect::Sha256(hash) => get(connection, key)?.is_some_and(|value| sha256(&[&value]) == *hash),
        };
        if !as_expected {
            return Ok(Some(write.key.kind()));
        }
    }
    Ok(None)
}

fn apply(connection: &Connection, writes: &[Write]) -> rusqlite::Result<()> {
    for write in writes {
        let key = write.key.bytes();
        match (&write.put, write.expect) {
            (Some(value), Expect::Nothing) => {
                let mut statement = connection.prepare_cached("INSERT INTO rows (key, value) VALUES (?1, ?2)")?;
                statement.execute(params![key, value])?;
            }
            (Some(value), Expect::Sha256(_)) => {
                let mut statement = connection.prepare_cached("UPDATE rows SET value = ?2 WHERE key = ?1")?;
                statement.execute(params![key, value])?;
            }
            (None, _) => {
                connection.prepare_cached("DELETE FROM rows WHERE key = ?1")?.execute(params![key])?;
            }
        }
    }
    Ok(())
}
