//! The KEKs of one step: the epoch that signs and seals, and at most one lower that opens.

use crate::kek::Kek;
use crate::suite::Suite;

/// The KEKs at hand.
pub(crate) struct Keks<'a, S: Suite> {
    /// Signs, seals and opens.
    pub(crate) own: &'a Kek<S>,
    /// Opens what is sealed under its epoch, which is lower.
    pub(crate) other: Option<&'a Kek<S>>,
}

impl<'a, S: Suite> Keks<'a, S> {
    /// The KEK of an epoch.
    pub(crate) fn of(&self, epoch: u64) -> Option<&'a Kek<S>> {
        self.all().find(|kek| kek.context.epoch == epoch)
    }

    /// Both, the own one first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'a Kek<S>> {
        [Some(self.own), self.other].into_iter().flatten()
    }
}

impl<S: Suite> Clone for Keks<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Suite> Copy for Keks<'_, S> {}
