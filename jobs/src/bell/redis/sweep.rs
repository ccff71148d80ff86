//! Forgets the workers of processes that are gone, and what they had fetched.
//!
//! apalis keeps the time of each worker's own clock. Clocks may be wrong, so a worker counts as gone
//! when its time has not changed for a while, whatever it says.

use std::{collections::HashMap, sync::Arc, time::Duration};

use redis::{AsyncCommands as _, RedisResult};
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::{Shared, listen::HEARTBEAT};
use crate::job::Queue;

/// How often to look.
const PERIOD: Duration = Duration::from_secs(5);
/// A worker that has missed so much of its heartbeat is gone.
const SILENCE_MAX: Duration = Duration::from_secs(HEARTBEAT.as_secs() * 4);
/// Workers of a queue that one look regards at most.
const WORKERS_MAX: isize = 1_000;
/// Messages that are forgotten in one script.
const MESSAGES_MAX: usize = 64;

/// When the time of each worker was first seen.
type Seen = HashMap<(Queue, String), (i64, Instant)>;

/// Sweeps the queues that this process listens to until the bell is closed.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut seen = Seen::new();
    while shared
        .stop
        .run_until_cancelled(sleep(PERIOD))
        .await
        .is_some()
    {
        let mut now = Seen::new();
        for queue in shared.queues() {
            if let Err(error) = sweep(&shared, queue, &seen, &mut now).await {
                debug!(%error, %queue, "Could not sweep");
            }
        }
        seen = now;
    }
}

async fn sweep(shared: &Shared, queue: Queue, before: &Seen, now: &mut Seen) -> RedisResult<()> {
    let mut conn = shared.conn.clone();
    let workers = shared.keys(queue).config.workers_set();
    let workers: Vec<(String, i64)> = conn.zrange_withscores(workers, 0, WORKERS_MAX - 1).await?;
    for (worker, time) in workers {
        let key = (queue, worker);
        let since = match before.get(&key) {
            Some((known, since)) if *known == time => *since,
            _ => Instant::now(),
        };
        if since.elapsed() < SILENCE_MAX {
            now.insert(key, (time, since));
        } else {
            shared.forget(queue, &key.1).await?;
        }
    }
    Ok(())
}

impl Shared {
    /// Forgets a worker and what it had fetched. The relay rings again for the tasks in it.
    pub(super) async fn forget(&self, queue: Queue, worker: &str) -> RedisResult<()> {
        let keys = self.keys(queue);
        let mut conn = self.conn.clone();
        let messages: Vec<String> = conn.smembers(keys.inflight(worker)).await?;
        for messages in messages.chunks(MESSAGES_MAX) {
            keys.finish(&mut conn, worker, messages).await?;
        }
        let mut forget = redis::pipe();
        forget.zrem(keys.config.workers_set(), worker).ignore();
        forget.del(keys.metadata(worker)).ignore();
        forget.query_async::<()>(&mut conn).await
    }
}
