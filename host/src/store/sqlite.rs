//! SQLite: one writer thread, reads on the caller's, a file of mode 0600.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio::task::consume_budget;

use super::reader::Reader;
use super::writer::{self, Commit};
use super::{COMMIT_WRITES_MAX, Read, Row, SCAN_ROWS_MAX, Store, Write};
use crate::error::Error;
use crate::keys::Key;

/// Version of the schema; `PRAGMA user_version`.
pub(super) const SCHEMA_VERSION: i64 = 1;
/// Most commits that wait for the writer.
pub(super) const COMMIT_QUEUE_MAX: usize = 1024;
/// Bytes of a page of a new file; another file keeps its own. The rows of replies and shares are about as long: with pages of 4 KiB one
/// took three, each of them written to the log and copied from it by itself.
const PAGE_BYTES: u32 = 8192;
/// Pages that the log takes before they are copied to their places, 16 MiB: the more it holds, the more often one copy serves for
/// several commits that changed the same page.
const LOG_PAGES: u32 = 2048;
/// Longest wait for a commit, which may still be made afterwards.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// A store in one SQLite file.
pub struct SqliteStore {
    reader: Reader,
    writer: Option<mpsc::Sender<Commit>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl SqliteStore {
    /// Opens the file, or makes it with mode 0600.
    ///
    /// # Errors
    /// Where the file cannot be used, or holds a newer schema than this release knows.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_limited(path, None)
    }

    /// As [`SqliteStore::open`], with the file's size limited, as if the disk were full beyond.
    pub(super) fn open_limited(path: &Path, pages_max: Option<u32>) -> Result<Self, Error> {
        create(path)?;
        let opener = Opener { path: path.to_owned(), pages_max };
        let unusable = |error: Error| Error::config("store.sqlite", path.display().to_string(), error.to_string());
        let connection = opener.open().map_err(unusable)?;
        migrate(&connection, path)?;
        let (writer, commits) = mpsc::channel(COMMIT_QUEUE_MAX);
        let reader = Reader::new(opener.open()?)?;
        let thread = spawn("store-writer", move || writer::run(connection, &opener, commits))?;
        Ok(Self { reader, writer: Some(writer), thread: Some(thread) })
    }
}

impl Drop for SqliteStore {
    /// Waits until what was queued is written.
    fn drop(&mut self) {
        self.writer = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(name: "a store thread panicked", error = "panic");
        }
    }
}

/// A read waits for nothing, so it counts as work that others must sometimes get between: else a loop of reads had the thread for itself.
#[async_trait]
impl Store for SqliteStore {
    async fn get_all(&self, keys: Vec<Key>) -> Result<Vec<Option<Vec<u8>>>, Error> {
        consume_budget().await;
        self.reader.get_all(&keys)
    }

    async fn get_all_with(&self, keys: Vec<Key>, prefixes: Vec<Key>) -> Result<Read, Error> {
        consume_budget().await;
        self.reader.get_all_with(&keys, &prefixes)
    }

    async fn scan(&self, prefix: Key, after: Option<Key>, limit: usize) -> Result<Vec<Row>, Error> {
        consume_budget().await;
        self.reader.scan(&prefix, after.as_ref(), limit.min(SCAN_ROWS_MAX))
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<(), Error> {
        if writes.len() > COMMIT_WRITES_MAX {
            return Err(Error::Internal("a commit of too many writes"));
        }
        let (reply, answer) = oneshot::channel();
        let queue = self.writer.as_ref().ok_or_else(stopped)?;
        queue.try_send(Commit { writes, reply }).map_err(|error| refused(&error, "commits"))?;
        wait(answer).await
    }
}

/// How a connection to the file is made.
#[derive(Clone)]
pub(super) struct Opener {
    path: PathBuf,
    pages_max: Option<u32>,
}

impl Opener {
    pub(super) fn open(&self) -> Result<Connection, Error> {
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(&self.path)?;
            connection.busy_timeout(Duration::from_secs(5))?;
            // Before the log, which fixes it.
            connection.pragma_update(None, "page_size", PAGE_BYTES)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
            if let Some(pages) = self.pages_max {
                connection.pragma_update(None, "max_page_count", pages)?;
            }
            Ok(connection)
        };
        open().map_err(|error| unavailable(&error))
    }
}

fn create(path: &Path) -> Result<(), Error> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    let file = file.map_err(Error::io("open store", path))?;
    file.set_permissions(Permissions::from_mode(0o600)).map_err(Error::io("restrict store", path))
}

fn migrate(connection: &Connection, path: &Path) -> Result<(), Error> {
    let version: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(|error| unavailable(&error))?;
    match version {
        SCHEMA_VERSION => Ok(()),
        0 => {
            let schema = format!(
                "BEGIN IMMEDIATE;
                 CREATE TABLE IF NOT EXISTS rows (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL);
                 PRAGMA user_version = {SCHEMA_VERSION};
                 COMMIT;"
            );
            connection.execute_batch(&schema).map_err(|error| unavailable(&error))
        }
        newer => {
            let limit = format!("must be at most {SCHEMA_VERSION}: this release does not know a newer store");
            Err(Error::config(format!("schema of {}", path.display()), newer.to_string(), limit))
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<std::thread::JoinHandle<()>, Error> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(Error::io("start thread", name))
}

async fn wait<T>(answer: oneshot::Receiver<Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(WAIT_MAX, answer).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(stopped()),
        Err(_) => Err(Error::StoreUnavailable("no answer in time".to_owned())),
    }
}

fn refused<T>(error: &mpsc::error::TrySendError<T>, what: &'static str) -> Error {
    match error {
        mpsc::error::TrySendError::Full(_) => Error::Overloaded(what),
        mpsc::error::TrySendError::Closed(_) => stopped(),
    }
}

fn stopped() -> Error {
    Error::StoreUnavailable("the store's thread has stopped".to_owned())
}

/// SQLite's message holds no value of a row: every statement here takes its values as parameters.
pub(super) fn unavailable(error: &rusqlite::Error) -> Error {
    Error::StoreUnavailable(error.to_string())
}
