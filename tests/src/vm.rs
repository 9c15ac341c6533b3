//! The real image in a virtual machine: the production enclave as the first process of a real kernel, with the real driver of the NSM and
//! real vsock, between the real host and the development KMS outside.

pub mod listener;
pub mod machine;
mod story;

pub use story::tell;
