//! What only many processes show: one ends, another goes on.

use std::time::{Duration, Instant};

use e2e::app::{Http, PATIENCE, Stage, TestApp};
use models::testing::{TestDb, TestResult};
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::sleep;

async fn stage() -> TestResult<Stage> {
    Ok(Stage {
        database: TestDb::postgres().await?,
        fleet: true,
    })
}

/// Submits tasks that take a while, and waits until all of them run.
async fn running(app: &TestApp, tasks: usize, sleep_ms: u64) -> TestResult<Vec<String>> {
    let mut ids = Vec::new();
    for n in 0..tasks {
        let payload = json!({"n": n, "sleep_ms": sleep_ms});
        ids.push(app.http.noop(payload).await?);
    }
    for id in &ids {
        let path = format!("/v1/tasks/{id}");
        app.http
            .until(&path, |task| task["state"] != "queued")
            .await?;
    }
    Ok(ids)
}

/// How the attempts of a task ended.
async fn outcomes(app: &TestApp, id: &str) -> TestResult<Vec<String>> {
    let attempts = app.http.get(&format!("/v1/tasks/{id}/attempts")).await?;
    let attempts = attempts.body["items"].as_array().cloned();
    let outcome = |attempt: &serde_json::Value| attempt["outcome"].as_str().map(str::to_owned);
    Ok(attempts.iter().flatten().filter_map(outcome).collect())
}

async fn until_ready(probe: &Http, wanted: StatusCode) -> TestResult {
    let began = Instant::now();
    loop {
        let answer = probe.get("/readyz").await?;
        if answer.status == wanted {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("not {wanted}: {answer:?}").into());
        }
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tasks_of_killed_workers_are_done_by_others() -> TestResult {
    let stage = stage().await?;
    let mut app = TestApp::start(&stage).await?;
    let ids = running(&app, 6, 5_000).await?;

    let fleet = app.fleet()?;
    for worker in fleet.workers.drain(..) {
        worker.kill().await?;
    }
    fleet.start_workers().await?;

    for id in ids {
        let task = app.http.ended(&id).await?;
        assert_eq!(task["state"], "succeeded", "{task}");
        assert_eq!(outcomes(&app, &id).await?, ["lost", "succeeded"]);
    }
    app.close().await?;
    stage.database.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_stopped_puts_back_what_others_finish() -> TestResult {
    let stage = stage().await?;
    let mut app = TestApp::start(&stage).await?;
    let ids = running(&app, 3, 8_000).await?;

    app.drain_and_restart().await?;

    for id in ids {
        let task = app.http.ended(&id).await?;
        assert_eq!(task["state"], "succeeded", "{task}");
        let outcomes = outcomes(&app, &id).await?;
        assert!(
            outcomes.contains(&"released".to_owned()) && !outcomes.contains(&"lost".to_owned()),
            "{outcomes:?}"
        );
    }
    app.close().await?;
    stage.database.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_are_accepted_without_redis_and_done_when_it_is_back() -> TestResult {
    let stage = stage().await?;
    let mut app = TestApp::start(&stage).await?;
    app.http
        .ended(&app.http.noop(json!({"n": 0})).await?)
        .await?;
    let probe = Http::new(&[app.fleet()?.workers[0].base.clone()])?;
    until_ready(&probe, StatusCode::OK).await?;
    assert_eq!(probe.get("/metrics").await?.status, StatusCode::OK);
    app.fleet()?.redis.kill().await?;

    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(app.http.noop(json!({"n": n})).await?);
    }
    // A worker that hears of nothing says so; an API works as before.
    until_ready(&probe, StatusCode::SERVICE_UNAVAILABLE).await?;
    until_ready(&app.http, StatusCode::OK).await?;
    app.fleet()?.redis.restart().await?;

    for id in ids {
        assert_eq!(app.http.ended(&id).await?["state"], "succeeded");
    }
    until_ready(&probe, StatusCode::OK).await?;
    app.close().await?;
    stage.database.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_others_could_reach_is_refused() -> TestResult {
    let mut api = e2e::fleet::command("lyo-api")?;
    let url = "postgres://localhost:1/nobody";
    let output = api
        .args(["--host", "0.0.0.0", "--port", "0"])
        .args(["--database-url", url, "--redis-url", "redis://localhost:1"])
        .output()
        .await?;

    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("LYO_SIGNING_KEYS"), "{message}");
    Ok(())
}
