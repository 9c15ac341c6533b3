//! All trusted decisions of an enclave, as a pure step: bytes in, bytes out.
//!
//! [`parse`] reads a request, [`Core::begin`] answers it or asks for one KMS call, [`Core::resume`] goes on with that call's
//! result. Time, randomness, attestation and the lock around the caches come from a [`Platform`]. The crate opens no socket, reads
//! no clock, keeps no global state, and does not panic on any input.
#![no_std]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test that meets the unexpected should stop there"
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod cache;
mod channel;
mod consent;
mod enclave;
mod intent;
mod kek;
mod keks;
mod meter;
mod platform;
mod policy;
mod receipt;
mod record;
mod refusal;
mod role;
mod seal;
mod shape;
mod statement;
mod step;
mod suite;
pub mod webauthn;
mod work;

pub use cache::Caches;
pub use enclave::{Core, Deployment, KEK_PER_STEP_MAX};
pub use hpke::kem::XWing;
pub use platform::{EnclaveTime, Platform, Unavailable};
pub use refusal::{Refusal, refuse};
pub use role::{Client, RoleKind};
pub use step::{Control, Incoming, KekContext, KekReply, KmsCall, KmsFailure, Pending, Step, Work, parse};
pub use suite::{PlainSuite, Signer, Suite};
