//! The whole stack as real processes, for stories, the demo and `make up`; and a hostile host that speaks to a real enclave.
//!
//! Nothing here is linked by anything else.

pub mod attacks;
pub mod frames;
pub mod hostile;
pub mod share;
pub mod stack;
pub mod user;
pub mod vectors;
