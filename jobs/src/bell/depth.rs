//! How many rings of a queue are outstanding: enough that no worker waits for the relay, and few enough
//! that who comes next is decided late.

use std::time::Duration;

use super::OUTSTANDING_MAX;
use crate::job::Queue;

/// The relay rings for so much work in advance: a few of its rounds.
const AHEAD: Duration = Duration::from_millis(50);

/// The bounds of one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Depth {
    /// With so many outstanding, only the relay rings.
    pub(crate) offered_max: usize,
    /// For so many the relay rings without having seen how fast they go.
    min: usize,
}

impl Depth {
    pub(crate) const fn of(queue: Queue) -> Self {
        let batch = queue.batch_max();
        if batch == 1 {
            return Self {
                offered_max: 4,
                min: 4,
            };
        }
        Self {
            offered_max: batch * 4,
            min: batch,
        }
    }

    /// How many should be outstanding where so many of those `before` were left after this time.
    pub(crate) fn wanted(self, before: usize, left: usize, time: Duration) -> usize {
        let taken = before.saturating_sub(left);
        // Where none is left, somebody may have waited, and nobody knows how much would have been taken.
        let least = if left == 0 { before * 2 } else { 0 };
        let share = AHEAD.as_secs_f64() / time.as_secs_f64().max(0.001);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of hundreds, bounded below"
        )]
        let ahead = (taken as f64 * share) as usize;
        ahead.max(least).clamp(self.min, OUTSTANDING_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_fast_is_rung_further_ahead() {
        let (quick, slow) = (Depth::of(Queue::Default), Depth::of(Queue::Generation));
        let second = Duration::from_secs(1);

        assert_eq!(quick.wanted(0, 0, second), 64);
        assert_eq!(quick.wanted(128, 64, second / 40), 128);
        assert_eq!(quick.wanted(200, 0, second), 400);
        assert_eq!(quick.wanted(100_000, 1, Duration::ZERO), OUTSTANDING_MAX);
        assert_eq!(slow.wanted(2, 1, second * 10), 4);
        assert_eq!(slow.wanted(201, 1, second), 10);
    }
}
