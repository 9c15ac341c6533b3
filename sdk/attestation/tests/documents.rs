//! The verifier against genuine documents of AWS, whole and broken.

#[path = "documents/chains.rs"]
mod chains;
#[path = "documents/emulated.rs"]
mod emulated;
#[path = "documents/parts.rs"]
mod parts;
#[path = "documents/refusals.rs"]
mod refusals;
#[path = "documents/vectors.rs"]
mod vectors;
