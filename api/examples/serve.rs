//! The API alone over a new SQLite file, for trying it and for testing its contract:
//! `cargo run -p api --example serve -- 8080`.
//!
//! Instead of a worker there is a loop that does what `noop` says and fails everything else, so
//! that tasks in every state can be seen.

use anyhow::Context;
use api::{ApiConfig, App, serve};
use jobs::{Failure, Queue, Usage, bell::Bell, store};
use models::testing::TestDb;
use platform::health::Health;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let port = std::env::args()
        .nth(1)
        .context("say on which port to listen")?;
    let test = TestDb::sqlite().await.map_err(anyhow::Error::from_boxed)?;
    let app = App::new(test.db.clone(), Bell::in_process(), Health::default());
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    println!("http://{}/docs", listener.local_addr()?);

    let stop = CancellationToken::new();
    for queue in Queue::ALL {
        tokio::spawn(work(app.clone(), *queue));
    }
    tokio::spawn(jobs::relay::run(
        app.db.clone(),
        app.bell.clone(),
        stop.clone(),
    ));
    tokio::select! {
        served = serve(app, ApiConfig::default(), listener, stop.clone()) => served?,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    stop.cancel();
    test.close().await.map_err(anyhow::Error::from_boxed)
}

/// Ends every task of a queue, one way or the other.
async fn work(app: App, queue: Queue) {
    loop {
        let ids = app.bell.take(queue, queue.batch_max()).await;
        if let Err(error) = end(&app, &ids).await {
            eprintln!("tasks {ids:?}: {error}");
        }
    }
}

async fn end(app: &App, ids: &[jobs::TaskId]) -> models::Result<()> {
    let now = app.db.now();
    for task in store::start(&app.db, ids, "example", now).await? {
        let mut tx = app.db.begin().await?;
        let changed = if task.kind == "noop" && task.payload["fail"].is_null() {
            let usage = Usage::default();
            store::succeed(&mut tx, task.lease(), Some(&task.payload), &[], usage, now).await?
        } else {
            let failure = Failure {
                code: "model_unavailable".to_owned(),
                detail: "The example has no model.".to_owned(),
                attempt: task.attempt,
                retryable: true,
            };
            store::fail(&mut tx, task.lease(), &failure, now).await?
        };
        tx.commit().await?;
        app.bell.tell_all(&changed, now);
    }
    Ok(())
}
