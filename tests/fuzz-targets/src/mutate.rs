//! Mutations that know the structure of what they change, from a seed.
//!
//! Two changes are left out, because they give a document or an assertion that is as good as the one before. ECDSA takes n - s for s
//! (nothing here takes the bytes of a signature for a name). And tag 18 before a document is the specification's own second form.

pub mod assertion;
pub mod document;

use crate::world::Random;

/// Bytes that lie at the edges of CBOR, DER and ASCII.
const EDGES: [u8; 8] = [0, 1, 0x18, 0x30, 0x7f, 0x80, 0xa0, 0xff];

/// Where every mutation comes from.
pub struct Mutator(Random);

impl Mutator {
    /// A reproducible one. Prints its seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.below(end)
    }

    /// One of several.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// One to three changes of bytes, wherever.
    pub fn change(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len().max(1));
            let end = (at + 1 + self.below(40)).min(bytes.len());
            match self.below(6) {
                0..=2 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                3 if !bytes.is_empty() => bytes[at] = *self.one_of(&EDGES),
                4 if !bytes.is_empty() => drop(bytes.drain(at..end)),
                _ => bytes.insert(at.min(bytes.len()), *self.one_of(&EDGES)),
            }
        }
    }

    /// One bit.
    pub fn flip(&mut self, bytes: &mut [u8]) {
        if !bytes.is_empty() {
            let at = self.below(bytes.len());
            bytes[at] ^= 1 << self.below(8);
        }
    }
}
