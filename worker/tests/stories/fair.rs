//! Owners beside each other in a worker that has more to do than room.

use std::sync::Arc;

use crate::{
    scripted::{Reply, Scripted},
    support::{PATIENCE, Worker, ended},
};
use chrono::{DateTime, Utc};
use jobs::{
    Definition, Task, TaskId,
    bell::Bell,
    kinds::Noop,
    store::{self, New, Options},
};
use models::{Db, OwnerId, on_both, sql, sql::One, testing::TestResult};
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

/// Who has little.
const FEW: OwnerId = OwnerId::LOCAL;
/// Tasks of the one who has much: more than end while the test looks on.
const COUNT: usize = 3_000;
/// Tasks of that owner that may start between the submission and the last start of the few of another:
/// as many as one statement starts, and some that were on their way.
const AHEAD_MAX: i64 = 256;

/// Tasks that the worker runs at a time, but for those of newcomers.
const PLACES: i64 = 256;
/// Tasks that take all of them, and others that wait.
const CROWD: usize = 600;
/// How long each of these takes, in milliseconds.
const LONG_MS: u64 = 10_000;

/// Who has much.
fn many() -> OwnerId {
    Uuid::from_u128(1).into()
}

/// Stores tasks of an owner, as the API does.
async fn submit(db: &Db, owner: OwnerId, count: usize, sleep_ms: u64) -> TestResult<Vec<TaskId>> {
    let tasks = stored(db, owner, count, sleep_ms).await?;
    Ok(tasks.into_iter().map(|task| task.id).collect())
}

async fn stored(db: &Db, owner: OwnerId, count: usize, sleep_ms: u64) -> TestResult<Vec<Task>> {
    static NOOP: Definition = Definition::of::<Noop>();
    let new = (0..count).map(|n| New {
        definition: &NOOP,
        payload: json!({"n": n, "sleep_ms": sleep_ms}),
        options: Options::by(owner),
    });
    let mut tx = db.begin().await?;
    let tasks = store::enqueue_many(&mut tx, new.collect(), db.now()).await?;
    tx.commit().await?;
    Ok(tasks)
}

/// Submits a few tasks while many of another owner run, and answers when, and when the last of them
/// was started.
async fn beside(db: &Db) -> TestResult<(DateTime<Utc>, DateTime<Utc>)> {
    // When this one has ended, the worker is at work.
    ended(db, submit(db, FEW, 1, 0).await?[0]).await?;
    let since = db.now();
    let mut last = since;
    for id in submit(db, FEW, 10, 0).await? {
        let started = ended(db, id).await?.started_at;
        last = last.max(started.ok_or("it was started")?);
    }
    Ok((since, last))
}

/// How many tasks of the one who has much ran at a moment.
async fn running(db: &Db, at: DateTime<Utc>) -> TestResult<i64> {
    let (count,) = sql!(
        db.conn().await?,
        fetch_one One<i64>,
        "select count(*) from tasks
        where owner_id = $1 and started_at <= $2 and (finished_at is null or finished_at > $2)",
        many(), at,
    )?;
    Ok(count)
}

/// Submits a task and says so until one of them has started while all places were taken.
async fn started_beside_all(db: &Db, bell: &Bell) -> TestResult {
    loop {
        let tasks = stored(db, FEW, 1, 0).await?;
        bell.tell(&tasks[0], db.now());
        let started = ended(db, tasks[0].id).await?.started_at;
        if running(db, started.ok_or("it was started")?).await? >= PLACES {
            return Ok(());
        }
    }
}

on_both! {
    async fn who_comes_new_starts_while_every_place_is_taken(test: &TestDb) -> TestResult {
        let db = &test.db;
        submit(db, many(), CROWD, LONG_MS).await?;
        let worker = Worker::start(test, &Arc::new(Scripted::new(|_| Reply::Good)), 1)?;

        let started = timeout(PATIENCE, started_beside_all(db, &worker.bell)).await;
        worker.kill();

        started.map_err(|_| "newcomers waited for a place")?
    }

    async fn who_has_little_does_not_wait_for_who_has_much(test: &TestDb) -> TestResult {
        let db = &test.db;
        submit(db, many(), COUNT, 50).await?;
        let worker = Worker::start(test, &Arc::new(Scripted::new(|_| Reply::Good)), 1)?;

        let told = beside(db).await;
        worker.kill();

        let (since, last) = told?;
        let (ahead,) = sql!(
            db.conn().await?,
            fetch_one One<i64>,
            "select count(*) from tasks
            where owner_id = $1 and started_at > $2 and started_at < $3",
            many(), since, last,
        )?;
        assert!(ahead <= AHEAD_MAX, "{ahead} tasks of the other owner went first");
        Ok(())
    }
}
