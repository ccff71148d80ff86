//! Tasks as any client uses them: submit, poll, list, cancel, retry, forget.

use std::collections::{BTreeMap, BTreeSet};

use e2e::{
    app::{Answer, TestApp, send},
    everywhere,
};
use models::testing::TestResult;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn submit(app: &TestApp, key: &str, body: &Value) -> anyhow::Result<Answer> {
    let request = app
        .http
        .request(Method::POST, "/v1/tasks")
        .header("Idempotency-Key", key);
    send(request.json(body)).await
}

/// Follows tasks on a new connection, from what was seen of each, until so few have not ended, and
/// answers how many these are.
async fn follow(
    app: &TestApp,
    seen: &mut BTreeMap<String, Vec<u64>>,
    enough: usize,
) -> TestResult<usize> {
    let mut socket = app.http.socket().await?;
    for (id, events) in &*seen {
        socket
            .subscribe(id, events.last().copied().unwrap_or(0))
            .await?;
    }
    let mut left = seen.len();
    while left > enough {
        let said = socket.said().await?;
        let topic = said["topic"].as_str().unwrap_or_default();
        let id = topic.strip_prefix("task:").ok_or("it is about a task")?;
        match said["op"].as_str() {
            Some("event") => {
                let events = seen.get_mut(id).ok_or("it is about one of these")?;
                events.push(said["id"].as_u64().ok_or("it has a number")?);
            }
            Some("unsubscribed") => left -= 1,
            Some("subscribed") => {}
            _ => return Err(said.to_string().into()),
        }
    }
    Ok(left)
}

everywhere! {
    async fn the_same_key_never_makes_a_second_task(stage: &Stage) -> TestResult {
        let app = TestApp::start(stage).await?;
        let body = json!({"kind": "noop", "payload": {"n": 1}});

        let first = submit(&app, "key-1", &body).await?;
        let second = submit(&app, "key-1", &body).await?;
        let other = submit(&app, "key-1", &json!({"kind": "noop", "payload": {"n": 2}})).await?;

        assert_eq!(first.status, StatusCode::ACCEPTED, "{first:?}");
        assert_eq!(first.text("id")?, second.text("id")?);
        assert_eq!(second.header("idempotent-replayed"), Some("true"));
        assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY, "{other:?}");
        app.http.ended(&first.text("id")?).await?;
        app.close().await?;
        Ok(())
    }

    async fn a_batch_runs_to_its_end(stage: &Stage) -> TestResult {
        const TASKS: usize = 200;
        let app = TestApp::start(stage).await?;
        let items: Vec<Value> =
            (0..TASKS).map(|n| json!({"kind": "noop", "payload": {"n": n}})).collect();

        let answer = app.http.post("/v1/tasks/batch", &json!({"items": items})).await?;

        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let busy = |state: &str| format!("/v1/tasks?state={state}&limit=1");
        let empty = |page: &Value| page["items"] == json!([]);
        for state in ["queued", "running"] {
            app.http.until(&busy(state), empty).await?;
        }
        let mut seen = BTreeSet::new();
        let mut path = "/v1/tasks?state=succeeded&limit=90".to_owned();
        loop {
            let page = app.http.get(&path).await?.body;
            for task in page["items"].as_array().ok_or("no items")? {
                assert!(seen.insert(task["id"].to_string()), "listed twice: {task}");
            }
            let Some(cursor) = page["next"].as_str() else { break };
            path = format!("/v1/tasks?state=succeeded&limit=90&cursor={cursor}");
        }
        assert_eq!(seen.len(), TASKS);
        app.close().await?;
        Ok(())
    }

    async fn a_poll_that_waits_is_answered_by_the_change(stage: &Stage) -> TestResult {
        let app = TestApp::start(stage).await?;
        let id = app.http.noop(json!({"n": 1, "sleep_ms": 1500})).await?;
        let path = format!("/v1/tasks/{id}");
        app.http.until(&path, |task| task["state"] == "running").await?;
        let running = app.http.get(&path).await?;
        let etag = running.header("etag").ok_or("no ETag")?;

        let unchanged = app.http.request(Method::GET, &path).header("If-None-Match", etag);
        assert_eq!(send(unchanged).await?.status, StatusCode::NOT_MODIFIED);
        let waits = app.http.request(Method::GET, &path).header("If-None-Match", etag);
        let changed = send(waits.header("Prefer", "wait=30")).await?;

        assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
        assert!(changed.header("preference-applied").is_some(), "{changed:?}");
        assert_ne!(changed.header("etag"), Some(etag));
        app.http.ended(&id).await?;
        app.close().await?;
        Ok(())
    }

    async fn many_tasks_are_watched_on_one_connection_and_on_the_next(stage: &Stage) -> TestResult {
        const TASKS: usize = 20;
        let app = TestApp::start(stage).await?;
        let mut seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for n in 0..TASKS {
            let id = app.http.noop(json!({"n": n, "sleep_ms": 500})).await?;
            seen.insert(id, Vec::new());
        }

        // The first connection breaks off in the middle; the second one is to another server, if there
        // are several, and goes on after what was seen.
        let mut left = follow(&app, &mut seen, TASKS / 2).await?;
        assert!(left > 0, "some have not ended");
        left = follow(&app, &mut seen, 0).await?;

        assert_eq!(left, 0);
        for (id, events) in &seen {
            let task = app.http.get(&format!("/v1/tasks/{id}")).await?.body;
            let all: Vec<_> = (1..=task["version"].as_u64().ok_or("no version")?).collect();
            assert_eq!((events, &task["state"]), (&all, &json!("succeeded")), "{task}");
        }
        app.close().await?;
        Ok(())
    }

    async fn a_running_task_is_cancelled_and_tried_again(stage: &Stage) -> TestResult {
        let app = TestApp::start(stage).await?;
        let id = app.http.noop(json!({"n": 1, "sleep_ms": 10_000})).await?;
        let path = format!("/v1/tasks/{id}");
        app.http.until(&path, |task| task["state"] == "running").await?;

        let cancelling = app.http.post(&format!("{path}/cancel"), &json!({})).await?;
        assert_eq!(cancelling.status, StatusCode::ACCEPTED, "{cancelling:?}");
        assert_eq!(app.http.ended(&id).await?["state"], "cancelled");
        let again = app.http.post(&format!("{path}/retry"), &json!({})).await?;
        assert_eq!(again.status, StatusCode::ACCEPTED, "{again:?}");
        app.http.until(&path, |task| task["state"] == "running").await?;
        app.http.post(&format!("{path}/cancel"), &json!({})).await?;
        app.http.ended(&id).await?;

        let attempts = app.http.get(&format!("{path}/attempts")).await?.body;
        assert_eq!(attempts["items"].as_array().map(Vec::len), Some(2), "{attempts}");
        let forgotten = send(app.http.request(Method::DELETE, &path)).await?;
        assert_eq!(forgotten.status, StatusCode::NO_CONTENT, "{forgotten:?}");
        assert_eq!(app.http.get(&path).await?.status, StatusCode::NOT_FOUND);
        app.close().await?;
        Ok(())
    }

    async fn a_task_that_fails_says_why(stage: &Stage) -> TestResult {
        let app = TestApp::start(stage).await?;
        let id = app.http.noop(json!({"n": 1, "fail": true})).await?;

        let task = app.http.ended(&id).await?;

        assert_eq!(task["state"], "failed", "{task}");
        assert!(task["error"]["code"].is_string(), "{task}");
        app.close().await?;
        Ok(())
    }
}
