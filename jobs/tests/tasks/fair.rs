//! Who goes first: turns between owners, ageing, and limits.

use jobs::{
    Definition, Job, Priority, Queue, TaskId,
    kinds::{Noop, WriteLesson},
    store::{
        self, New, Options, Turn,
        queues::{Control, Mode},
    },
};
use models::{CourseId, Db, LessonId, OwnerId, Result, on_both, testing::TestResult};
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{WORKER, commit, noop, seconds};

/// Somebody, in the order of the number.
fn owner(number: u128) -> OwnerId {
    Uuid::from_u128(number).into()
}

async fn backlog(db: &Db, owner: OwnerId, tasks: usize) -> Result<Vec<TaskId>> {
    static NOOP: Definition = Definition::of::<Noop>();
    let new = (0..tasks).map(|n| New {
        definition: &NOOP,
        payload: json!({"n": n}),
        options: Options::by(owner),
    });
    let tasks = commit!(db, tx => store::enqueue_many(&mut tx, new.collect(), db.now()));
    Ok(tasks.into_iter().map(|task| task.id).collect())
}

async fn due(db: &Db, queue: Queue, limit: usize) -> Result<Vec<TaskId>> {
    let now = db.now();
    store::due(
        db,
        queue,
        now,
        now - seconds(5),
        &mut Turn::default(),
        limit,
    )
    .await
}

/// Lessons to be written for one owner.
async fn lessons(db: &Db, owner: OwnerId, count: usize) -> Result<()> {
    for n in 0..count as u128 {
        let lesson = WriteLesson {
            course_id: CourseId::from(Uuid::from_u128(1)),
            lesson_id: LessonId::from(Uuid::from_u128(n)),
            round: 1,
            reason: None,
        };
        commit!(db, tx => store::enqueue(&mut tx, &lesson, Options::by(owner), db.now()));
    }
    Ok(())
}

/// Starts what comes first, and answers the ids in the order of submission.
async fn start_next(db: &Db, queue: Queue, most: usize) -> Result<Vec<TaskId>> {
    let turn = &mut Turn::default();
    let tasks = store::start_next(db, queue, most, turn, WORKER, db.now()).await?;
    let mut ids: Vec<_> = tasks.into_iter().map(|task| task.id).collect();
    ids.sort();
    Ok(ids)
}

on_both! {
    async fn owners_take_turns_whoever_came_first(db: &Db) -> TestResult {
        let many = backlog(db, owner(1), 50).await?;
        let few = backlog(db, owner(2), 3).await?;

        let rung = due(db, Queue::Default, 6).await?;

        assert_eq!(rung, [many[0], few[0], many[1], few[1], many[2], few[2]]);
        Ok(())
    }

    async fn an_owner_with_nothing_in_hand_goes_before_one_with_much(db: &Db) -> TestResult {
        let many = backlog(db, owner(1), 50).await?;
        let rung = due(db, Queue::Default, 4).await?;
        assert_eq!(rung, many[..4]);
        store::start(db, &rung[..2], WORKER, db.now()).await?;
        let few = backlog(db, owner(2), 6).await?;

        let next = due(db, Queue::Default, 6).await?;

        assert_eq!(next, [few[0], few[1], few[2], few[3], many[4], few[4]]);
        Ok(())
    }

    async fn a_task_rises_while_it_waits(db: &Db) -> TestResult {
        let with = |priority| Options { priority, ..Options::by(owner(1)) };
        let bulk = commit!(db, tx => store::enqueue(
            &mut tx, &noop(), with(Priority::Bulk), db.now() - store::AGEING * 2));
        let normal = commit!(db, tx => store::enqueue(
            &mut tx, &noop(), with(Priority::Normal), db.now()));
        let urgent = commit!(db, tx => store::enqueue(
            &mut tx, &noop(), with(Priority::Interactive), db.now()));

        assert_eq!(due(db, Queue::Default, 9).await?, [bulk.id, urgent.id, normal.id]);
        Ok(())
    }

    async fn an_owner_runs_no_more_of_a_kind_than_it_may(db: &Db) -> TestResult {
        let most = usize::from(WriteLesson::PER_OWNER_MAX.ok_or("it has a bound")?);
        lessons(db, owner(1), most + 3).await?;
        lessons(db, owner(2), 1).await?;

        let first = due(db, Queue::Generation, 100).await?;
        let none = due(db, Queue::Generation, 100).await?;
        let started = store::start(db, &first, WORKER, db.now()).await?;
        let none_yet = due(db, Queue::Generation, 100).await?;
        let mine = started.iter().find(|task| task.owner_id == owner(1)).ok_or("it runs")?;
        crate::support::succeed(db, mine).await?;
        let next = due(db, Queue::Generation, 100).await?;

        assert_eq!(first.len(), most + 1);
        assert!(none.is_empty() && none_yet.is_empty());
        assert_eq!(next.len(), 1);
        Ok(())
    }

    async fn a_busy_worker_starts_whoever_comes_first_rung_or_not(db: &Db) -> TestResult {
        let many = backlog(db, owner(1), 50).await?;
        due(db, Queue::Default, 4).await?;
        let few = backlog(db, owner(2), 2).await?;

        let first = start_next(db, Queue::Default, 6).await?;
        let second = start_next(db, Queue::Default, 2).await?;
        let newest = backlog(db, owner(3), 1).await?;
        let third = start_next(db, Queue::Default, 1).await?;

        assert_eq!(first, [many[0], many[1], many[2], many[3], few[0], few[1]]);
        assert_eq!(second, [many[4], many[5]]);
        assert_eq!(third, newest, "who has nothing in hand comes before who has much");
        Ok(())
    }

    async fn a_busy_worker_keeps_to_the_bound_of_a_kind(db: &Db) -> TestResult {
        let most = usize::from(WriteLesson::PER_OWNER_MAX.ok_or("it has a bound")?);
        lessons(db, owner(1), most + 3).await?;
        lessons(db, owner(2), 1).await?;

        let rung = due(db, Queue::Generation, 3).await?;
        let started = start_next(db, Queue::Generation, 100).await?;
        let none = start_next(db, Queue::Generation, 100).await?;

        assert_eq!(started.len(), most + 1);
        assert!(rung.iter().all(|id| started.contains(id)), "those that were rung are in hand");
        assert!(none.is_empty());
        Ok(())
    }

    async fn nothing_of_a_paused_queue_is_started(db: &Db) -> TestResult {
        backlog(db, owner(1), 3).await?;
        let paused = Control { queue: Queue::Default, mode: Mode::Paused, paused_until: None };
        commit!(db, tx => store::queues::update(&mut tx, paused, db.now()));

        assert!(start_next(db, Queue::Default, 3).await?.is_empty());
        Ok(())
    }

    async fn busy_workers_that_choose_at_once_start_each_task_once(db: &Db) -> TestResult {
        let mut all = backlog(db, owner(1), 100).await?;
        all.extend(backlog(db, owner(2), 60).await?);
        let mut workers = JoinSet::new();
        for _ in 0..4 {
            let db = db.clone();
            workers.spawn(async move {
                let mut started = Vec::new();
                loop {
                    let some = start_next(&db, Queue::Default, 9).await?;
                    if some.is_empty() {
                        return Result::<_>::Ok(started);
                    }
                    started.extend(some);
                }
            });
        }

        let mut started = Vec::new();
        for worker in workers.join_all().await {
            started.extend(worker?);
        }

        started.sort();
        assert_eq!(started, all, "ids rise, so this is the order of submission");
        Ok(())
    }

    async fn more_lines_than_one_look_all_have_their_turn(db: &Db) -> TestResult {
        let mut waiting = 0;
        for number in 1..=300 {
            waiting += backlog(db, owner(number), 1).await?.len();
        }
        let (now, mut turn) = (db.now(), Turn::default());
        let mut rung = Vec::new();

        for _ in 0..2 {
            rung.extend(store::due(db, Queue::Default, now, now - seconds(5), &mut turn, 256).await?);
        }

        rung.sort();
        rung.dedup();
        assert_eq!(rung.len(), waiting);
        Ok(())
    }
}
