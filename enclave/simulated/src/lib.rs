//! What a real enclave finds around it, in software, for development and tests: an NSM that signs
//! under a development root ([`SimulatedNsm`]), and a key service that speaks the protocol of AWS KMS
//! and decides by key policies ([`devkms`], binary `strongroom-devkms`).
//!
//! Nothing here protects anything: whoever reads the authority's file can make any document. The
//! production binary never links this crate, and no verifier accepts its root unless its caller wrote
//! `Root::development`.

mod authority;
mod certificates;
mod certified_key;
pub mod devkms;
mod document;
mod error;
mod measurements;
mod nsm;
mod pcrs;
pub mod private_file;
mod unix_transport;

pub use authority::Authority;
pub use document::MapEncoding;
pub use error::SimulatedError;
pub use measurements::Measurements;
pub use nsm::{Clock, SimulatedNsm};
pub use unix_transport::UnixTransport;
