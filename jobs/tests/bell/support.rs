//! Bells of several processes, and what Redis holds.

use std::{collections::BTreeSet, time::Duration};

use jobs::{
    Queue, TaskId,
    bell::{Bell, RedisOptions},
    testing::TestRedis,
};
use models::testing::TestResult;
use tokio::time::{sleep, timeout};

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// How long a test waits for what must not happen.
pub(crate) const MOMENT: Duration = Duration::from_millis(200);

/// The bell of an API: it rings and watches.
pub(crate) fn api(redis: &TestRedis) -> TestResult<Bell> {
    bell(redis, &[], true)
}

/// The bell of a worker that serves these queues.
pub(crate) fn worker(redis: &TestRedis, queues: &[Queue]) -> TestResult<Bell> {
    bell(redis, queues, false)
}

fn bell(redis: &TestRedis, queues: &[Queue], watches: bool) -> TestResult<Bell> {
    Ok(Bell::redis(&RedisOptions {
        url: redis.url(),
        queues: queues.to_vec(),
        watches,
    })?)
}

pub(crate) fn ids(count: usize) -> Vec<TaskId> {
    (0..count).map(|_| TaskId::new()).collect()
}

pub(crate) fn ring(bell: &Bell, queue: Queue, ids: &[TaskId]) {
    bell.ring(&ids.iter().map(|id| (queue, *id)).collect::<Vec<_>>());
}

/// Takes from a queue until all of these were heard, and rings again for those that were not, as the
/// relay does.
pub(crate) async fn hear_all(
    ringer: &Bell,
    worker: &Bell,
    queue: Queue,
    ids: &[TaskId],
) -> TestResult {
    let mut missing: BTreeSet<TaskId> = ids.iter().copied().collect();
    let hear = async {
        while !missing.is_empty() {
            match timeout(MOMENT, worker.take(queue, 64)).await {
                Ok(heard) => missing.retain(|id| !heard.contains(id)),
                Err(_) => ring(ringer, queue, &missing.iter().copied().collect::<Vec<_>>()),
            }
        }
    };
    timeout(PATIENCE, hear)
        .await
        .map_err(|_| "not all were heard")?;
    Ok(())
}

/// How many tasks of a queue are outstanding.
pub(crate) async fn outstanding(redis: &TestRedis, queue: Queue) -> TestResult<usize> {
    redis
        .command(&["HLEN", &format!("{{lyo:{queue}}}:known")])
        .await
}

/// How many messages of a queue wait.
pub(crate) async fn waiting(redis: &TestRedis, queue: Queue) -> TestResult<usize> {
    redis
        .command(&["LLEN", &format!("{{lyo:{queue}}}:active")])
        .await
}

/// Waits until a number is as it should be.
pub(crate) async fn until<F: Future<Output = TestResult<usize>>>(
    wanted: usize,
    look: impl Fn() -> F,
) -> TestResult {
    let became = timeout(PATIENCE, async {
        while look().await? != wanted {
            sleep(Duration::from_millis(10)).await;
        }
        TestResult::Ok(())
    });
    match became.await {
        Ok(became) => became,
        Err(_) => Err(format!("it is {} and never became {wanted}", look().await?).into()),
    }
}
