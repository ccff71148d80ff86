//! Worker processes, as they last reported.

use std::time::Duration;

use chrono::{DateTime, Utc};
use models::{Conn, Db, Result, TaskId, Tx, sql};
use sqlx::types::Json;

use crate::job::Queue;

/// How often a worker reports.
pub const PERIOD: Duration = Duration::from_secs(5);
/// A worker that was silent for this long does not live.
pub const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Workers that are listed at most.
const LISTED_MAX: i64 = 1_000;
/// Running tasks that are listed at most, of all workers.
const RUNNING_MAX: i64 = 5_000;

/// What a worker says of itself. A row of `workers`.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Worker {
    /// Its name, different from start to start.
    pub name: String,
    /// Its release.
    pub version: String,
    /// The queues it serves.
    #[sqlx(json)]
    pub queues: Vec<Queue>,
    /// Tasks of a queue that it runs at the same time.
    pub concurrency: i64,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it last reported.
    pub seen_at: DateTime<Utc>,
}

/// A task in the hands of a worker.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Hand {
    /// The worker.
    pub worker: String,
    /// The task.
    pub id: TaskId,
    /// Its kind.
    pub kind: String,
}

/// Writes down that a worker lives: `seen_at` is now.
pub async fn report(db: &Db, worker: &Worker) -> Result<()> {
    let mut tx = db.begin().await?;
    sql!(
        tx,
        execute,
        "insert into workers (name, version, queues, concurrency, started_at, seen_at)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (name) do update set seen_at = excluded.seen_at",
        &worker.name,
        &worker.version,
        Json(&worker.queues),
        worker.concurrency,
        worker.started_at,
        worker.seen_at,
    )?;
    tx.commit().await
}

/// Forgets a worker that has stopped.
pub async fn leave(db: &Db, name: &str) -> Result<()> {
    let mut tx = db.begin().await?;
    sql!(tx, execute, "delete from workers where name = $1", name)?;
    tx.commit().await
}

/// The workers that live, the latest to report first.
pub async fn list(conn: &mut Conn, now: DateTime<Utc>) -> Result<Vec<Worker>> {
    sql!(
        conn, fetch_all Worker,
        "select * from workers where seen_at > $1 order by seen_at desc, name limit $2",
        now - SILENCE_MAX, LISTED_MAX,
    )
}

/// What the workers run.
pub async fn running(conn: &mut Conn) -> Result<Vec<Hand>> {
    sql!(
        conn, fetch_all Hand,
        "select worker, id, kind from tasks
        where state = 'running' and worker is not null
        order by worker, id
        limit $1",
        RUNNING_MAX,
    )
}

/// Forgets workers that were silent since before then.
pub async fn prune(tx: &mut Tx, before: DateTime<Utc>) -> Result<u64> {
    sql!(
        tx,
        execute,
        "delete from workers where seen_at < $1",
        before
    )
}
