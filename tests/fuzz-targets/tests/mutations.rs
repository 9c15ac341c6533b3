//! Mutations of genuine documents and assertions: none is accepted, however many are tried.
//!
//! `STRONGROOM_MUTATIONS` says how many, `STRONGROOM_SEED` which.

#[path = "mutations/assertions.rs"]
mod assertions;
#[path = "mutations/documents.rs"]
mod documents;
#[path = "../src/keep.rs"]
mod keep;

use strongroom_fuzz_targets::mutate::Mutator;

const MUTATIONS: usize = 2_000;

/// How many, and from where.
fn settings() -> (usize, Mutator) {
    let count = std::env::var("STRONGROOM_MUTATIONS").map_or(MUTATIONS, |count| count.parse().unwrap());
    let seed = std::env::var("STRONGROOM_SEED").map_or(0x5eed, |seed| seed.parse().unwrap());
    (count, Mutator::new(seed))
}
