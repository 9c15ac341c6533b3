//! Why the simulation could not be set up. Decides nothing.

use std::path::PathBuf;
use thiserror::Error;

/// What can fail before a simulated enclave or the development KMS runs.
#[derive(Debug, Error)]
pub enum SimulatedError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's word for it.
        source: std::io::Error,
    },
    /// A file is not of the form that this crate writes.
    #[error("{path} is not a file that Strongroom wrote: {reason}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS could not be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// A name, account or address that the development KMS does not take.
    #[error("{what} {value:?} is refused: {reason}")]
    Refused {
        /// What it was given for.
        what: &'static str,
        /// The value.
        value: String,
        /// Why.
        reason: &'static str,
    },
}

impl SimulatedError {
    /// For `map_err` on I/O with `path`.
    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |source| Self::File { path: path.to_owned(), source }
    }
}
