//! The times of one process.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{KEYS_MAX, Left, Policy, SWEEP_PERIOD};

/// Keys with the times when their budgets are whole again.
#[derive(Debug, Default)]
pub(super) struct Local(Mutex<Times>);

#[derive(Debug, Default)]
struct Times {
    whole_at: HashMap<(&'static str, String), Instant>,
    swept_at: Option<Instant>,
}

impl Local {
    /// Admits one more under a key, or says how long to wait.
    pub(super) fn admit(&self, policy: Policy, key: &str, now: Instant) -> Result<Left, Duration> {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.sweep(now);
        let full = times.whole_at.len() >= KEYS_MAX;
        let key = (policy.name, key.to_owned());
        let known = times.whole_at.get(&key).copied();
        let whole_at = known.unwrap_or(now).max(now);
        let free = policy.window().saturating_sub(whole_at - now);
        let Some(after) = free.checked_sub(policy.interval) else {
            return Err(policy.interval.saturating_sub(free));
        };
        // Somebody new, of too many: they wait until there is room.
        if full && known.is_none() {
            return Err(SWEEP_PERIOD);
        }
        let whole_at = whole_at + policy.interval;
        times.whole_at.insert(key, whole_at);
        let requests = after.as_nanos() / policy.interval.as_nanos().max(1);
        Ok(Left {
            requests: requests.try_into().unwrap_or(u32::MAX),
            whole_in: whole_at - now,
        })
    }
}

impl Times {
    /// Forgets whose budget is whole, when there are too many; not with every request, for that takes
    /// as long as there are keys.
    fn sweep(&mut self, now: Instant) {
        let lately = |swept_at| now.saturating_duration_since(swept_at) < SWEEP_PERIOD;
        if self.whole_at.len() >= KEYS_MAX && !self.swept_at.is_some_and(lately) {
            self.whole_at.retain(|_, whole_at| *whole_at > now);
            self.swept_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy::new("test", 3, Duration::from_secs(10));

    #[test]
    fn a_burst_is_admitted_and_then_one_after_each_interval() {
        let (local, now) = (Local::default(), Instant::now());
        let ask = |key: &str, seconds: u64| {
            let left = local.admit(POLICY, key, now + Duration::from_secs(seconds));
            left.map(|left| (left.requests, left.whole_in.as_secs()))
        };

        assert_eq!(ask("a", 0), Ok((2, 10)));
        assert_eq!(ask("a", 0), Ok((1, 20)));
        assert_eq!(ask("a", 0), Ok((0, 30)));
        assert_eq!(ask("a", 0), Err(Duration::from_secs(10)));
        assert_eq!(ask("a", 9), Err(Duration::from_secs(1)));
        assert_eq!(ask("b", 9), Ok((2, 10)), "another key");
        assert_eq!(ask("a", 10), Ok((0, 30)));
        assert_eq!(ask("a", 10), Err(Duration::from_secs(10)));
        for left in [2, 1, 0] {
            assert_eq!(
                ask("a", 1_000).map(|(left, _)| left),
                Ok(left),
                "whole again"
            );
        }
        assert!(ask("a", 1_000).is_err(), "and not more");
    }

    #[test]
    fn so_many_keys_are_counted_and_no_more() {
        let (local, now) = (Local::default(), Instant::now());
        for key in 0..KEYS_MAX {
            assert!(local.admit(POLICY, &key.to_string(), now).is_ok());
        }

        assert_eq!(local.admit(POLICY, "new", now), Err(SWEEP_PERIOD));
        assert!(local.admit(POLICY, "0", now).is_ok(), "one that is counted");
        let later = now + Duration::from_secs(15);
        assert!(local.admit(POLICY, "new", later).is_ok());
        let kept = local.0.lock().map_or(0, |times| times.whole_at.len());
        assert_eq!(kept, 2, "the new one, and the one that is not whole yet");
    }
}
