//! A repeated request is answered, not done again.

use futures_util::future::try_join_all;
use models::{Db, on_both, testing::TestResult};
use serde_json::{Value, json};

use crate::harness::Api;

fn noop(n: i64) -> Value {
    json!({"kind": "noop", "payload": {"n": n}})
}

on_both! {
    async fn a_repeated_submission_answers_the_task_as_it_is_now(db: &Db) -> TestResult {
        let api = Api::new(db);
        let key = [("idempotency-key", "a key")];

        let first = api.post_with("/v1/tasks", &noop(1), &key).await?;
        api.succeed(first.word("/id").parse()?).await?;
        let again = api.post_with("/v1/tasks", &noop(1), &key).await?;

        assert_eq!(first.status, 202);
        assert_eq!(first.header("idempotent-replayed"), "");
        assert_eq!(again.status, 200, "the task has ended meanwhile");
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!(again.word("/id"), first.word("/id"));
        assert_eq!(again.word("/state"), "succeeded");
        Ok(())
    }

    async fn a_repetition_after_the_expiry_is_answered_with_the_task(db: &Db) -> TestResult {
        let api = Api::new(db);
        let key = [("idempotency-key", "expires")];
        let expires_at = db.now() + chrono::TimeDelta::seconds(2);
        let mut body = noop(1);
        body["expires_at"] = json!(expires_at);

        let first = api.post_with("/v1/tasks", &body, &key).await?;
        db.disturb_clock(chrono::TimeDelta::seconds(10));
        let again = api.post_with("/v1/tasks", &body, &key).await?;
        let new = api.post("/v1/tasks", &body).await?;

        assert_eq!(first.status, 202, "{}", first.text);
        assert_eq!(again.word("/id"), first.word("/id"));
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!(new.problem(), (422, "validation_failed".to_owned()));
        Ok(())
    }

    async fn duplicates_at_the_same_time_make_one_task(db: &Db) -> TestResult {
        let api = Api::new(db);
        let key = [("idempotency-key", "at once")];
        let body = noop(1);

        let answers = try_join_all((0..20).map(|_| api.post_with("/v1/tasks", &body, &key))).await?;

        let listed = api.get("/v1/tasks").await?;
        assert_eq!(listed.at("/items").as_array().map(Vec::len), Some(1));
        for answer in &answers {
            assert_eq!(answer.word("/id"), listed.word("/items/0/id"), "{}", answer.text);
        }
        let replayed = answers.iter().filter(|a| a.header("idempotent-replayed") == "true");
        assert_eq!(replayed.count(), 19);
        Ok(())
    }

    async fn a_key_belongs_to_one_request_of_one_operation(db: &Db) -> TestResult {
        let api = Api::new(db);
        let key = [("idempotency-key", "k")];
        let brief = json!({"topic": "Tide pools"});

        let task = api.post_with("/v1/tasks", &noop(1), &key).await?;
        let other_body = api.post_with("/v1/tasks", &noop(2), &key).await?;
        let other_operation = api.post_with("/v1/courses", &brief, &key).await?;

        assert_eq!(task.status, 202);
        assert_eq!(other_body.problem(), (422, "idempotency_mismatch".to_owned()));
        assert_eq!(other_operation.status, 202);
        Ok(())
    }

    async fn a_repeated_batch_is_answered_with_its_report(db: &Db) -> TestResult {
        let api = Api::new(db);
        let key = [("idempotency-key", "batch")];
        let body = json!({"items": [noop(1), {"kind": "nonsense", "payload": {}}]});

        let first = api.post_with("/v1/tasks/batch", &body, &key).await?;
        let again = api.post_with("/v1/tasks/batch", &body, &key).await?;

        assert_eq!(first.json(), again.json());
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!(api.get("/v1/tasks").await?.at("/items").as_array().map(Vec::len), Some(1));
        Ok(())
    }

    async fn a_repeated_retry_does_not_try_twice(db: &Db) -> TestResult {
        let api = Api::new(db);
        let id = api.noop(1).await?;
        api.fail(id).await?;
        let path = format!("/v1/tasks/{id}/retry");
        let key = [("idempotency-key", "retry")];

        let first = api.post_with(&path, &Value::Null, &key).await?;
        api.succeed(id).await?;
        let again = api.post_with(&path, &Value::Null, &key).await?;
        let fresh = api.post_with(&format!("{path}?fresh=true"), &Value::Null, &key).await?;

        assert_eq!(first.status, 202, "{}", first.text);
        assert_eq!(again.word("/state"), "succeeded");
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!(fresh.problem(), (422, "idempotency_mismatch".to_owned()));
        Ok(())
    }

    async fn a_course_is_asked_for_once(db: &Db) -> TestResult {
        let api = Api::new(db);
        let key = [("idempotency-key", "course")];
        let brief = json!({"topic": "Tide pools"});

        let first = api.post_with("/v1/courses", &brief, &key).await?;
        let again = api.post_with("/v1/courses", &brief, &key).await?;

        assert_eq!(first.word("/links/subject"), again.word("/links/subject"));
        assert_eq!(api.get("/v1/courses").await?.at("/items").as_array().map(Vec::len), Some(1));
        Ok(())
    }
}
