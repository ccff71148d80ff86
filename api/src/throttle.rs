//! How often something may be asked for: the generic cell rate algorithm, one time per key.
//!
//! A key's time is when its budget will be whole again. Each admission moves it by one interval; whoever
//! would move it further ahead than the burst allows has to wait.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Keys that are counted at the same time at most.
const KEYS_MAX: usize = 50_000;
/// How long somebody waits when there are more.
const CROWDED: Duration = Duration::from_secs(1);

/// So many at once, and one more after each interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What it is about; part of every key.
    pub name: &'static str,
    /// How many may come at once, at least 1.
    pub burst: u32,
    /// How long it takes until one more may come.
    pub interval: Duration,
}

impl Policy {
    /// A policy by its numbers.
    pub const fn new(name: &'static str, burst: u32, interval: Duration) -> Self {
        Self {
            name,
            burst,
            interval,
        }
    }
}

/// Counts what was asked for; clones share the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Throttle(Arc<Mutex<HashMap<(&'static str, String), Instant>>>);

impl Throttle {
    /// Admits one more under a key, or says how long to wait.
    pub(crate) fn admit(&self, policy: Policy, key: &str) -> Result<(), Duration> {
        self.admit_at(policy, key, Instant::now())
    }

    fn admit_at(&self, policy: Policy, key: &str, now: Instant) -> Result<(), Duration> {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if times.len() >= KEYS_MAX {
            times.retain(|_, whole_at| *whole_at > now);
        }
        let key = (policy.name, key.to_owned());
        let whole_at = times.get(&key).copied().unwrap_or(now).max(now);
        let tolerance = policy.interval * (policy.burst - 1);
        let ahead = whole_at - now;
        if let Some(wait) = ahead.checked_sub(tolerance).filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        if times.len() >= KEYS_MAX && !times.contains_key(&key) {
            return Err(CROWDED);
        }
        times.insert(key, whole_at + policy.interval);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        name: "test",
        burst: 3,
        interval: Duration::from_secs(10),
    };

    #[test]
    fn a_burst_is_admitted_and_then_one_after_each_interval() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let ask = |key: &str, seconds: u64| {
            throttle.admit_at(POLICY, key, now + Duration::from_secs(seconds))
        };

        for _ in 0..3 {
            assert_eq!(ask("a", 0), Ok(()));
        }
        assert_eq!(ask("a", 0), Err(Duration::from_secs(10)));
        assert_eq!(ask("a", 9), Err(Duration::from_secs(1)));
        assert_eq!(ask("b", 9), Ok(()), "another key");
        assert_eq!(ask("a", 10), Ok(()));
        assert_eq!(ask("a", 10), Err(Duration::from_secs(10)));
        for _ in 0..3 {
            assert_eq!(ask("a", 1_000), Ok(()), "whole again, and not more");
        }
        assert!(ask("a", 1_000).is_err());
    }
}
