//! Boot, serving frames, and the KMS client of an enclave, generic over its NSM and its transport.
//!
//! [`run`] is the whole process of both enclave binaries. It decides nothing about shares: requests
//! go to `strongroom-core`, which asks for a KMS call where a KEK is missing. The runtime never reads
//! the kernel's wall clock, stores nothing, and logs no byte of a request.

#![deny(clippy::print_stderr, clippy::print_stdout)] // A console that takes nothing would end the enclave.

mod budget;
pub mod clock;
mod enclave;
pub mod entropy;
pub mod error;
pub mod gcm;
mod guard;
mod health;
pub mod kms;
pub mod log;
pub mod manifest;
pub mod measure;
pub mod nsm;
pub mod phase;
pub mod platform;
mod run;
pub mod serve;
pub mod suite;
pub mod transport;
pub mod xwing;

#[cfg(test)]
mod testing;

pub use budget::{Budget, IN_FLIGHT_BYTES_MAX, IN_FLIGHT_MAX};
pub use error::RuntimeError;
pub use run::{CONNECTIONS_MAX, Options, run};
