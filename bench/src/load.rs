//! Many connections that ask one request after the other, at the same time.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use crate::http::{Address, Connection};

/// How many requests were answered, and how long that took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) requests: usize,
    pub(crate) elapsed: Duration,
}

impl Load {
    /// Requests in a second.
    pub(crate) fn rate(&self) -> f64 {
        // No count here needs more than the 52 bits.
        f64::from(u32::try_from(self.requests).unwrap_or(u32::MAX)) / self.elapsed.as_secs_f64()
    }
}

/// Runs `work` on so many connections; each gets its number and answers how many requests it made,
/// with whatever it found.
pub(crate) async fn run<T, F>(
    address: &Address,
    connections: usize,
    work: impl Fn(usize, Connection) -> F,
) -> Result<(Load, Vec<T>)>
where
    T: Send + 'static,
    F: Future<Output = Result<(usize, T)>> + Send + 'static,
{
    let mut opened = Vec::with_capacity(connections);
    for _ in 0..connections {
        opened.push(address.connect().await?);
    }
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for (number, connection) in opened.into_iter().enumerate() {
        running.spawn(work(number, connection));
    }
    let (mut requests, mut found) = (0, Vec::new());
    while let Some(done) = running.join_next().await {
        let (count, what) = done??;
        requests += count;
        found.push(what);
    }
    let elapsed = begun.elapsed();
    Ok((Load { requests, elapsed }, found))
}
