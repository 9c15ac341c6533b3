//! The trusted half of what a device and a tenant do.
//!
//! Statements, attestation, views, intents, sealing and receipts: everything that must hold whatever the host says is checked
//! here, on this side. The pin is the tenant's id; the root of attestation is AWS's unless the caller writes another in code.

pub mod attest;
pub mod audit;
pub mod capsule;
pub mod ciphertext;
pub mod client;
pub mod device;
mod error;
pub mod exchange;
pub mod files;
pub mod identity;
pub mod image;
pub mod intent;
pub mod kept;
pub mod key_policy;
pub mod keys;
pub mod passkey;
pub mod prepare;
pub mod random;
pub mod receipt;
pub mod registration;
pub mod release;
mod role;
pub mod seal;
pub mod statement;
mod status;
pub mod tenant;
#[cfg(test)]
mod testing;
mod trust;
pub mod view;

pub use error::Error;
pub use role::{curve_name, curve_of, role_name};
pub use status::Refusal;
pub use trust::Trust;

pub use strongroom_attestation as attestation;
pub use strongroom_proto as proto;
