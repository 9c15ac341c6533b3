//! Capsules: a backup with all that its recovery takes, out of this host's store and into another's.
//!
//! Ciphertext and public values only. Nothing here decides who may recover: that do the enclaves that the KMS keys admit, by the policy
//! that each sealed record holds. A capsule is as old as the day it was made, so one never replaces what is there.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use strongroom_proto::limits::{CIPHERTEXT_BYTES_MAX, GENERATIONS_MAX, PAIRS_MAX, SEALED_SHARE_BYTES_MAX};
use strongroom_proto::v1::CapsuleChunk;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::Status;
use tonic::codegen::tokio_stream::Stream;

use crate::error::Error;

mod check;
pub(super) mod export;
mod form;
pub(super) mod import;
mod rows;

/// Longest chunk in bytes.
pub(super) const CHUNK_BYTES_MAX: usize = 64 * 1024;
/// Longest encoded capsule in bytes: every share and ciphertext that one role can keep, which is more than two roles do, and 2 MiB for
/// records, receipts, KEKs and attestation documents.
pub(super) const CAPSULE_BYTES_MAX: usize =
    GENERATIONS_MAX * PAIRS_MAX * (SEALED_SHARE_BYTES_MAX + CIPHERTEXT_BYTES_MAX) + 2 * 1024 * 1024;
/// Most capsules that are exported at a time, and most that are imported: each is whole in memory.
pub(super) const CAPSULES_MAX: usize = 2;

/// Room for the capsules in memory.
pub(crate) struct Room {
    exports: Arc<Semaphore>,
    imports: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        let room = || Arc::new(Semaphore::new(CAPSULES_MAX));
        Self { exports: room(), imports: room() }
    }
}

impl Room {
    /// Room for one more export.
    pub(super) fn export(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.exports).try_acquire_owned().map_err(|_| Error::Overloaded("exports of capsules"))
    }

    /// Room for one more import.
    pub(super) fn import(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.imports).try_acquire_owned().map_err(|_| Error::Overloaded("imports of capsules"))
    }
}

/// The chunks of a capsule on their way out.
pub(crate) struct Chunks(mpsc::Receiver<Result<CapsuleChunk, Status>>);

impl Stream for Chunks {
    type Item = Result<CapsuleChunk, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}
