//! From the submission of one task to an idle system until a client sees its end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::http::{Address, Connection};

/// Between two tasks, so that the system is idle.
const PAUSE: Duration = Duration::from_millis(20);
/// Tasks that are not measured.
const WARM_UP: usize = 20;
/// A server that does not wait is asked again after this long.
const POLL: Duration = Duration::from_micros(500);

/// The median and the 99th percentile, in milliseconds.
pub(crate) type Percentiles = (f64, f64);

/// A few tasks, so that connections are open and statements prepared.
pub(crate) async fn warm_up(address: &Address) -> Result<()> {
    let mut connection = address.connect().await?;
    for _ in 0..WARM_UP {
        one(&mut connection).await?;
    }
    Ok(())
}

/// Measures one task after the other.
pub(crate) async fn idle(address: &Address, tasks: usize) -> Result<Percentiles> {
    let mut connection = address.connect().await?;
    let mut took = Vec::with_capacity(tasks);
    for _ in 0..tasks {
        tokio::time::sleep(PAUSE).await;
        let begun = Instant::now();
        one(&mut connection).await?;
        took.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    percentiles(took)
}

/// Those of some times in milliseconds.
pub(crate) fn percentiles(mut took: Vec<f64>) -> Result<Percentiles> {
    took.sort_by(f64::total_cmp);
    let at = |share: usize| took.get(took.len() * share / 100).or(took.last()).copied();
    Ok((at(50).context("no time")?, at(99).context("no time")?))
}

async fn one(connection: &mut Connection) -> Result<()> {
    let body = "{\"kind\":\"noop\",\"payload\":{\"n\":1}}";
    let answer = connection.post("/v1/tasks", "", body).await?;
    ensure!(answer.status == 202, "{}", answer.status);
    let mut headers = known(answer.header("etag"));
    let path = answer.header("location").context("no location")?.to_owned();
    loop {
        let answer = connection.get(&path, &headers).await?;
        if find(answer.body, b"\"succeeded\"") {
            return Ok(());
        }
        headers = known(answer.header("etag"));
        if answer.header("preference-applied").is_none() {
            tokio::time::sleep(POLL).await;
        }
    }
}

fn known(etag: Option<&str>) -> String {
    let etag = etag.map_or(String::new(), |etag| format!("If-None-Match: {etag}\r\n"));
    format!("Prefer: wait=5\r\n{etag}")
}

fn find(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
