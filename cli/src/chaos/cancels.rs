//! How soon a running task stops when another process is asked to cancel it.

use std::sync::Arc;

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    client::{self, Client},
    figures::Figures,
    history::{History, What},
};

/// Tasks that run and are cancelled at the same time.
const AT_ONCE: usize = 16;
/// How long the tasks would run if nobody cancelled them.
const SLEEP_MS: u64 = 10_000;

/// Cancels so many running tasks; answers the times from each request to the end of its task.
///
/// # Errors
/// When a task cannot be submitted, or does not end as cancelled.
pub(crate) async fn run(tasks: u32, client: &Client, history: &History) -> anyhow::Result<Figures> {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut cancels = JoinSet::new();
    for number in 0..tasks {
        let permit = room.clone().acquire_owned().await?;
        let (client, history) = (client.clone(), history.clone());
        cancels.spawn(async move {
            let took = cancel(number, &client, &history).await;
            drop(permit);
            took
        });
    }
    let took = cancels.join_all().await;
    took.into_iter().collect::<anyhow::Result<Figures>>()
}

async fn cancel(number: u32, client: &Client, history: &History) -> anyhow::Result<f64> {
    let payload = json!({"n": number, "sleep_ms": SLEEP_MS});
    let submit = client.submit(number, &format!("cancel-{number}"), &payload);
    let accepted = client::send(submit).await?;
    let id = client::id(&accepted.body).with_context(|| format!("{accepted:?}"))?;
    let path = format!("/v1/tasks/{id}");
    client
        .until(&path, |task| task["state"] == "running")
        .await?;
    history.note(What::Cancelled { id });
    let asked = history.now();
    let request = client.request(Method::POST, number + 1, &format!("{path}/cancel"));
    let answer = client::send(request).await?;
    ensure!(answer.status.is_success(), "{answer:?}");
    let ended = client.until(&path, |task| task["done"] == true).await?;
    ensure!(ended["state"] == "cancelled", "{ended}");
    let finished_at: DateTime<Utc> = serde_json::from_value(ended["finished_at"].clone())?;
    Ok((finished_at - asked).as_seconds_f64())
}
