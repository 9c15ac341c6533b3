//! The wire: gRPC API, frames between host and enclave, and what sdk and core must compute alike.
//!
//! Every hashed, signed, sealed or derived byte string of the protocol is built here, once. Nothing here reads a clock, a
//! socket or a random source, and without the feature `grpc` the crate needs no `std`.
#![cfg_attr(not(feature = "grpc"), no_std)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod canonical;
pub mod contents;
pub mod frame;
pub mod id;
pub mod intent;
pub mod limits;
pub mod names;
pub mod prefix;
pub mod seal;
pub mod secret;
pub mod signed;
pub mod statement;

/// Package `strongroom.v1`: the gRPC API and everything that tenants, devices and enclaves sign.
#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated; the .proto files are the documentation")]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/strongroom.v1.rs"));

    /// Client extension results may hold PRF results until they are refused.
    impl core::fmt::Debug for Assertion {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("Assertion([redacted])")
        }
    }

    impl core::fmt::Debug for CreateApiKeyResponse {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            write!(f, "CreateApiKeyResponse {{ key_id: {:?}, api_key: [redacted] }}", self.key_id)
        }
    }
}

/// Package `strongroom.enclave.v1`: frames between host and enclave, and the content of a sealed record.
pub mod enclave {
    /// Version 1.
    #[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated; the .proto files are the documentation")]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/strongroom.enclave.v1.rs"));

        impl core::fmt::Debug for SetCredentials {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("SetCredentials([redacted])")
            }
        }
    }
}

/// The compiled `.proto` files, for gRPC reflection.
#[cfg(feature = "grpc")]
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
