//! How much may be in flight over the whole process: requests by count and by bytes.
//!
//! What does not fit is refused before anything is computed for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most bytes of requests in flight: 16 MiB.
pub const IN_FLIGHT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most requests in flight.
pub const IN_FLIGHT_MAX: usize = 1024;

/// What is in flight.
#[derive(Clone, Debug, Default)]
pub struct Budget(Arc<State>);

#[derive(Debug, Default)]
struct State {
    bytes: AtomicUsize,
    count: AtomicUsize,
}

/// One request's part, given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// Room for one more request of `bytes`, or nothing.
    pub(crate) fn take(&self, bytes: usize) -> Option<Permit> {
        add(&self.0.count, 1, IN_FLIGHT_MAX)?;
        if add(&self.0.bytes, bytes, IN_FLIGHT_BYTES_MAX).is_none() {
            self.0.count.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        Some(Permit { budget: self.clone(), bytes })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.0.count.fetch_sub(1, Ordering::AcqRel);
        self.budget.0.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Adds where the sum stays within `max`.
fn add(counter: &AtomicUsize, more: usize, max: usize) -> Option<usize> {
    counter.try_update(Ordering::AcqRel, Ordering::Acquire, |now| now.checked_add(more).filter(|sum| *sum <= max)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_count_end_at_their_limits_and_come_back() {
        let budget = Budget::default();
        let most = budget.take(IN_FLIGHT_BYTES_MAX - 1).unwrap();
        let one = budget.take(1).unwrap();
        assert!(budget.take(1).is_none());
        drop(one);
        assert!(budget.take(2).is_none());
        assert!(budget.take(usize::MAX).is_none());
        assert!(budget.take(1).is_some());
        drop(most);
        let all: Vec<_> = (0..IN_FLIGHT_MAX).map(|_| budget.take(0).unwrap()).collect();
        assert!(budget.take(0).is_none());
        drop(all);
        assert!(budget.take(IN_FLIGHT_BYTES_MAX).is_some());
        assert!(budget.take(IN_FLIGHT_BYTES_MAX + 1).is_none());
    }
}
