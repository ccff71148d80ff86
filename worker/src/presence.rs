//! Says that this worker lives, for operators and for tasks that wait for a worker.

use jobs::store::workers::{self, PERIOD, Worker};
use models::Db;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::runner::WorkerConfig;

/// Reports until it is stopped, and takes leave then.
pub(crate) async fn report(db: Db, config: WorkerConfig, stop: CancellationToken) {
    let started_at = db.now();
    let mut worker = Worker {
        name: config.name,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        queues: config.queues,
        concurrency: i64::try_from(config.concurrency.max(1)).unwrap_or(i64::MAX),
        started_at,
        seen_at: started_at,
    };
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        worker.seen_at = db.now();
        if let Err(error) = workers::report(&db, &worker).await {
            warn!(%error, "The worker could not report: {error}");
        }
    }
    if let Err(error) = workers::leave(&db, &worker.name).await {
        warn!(%error, "The worker could not take leave: {error}");
    }
}
