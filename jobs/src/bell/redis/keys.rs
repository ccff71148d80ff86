//! The names of what Redis holds, and the scripts that change it.
//!
//! apalis decides most of the names: they begin with that of the queue. The braces keep everything of
//! a queue in one slot, should a Redis Cluster be supported one day.

use std::{num::NonZeroUsize, sync::LazyLock};

use apalis_redis::Config;
use redis::{AsyncCommands as _, RedisResult, Script, aio::ConnectionManager};

use super::outbox::Rings;
use crate::{
    bell::{OUTSTANDING_MAX, Offer, express::OFFERS_MAX},
    job::Queue,
};

/// The channel that tells of changed tasks: sixteen bytes each.
pub(super) const CHANGED: &str = "lyo:changed";
/// What the channel of a queue says when there is something in its express lane.
pub(super) const OFFERED: &[u8] = b"offered";

static PUSH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("push.lua")));
static FINISH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("finish.lua")));

/// The keys of one queue.
#[derive(Debug)]
pub(super) struct Keys {
    /// What apalis is told.
    pub(super) config: Config,
    /// The channel that knocks at the workers.
    pub(super) rung: String,
    /// Tasks that are outstanding, each with its newest message.
    pub(super) known: String,
    /// Offers that were not taken yet.
    express: String,
    more: String,
    count: String,
    batch: usize,
    offered_max: usize,
    express_max: usize,
}

impl Keys {
    pub(super) fn of(queue: Queue) -> Self {
        let name = format!("{{lyo:{queue}}}");
        // The ledger is the database: no leases, results and events here, and nothing is put back for
        // a dead worker within a day. The sweep forgets it sooner.
        let config = Config::default()
            .queue(&name)
            .batch_size(1)
            .heartbeat_interval(super::listen::HEARTBEAT)
            .missed_heartbeats(20_000)
            .lock_tasks(false)
            .persist_results(false)
            .emit_events(false);
        Self {
            config,
            rung: format!("{name}:rung"),
            known: format!("{name}:known"),
            express: format!("{name}:express"),
            more: format!("{name}:more"),
            count: format!("{name}:count"),
            batch: queue.batch_max(),
            offered_max: queue.rings_max(),
            express_max: if queue.express_max() > 0 {
                OFFERS_MAX.get()
            } else {
                0
            },
        }
    }

    /// Puts rings into the queue, as far as there is room. True when the relay should look for more at
    /// once.
    pub(super) async fn push(
        &self,
        conn: &mut ConnectionManager,
        rings: &Rings,
    ) -> RedisResult<bool> {
        let mut short = false;
        if !rings.fed.is_empty() || rings.low.is_some() {
            let left = self.push_some(conn, &rings.fed, rings.low, false).await?;
            short = rings.low.is_some() && left <= rings.low;
        }
        if !rings.offered.is_empty() {
            let left = self.push_some(conn, &rings.offered, None, true).await?;
            short |= left.is_none();
        }
        Ok(short)
    }

    /// Answers how many are outstanding; nothing when a relay should look.
    async fn push_some(
        &self,
        conn: &mut ConnectionManager,
        rings: &[impl ToString],
        low: Option<usize>,
        offered: bool,
    ) -> RedisResult<Option<usize>> {
        let most = if offered {
            self.offered_max
        } else {
            OUTSTANDING_MAX
        };
        let mut push = PUSH.key(self.config.job_data_hash());
        push.key(self.config.active_jobs_list())
            .key(self.config.job_meta_hash())
            .key(&self.known)
            .key(&self.more)
            .key(&self.count)
            .key(&self.express)
            .arg(most)
            .arg(self.batch)
            .arg(&self.rung)
            .arg(low.map_or(String::new(), |low| low.to_string()))
            .arg(u8::from(offered))
            .arg(self.express_max);
        for ring in rings {
            push.arg(ring.to_string());
        }
        let left: i64 = push.invoke_async(conn).await?;
        Ok(usize::try_from(left).ok())
    }

    /// Takes from the express lane, `most` at most.
    pub(super) async fn take_offered(
        &self,
        conn: &mut ConnectionManager,
        most: NonZeroUsize,
    ) -> RedisResult<Vec<Offer>> {
        let offers: Option<Vec<String>> =
            conn.lpop(&self.express, Some(most.min(OFFERS_MAX))).await?;
        let offers = offers.unwrap_or_default();
        // Another release may write them in another way.
        Ok(offers.iter().filter_map(|text| text.parse().ok()).collect())
    }

    /// Forgets messages of a worker. True when the relay should look for more.
    pub(super) async fn finish(
        &self,
        conn: &mut ConnectionManager,
        worker: &str,
        messages: &[String],
    ) -> RedisResult<bool> {
        let mut finish = FINISH.key(self.inflight(worker));
        finish
            .key(self.config.active_jobs_list())
            .key(self.config.job_data_hash())
            .key(self.config.job_meta_hash())
            .key(&self.known)
            .key(&self.more);
        for message in messages {
            finish.arg(message);
        }
        finish.invoke_async(conn).await
    }

    /// The messages that a worker has fetched.
    pub(super) fn inflight(&self, worker: &str) -> String {
        format!("{}:{worker}", self.config.inflight_jobs_set())
    }

    /// What apalis notes of a worker, and forgets to remove.
    pub(super) fn metadata(&self, worker: &str) -> String {
        format!("{}:workers:metadata:{worker}", self.config.queue)
    }
}
