//! A Redis that is killed, emptied, stalled, or not there at all.

use std::time::Duration;

use jobs::{
    Queue,
    bell::{Bell, RedisOptions},
    kinds::Noop,
    store::{self, Options},
    testing::TestRedis,
};
use models::{
    OwnerId,
    testing::{TestDb, TestResult},
};
use tokio::time::{Instant, timeout};

use crate::support::{MOMENT, api, hear_all, ids, outstanding, ring, until, worker};

#[tokio::test]
async fn a_redis_that_was_killed_is_used_again_when_it_is_back() -> TestResult {
    let mut redis = TestRedis::start().await?;
    let (api, worker) = (api(&redis)?, worker(&redis, &[Queue::Default])?);
    hear_all(&api, &worker, Queue::Default, &ids(10)).await?;

    redis.kill().await?;
    let ids = ids(100);
    ring(&api, Queue::Default, &ids);
    assert!(
        timeout(MOMENT, worker.take(Queue::Default, 64))
            .await
            .is_err()
    );
    redis.restart().await?;

    hear_all(&api, &worker, Queue::Default, &ids).await
}

#[tokio::test]
async fn a_redis_that_lost_everything_is_used_on() -> TestResult {
    let redis = TestRedis::start().await?;
    let (api, worker) = (api(&redis)?, worker(&redis, &[Queue::Default])?);
    for _ in 0..3 {
        hear_all(&api, &worker, Queue::Default, &ids(100)).await?;
        redis.command::<()>(&["FLUSHALL"]).await?;
    }
    hear_all(&api, &worker, Queue::Default, &ids(100)).await
}

#[tokio::test]
async fn nobody_who_rings_waits_for_a_redis_that_is_stalled() -> TestResult {
    let redis = TestRedis::start().await?;
    let (api, worker) = (api(&redis)?, worker(&redis, &[Queue::Default])?);
    hear_all(&api, &worker, Queue::Default, &ids(10)).await?;
    redis.stall(true).await?;
    let all = ids(5_000);

    let began = Instant::now();
    for id in &all {
        ring(&api, Queue::Default, &[*id]);
        api.announce(*id);
    }
    let took = began.elapsed();
    assert!(
        timeout(MOMENT, worker.take(Queue::Default, 64))
            .await
            .is_err()
    );
    redis.stall(false).await?;

    hear_all(&api, &worker, Queue::Default, &all[..300]).await?;
    assert!(
        took < Duration::from_secs(5),
        "ringing is only writing down: {took:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_bell_starts_without_redis() -> TestResult {
    let bell = Bell::redis(&RedisOptions {
        url: "redis://127.0.0.1:1".to_owned(),
        queues: vec![Queue::Default],
        watches: true,
    })?;

    ring(&bell, Queue::Default, &ids(100));

    assert!(timeout(MOMENT, bell.take(Queue::Default, 1)).await.is_err());
    assert_eq!(bell.trouble(), None, "it has not been away for long");
    bell.close().await;
    Ok(())
}

#[tokio::test]
async fn a_worker_that_is_gone_is_forgotten_with_what_it_had_fetched() -> TestResult {
    // Its clock is wrong as well.
    let redis = TestRedis::start().await?;
    let key = |name: &str| format!("{{lyo:default}}:{name}");
    let id = ids(1)[0];
    let message = format!("[\"{id}\"]");
    for command in [
        ["ZADD", &key("workers"), "4102444800", "ghost"].as_slice(),
        &["SADD", &key("inflight:ghost"), "m7"],
        &["HSET", &key("data"), "m7", &message],
        &["HSET", &key("meta:m7"), "status", "Pending"],
        &["HSET", &key("known"), &id.to_string(), "m7"],
    ] {
        redis.command::<()>(command).await?;
    }

    let worker = worker(&redis, &[Queue::Default])?;

    until(0, || outstanding(&redis, Queue::Default)).await?;
    let (inflight, data, meta) = (key("inflight:ghost"), key("data"), key("meta:m7"));
    let left: usize = redis.command(&["EXISTS", &inflight, &data, &meta]).await?;
    assert_eq!(left, 0);
    worker.close().await;
    until(0, || redis.command(&["EXISTS", "{lyo:default}:workers"])).await
}

#[tokio::test]
async fn a_short_queue_asks_for_a_relay_although_a_gone_worker_holds_rings() -> TestResult {
    let (test, redis) = (TestDb::sqlite().await?, TestRedis::start().await?);
    let key = |name: &str| format!("{{lyo:default}}:{name}");
    redis
        .command::<()>(&["HSET", &key("known"), &ids(1)[0].to_string(), "m7"])
        .await?;
    redis.command::<()>(&["SET", &key("more"), "64"]).await?;
    let api = api(&redis)?;
    let noop = Noop {
        n: 1,
        sleep_ms: 0,
        fail: None,
    };
    let mut tx = test.db.begin().await?;
    let task = store::enqueue(&mut tx, &noop, Options::by(OwnerId::LOCAL), test.db.now()).await?;
    tx.commit().await?;

    api.tell(&task, test.db.now());

    // What is dropped while there is no room must not be dropped for ever.
    until(0, || redis.command(&["EXISTS", "{lyo:default}:more"])).await?;
    test.close().await
}
