//! What the bell between processes costs: how soon a ring is heard, and what Redis keeps.
//!
//!     cargo run --release -p jobs --features testing --example bell -- 100000

use std::time::Instant;

use jobs::{
    Queue, TaskId,
    bell::{Bell, RedisOptions},
    testing::TestRedis,
};
use models::testing::TestResult;

const SINGLE_RINGS: usize = 500;
const BATCH: usize = 100;

#[tokio::main]
async fn main() -> TestResult {
    let tasks: usize = std::env::args()
        .nth(1)
        .unwrap_or("20000".to_owned())
        .parse()?;
    let redis = TestRedis::start().await?;
    let bell = |queues: &[Queue]| {
        Bell::redis(&RedisOptions {
            url: redis.url(),
            queues: queues.to_vec(),
            watches: false,
        })
    };
    let (api, worker) = (bell(&[])?, bell(&[Queue::Default])?);
    // The first ring finds the connections made.
    hear(&api, &worker, 1).await;

    let mut pickups = Vec::new();
    for _ in 0..SINGLE_RINGS {
        let began = Instant::now();
        hear(&api, &worker, 1).await;
        pickups.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    pickups.sort();
    let at = |percent: usize| pickups[(SINGLE_RINGS - 1) * percent / 100].as_secs_f64() * 1_000.0;
    println!(
        "pickup of single rings: p50 {:.2} ms, p98 {:.2} ms, p99 {:.2} ms",
        at(50),
        at(98),
        at(99)
    );

    let before = memory(&redis).await?;
    let began = Instant::now();
    for _ in 0..tasks / BATCH {
        hear(&api, &worker, BATCH).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    let keys: usize = redis.command(&["DBSIZE"]).await?;
    let after = memory(&redis).await?;
    println!(
        "{tasks} tasks, {BATCH} at a time: {:.0}/s",
        tasks as f64 / seconds
    );
    println!("Redis before: {before} bytes, after: {after} bytes in {keys} keys");
    worker.close().await;
    Ok(())
}

/// Rings for new tasks and hears them all.
async fn hear(api: &Bell, worker: &Bell, count: usize) {
    let rings: Vec<_> = (0..count)
        .map(|_| (Queue::Default, TaskId::new()))
        .collect();
    api.ring(&rings);
    let mut heard = 0;
    while heard < count {
        heard += worker.take(Queue::Default, 64).await.len();
    }
}

async fn memory(redis: &TestRedis) -> TestResult<usize> {
    let info: String = redis.command(&["INFO", "memory"]).await?;
    let bytes = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    Ok(bytes.ok_or("no used_memory")?.trim().parse()?)
}
