//! Tasks of owners who have nothing in hand, offered while others wait.

use std::num::NonZeroUsize;

use jobs::{
    Queue, Task,
    bell::{Bell, Offer},
    kinds::Noop,
    store::{self, Options},
    testing::TestRedis,
};
use models::{
    Db, OwnerId,
    testing::{TestDb, TestResult},
};
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{MOMENT, PATIENCE, api, until, worker};

const ALL: NonZeroUsize = NonZeroUsize::MAX;

async fn submit(db: &Db, bell: &Bell, owner: u128, count: u32) -> TestResult<Vec<Task>> {
    let owner: OwnerId = Uuid::from_u128(owner).into();
    let mut tasks = Vec::new();
    for n in 0..count {
        let noop = Noop {
            n: n.into(),
            sleep_ms: 0,
            fail: None,
        };
        let mut tx = db.begin().await?;
        tasks.push(store::enqueue(&mut tx, &noop, Options::by(owner), db.now()).await?);
        tx.commit().await?;
    }
    for task in &tasks {
        bell.tell(task, db.now());
    }
    Ok(tasks)
}

fn offers(tasks: &[Task]) -> Vec<Offer> {
    let offer = |task: &Task| Offer {
        id: task.id,
        owner: task.owner_id,
    };
    tasks.iter().map(offer).collect()
}

/// What is offered while nobody waits is rung for alone; while others wait it is offered to newcomers.
async fn offered_while_others_wait(db: &Db, ringer: &Bell, hearer: &Bell) -> TestResult {
    let queue = Queue::Default;
    let rung = submit(db, ringer, 1, 1).await?;
    let heard = timeout(PATIENCE, hearer.take(queue, 1)).await?;
    assert_eq!(heard, [rung[0].id]);
    assert!(
        timeout(MOMENT, hearer.take_offered(queue, ALL))
            .await
            .is_err(),
        "it was rung for"
    );
    // More than are rung for at a time. Some of those that are left are offered as well, and taken
    // here, so that there is room for newcomers.
    submit(db, ringer, 1, 200).await?;
    let left = timeout(PATIENCE, hearer.take_offered(queue, ALL)).await?;
    assert!(!left.is_empty() && left.len() < 200, "{}", left.len());
    let new = submit(db, ringer, 2, 10).await?;

    let mut taken = Vec::new();
    while !offers(&new).iter().all(|offer| taken.contains(offer)) {
        taken.extend(timeout(PATIENCE, hearer.take_offered(queue, ALL)).await?);
    }

    Ok(())
}

#[tokio::test]
async fn tasks_are_offered_while_others_wait_inside_a_process() -> TestResult {
    let (test, bell) = (TestDb::sqlite().await?, Bell::in_process());
    offered_while_others_wait(&test.db, &bell, &bell).await?;
    test.close().await
}

#[tokio::test]
async fn tasks_are_offered_while_others_wait_between_processes() -> TestResult {
    let (test, redis) = (TestDb::sqlite().await?, TestRedis::start().await?);
    let (api, worker) = (api(&redis)?, worker(&redis, &[Queue::Default])?);
    offered_while_others_wait(&test.db, &api, &worker).await?;
    test.close().await
}

#[tokio::test]
async fn an_express_lane_is_short_and_soon_forgotten() -> TestResult {
    let (test, redis) = (TestDb::sqlite().await?, TestRedis::start().await?);
    let api = api(&redis)?;
    submit(&test.db, &api, 1, 300).await?;

    let lane = async || {
        redis
            .command::<usize>(&["LLEN", "{lyo:default}:express"])
            .await
    };
    until(64, &lane).await?;
    until(0, &lane).await?;
    test.close().await
}
