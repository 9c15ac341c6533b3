//! The host: gRPC service, store, API keys, KMS byte relay, telemetry.
//!
//! Nobody trusts it. It carries requests to the enclaves together with the sealed records that they need, and stores what comes back
//! in one transaction before it answers. It never holds a share, a KEK or a record in the clear, and what it checks it checks out of
//! courtesy: enclaves and devices check everything again.

mod auth;
mod clock;
pub mod config;
pub mod enclave;
pub mod error;
pub mod keys;
mod listen;
mod parent;
mod relay;
pub mod rows;
mod server;
mod services;
pub mod status;
pub mod store;
mod telemetry;
#[cfg(test)]
mod testing;

pub use auth::TENANT_IN_FLIGHT_MAX;
pub use error::Error;
pub use relay::RELAY_CONNECTIONS_MAX;
pub use server::{check, run, serve};
