//! How often and how soon a task is tried again.

use std::time::Duration;

/// Exponential back-off with a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts at most, the first one included: 1 to 100.
    pub attempts: u8,
    /// The longest delay after the first attempt; it doubles with each one.
    pub base: Duration,
    /// No delay is longer than this.
    pub max: Duration,
}

impl Retry {
    /// So many attempts, from one second to one minute apart.
    pub const fn attempts(attempts: u8) -> Self {
        Self {
            attempts,
            base: Duration::from_secs(1),
            max: Duration::from_mins(1),
        }
    }

    /// How long to wait after attempt number `attempt` (from 1), with jitter from 0 to 1.
    ///
    /// Half of the delay is fixed and half is jitter: tasks that failed together come back apart.
    pub fn delay(&self, attempt: u32, jitter: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let full = self.base.saturating_mul(1 << doublings).min(self.max);
        full.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap() {
        let retry = Retry::attempts(10);
        let delays = |jitter| -> Vec<u128> {
            (1..=8)
                .map(|attempt| retry.delay(attempt, jitter).as_millis())
                .collect()
        };

        assert_eq!(
            delays(1.0),
            [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]
        );
        assert_eq!(
            delays(0.0),
            [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]
        );
    }

    #[test]
    fn absurd_numbers_stay_within_the_cap() {
        let retry = Retry::attempts(1);

        assert_eq!(retry.delay(u32::MAX, 7.0), retry.max);
        assert_eq!(retry.delay(0, -1.0), retry.base / 2);
    }
}
