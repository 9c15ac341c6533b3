//! The whole stack as real processes, for stories, the demo and `make up`; and a hostile host that speaks to a real enclave.
//!
//! Nothing here is linked by anything else.
#![expect(clippy::missing_errors_doc, reason = "a story stops at the first error, whatever it is")]

pub mod attacks;
pub mod bench;
pub mod company;
pub mod demo;
pub mod frames;
pub mod hostile;
pub mod rotation;
pub mod share;
pub mod stack;
pub mod user;
pub mod vectors;
pub mod vm;
