//! What operators see and do.

use api::{App, Operators};
use jobs::{
    Queue,
    bell::Bell,
    store::workers::{self, Worker},
};
use models::{Db, on_both, testing::TestResult};
use platform::health::Health;
use poem::Route;
use serde_json::json;

use crate::harness::Api;

/// The API, operated by whoever sends this token.
fn operated(db: &Db, token: &str) -> Api {
    let mut app = App::new(db.clone(), Bell::in_process(), Health::default());
    app.operators = Operators::bearer(token);
    Api::with(app, Route::new())
}

fn operator(db: &Db) -> Api {
    let mut app = App::new(db.clone(), Bell::in_process(), Health::default());
    app.operators = Operators::Everybody;
    Api::with(app, Route::new())
}

on_both! {
    async fn only_the_operator_token_opens_the_door(db: &Db) -> TestResult {
        let api = operated(db, "secret");
        let ask = async |value: &str| {
            api.get_with("/v1/admin/queues", &[("authorization", value)]).await
        };

        assert_eq!(ask("Bearer secret").await?.status, 200);
        assert_eq!(ask("bearer secret").await?.status, 200);
        for wrong in ["Bearer Secret", "Bearer ", "Bearer", "secret", "Basic secret"] {
            let refused = ask(wrong).await?;
            assert_eq!(refused.problem(), (401, "token_invalid".to_owned()), "{wrong}");
            assert_eq!(refused.header("www-authenticate"), "Bearer");
        }
        assert_eq!(Api::new(db).get("/v1/admin/queues").await?.status, 403);
        Ok(())
    }

    async fn a_queue_is_paused_and_resumed(db: &Db) -> TestResult {
        let api = operator(db);
        let task = api.noop(1).await?;
        let until = db.now() + chrono::TimeDelta::hours(1);
        let pause = json!({"mode": "paused", "paused_until": until});

        let paused = api.put("/v1/admin/queues/default", &pause).await?;
        let resumed = api.put("/v1/admin/queues/default", &json!({"mode": "open"})).await?;
        let listed = api.get("/v1/admin/queues").await?;

        assert_eq!(paused.word("/mode"), "paused");
        assert_eq!(paused.at("/due"), 1, "{}", paused.text);
        assert!(paused.at("/work_seconds").as_f64().is_some_and(|seconds| seconds > 0.0));
        assert_eq!(resumed.at("/paused_until"), json!(null));
        assert_eq!(listed.at("/items").as_array().map(Vec::len), Some(4));
        api.succeed(task).await?;
        let absent = api.put("/v1/admin/queues/nothing", &json!({"mode": "open"})).await?;
        assert_eq!(absent.problem().0, 404);
        let wrong = api.put("/v1/admin/queues/default", &json!({"mode": "closed"})).await?;
        assert_eq!(wrong.problem().0, 422);
        Ok(())
    }

    async fn tasks_that_failed_are_tried_again_together(db: &Db) -> TestResult {
        let api = operator(db);
        let (first, second, fine) = (api.noop(1).await?, api.noop(2).await?, api.noop(3).await?);
        api.fail(first).await?;
        api.fail(second).await?;
        api.succeed(fine).await?;
        let selection = json!({"state": "failed", "error": "model_unavailable"});
        let rehearsal = json!({"state": "failed", "dry_run": true});
        let key = [("idempotency-key", "again")];

        let dead = api.get("/v1/admin/tasks?state=failed&error=model_unavailable").await?;
        let counted = api.post("/v1/admin/tasks/retry", &rehearsal).await?;
        let retried = api.post_with("/v1/admin/tasks/retry", &selection, &key).await?;
        api.succeed(first).await?;
        api.fail(second).await?;
        let again = api.post_with("/v1/admin/tasks/retry", &selection, &key).await?;

        assert_eq!(dead.at("/items").as_array().map(Vec::len), Some(2), "{}", dead.text);
        assert_eq!(counted.json(), json!({"matched": 2, "changed": 0, "more": false}));
        assert_eq!(retried.json(), json!({"matched": 2, "changed": 2, "more": false}));
        assert_eq!(again.json(), retried.json());
        assert_eq!(again.header("idempotent-replayed"), "true");
        let task = api.get(&format!("/v1/tasks/{second}")).await?;
        assert_eq!(task.word("/state"), "failed", "a repeated request changes nothing");
        Ok(())
    }

    async fn tasks_are_cancelled_together_but_never_all(db: &Db) -> TestResult {
        let api = operator(db);
        let (queued, running) = (api.noop(1).await?, api.noop(2).await?);
        api.start(running).await?;

        let refused = api.post("/v1/admin/tasks/cancel", &json!({})).await?;
        let cancelled = api.post("/v1/admin/tasks/cancel", &json!({"queue": "default"})).await?;

        assert_eq!(refused.problem(), (422, "validation_failed".to_owned()));
        assert_eq!(cancelled.json(), json!({"matched": 2, "changed": 2, "more": false}));
        let queued = api.get(&format!("/v1/tasks/{queued}")).await?;
        assert_eq!(queued.word("/state"), "cancelled");
        let closed = Api::new(db).post("/v1/admin/tasks/cancel", &json!({"kind": "noop"})).await?;
        assert_eq!(closed.problem(), (403, "permission_missing".to_owned()));
        Ok(())
    }

    async fn workers_and_what_they_run_are_listed(db: &Db) -> TestResult {
        let api = operator(db);
        let task = api.noop(1).await?;
        api.start(task).await?;
        let now = db.now();
        let worker = Worker {
            name: "test".to_owned(),
            version: "1.2.3".to_owned(),
            queues: vec![Queue::Default],
            concurrency: 2,
            started_at: now,
            seen_at: now,
        };
        workers::report(db, &worker).await?;

        let listed = api.get("/v1/admin/workers").await?;

        assert_eq!(listed.at("/items/0/queues"), json!(["default"]), "{}", listed.text);
        let running = json!([{"id": task, "kind": "noop"}]);
        assert_eq!(listed.at("/items/0/running"), running);
        Ok(())
    }

    async fn what_happens_can_be_scraped(db: &Db) -> TestResult {
        let api = operator(db);
        let (ended, _queued) = (api.noop(1).await?, api.noop(2).await?);
        api.succeed(ended).await?;

        let scraped = api.get("/metrics").await?;
        let alias = api.get("/api/metrics").await?;

        assert_eq!(scraped.status, 200);
        assert!(scraped.header("content-type").starts_with("text/plain"));
        for line in [
            "tasks_waiting{queue=\"default\"} ",
            "tasks_work_seconds{queue=\"default\"} ",
            "tasks_total{kind=\"noop\",outcome=\"succeeded\"} ",
            "task_seconds_bucket{kind=\"noop\",le=\"+Inf\"} ",
            "task_wait_seconds_count{queue=\"default\"} ",
            "http_requests_total{method=\"POST\",status=\"202\"} ",
            "db_connections{state=\"idle\"} ",
            "db_up 1",
        ] {
            assert!(scraped.text.contains(line), "{line}: {}", scraped.text);
        }
        assert!(alias.text.contains("db_up 1"));
        Ok(())
    }
}
