//! Relays, several processes and a database on one Redis.

use jobs::{
    Definition, Queue, State,
    bell::Bell,
    kinds::Noop,
    relay,
    store::{self, New, Options},
    testing::TestRedis,
};
use models::{
    Db, OwnerId, sql,
    sql::One,
    testing::{TestDb, TestResult},
};
use serde_json::json;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::{PATIENCE, api, ids, ring, until, worker};

static NOOP: Definition = Definition::of::<Noop>();

/// Starts whatever it takes, for ever, and leaves it running.
async fn start_all(db: Db, bell: Bell, name: String) -> TestResult {
    loop {
        let ids = bell.take(Queue::Default, 64).await;
        store::start(&db, &ids, &name, db.now()).await?;
    }
}

fn relay(db: &Db, bell: &Bell) -> DropGuard {
    let stop = CancellationToken::new();
    tokio::spawn(relay::run(db.clone(), bell.clone(), stop.clone()));
    stop.drop_guard()
}

async fn count(db: &Db, state: State) -> TestResult<usize> {
    let mut conn = db.conn().await?;
    let sql = sql!(conn, fetch_one One<i64>, "select count(*) from tasks where state = $1", state);
    Ok(usize::try_from(sql?.0)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_tasks_than_redis_may_hold_are_started_once_by_two_processes() -> TestResult {
    const TASKS: usize = 1_500;
    let (test, redis) = (TestDb::postgres().await?, TestRedis::start().await?);
    let mut tx = test.db.begin().await?;
    let new = (0..TASKS).map(|n| New {
        definition: &NOOP,
        payload: json!({"n": n}),
        options: Options::by(OwnerId::LOCAL),
    });
    store::enqueue_many(&mut tx, new.collect(), test.db.now()).await?;
    tx.commit().await?;

    let mut processes = JoinSet::new();
    let mut relays = Vec::new();
    for name in ["one", "two"] {
        let bell = worker(&redis, &[Queue::Default])?;
        relays.push(relay(&test.db, &bell));
        processes.spawn(start_all(test.db.clone(), bell, name.to_owned()));
    }
    until(TASKS, || count(&test.db, State::Running)).await?;
    // Twice would be an error of `start`; lost would be one that is still queued.
    let mut conn = test.db.conn().await?;
    let attempts = sql!(conn, fetch_one One<i64>, "select count(*) from task_attempts")?;
    assert_eq!(usize::try_from(attempts.0)?, TASKS);
    drop((conn, relays, processes));
    test.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_does_not_grow_with_the_tasks_that_passed() -> TestResult {
    const TASKS: usize = 20_000;
    let redis = TestRedis::start().await?;
    let (api, worker) = (api(&redis)?, worker(&redis, &[Queue::Default])?);
    let mut before = 0;

    for round in 0..10 {
        let ids = ids(TASKS / 10);
        let mut heard = 0;
        for ids in ids.chunks(100) {
            ring(&api, Queue::Default, ids);
            let ended = async {
                while heard < ids.len() {
                    heard += worker.take(Queue::Default, 64).await.len();
                }
            };
            timeout(PATIENCE, ended).await?;
            heard -= ids.len();
        }
        let keys: usize = redis.command(&["DBSIZE"]).await?;
        if round == 0 {
            before = memory(&redis).await?;
        }
        assert!(keys < 20, "{keys} keys are left");
    }

    let after = memory(&redis).await?;
    assert!(after < before + 500_000, "{before} bytes became {after}");
    Ok(())
}

async fn memory(redis: &TestRedis) -> TestResult<usize> {
    let info: String = redis.command(&["INFO", "memory"]).await?;
    let bytes = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    Ok(bytes.ok_or("no used_memory")?.trim().parse()?)
}
