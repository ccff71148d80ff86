//! Many tasks that wait already, ended by one worker as fast as it can.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use chrono::{SecondsFormat, TimeDelta, Utc};

use crate::{
    System,
    http::Address,
    process::Process,
    submits::{span, submit},
};

/// Tasks in a second, from the first start to the last end: queued first, then a worker begins.
pub(crate) async fn before_a_worker(
    system: &System,
    address: &Address,
    count: usize,
) -> Result<f64> {
    let (_, ids) = submit(system, address, count, "").await?;
    by_a_worker(system, address, &ids).await
}

/// The same for tasks that are queued already.
pub(crate) async fn by_a_worker(
    system: &System,
    address: &Address,
    ids: &Arc<Vec<String>>,
) -> Result<f64> {
    let worker = system.worker.as_deref().map(Process::start).transpose()?;
    let (first, last) = span(system, address, ids).await?;
    drop(worker);
    // The next worker starts on a quiet machine.
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(rate(ids.len(), last.finished - first.started))
}

/// The same where API and worker are one process: all tasks are due at one moment.
#[expect(
    clippy::disallowed_methods,
    reason = "server and driver run on one machine"
)]
pub(crate) async fn at_one_moment(system: &System, address: &Address, count: usize) -> Result<f64> {
    let run_at = Utc::now() + TimeDelta::seconds(20);
    let text = run_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let more = format!(",\"run_at\":\"{text}\"");
    let (_, ids) = submit(system, address, count, &more).await?;
    // Polling for the end begins when most of it is over.
    let left = (run_at - Utc::now()).to_std().unwrap_or_default();
    tokio::time::sleep(left + Duration::from_secs(2)).await;
    let (first, last) = span(system, address, &ids).await?;
    Ok(rate(ids.len(), last.finished - first.started))
}

fn rate(count: usize, took: TimeDelta) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / took.as_seconds_f64()
}
