//! Tasks over HTTP: submitted, polled, listed, cancelled, retried, deleted.

use std::time::Duration;

use jobs::{Progress, store};
use models::{Db, on_both, testing::TestResult};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::Api;

on_both! {
    async fn a_submission_is_answered_with_the_task_and_where_it_is(db: &Db) -> TestResult {
        let api = Api::new(db);

        let answer = api.post("/v1/tasks", &json!({"kind": "noop", "payload": {"n": 7}})).await?;

        let path = format!("/v1/tasks/{}", answer.word("/id"));
        assert_eq!(answer.status, 202);
        assert_eq!(answer.header("location"), path);
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(answer.header("etag"), "\"1\"");
        let names: Vec<String> = answer.json().as_object().map(|o| o.keys().cloned().collect()).unwrap_or_default();
        insta::assert_json_snapshot!("members of a task", names);
        assert_eq!(answer.word("/queue"), "default");
        assert_eq!(answer.word("/state"), "queued");
        assert_eq!(answer.at("/done"), false);
        assert_eq!(answer.word("/priority"), "normal");
        assert_eq!(answer.at("/payload"), json!({"n": 7}));
        assert_eq!(answer.at("/position"), 0);
        assert_eq!(answer.word("/links/self"), path);
        assert_eq!(answer.word("/links/cancel"), format!("{path}/cancel"));
        Ok(())
    }

    async fn a_poll_is_cheap_until_something_changes(db: &Db) -> TestResult {
        let api = Api::new(db);
        let id = api.noop(1).await?;
        let path = format!("/v1/tasks/{id}");

        let first = api.get(&path).await?;
        let known = [("if-none-match", first.header("etag"))];
        let same = api.get_with(&path, &known).await?;
        api.succeed(id).await?;
        let changed = api.get_with(&path, &known).await?;

        assert_eq!(same.status, 304);
        assert_eq!((same.text.as_str(), same.header("etag")), ("", "\"1\""));
        assert_eq!(same.header("retry-after"), "1");
        assert_eq!(changed.status, 200);
        assert_eq!(changed.header("retry-after"), "", "it has ended");
        assert_eq!(changed.at("/result"), json!({"n": 1}));
        Ok(())
    }

    async fn a_long_poll_ends_with_the_change(db: &Db) -> TestResult {
        let api = Api::new(db);
        let id = api.noop(1).await?;
        let path = format!("/v1/tasks/{id}");
        let started = Instant::now();

        let poll = api.get_with(&path, &[("prefer", "wait=30")]);
        let change = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            api.start(id).await
        };
        let (polled, _) = tokio::try_join!(poll, change)?;

        assert_eq!(polled.word("/state"), "running");
        assert_eq!(polled.header("preference-applied"), "wait=30");
        assert!(started.elapsed() < Duration::from_secs(10));
        Ok(())
    }

    async fn a_long_poll_without_news_is_not_modified(db: &Db) -> TestResult {
        let api = Api::new(db);
        let path = format!("/v1/tasks/{}", api.noop(1).await?);
        let headers = [("prefer", "wait=1"), ("if-none-match", "\"1\"")];

        let polled = api.get_with(&path, &headers).await?;

        assert_eq!(polled.status, 304);
        assert_eq!(polled.header("preference-applied"), "wait=1");
        Ok(())
    }

    async fn a_submission_may_wait_for_the_end(db: &Db) -> TestResult {
        let api = Api::new(db);
        let body = json!({"kind": "noop", "payload": {"n": 1}});

        let submit = api.post_with("/v1/tasks", &body, &[("prefer", "wait=30")]);
        let work = async {
            let ids = api.app.bell.take(jobs::Queue::Default, 1).await;
            api.succeed(ids[0]).await
        };
        let (ended, ()) = tokio::try_join!(submit, work)?;

        assert_eq!(ended.status, 200);
        assert_eq!(ended.word("/state"), "succeeded");
        Ok(())
    }

    async fn lists_are_narrowed_and_paged(db: &Db) -> TestResult {
        let api = Api::new(db);
        for n in 0..5 {
            api.noop(n).await?;
        }
        let first = api.get("/v1/tasks?limit=2").await?;
        api.succeed(first.word("/items/0/id").parse()?).await?;
        let mut seen = numbers(&first.json());
        let mut next = first.word("/next");
        while !next.is_empty() {
            let page = api.get(&format!("/v1/tasks?limit=2&cursor={next}")).await?;
            seen.extend(numbers(&page.json()));
            next = page.word("/next");
        }
        assert_eq!(seen, [4, 3, 2, 1, 0]);

        let count = async |query: &str| {
            let page = api.get(&format!("/v1/tasks?{query}")).await?;
            assert_eq!(page.status, 200, "{}", page.text);
            TestResult::Ok(numbers(&page.json()).len())
        };
        assert_eq!(count("state=queued").await?, 4);
        assert_eq!(count("state=succeeded&kind=noop").await?, 1);
        assert_eq!(count("kind=course.generate").await?, 0);
        assert_eq!(count("created_after=2020-01-01T00:00:00Z").await?, 5);
        assert_eq!(count("created_before=2020-01-01T00:00:00Z").await?, 0);
        assert_eq!(count("parent=01990000-0000-7000-8000-000000000000").await?, 0);
        for query in ["state=odd", "limit=0", "cursor=x", "kind=A%00", "created_after=now"] {
            let answer = api.get(&format!("/v1/tasks?{query}")).await?;
            assert_eq!(answer.problem(), (400, "invalid_parameter".to_owned()), "{query}");
        }
        Ok(())
    }

    async fn a_batch_has_an_outcome_for_each_item(db: &Db) -> TestResult {
        let api = Api::new(db);
        let items = json!([
            {"kind": "noop", "payload": {"n": 1}},
            {"kind": "noop", "payload": {"n": "one"}},
            {"kind": "lesson.write", "payload": {}},
            {"kind": "noop", "payload": {"n": 2}, "priority": "bulk"},
        ]);

        let answer = api.post("/v1/tasks/batch", &json!({"items": items})).await?;

        assert_eq!(answer.status, 200);
        let statuses = [202, 422, 422, 202];
        for (index, status) in statuses.into_iter().enumerate() {
            assert_eq!(answer.at(&format!("/outcomes/{index}/status")), status, "{}", answer.text);
        }
        assert_eq!(answer.at("/outcomes/1/problem/errors/0/pointer"), "/payload");
        assert_eq!(answer.at("/outcomes/2/problem/errors/0/pointer"), "/kind");
        let last = api.get(&answer.word("/outcomes/3/location")).await?;
        assert_eq!((last.word("/priority").as_str(), last.at("/position")), ("bulk", json!(1)));
        Ok(())
    }

    async fn a_thousand_items_are_stored_at_once_and_no_more(db: &Db) -> TestResult {
        let api = Api::new(db);
        let batch = |size: i64| {
            let items: Vec<_> = (0..size).map(|n| json!({"kind": "noop", "payload": {"n": n}})).collect();
            json!({"items": items})
        };

        let full = api.post("/v1/tasks/batch", &batch(1_000)).await?;
        let over = api.post("/v1/tasks/batch", &batch(1_001)).await?;

        assert_eq!(full.at("/outcomes").as_array().map(Vec::len), Some(1_000));
        assert_eq!(over.problem(), (422, "validation_failed".to_owned()));
        Ok(())
    }

    async fn a_waiting_task_says_what_for(db: &Db) -> TestResult {
        let api = Api::new(db);
        let later = "2999-01-01T00:00:00Z";
        let body = json!({"kind": "noop", "payload": {"n": 1}, "run_at": later});

        let task = api.post("/v1/tasks", &body).await?;

        assert_eq!(task.at("/waiting"), json!({"reason": "scheduled", "until": later}));
        let late = json!({"kind": "noop", "payload": {"n": 1}, "run_at": later, "expires_at": later});
        assert_eq!(api.post("/v1/tasks", &late).await?.word("/errors/0/pointer"), "/expires_at");
        Ok(())
    }

    async fn a_running_task_says_how_far_it_is_and_when_it_will_end(db: &Db) -> TestResult {
        let api = Api::new(db);
        let task = api.start(api.noop(1).await?).await?;
        let progress = Progress { percent: 25.0, step: Some("counting".to_owned()), ..Progress::default() };
        let later = db.now() + chrono::TimeDelta::seconds(10);
        let mut tx = db.begin().await?;
        store::progress(&mut tx, task.lease(), &progress, later).await?;
        tx.commit().await?;

        let seen = api.get(&format!("/v1/tasks/{}", task.id)).await?;

        assert_eq!(seen.at("/progress/percent"), 25.0);
        assert_eq!(seen.word("/progress/step"), "counting");
        let p50: chrono::DateTime<chrono::Utc> = seen.word("/eta/p50").parse()?;
        let left = p50 - later;
        assert!((29..=32).contains(&left.num_seconds()), "three quarters are left: {left}");
        Ok(())
    }

    async fn cancelling_is_repeatable_and_stops_what_runs(db: &Db) -> TestResult {
        let api = Api::new(db);
        let (queued, running) = (api.noop(1).await?, api.noop(2).await?);
        api.start(running).await?;
        let cancel = async |id| api.post(&format!("/v1/tasks/{id}/cancel"), &Value::Null).await;

        let ended = cancel(queued).await?;
        let stopping = cancel(running).await?;
        let again = cancel(queued).await?;

        assert_eq!((ended.status.as_u16(), ended.word("/state")), (200, "cancelled".to_owned()));
        assert_eq!((stopping.status.as_u16(), stopping.word("/state")), (202, "running".to_owned()));
        assert_eq!(again.json(), ended.json());
        Ok(())
    }

    async fn a_failed_task_shows_its_error_and_its_attempts_and_can_be_retried(db: &Db) -> TestResult {
        let api = Api::new(db);
        let id = api.noop(1).await?;
        let path = format!("/v1/tasks/{id}");
        api.fail(id).await?;

        let failed = api.get(&path).await?;
        let attempts = api.get(&format!("{path}/attempts")).await?;
        let retried = api.post(&failed.word("/links/retry"), &Value::Null).await?;
        let live = api.post(&format!("{path}/retry"), &Value::Null).await?;

        assert_eq!(failed.word("/error/type"), "/problems/model-unavailable");
        assert_eq!(failed.at("/error/retryable"), true);
        assert_eq!(attempts.word("/items/0/outcome"), "failed");
        assert_eq!(attempts.word("/items/0/error/code"), "model_unavailable");
        assert_eq!((retried.status.as_u16(), retried.word("/state")), (202, "queued".to_owned()));
        assert_eq!(live.problem(), (409, "task_live".to_owned()));
        Ok(())
    }

    async fn only_an_ended_task_can_be_deleted(db: &Db) -> TestResult {
        let api = Api::new(db);
        let id = api.noop(1).await?;
        let path = format!("/v1/tasks/{id}");

        let live = api.delete(&path).await?;
        api.succeed(id).await?;
        let deleted = api.delete(&path).await?;

        assert_eq!(live.problem(), (409, "task_live".to_owned()));
        assert_eq!((deleted.status.as_u16(), deleted.text.as_str()), (204, ""));
        for below in ["", "/attempts", "/events"] {
            assert_eq!(api.get(&format!("{path}{below}")).await?.problem().0, 404, "{below}");
        }
        Ok(())
    }
}

fn numbers(page: &Value) -> Vec<i64> {
    let items = page["items"].as_array().into_iter().flatten();
    items
        .filter_map(|item| item["payload"]["n"].as_i64())
        .collect()
}
