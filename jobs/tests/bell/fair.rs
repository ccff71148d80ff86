//! Who is heard first when tasks of several owners wait.

use jobs::{
    Definition, Job, Queue, Task, Usage,
    bell::Bell,
    kinds::{Noop, WriteLesson},
    relay,
    store::{self, New, Options},
    testing::TestRedis,
};
use models::{
    CourseId, Db, LessonId, OwnerId,
    testing::{TestDb, TestResult},
};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{MOMENT, PATIENCE, api, worker};

/// Tasks that are rung for before the relay decides.
const HEAD_START: usize = 128;

fn owner(number: u128) -> OwnerId {
    Uuid::from_u128(number).into()
}

/// Stores tasks and tells the bell of them, as the API does.
async fn submit(
    (db, bell): (&Db, &Bell),
    definition: &'static Definition,
    owner: OwnerId,
    payloads: impl Iterator<Item = Value>,
) -> TestResult<Vec<Task>> {
    let now = db.now();
    let new = payloads.map(|payload| New {
        definition,
        payload,
        options: Options::by(owner),
    });
    let mut tx = db.begin().await?;
    let tasks = store::enqueue_many(&mut tx, new.collect(), now).await?;
    tx.commit().await?;
    for task in &tasks {
        bell.tell(task, now);
    }
    Ok(tasks)
}

/// An owner with ten tasks comes after one with two thousand, and does not wait for them.
async fn few_are_heard_before_many(db: &Db, ringer: &Bell, hearer: &Bell) -> TestResult {
    static NOOP: Definition = Definition::of::<Noop>();
    let noops = |count| (0..count).map(|n| json!({"n": n}));
    submit((db, ringer), &NOOP, owner(1), noops(2_000)).await?;
    let few = submit((db, ringer), &NOOP, owner(2), noops(10)).await?;
    let stop = CancellationToken::new();
    tokio::spawn(relay::run(db.clone(), hearer.clone(), stop.clone()));
    let _running = stop.drop_guard();

    let (mut started, mut missing) = (0, few.len());
    while missing > 0 {
        let ids = timeout(PATIENCE, hearer.take(Queue::Default, 64)).await?;
        for task in store::start(db, &ids, "w", db.now()).await? {
            started += 1;
            missing -= usize::from(task.owner_id == owner(2));
        }
    }

    // And those that are taken together with the last of the few.
    assert!(
        started <= HEAD_START + 2 * 64,
        "{started} were started first"
    );
    Ok(())
}

#[tokio::test]
async fn few_tasks_go_before_many_inside_a_process() -> TestResult {
    let (test, bell) = (TestDb::sqlite().await?, Bell::in_process());

    few_are_heard_before_many(&test.db, &bell, &bell).await?;

    test.close().await
}

#[tokio::test]
async fn few_tasks_go_before_many_between_processes() -> TestResult {
    let (test, redis) = (TestDb::postgres().await?, TestRedis::start().await?);
    let (api, worker) = (api(&redis)?, worker(&redis, &[Queue::Default])?);

    few_are_heard_before_many(&test.db, &api, &worker).await?;

    test.close().await
}

#[tokio::test]
async fn a_bounded_kind_is_rung_for_by_the_relay_alone() -> TestResult {
    static LESSON: Definition = Definition::of::<WriteLesson>();
    let (test, bell) = (TestDb::sqlite().await?, Bell::in_process());
    let most = usize::from(WriteLesson::PER_OWNER_MAX.ok_or("it has a bound")?);
    let lesson = |n: usize| {
        serde_json::to_value(WriteLesson {
            course_id: CourseId::from(Uuid::from_u128(1)),
            lesson_id: LessonId::from(Uuid::from_u128(n as u128)),
            round: 1,
            reason: None,
        })
    };
    let lessons: Result<Vec<_>, _> = (0..most + 3).map(lesson).collect();
    submit((&test.db, &bell), &LESSON, owner(1), lessons?.into_iter()).await?;
    let take = || timeout(MOMENT, bell.take(Queue::Generation, 64));
    assert!(take().await.is_err(), "nobody has decided");

    let stop = CancellationToken::new();
    tokio::spawn(relay::run(test.db.clone(), bell.clone(), stop.clone()));
    let mut started = Vec::new();
    while started.len() < most {
        let ids = timeout(PATIENCE, bell.take(Queue::Generation, 64)).await?;
        started.extend(store::start(&test.db, &ids, "w", test.db.now()).await?);
    }
    assert!(take().await.is_err(), "the owner runs as many as it may");
    let mut tx = test.db.begin().await?;
    let (lease, now) = (started[0].lease(), test.db.now());
    let ended = store::succeed(&mut tx, lease, None, &[], Usage::default(), now).await?;
    tx.commit().await?;
    bell.tell_all(&ended, now);

    let next = timeout(PATIENCE, bell.take(Queue::Generation, 64)).await?;
    assert_eq!(next.len(), 1);
    stop.cancel();
    test.close().await
}
