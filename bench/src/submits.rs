//! Tasks submitted under load, while a worker ends them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    System,
    http::{Address, Connection},
    load::{self, Load},
};

/// How long the last task may take to end after it was submitted.
const PATIENCE: Duration = Duration::from_mins(5);

/// What was submitted, and how fast.
#[derive(Debug)]
pub(crate) struct Submitted {
    /// Answers of 202 in a second, while a worker was at work.
    pub(crate) submits: f64,
    /// Tasks in a second, from the first submission to the end of the last task.
    pub(crate) end_to_end: f64,
    pub(crate) ids: Arc<Vec<String>>,
}

/// Submits tasks from many connections, waits for their ends, and makes sure that each succeeded.
pub(crate) async fn run(system: &System, address: &Address, tasks: usize) -> Result<Submitted> {
    let (load, ids) = submit(system, address, tasks, "").await?;
    let (first, last) = span(system, address, &ids).await?;
    let seconds = (last.finished - first.created).as_seconds_f64();
    let count = f64::from(u32::try_from(ids.len())?);
    Ok(Submitted {
        submits: load.rate(),
        end_to_end: count / seconds,
        ids,
    })
}

/// Submits so many tasks, each with a key of its own; `more` goes into the body.
pub(crate) async fn submit(
    system: &System,
    address: &Address,
    count: usize,
    more: &str,
) -> Result<(Load, Arc<Vec<String>>)> {
    let each = count / system.connections;
    let (more, batch) = (more.to_owned(), Uuid::now_v7().simple().to_string());
    let (load, ids) = load::run(address, system.connections, |number, mut connection| {
        let (more, batch) = (more.clone(), batch.clone());
        async move {
            let mut ids = Vec::with_capacity(each);
            for n in 0..each {
                ids.push(one(&mut connection, &batch, number * each + n, &more).await?);
            }
            Ok((each, ids))
        }
    })
    .await?;
    Ok((load, Arc::new(ids.into_iter().flatten().collect())))
}

async fn one(connection: &mut Connection, batch: &str, n: usize, more: &str) -> Result<String> {
    let key = format!("Idempotency-Key: {batch}-{n}\r\n");
    let body = format!("{{\"kind\":\"noop\",\"payload\":{{\"n\":{n}}}{more}}}");
    let answer = connection.post("/v1/tasks", &key, &body).await?;
    let text = String::from_utf8_lossy(answer.body);
    ensure!(answer.status == 202, "{}: {text}", answer.status);
    // The whole document is not worth reading: the driver shares the cores.
    let (_, id) = text.split_once("\"id\":\"").context("no id")?;
    Ok(id[..36].to_owned())
}

/// When a task was created, started and finished.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) created: DateTime<Utc>,
    pub(crate) started: DateTime<Utc>,
    pub(crate) finished: DateTime<Utc>,
}

/// The earliest creation and start, and the latest end, of tasks that have all succeeded.
pub(crate) async fn span(
    system: &System,
    address: &Address,
    ids: &Arc<Vec<String>>,
) -> Result<(Times, Times)> {
    let (_, times) = load::run(address, system.connections, |number, mut connection| {
        let (ids, step) = (ids.clone(), system.connections);
        async move {
            let mut times = Vec::new();
            for id in ids.iter().skip(number).step_by(step) {
                times.push(ended(&mut connection, id).await?);
            }
            Ok((times.len(), times))
        }
    })
    .await?;
    let times: Vec<Times> = times.into_iter().flatten().collect();
    ensure!(times.len() == ids.len(), "some tasks are missing");
    let pick = |by: fn(&Times) -> DateTime<Utc>| times.iter().map(by);
    let first = Times {
        created: pick(|t| t.created).min().context("no task")?,
        started: pick(|t| t.started).min().context("no task")?,
        finished: pick(|t| t.finished).min().context("no task")?,
    };
    let last = Times {
        created: pick(|t| t.created).max().context("no task")?,
        started: pick(|t| t.started).max().context("no task")?,
        finished: pick(|t| t.finished).max().context("no task")?,
    };
    Ok((first, last))
}

/// Waits for the end of a task, seldom enough not to be in its way.
async fn ended(connection: &mut Connection, id: &str) -> Result<Times> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let task = connection
            .get(&format!("/v1/tasks/{id}"), "")
            .await?
            .json()?;
        match task["state"].as_str() {
            Some("succeeded") => {
                return Ok(Times {
                    created: time(&task, "created_at")?,
                    started: time(&task, "started_at")?,
                    finished: time(&task, "finished_at")?,
                });
            }
            Some("queued" | "running") => {}
            state => bail!("task {id} is {state:?}"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    bail!("task {id} did not end")
}

fn time(task: &Value, name: &str) -> Result<DateTime<Utc>> {
    let text = task[name].as_str().with_context(|| format!("no {name}"))?;
    Ok(text.parse()?)
}
