//! The KEKs of one step: the epoch that signs and seals, and at most one lower that opens.

use hpke::kem::Kem;

use crate::kek::Kek;

/// The KEKs at hand.
pub(crate) struct Keks<'a, K: Kem> {
    /// Signs, seals and opens.
    pub(crate) own: &'a Kek<K>,
    /// Opens what is sealed under its epoch, which is lower.
    pub(crate) other: Option<&'a Kek<K>>,
}

impl<'a, K: Kem> Keks<'a, K> {
    /// The KEK of an epoch.
    pub(crate) fn of(&self, epoch: u64) -> Option<&'a Kek<K>> {
        self.all().find(|kek| kek.context.epoch == epoch)
    }

    /// Both, the own one first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'a Kek<K>> {
        [Some(self.own), self.other].into_iter().flatten()
    }
}

impl<K: Kem> Clone for Keks<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Kem> Copy for Keks<'_, K> {}
