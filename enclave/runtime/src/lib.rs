//! Boot, serving frames, and the KMS client of an enclave, generic over its NSM and its transport.

pub mod clock;
pub mod entropy;
pub mod error;
pub mod kms;
pub mod log;
pub mod nsm;
pub mod transport;

#[cfg(test)]
mod testing;
