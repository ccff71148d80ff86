//! What only many processes show: one ends, another goes on.

use e2e::app::{Http, Stage, TestApp};
use models::testing::{TestDb, TestResult};
use reqwest::StatusCode;
use serde_json::json;

async fn stage() -> TestResult<Stage> {
    Ok(Stage {
        database: TestDb::postgres().await?,
        fleet: true,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tasks_of_a_killed_worker_are_done_by_the_others() -> TestResult {
    let stage = stage().await?;
    let mut app = TestApp::start(&stage).await?;
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(app.http.noop(json!({"n": n, "sleep_ms": 3_000})).await?);
    }
    for id in &ids {
        app.http.until(&format!("/v1/tasks/{id}"), |task| task["state"] != "queued").await?;
    }

    let fleet = app.fleet()?;
    for worker in fleet.workers.drain(..2) {
        worker.kill().await?;
    }

    for id in ids {
        let task = app.http.ended(&id).await?;
        assert_eq!(task["state"], "succeeded", "{task}");
    }
    app.close().await?;
    stage.database.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_are_accepted_without_redis_and_done_when_it_is_back() -> TestResult {
    let stage = stage().await?;
    let mut app = TestApp::start(&stage).await?;
    app.http.ended(&app.http.noop(json!({"n": 0})).await?).await?;
    app.fleet()?.redis.kill().await?;

    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(app.http.noop(json!({"n": n})).await?);
    }
    let ready = app.http.get("/readyz").await?;
    assert_eq!(ready.status, StatusCode::OK, "an API works without Redis: {ready:?}");
    app.fleet()?.redis.restart().await?;

    for id in ids {
        assert_eq!(app.http.ended(&id).await?["state"], "succeeded");
    }
    app.close().await?;
    stage.database.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_drains_puts_back_what_others_finish() -> TestResult {
    let stage = stage().await?;
    let mut app = TestApp::start(&stage).await?;
    let probe = Http::new(&[app.fleet()?.workers[0].base.clone()])?;
    probe.until("/readyz", |answer| answer["components"]["bell"]["state"] == "ready").await?;

    app.drain_and_restart().await?;
    let id = app.http.noop(json!({"n": 1})).await?;

    assert_eq!(app.http.ended(&id).await?["attempt"], 1);
    app.close().await?;
    stage.database.close().await
}
