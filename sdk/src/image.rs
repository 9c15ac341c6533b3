//! Enclave images: built from a kernel, its command line and two ramdisks, and measured as Nitro measures them.
//!
//! Everything is a function of its arguments: the same files and the same time give the same bytes on every machine.

use thiserror::Error;

mod cpio;
mod eif;
mod measure;
mod ramdisks;

pub use cpio::{Archive, Entry};
pub use eif::{Image, METADATA_BYTES_MAX, RAMDISKS_MAX};
pub use measure::{Digest, Measured};
pub use ramdisks::{Module, application, boot};

/// Why an image cannot be built or read.
#[derive(Debug, Error, PartialEq)]
pub enum ImageError {
    /// A part that does not fit the format.
    #[error("{part}: {problem}")]
    Part {
        /// The part.
        part: String,
        /// What is wrong, with the limit.
        problem: String,
    },
    /// A file that is no image.
    #[error("not an enclave image: {0}")]
    Format(String),
}

impl ImageError {
    fn part(part: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Part { part: part.into(), problem: problem.into() }
    }

    fn format(problem: impl Into<String>) -> Self {
        Self::Format(problem.into())
    }
}

#[cfg(test)]
mod tests;
