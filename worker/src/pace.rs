//! How many tasks are started at once while others wait for their turn.
//!
//! Tasks that start together end together. Where many of them take long, who comes in between would
//! wait for all of them, although in the same time places could have come free one after the other.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// No more places are filled at once than come free in this time.
const INTERVAL: Duration = Duration::from_millis(5);
/// A task counts for so much of what the tasks before it took.
const WEIGHT: u64 = 8;

/// How long the tasks of a queue take of late, in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Pace(AtomicU64);

impl Pace {
    /// Learns from a task that has just ended.
    pub(crate) fn note(&self, took: Duration) {
        let took = micros(took) / WEIGHT;
        let learn = |average: u64| Some(average - average / WEIGHT + took);
        // Always some.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, learn);
    }

    /// How many of so many places to fill at once: one at least, and all where tasks are short.
    pub(crate) fn most(&self, places: usize) -> usize {
        let average = self.0.load(Ordering::Relaxed);
        let most = u128::try_from(places).unwrap_or(u128::MAX) * INTERVAL.as_micros();
        let most = most / u128::from(average.max(micros(INTERVAL)));
        usize::try_from(most).unwrap_or(places).max(1)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_tasks_start_together_and_long_ones_apart() {
        let pace = Pace::default();
        assert_eq!(pace.most(256), 256, "nothing is known");

        (0..100).for_each(|_| pace.note(Duration::from_millis(5)));
        assert_eq!(pace.most(256), 256);

        (0..100).for_each(|_| pace.note(Duration::from_millis(100)));
        assert!((12..=14).contains(&pace.most(256)), "{}", pace.most(256));

        (0..100).for_each(|_| pace.note(Duration::from_hours(1)));
        assert_eq!(pace.most(256), 1);
        (0..200).for_each(|_| pace.note(Duration::ZERO));
        assert_eq!(pace.most(256), 256, "it forgets");
    }
}
