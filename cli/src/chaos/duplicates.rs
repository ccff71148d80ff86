//! The same request many times at the same time, through every API.

use std::collections::HashSet;

use anyhow::{Context, bail, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use models::TaskId;
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::{Duration, sleep};

use super::client::{self, Client};

/// Requests with the same key at the same time.
pub(crate) const COPIES: u32 = 50;
/// Keys at the same time.
const KEYS_AT_ONCE: usize = 4;
/// How often a request is sent that came while the first with its key was under way.
const TRIES_MAX: u32 = 100;
/// How soon.
const PAUSE: Duration = Duration::from_millis(20);

/// Sends [`COPIES`] requests for each key; answers how many tasks that made.
///
/// # Errors
/// When a request is refused, or when the same key with another body is not.
pub(crate) async fn run(keys: u32, client: &Client) -> anyhow::Result<usize> {
    let made: Vec<HashSet<TaskId>> = stream::iter(0..keys)
        .map(|number| one_key(number, client))
        .buffer_unordered(KEYS_AT_ONCE)
        .try_collect()
        .await?;
    Ok(made.into_iter().flatten().collect::<HashSet<_>>().len())
}

/// The tasks that the copies of one request made.
async fn one_key(number: u32, client: &Client) -> anyhow::Result<HashSet<TaskId>> {
    let key = format!("duplicate-{number}");
    let copies = (0..COPIES).map(|api| copy(number, api, &key, client));
    let ids = future::try_join_all(copies).await?;
    let other = client.submit(number, &key, &json!({"n": number, "sleep_ms": 1}));
    let other = client::send(other).await?;
    ensure!(
        other.status == StatusCode::UNPROCESSABLE_ENTITY,
        "another body under the same key: {other:?}"
    );
    Ok(ids.into_iter().collect())
}

async fn copy(number: u32, api: u32, key: &str, client: &Client) -> anyhow::Result<TaskId> {
    for _ in 0..TRIES_MAX {
        let answer = client::send(client.submit(api, key, &json!({"n": number}))).await?;
        if answer.status != StatusCode::CONFLICT {
            return client::id(&answer.body).with_context(|| format!("{key}: {answer:?}"));
        }
        sleep(PAUSE).await;
    }
    bail!("{key} is in conflict for ever")
}
