//! The caches of one process, bounded and least-recently-used: KEKs, statements, and the meter of costly calls.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use strongroom_proto::id::ContentHash;

use crate::kek::Kek;
use crate::meter::Meter;
use crate::statement::VerifiedStatement;
use crate::step::KekKey;
use crate::suite::Suite;

/// Most KEKs kept; one takes about 8 KiB.
pub(crate) const KEK_CACHE_MAX: usize = 512;
/// Most statements kept; one takes at most about 64 KiB, usually 2.
pub(crate) const STATEMENT_CACHE_MAX: usize = 128;

/// What the core remembers between requests. Losing it costs KMS calls, never correctness.
pub struct Caches<S: Suite> {
    pub(crate) keks: Lru<KekKey, Arc<Kek<S>>>,
    pub(crate) statements: Lru<ContentHash, Arc<VerifiedStatement>>,
    pub(crate) meter: Meter,
}

impl<S: Suite> Caches<S> {
    /// Empty caches.
    #[must_use]
    pub fn new() -> Self {
        Self { keks: Lru::new(KEK_CACHE_MAX), statements: Lru::new(STATEMENT_CACHE_MAX), meter: Meter::default() }
    }
}

impl<S: Suite> Default for Caches<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// A map that forgets the entry used longest ago when it is full.
pub(crate) struct Lru<K, V> {
    entries: BTreeMap<K, (u64, V)>,
    uses: u64,
    max: usize,
}

impl<K: Ord + Clone, V: Clone> Lru<K, V> {
    pub(crate) fn new(max: usize) -> Self {
        Self { entries: BTreeMap::new(), uses: 0, max }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        self.uses = self.uses.saturating_add(1);
        let (used, value) = self.entries.get_mut(key)?;
        *used = self.uses;
        Some(value.clone())
    }

    pub(crate) fn put(&mut self, key: K, value: V) {
        self.uses = self.uses.saturating_add(1);
        if self.entries.len() >= self.max && !self.entries.contains_key(&key) {
            let oldest = self.entries.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.entries.remove(&oldest);
            }
        }
        self.entries.insert(key, (self.uses, value));
    }

    pub(crate) fn remove(&mut self, key: &K) {
        self.entries.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::Lru;

    #[test]
    fn the_entry_used_longest_ago_goes_first() {
        let mut lru = Lru::new(2);
        lru.put('a', 1);
        lru.put('b', 2);
        assert_eq!(lru.get(&'a'), Some(1));
        lru.put('c', 3);
        assert_eq!((lru.get(&'a'), lru.get(&'b'), lru.get(&'c')), (Some(1), None, Some(3)));
        lru.put('a', 4);
        assert_eq!((lru.get(&'a'), lru.get(&'c'), lru.entries.len()), (Some(4), Some(3), 2));
    }
}
