//! Owners beside each other: how long few tasks wait beside very many, how even many owners get on.
//!
//! There is one account behind the API, so tasks of other owners are stored as the API stores them:
//! in a transaction, and rung for after the commit.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use chrono::TimeDelta;
use jobs::{
    Definition, Task,
    bell::{Bell, RedisOptions},
    kinds::Noop,
    store::{self, New, Options},
};
use models::{Db, DbOptions, OwnerId, sql};
use serde_json::json;
use uuid::Uuid;

use crate::process::Process;

/// Tasks that are stored in one transaction.
const TOGETHER: usize = 500;
/// How often the few tasks are submitted, alone and beside many; all their waits count.
const ROUNDS: usize = 60;
/// Between two rounds, so that the few tasks find what they would find at any other moment.
const PAUSE: Duration = Duration::from_millis(300);
/// How long a round may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// A worker over PostgreSQL and Redis, and how many tasks.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell command that runs one worker in the foreground.
    #[arg(long)]
    worker: String,

    /// Where the system's database is.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database: String,

    /// Where its Redis is.
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    redis: String,

    /// Tasks that one owner has queued at least while another waits.
    #[arg(long, default_value_t = 10_000)]
    many: usize,

    /// Tasks of the other.
    #[arg(long, default_value_t = 10)]
    few: usize,

    /// How long each task takes, in milliseconds.
    #[arg(long, default_value_t = 100)]
    sleep_ms: u64,

    /// Owners with as many tasks each.
    #[arg(long, default_value_t = 20)]
    owners: u128,

    /// Tasks of each of them.
    #[arg(long, default_value_t = 500)]
    each: usize,
}

/// What the measurements share.
struct Fair<'a> {
    args: &'a Args,
    db: Db,
    bell: Bell,
}

/// Measures, and prints two lines.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let db = Db::connect(&args.database, &DbOptions::default()).await?;
    db.migrate().await?;
    let options = RedisOptions {
        url: args.redis.clone(),
        queues: Vec::new(),
        watches: false,
    };
    let bell = Bell::redis(&options)?;
    let fair = Fair { args, db, bell };
    fair.evenly().await?;
    fair.few_beside_many().await?;
    fair.bell.close().await;
    Ok(())
}

impl Fair<'_> {
    async fn few_beside_many(&self) -> Result<()> {
        let _worker = Process::start(&self.args.worker)?;
        // Once for nothing: connections are opened and statements prepared.
        self.few().await?;
        let (mut alone, mut beside) = (Waits::default(), Waits::default());
        for _ in 0..ROUNDS {
            alone.add(&self.few().await?);
        }
        for _ in 0..ROUNDS {
            let queued = self.queued().await?;
            self.submit(owner(1), self.args.many.saturating_sub(queued))
                .await?;
            tokio::time::sleep(PAUSE).await;
            beside.add(&self.few().await?);
        }
        let ratio = |of: fn(&mut Waits) -> f64, alone: &mut Waits, beside: &mut Waits| {
            let (alone, beside) = (of(alone), of(beside));
            format!(
                "{alone:.0} ms alone, {beside:.0} ms beside, {:.2} times",
                beside / alone
            )
        };
        println!(
            "- {} tasks of {} ms beside {} of another owner: p95 until the end {}; p95 until the \
             start {}.",
            self.args.few,
            self.args.sleep_ms,
            self.args.many,
            ratio(|waits| p95(&mut waits.end), &mut alone, &mut beside),
            ratio(|waits| p95(&mut waits.start), &mut alone, &mut beside),
        );
        self.until_empty().await
    }

    /// Jain's index of what each owner has got when half of everything is done.
    async fn evenly(&self) -> Result<()> {
        for number in 0..self.args.owners {
            self.submit(owner(100 + number), self.args.each).await?;
        }
        let worker = Process::start(&self.args.worker)?;
        self.until_empty().await?;
        drop(worker);
        let ended = sql!(
            self.db.conn().await?,
            fetch_all(OwnerId,),
            "select owner_id from tasks where state = 'succeeded' and owner_id >= $1
            order by finished_at, id",
            owner(100),
        )?;
        let mut shares: HashMap<OwnerId, f64> = HashMap::new();
        for (owner,) in &ended[..ended.len() / 2] {
            *shares.entry(*owner).or_default() += 1.0;
        }
        let sum: f64 = shares.values().sum();
        let squares: f64 = shares.values().map(|share| share * share).sum();
        let owners = f64::from(u32::try_from(self.args.owners)?);
        println!(
            "- {} owners with {} tasks each, stored one owner after the other before a worker began: Jain's \
             index {:.3} when half was done.",
            self.args.owners,
            self.args.each,
            sum * sum / (owners * squares),
        );
        Ok(())
    }

    /// Submits the few tasks of the second owner, and answers them when they have ended.
    async fn few(&self) -> Result<Vec<Task>> {
        let tasks = self.submit(owner(2), self.args.few).await?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let mut conn = self.db.conn().await?;
            let mut ended = Vec::with_capacity(tasks.len());
            for task in &tasks {
                ended.push(store::get(&mut conn, task.id).await?);
            }
            if ended.iter().all(|task| task.finished_at.is_some()) {
                return Ok(ended);
            }
            drop(conn);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the few tasks have not ended within {PATIENCE:?}")
    }

    async fn submit(&self, owner: OwnerId, count: usize) -> Result<Vec<Task>> {
        static NOOP: Definition = Definition::of::<Noop>();
        let mut stored = Vec::with_capacity(count);
        for done in (0..count).step_by(TOGETHER) {
            let new = (done..count.min(done + TOGETHER)).map(|n| New {
                definition: &NOOP,
                payload: json!({"n": n, "sleep_ms": self.args.sleep_ms}),
                options: Options::by(owner),
            });
            let now = self.db.now();
            let mut tx = self.db.begin().await?;
            let tasks = store::enqueue_many(&mut tx, new.collect(), now).await?;
            tx.commit().await?;
            for task in &tasks {
                self.bell.tell(task, now);
            }
            stored.extend(tasks);
        }
        Ok(stored)
    }

    async fn queued(&self) -> Result<usize> {
        let (queued,) = sql!(
            self.db.conn().await?,
            fetch_one(i64,),
            "select count(*) from tasks where state in ('queued', 'running')",
        )?;
        Ok(usize::try_from(queued)?)
    }

    async fn until_empty(&self) -> Result<()> {
        let begun = Instant::now();
        while self.queued().await? > 0 {
            if begun.elapsed() > PATIENCE {
                bail!("not everything has ended within {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }
}

/// Milliseconds from the submission of tasks to their starts and to their ends.
#[derive(Default)]
struct Waits {
    start: Vec<f64>,
    end: Vec<f64>,
}

impl Waits {
    fn add(&mut self, tasks: &[Task]) {
        let ms = |took: TimeDelta| took.as_seconds_f64() * 1_000.0;
        for task in tasks {
            let since = |time| ms(time - task.created_at);
            self.start.extend(task.started_at.map(since));
            self.end.extend(task.finished_at.map(since));
        }
    }
}

fn p95(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len() * 95 / 100)
        .copied()
        .unwrap_or(f64::NAN)
}

fn owner(number: u128) -> OwnerId {
    Uuid::from_u128(number).into()
}
