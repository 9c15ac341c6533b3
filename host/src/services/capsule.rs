//! Capsules: a backup with all that its recovery takes, out of this host's store and into another's.
//!
//! Ciphertext and public values only. Nothing here decides who may recover: that do the enclaves that the KMS keys admit, by the policy
//! that each sealed record holds. A capsule is as old as the day it was made, so one never replaces what is there.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use strongroom_proto::id::TenantId;
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

/// Most capsules that are exported at a time, and most that are imported: each is whole in memory.
pub(super) const CAPSULES_MAX: usize = 2;

/// Room for the capsules in memory.
pub(crate) struct Room {
    exports: Arc<Semaphore>,
    imports: Arc<Semaphore>,
    /// Whose capsules are exported now.
    exporting: Arc<Mutex<BTreeSet<[u8; 32]>>>,
}

/// An export's place, until it is dropped.
pub(super) struct Exporting {
    _room: OwnedSemaphorePermit,
    tenant: TenantId,
    all: Arc<Mutex<BTreeSet<[u8; 32]>>>,
}

impl Drop for Exporting {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.tenant.0);
    }
}

impl Default for Room {
    fn default() -> Self {
        let room = || Arc::new(Semaphore::new(CAPSULES_MAX));
        Self { exports: room(), imports: room(), exporting: Arc::default() }
    }
}

impl Room {
    /// Room for one more export, of a tenant that has none under way: nobody takes all places.
    pub(super) fn export(&self, tenant: &TenantId) -> Result<Exporting, Error> {
        const FULL: Error = Error::Overloaded("exports of capsules");
        let room = Arc::clone(&self.exports).try_acquire_owned().map_err(|_| FULL)?;
        if !self.exporting.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.0) {
            return Err(FULL);
        }
        Ok(Exporting { _room: room, tenant: *tenant, all: Arc::clone(&self.exporting) })
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
