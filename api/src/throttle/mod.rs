//! How often something may be asked for: the generic cell rate algorithm, one time per key.
//!
//! A key's time is when its budget will be whole again. Each admission moves it by one interval; whoever
//! would move it further ahead than the burst allows has to wait. The times are in Redis, so that the
//! APIs of a fleet share them. Without Redis, and while it is away, each API has its own: then a fleet
//! admits as many times more as it has APIs, and never without a limit.

mod local;
mod shared;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::aio::ConnectionManager;

use self::{local::Local, shared::Shared};

/// Keys that are counted at the same time at most, in one process.
const KEYS_MAX: usize = 50_000;
/// How often those are looked for that need not be counted any more.
const SWEEP_PERIOD: Duration = Duration::from_secs(1);

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

    /// So many a second, and those of `seconds` at once.
    pub(crate) fn per_second(name: &'static str, rate: u32, seconds: u32) -> Self {
        let rate = rate.max(1);
        let interval = Duration::from_secs(1) / rate;
        Self::new(name, rate.saturating_mul(seconds), interval)
    }

    /// How long it takes until a budget that was spent is whole again.
    pub(crate) fn window(self) -> Duration {
        self.interval * self.burst
    }
}

/// What is left of a budget after an admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// How many more would be admitted now.
    pub(crate) requests: u32,
    /// How long it takes until the budget is whole again.
    pub(crate) whole_in: Duration,
}

/// Counts what was asked for; clones share the count.
#[derive(Clone, Debug)]
pub(crate) struct Throttle {
    local: Arc<Local>,
    shared: Option<Arc<Shared>>,
}

impl Throttle {
    /// Counts in this Redis; without one, in this process.
    pub(crate) fn new(redis: Option<ConnectionManager>) -> Self {
        Self {
            local: Arc::default(),
            shared: redis.map(|redis| Arc::new(Shared::new(redis))),
        }
    }

    /// Admits one more under a key, or says how long to wait.
    pub(crate) async fn admit(&self, policy: Policy, key: &str) -> Result<Left, Duration> {
        if let Some(shared) = &self.shared
            && let Some(answer) = shared.admit(policy, key).await
        {
            return answer;
        }
        self.local.admit(policy, key, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use jobs::testing::TestRedis;
    use models::testing::TestResult;
    use redis::{Client, aio::ConnectionManagerConfig};
    use tokio::time::{Instant, sleep};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// The count of one more process.
    fn process(redis: &TestRedis) -> TestResult<Throttle> {
        let config = ConnectionManagerConfig::new().set_number_of_retries(1);
        let client = Client::open(redis.url())?;
        let connection = client.get_connection_manager_lazy(config)?;
        Ok(Throttle::new(Some(connection)))
    }

    async fn admitted(throttle: &Throttle, policy: Policy) -> u32 {
        let mut admitted = 0;
        while throttle.admit(policy, "somebody").await.is_ok() {
            admitted += 1;
        }
        admitted
    }

    #[tokio::test]
    async fn processes_share_a_budget() -> TestResult {
        let redis = TestRedis::start().await?;
        let policy = Policy::new("test", 3_000, Duration::from_hours(1));
        let (a, b, c) = (process(&redis)?, process(&redis)?, process(&redis)?);

        let (a, b, c) = tokio::join!(
            admitted(&a, policy),
            admitted(&b, policy),
            admitted(&c, policy)
        );

        let all = a + b + c;
        assert!((2_940..=3_000).contains(&all), "{a} + {b} + {c} = {all}");
        let seen: Vec<Vec<u8>> = redis.command(&["KEYS", "lyo:rate:*"]).await?;
        assert!(
            seen.len() == 1 && !seen[0].ends_with(b"somebody"),
            "a digest"
        );
        Ok(())
    }

    #[tokio::test]
    async fn without_redis_each_process_counts_for_itself() -> TestResult {
        let mut redis = TestRedis::start().await?;
        let policy = Policy::new("test", 5, Duration::from_hours(1));
        let (a, b) = (process(&redis)?, process(&redis)?);
        assert_eq!(admitted(&a, policy).await, 5);
        assert_eq!(admitted(&b, policy).await, 0);

        redis.kill().await?;

        let fresh = Policy::new("fresh", 5, Duration::from_hours(1));
        assert_eq!(admitted(&a, fresh).await, 5);
        assert_eq!(admitted(&b, fresh).await, 5);
        redis.restart().await?;
        let began = Instant::now();
        while redis
            .command::<Vec<Vec<u8>>>(&["KEYS", "lyo:rate:*"])
            .await?
            .is_empty()
        {
            assert!(began.elapsed() < PATIENCE, "Redis is not asked again");
            // Who counts is looked at, not what is admitted.
            let _ = a.admit(policy, "somebody else").await;
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}
