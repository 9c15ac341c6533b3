//! Why the runtime could not start, boot or go on.

use thiserror::Error;

use crate::nsm::NsmError;

/// An error of the runtime. Its text names no byte of a request.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// The security module refused or failed.
    #[error(transparent)]
    Nsm(#[from] NsmError),
    /// A document of the enclave's own module cannot be read.
    #[error("attestation document: {0}")]
    Document(&'static str),
    /// There is not enough entropy to make a key.
    #[error("entropy: {0}")]
    Entropy(&'static str),
    /// The manifest is refused.
    #[error("manifest: {0}")]
    Manifest(&'static str),
    /// The KMS's TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(&'static str),
    /// A thread or a runtime cannot be started.
    #[error("thread {0}: {1}")]
    Thread(&'static str, #[source] std::io::Error),
    /// The listener failed.
    #[error("listener: {0}")]
    Listener(#[source] std::io::Error),
    /// A worker has ended, and with it whatever it served.
    #[error("a worker has ended")]
    WorkerEnded,
}
