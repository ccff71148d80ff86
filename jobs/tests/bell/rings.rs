//! Rings from one process to another.

use std::time::Duration;

use jobs::{Queue, bell::OUTSTANDING_MAX, testing::TestRedis};
use models::testing::TestResult;
use tokio::time::timeout;

use crate::support::{
    MOMENT, PATIENCE, api, hear_all, ids, outstanding, ring, until, waiting, worker,
};

#[tokio::test]
async fn what_one_process_rings_another_hears_once() -> TestResult {
    let redis = TestRedis::start().await?;
    let (api, worker) = (api(&redis)?, worker(&redis, &[Queue::Email])?);
    let ids = ids(3);

    ring(&api, Queue::Email, &ids);

    hear_all(&api, &worker, Queue::Email, &ids).await?;
    until(0, || outstanding(&redis, Queue::Email)).await?;
    assert!(timeout(MOMENT, worker.take(Queue::Email, 1)).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_task_that_is_rung_twice_waits_once() -> TestResult {
    let redis = TestRedis::start().await?;
    let api = api(&redis)?;
    let ids = ids(5);

    ring(&api, Queue::Media, &ids);
    until(5, || waiting(&redis, Queue::Media)).await?;
    ring(&api, Queue::Media, &ids);
    ring(&api, Queue::Media, &[ids[0], ids[0]]);
    ring(&api, Queue::Email, &ids);
    until(1, || waiting(&redis, Queue::Email)).await?;

    assert_eq!(
        waiting(&redis, Queue::Media).await?,
        5,
        "slow work goes one by one"
    );
    let worker = worker(&redis, &[Queue::Media])?;
    hear_all(&api, &worker, Queue::Media, &ids).await?;
    ring(&api, Queue::Media, &ids[..1]);
    hear_all(&api, &worker, Queue::Media, &ids[..1]).await
}

#[tokio::test]
async fn ten_thousand_rings_leave_few_outstanding_and_none_waits() -> TestResult {
    let redis = TestRedis::start().await?;
    let api = api(&redis)?;
    let ids = ids(10_000);

    for ids in ids.chunks(500) {
        ring(&api, Queue::Default, ids);
    }
    until(OUTSTANDING_MAX, || outstanding(&redis, Queue::Default)).await?;
    assert!(waiting(&redis, Queue::Default).await? <= OUTSTANDING_MAX);

    let worker = worker(&redis, &[Queue::Default])?;
    hear_all(&api, &worker, Queue::Default, &ids).await
}

#[tokio::test]
async fn a_process_without_time_keeps_nothing_from_the_others() -> TestResult {
    let redis = TestRedis::start().await?;
    let api = api(&redis)?;
    let busy = worker(&redis, &[Queue::Generation])?;
    let free = worker(&redis, &[Queue::Generation])?;
    let ids = ids(8);
    ring(&api, Queue::Generation, &ids);
    timeout(PATIENCE, busy.take(Queue::Generation, 1)).await?;

    for _ in 1..ids.len() {
        timeout(PATIENCE, free.take(Queue::Generation, 1)).await?;
    }

    until(0, || outstanding(&redis, Queue::Generation)).await
}

#[tokio::test]
async fn what_was_heard_and_not_taken_is_given_back() -> TestResult {
    let redis = TestRedis::start().await?;
    let (api, leaving) = (api(&redis)?, worker(&redis, &[Queue::Email])?);
    let ids = ids(20);
    ring(&api, Queue::Email, &ids);
    let taken = timeout(PATIENCE, leaving.take(Queue::Email, 1)).await?;

    leaving.close().await;

    let worker = worker(&redis, &[Queue::Email])?;
    let left: Vec<_> = ids
        .iter()
        .copied()
        .filter(|id| !taken.contains(id))
        .collect();
    let mut heard = Vec::new();
    while heard.len() < left.len() {
        heard.extend(timeout(PATIENCE, worker.take(Queue::Email, 64)).await?);
    }
    heard.sort();
    assert_eq!(heard, left);
    Ok(())
}

#[tokio::test]
async fn a_change_wakes_those_who_watch_in_another_process() -> TestResult {
    let redis = TestRedis::start().await?;
    let (api, worker) = (api(&redis)?, worker(&redis, &[])?);
    let id = ids(1)[0];
    let mut watch = api.watch();
    watch.add(id);

    // A watcher looks by itself every few seconds: many changes in less show that it was woken.
    let woken = async {
        let mut quick = 0;
        while quick < 10 {
            worker.announce(id);
            let began = tokio::time::Instant::now();
            watch.changed(PATIENCE).await;
            if began.elapsed() < Duration::from_millis(500) {
                quick += 1;
            }
        }
    };
    timeout(PATIENCE, woken).await?;
    Ok(())
}
