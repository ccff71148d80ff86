//! The times of a fleet, in Redis.
//!
//! Whoever asks often is not asked for each time: a process has a few admitted in advance, more the
//! faster they are used up. What is not used within a second is lost to the caller, so those who ask
//! rarely get one at a time.

use std::{
    collections::HashMap,
    fmt,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use redis::{RedisResult, Script, aio::ConnectionManager};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use tracing::warn;

use super::{KEYS_MAX, Left, Policy, SWEEP_PERIOD};

/// How long somebody waits for Redis: as long as a slow answer takes, and no time-out of theirs.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(250);
/// How long Redis is not asked again after it did not answer.
const AWAY_PERIOD: Duration = Duration::from_secs(1);
/// How long what was admitted in advance is good.
const BLOCK_PERIOD: Duration = Duration::from_secs(1);
/// How many are admitted in advance at most, and which part of a burst at most.
const BLOCK_MAX: u32 = 256;
const BLOCKS_A_BURST: u32 = 64;

/// What the keys begin with; a digest follows, as bytes.
const PREFIX: &[u8] = b"lyo:rate:";

static ADMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("admit.lua")));

/// The times in Redis, and what they have admitted to this process.
pub(super) struct Shared {
    redis: ConnectionManager,
    blocks: Mutex<Blocks>,
}

#[derive(Default)]
struct Blocks {
    by_key: HashMap<String, Block>,
    swept_at: Option<Instant>,
    away_until: Option<Instant>,
}

/// What Redis has said of a key.
#[derive(Clone, Copy)]
struct Block {
    /// How many are admitted and have not come yet.
    admitted: u32,
    /// How many were asked for last time.
    asked: u32,
    /// How many more Redis had.
    left: u32,
    whole_at: Instant,
    /// How long this holds.
    until: Instant,
    /// Whether none is admitted until then.
    closed: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(redis: ConnectionManager) -> Self {
        Self {
            redis,
            blocks: Mutex::default(),
        }
    }

    /// Admits one more under a key, or says how long to wait; nothing while Redis is away.
    pub(super) async fn admit(&self, policy: Policy, key: &str) -> Option<Result<Left, Duration>> {
        let key = format!("{}:{key}", policy.name);
        let wanted = {
            let mut blocks = self.lock();
            let now = Instant::now();
            if blocks.away_until.is_some_and(|until| now < until) {
                return None;
            }
            match blocks
                .by_key
                .get_mut(&key)
                .filter(|block| now < block.until)
            {
                Some(block) if block.admitted > 0 => {
                    block.admitted -= 1;
                    return Some(Ok(block.left(now)));
                }
                Some(block) if block.closed => return Some(Err(block.until - now)),
                // It was used up before its time.
                Some(block) => (block.asked * 2).min(block_max(policy)),
                None => 1,
            }
        };
        let answer = timeout(ANSWER_TIMEOUT, Box::pin(self.ask(policy, &key, wanted))).await;
        let now = Instant::now();
        let mut blocks = self.lock();
        let Ok(Ok((admitted, left, micros))) = answer else {
            // Once for all who were waiting, and then once a second.
            if blocks.away_until.is_none_or(|until| until <= now) {
                warn!("Redis does not answer: this process alone counts what callers ask for");
            }
            blocks.away_until = Some(now + AWAY_PERIOD);
            return None;
        };
        let time = Duration::from_micros(micros);
        if admitted == 0 {
            blocks.keep(key, Block::closed(now + time), now);
            return Some(Err(time));
        }
        let block = Block {
            admitted: admitted - 1,
            asked: wanted,
            left,
            whole_at: now + time,
            until: now + BLOCK_PERIOD,
            closed: false,
        };
        let answer = block.left(now);
        blocks.keep(key, block, now);
        Some(Ok(answer))
    }

    async fn ask(&self, policy: Policy, key: &str, wanted: u32) -> RedisResult<(u32, u32, u64)> {
        // Keys hold mail addresses: Redis sees a digest.
        let digest = Sha256::digest(key);
        let mut admit = ADMIT.key([PREFIX, &digest[..]].concat());
        admit.arg(policy.interval.as_micros().max(1).to_string());
        admit.arg(policy.burst).arg(wanted);
        admit.invoke_async(&mut self.redis.clone()).await
    }

    fn lock(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blocks {
    /// Remembers what Redis has said, beside what others were told of the same key meanwhile. Where
    /// there are too many keys, Redis is asked each time.
    fn keep(&mut self, key: String, mut block: Block, now: Instant) {
        let lately = |swept_at| now.saturating_duration_since(swept_at) < SWEEP_PERIOD;
        if self.by_key.len() >= KEYS_MAX && !self.swept_at.is_some_and(lately) {
            self.by_key.retain(|_, block| block.until > now);
            self.swept_at = Some(now);
        }
        let known = self.by_key.get(&key);
        if known.is_none() && self.by_key.len() >= KEYS_MAX {
            return;
        }
        if let Some(known) = known.filter(|known| now < known.until) {
            block.admitted += known.admitted;
        }
        self.by_key.insert(key, block);
    }
}

impl Block {
    fn closed(until: Instant) -> Self {
        Self {
            admitted: 0,
            asked: 1,
            left: 0,
            whole_at: until,
            until,
            closed: true,
        }
    }

    fn left(&self, now: Instant) -> Left {
        Left {
            requests: self.admitted + self.left,
            whole_in: self.whole_at.saturating_duration_since(now),
        }
    }
}

/// How many are admitted in advance at most: where few may come, each counts.
fn block_max(policy: Policy) -> u32 {
    (policy.burst / BLOCKS_A_BURST).clamp(1, BLOCK_MAX)
}
