//! Workers that die, are stopped, or lose their lease: nothing is lost, and nothing is written twice.

use std::{sync::Arc, time::Duration};

use crate::{
    scripted::{Ask, Reply, Scripted},
    support::{
        PATIENCE, Worker, brief, document, ended, enqueue, expire_leases, make_due, submit, task,
        until,
    },
};
use jobs::{
    Job as _, State,
    kinds::{Noop, WriteLesson},
    store,
};
use models::{
    OwnerId,
    courses::{self, Status},
    lessons, on_both,
    testing::TestResult,
};
use tokio::time::timeout;

/// Asks of an undisturbed course of three lessons: an outline, three texts, three quizzes.
const ASKS: usize = 7;

fn good() -> Arc<Scripted> {
    Arc::new(Scripted::new(|_| Reply::Good))
}

/// A model that answers so many asks and then never again.
fn hanging(after: usize) -> Arc<Scripted> {
    Arc::new(Scripted::new(move |ask: &Ask| {
        if ask.asks < after {
            Reply::Good
        } else {
            Reply::Hang
        }
    }))
}

on_both! {
    async fn a_worker_that_dies_at_any_ask_changes_no_byte(test: &TestDb) -> TestResult {
        let (course, id) = submit(&test.db, &brief(3)).await?;
        let worker = Worker::start(test, &good(), 1)?;
        ended(&test.db, id).await?;
        worker.drain().await?;
        let undisturbed = document(&test.db, course).await?;

        for asks in 0..ASKS {
            let (course, id) = submit(&test.db, &brief(3)).await?;
            let model = hanging(asks);
            let worker = Worker::start(test, &model, 1)?;
            timeout(PATIENCE, model.reached(asks + 1)).await?;
            worker.kill();
            expire_leases(&test.db).await?;

            let second = good();
            let worker = Worker::start(test, &second, 1)?;
            let task = ended(&test.db, id).await?;
            worker.drain().await?;

            assert_eq!(task.state, State::Succeeded, "killed at ask {asks}: {:?}", task.error);
            assert_eq!(document(&test.db, course).await?, undisturbed, "killed at ask {asks}");
            let asked: usize = second.asked().values().sum();
            assert_eq!(asked, ASKS - asks, "killed at ask {asks}: only what was missing is asked");
            let lessons = lessons::list(&mut test.db.conn().await?, course).await?;
            assert!(lessons.iter().all(|lesson| lesson.round == 1));
        }
        Ok(())
    }

    async fn a_task_that_kills_its_workers_is_given_up(test: &TestDb) -> TestResult {
        let id = enqueue(&test.db, &Noop { n: 1, sleep_ms: 10_000, fail: None }).await?;
        let attempts = i64::from(Noop::RETRY.attempts);
        for attempt in 1..=attempts {
            let worker = Worker::start(test, &good(), 1)?;
            until(&test.db, id, |task| task.state == State::Running && task.attempt == attempt).await?;
            worker.kill();
            expire_leases(&test.db).await?;
        }

        let worker = Worker::start(test, &good(), 1)?;
        let task = ended(&test.db, id).await?;
        worker.drain().await?;

        assert_eq!((task.state, task.attempt), (State::Failed, attempts));
        assert_eq!(task.error.map(|error| error.code).as_deref(), Some("worker_lost"));
        Ok(())
    }

    async fn a_drain_puts_back_what_runs_longer_than_the_grace(test: &TestDb) -> TestResult {
        let (course, id) = submit(&test.db, &brief(3)).await?;
        let model = hanging(2);
        let worker = Worker::start(test, &model, 1)?;
        timeout(PATIENCE, model.reached(3)).await?;

        worker.drain().await?;

        let children = store::children(&mut test.db.conn().await?, id).await?;
        let released = children.iter().find(|child| child.attempt > 0).ok_or("one had started")?;
        assert_eq!((released.state, released.attempts_used()), (State::Queued, 0));
        let worker = Worker::start(test, &good(), 1)?;
        let task = ended(&test.db, id).await?;
        worker.drain().await?;
        assert_eq!(task.state, State::Succeeded, "{:?}", task.error);
        let course = courses::get_any(&mut test.db.conn().await?, course).await?;
        assert_eq!(course.status, Status::Draft);
        Ok(())
    }

    async fn a_drain_lets_short_work_end(test: &TestDb) -> TestResult {
        let id = enqueue(&test.db, &Noop { n: 5, sleep_ms: 100, fail: None }).await?;
        let worker = Worker::start(test, &good(), 1)?;
        until(&test.db, id, |task| task.state == State::Running).await?;

        worker.drain().await?;

        let task = task(&test.db, id).await?;
        assert_eq!(task.state, State::Succeeded);
        assert_eq!(task.result, Some(serde_json::json!({"n": 5})));
        Ok(())
    }

    async fn a_cancelled_course_stops_in_the_middle_of_a_lesson(test: &TestDb) -> TestResult {
        let (course, id) = submit(&test.db, &brief(3)).await?;
        let model = hanging(2);
        let worker = Worker::start(test, &model, 1)?;
        timeout(PATIENCE, model.reached(3)).await?;

        let mut tx = test.db.begin().await?;
        store::cancel(&mut tx, OwnerId::LOCAL, id, test.db.now()).await?;
        tx.commit().await?;
        let task = ended(&test.db, id).await?;
        let children = store::children(&mut test.db.conn().await?, id).await?;
        for child in &children {
            assert_eq!(ended(&test.db, child.id).await?.state, State::Cancelled);
        }
        worker.drain().await?;

        assert_eq!(task.state, State::Cancelled);
        let lessons = lessons::list(&mut test.db.conn().await?, course).await?;
        assert!(lessons.iter().all(|lesson| lesson.content.is_none()));
        Ok(())
    }

    async fn a_worker_that_lost_its_lease_writes_nothing(test: &TestDb) -> TestResult {
        let (course, id) = submit(&test.db, &brief(1)).await?;
        let model = hanging(1);
        let worker = Worker::start(test, &model, 1)?;
        timeout(PATIENCE, model.reached(2)).await?;
        let children = store::children(&mut test.db.conn().await?, id).await?;

        // Somebody took it back, and somebody else runs it.
        expire_leases(&test.db).await?;
        store::reap(&test.db, test.db.now(), 10).await?;
        store::start(&test.db, &[children[0].id], "another worker", test.db.now()).await?;
        let taken = task(&test.db, children[0].id).await?;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        worker.drain().await?;

        let after = task(&test.db, children[0].id).await?;
        assert_eq!((after.state, after.attempt), (State::Running, taken.attempt));
        assert_eq!(after.worker.as_deref(), Some("another worker"));
        let lesson = lessons::get(&mut test.db.conn().await?, course, 1).await?;
        assert_eq!(lesson.content, None);
        Ok(())
    }

    async fn a_finished_lesson_is_never_written_twice(test: &TestDb) -> TestResult {
        let (course, id) = submit(&test.db, &brief(1)).await?;
        let worker = Worker::start(test, &good(), 1)?;
        ended(&test.db, id).await?;
        let before = document(&test.db, course).await?;

        let lesson = lessons::get(&mut test.db.conn().await?, course, 1).await?;
        let job = WriteLesson { course_id: course, lesson_id: lesson.id, round: 1, reason: None };
        let again = enqueue(&test.db, &job).await?;
        let task = ended(&test.db, again).await?;
        worker.drain().await?;

        assert_eq!(task.state, State::Succeeded);
        assert_eq!(document(&test.db, course).await?, before);
        Ok(())
    }

    async fn a_finished_course_is_never_written_twice(test: &TestDb) -> TestResult {
        let (course, id) = submit(&test.db, &brief(1)).await?;
        let model = good();
        let worker = Worker::start(test, &model, 1)?;
        ended(&test.db, id).await?;
        let asked = model.asked();

        let again = enqueue(&test.db, &jobs::kinds::GenerateCourse { course_id: course }).await?;
        let task = ended(&test.db, again).await?;
        worker.drain().await?;

        assert_eq!(task.state, State::Succeeded);
        assert_eq!(model.asked(), asked);
        Ok(())
    }

    async fn a_panic_is_an_attempt_and_the_worker_lives(test: &TestDb) -> TestResult {
        let model = Arc::new(Scripted::new(|ask: &Ask| match ask.asks {
            0 => Reply::Panic,
            _ => Reply::Good,
        }));
        let (_, id) = submit(&test.db, &brief(1)).await?;
        let worker = Worker::start(test, &model, 1)?;
        let back = until(&test.db, id, |task| task.error.is_some()).await?;
        make_due(&test.db).await?;

        let task = ended(&test.db, id).await?;
        worker.drain().await?;

        assert_eq!(back.error.map(|error| error.code).as_deref(), Some("panicked"));
        assert_eq!(task.state, State::Succeeded);
        let attempts = store::attempts(&mut test.db.conn().await?, OwnerId::LOCAL, id).await?;
        assert!(attempts[0].error.as_ref().is_some_and(|error| error.detail == "the script panics"));
        Ok(())
    }
}
