//! Numbers of one run: samples of each round, their medians, and whether they can be trusted.

use std::time::Duration;

/// Samples, of which the median is the result.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    /// Adds one.
    pub(super) fn add(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// The median: of an even number, the upper of the middle two. 0 without samples.
    #[must_use]
    pub(super) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// The lowest.
    #[must_use]
    pub(super) fn min(&self) -> f64 {
        self.0.iter().copied().min_by(f64::total_cmp).unwrap_or_default()
    }

    /// The samples, each divided by that of the same round.
    #[must_use]
    pub(super) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one / other).collect())
    }

    /// The samples, each with that of the same round added.
    #[must_use]
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one + other).collect())
    }
}

/// Microseconds of each of `count`.
#[must_use]
pub(super) fn micros_each(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(u32::try_from(count.max(1)).unwrap_or(u32::MAX))
}

/// How many of `count` were done each second.
#[must_use]
pub(super) fn each_second(count: usize, time: Duration) -> f64 {
    1e6 / micros_each(time, count)
}

/// A floor whose median is this many times its minimum was measured on a machine that had other things to do.
const NOISE_MAX: f64 = 1.5;
/// Percent of the machine's time that others may have had.
const STEAL_PERCENT_MAX: f64 = 10.0;

/// Whether a run says too little.
#[must_use]
pub(super) fn is_noisy(floors: &[&Samples], steal_percent: f64) -> bool {
    let spread = floors.iter().map(|floor| floor.median() / floor.min()).fold(0.0, f64::max);
    spread > NOISE_MAX || steal_percent >= STEAL_PERCENT_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(of: &[f64]) -> Samples {
        Samples(of.to_vec())
    }

    #[test]
    fn medians_and_noise() {
        for (of, median, min) in
            [(&[][..], 0.0, 0.0), (&[3.0], 3.0, 3.0), (&[9.0, 1.0, 2.0], 2.0, 1.0), (&[4.0, 1.0, 3.0, 2.0], 3.0, 1.0)]
        {
            let of = samples(of);
            assert_eq!(
                (of.median().to_bits(), of.min().to_bits()),
                (f64::to_bits(median), f64::to_bits(min)),
                "{of:?}"
            );
        }
        let (calm, restless) = (samples(&[10.0, 15.0, 14.0]), samples(&[10.0, 16.0, 17.0]));
        assert!(!is_noisy(&[&calm], 9.9));
        assert!(is_noisy(&[&calm, &restless], 0.0) && is_noisy(&[&restless, &calm], 0.0));
        assert!(is_noisy(&[&calm], 10.0));
    }

    #[test]
    fn rates_are_the_inverse_of_times() {
        assert_eq!(micros_each(Duration::from_millis(1), 4).to_bits(), 250.0_f64.to_bits());
        assert_eq!(each_second(4, Duration::from_millis(1)).to_bits(), 4000.0_f64.to_bits());
    }
}
