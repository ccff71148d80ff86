//! How the runner ends tasks, on both databases.

use std::sync::Arc;

use crate::{
    scripted::{Reply, Scripted},
    support::{Worker, ended, enqueue, make_due, until},
};
use jobs::{Job as _, State, kinds::Noop, store};
use models::{OwnerId, on_both, sql, testing::TestResult};

fn model() -> Arc<Scripted> {
    Arc::new(Scripted::new(|_| Reply::Good))
}

on_both! {
    async fn work_ends_with_a_result(test: &TestDb) -> TestResult {
        let worker = Worker::start(test, &model(), 4)?;
        let mut ids = Vec::new();
        for n in 0..20 {
            ids.push(enqueue(&test.db, &Noop { n, sleep_ms: 0, fail: None }).await?);
        }

        for (n, id) in ids.into_iter().enumerate() {
            let task = ended(&test.db, id).await?;
            assert_eq!(task.state, State::Succeeded);
            assert_eq!(task.result, Some(serde_json::json!({"n": n})));
        }

        worker.drain().await
    }

    async fn what_cannot_help_is_not_tried_again(test: &TestDb) -> TestResult {
        let worker = Worker::start(test, &model(), 1)?;
        let id = enqueue(&test.db, &Noop { n: 1, sleep_ms: 0, fail: Some(true) }).await?;

        let task = ended(&test.db, id).await?;
        worker.drain().await?;

        assert_eq!((task.state, task.attempt), (State::Failed, 1));
        let error = task.error.ok_or("it failed")?;
        assert_eq!((error.code.as_str(), error.retryable), ("asked_to_fail", false));
        Ok(())
    }

    async fn a_retry_waits_and_ends_after_the_last_attempt(test: &TestDb) -> TestResult {
        let worker = Worker::start(test, &model(), 1)?;
        let id = enqueue(&test.db, &Noop { n: 1, sleep_ms: 0, fail: Some(false) }).await?;
        let attempts = i64::from(Noop::RETRY.attempts);
        for attempt in 1..attempts {
            let back = until(&test.db, id, |task| {
                task.attempt == attempt && task.state == State::Queued
            });
            assert!(back.await?.run_at > test.db.now() - chrono::TimeDelta::seconds(5));
            make_due(&test.db).await?;
        }

        let task = ended(&test.db, id).await?;
        worker.drain().await?;

        assert_eq!((task.state, task.attempt), (State::Failed, attempts));
        Ok(())
    }

    async fn an_unknown_kind_is_left_for_a_newer_release(test: &TestDb) -> TestResult {
        let id = enqueue(&test.db, &Noop { n: 1, sleep_ms: 0, fail: None }).await?;
        let mut tx = test.db.begin().await?;
        sql!(tx, execute, "update tasks set kind = 'future.kind' where id = $1", id)?;
        tx.commit().await?;
        let worker = Worker::start(test, &model(), 1)?;

        let task = until(&test.db, id, |task| task.attempt > 0 && task.state == State::Queued).await?;
        worker.drain().await?;

        assert_eq!(task.attempts_used(), 0);
        assert!(task.run_at > test.db.now());
        Ok(())
    }

    async fn a_payload_that_cannot_be_read_fails(test: &TestDb) -> TestResult {
        let id = enqueue(&test.db, &Noop { n: 1, sleep_ms: 0, fail: None }).await?;
        let mut tx = test.db.begin().await?;
        sql!(tx, execute, "update tasks set payload = '{\"n\": \"one\"}' where id = $1", id)?;
        tx.commit().await?;
        let worker = Worker::start(test, &model(), 1)?;

        let task = ended(&test.db, id).await?;
        worker.drain().await?;

        assert_eq!(task.error.map(|error| error.code).as_deref(), Some("payload_invalid"));
        Ok(())
    }

    async fn a_running_task_stops_when_it_is_cancelled(test: &TestDb) -> TestResult {
        let worker = Worker::start(test, &model(), 1)?;
        let id = enqueue(&test.db, &Noop { n: 1, sleep_ms: 10_000, fail: None }).await?;
        until(&test.db, id, |task| task.state == State::Running).await?;

        let mut tx = test.db.begin().await?;
        store::cancel(&mut tx, OwnerId::LOCAL, id, test.db.now()).await?;
        tx.commit().await?;
        let task = ended(&test.db, id).await?;
        worker.drain().await?;

        assert_eq!(task.state, State::Cancelled);
        let took = task.finished_at.zip(task.started_at).map(|(end, start)| end - start);
        assert!(took.is_some_and(|took| took < chrono::TimeDelta::seconds(8)), "{took:?}");
        Ok(())
    }
}
