//! Waits for work that counts its bytes: tells how far it is, and notices when it stands still.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(100);

/// Runs `work` to its end, or gives up when `bytes` has not changed for the time of `patience`.
///
/// `report` gets the count when it changed, at most ten times a second.
pub(crate) async fn watched<T>(
    work: impl Future<Output = T>,
    bytes: &AtomicU64,
    patience: Option<Duration>,
    report: impl Fn(u64),
) -> Option<T> {
    let mut ticks = tokio::time::interval(TICK);
    let (mut last, mut since) = (0, Instant::now());
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => {
                report(bytes.load(Ordering::Relaxed));
                return Some(done);
            }
            _ = ticks.tick() => {}
        }
        let now = bytes.load(Ordering::Relaxed);
        if now != last {
            report(now);
            (last, since) = (now, Instant::now());
        } else if patience.is_some_and(|patience| since.elapsed() > patience) {
            return None;
        }
    }
}
