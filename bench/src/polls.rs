//! Polls of tasks that have ended, and of tasks that live.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{compare::Args, http::Address, load, submits::submit};

/// Different tasks that are polled.
const TASKS: usize = 1_000;
/// Live tasks wait for this time, which does not come.
const LATER: &str = ",\"run_at\":\"2999-01-01T00:00:00Z\"";

/// Whole answers about ended tasks in a second.
pub(crate) async fn finished(
    args: &Args,
    address: &Address,
    ids: &Arc<Vec<String>>,
) -> Result<f64> {
    let ids = Arc::new(ids.iter().take(TASKS).cloned().collect::<Vec<_>>());
    run(args, address, &ids, false).await
}

/// Answers in a second to clients who know the present version of a task that has not ended.
pub(crate) async fn live(args: &Args, address: &Address) -> Result<f64> {
    let (_, ids) = submit(&args.system, address, TASKS, LATER).await?;
    run(args, address, &ids, true).await
}

async fn run(args: &Args, address: &Address, ids: &Arc<Vec<String>>, known: bool) -> Result<f64> {
    let limit = Duration::from_secs(args.seconds);
    let step = args.system.connections;
    let (load, _) = load::run(
        address,
        args.system.connections,
        |number, mut connection| {
            let ids = ids.clone();
            async move {
                let (begun, mut count) = (Instant::now(), 0);
                let mut etags = vec![String::new(); ids.len()];
                while begun.elapsed() < limit {
                    for place in (number..ids.len()).step_by(step) {
                        let path = format!("/v1/tasks/{}", ids[place]);
                        let answer = connection.get(&path, &etags[place]).await?;
                        let expected = if etags[place].is_empty() { 200 } else { 304 };
                        ensure!(answer.status == expected, "{path}: {}", answer.status);
                        if known && etags[place].is_empty() {
                            let etag = answer.header("etag").context("no ETag")?;
                            etags[place] = format!("If-None-Match: {etag}\r\n");
                        }
                        count += 1;
                    }
                }
                Ok((count, ()))
            }
        },
    )
    .await?;
    Ok(load.rate())
}
