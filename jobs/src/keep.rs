//! What has to be done now and then: forgetting what is old, learning how long tasks take.
//!
//! Every process does it. Each step is bounded and finds nothing to do where another was first; what
//! fails is tried again the next time.

use std::time::Duration;

use chrono::TimeDelta;
use models::{Db, Result, idempotency, sessions};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{job::Definition, kinds, store};

/// How often.
const PERIOD: Duration = Duration::from_mins(1);
/// Rows that one statement forgets.
const BATCH_MAX: u32 = 1_000;
/// Statements of one kind in one period. With the pause between them, one process forgets 100,000
/// tasks of a kind in a minute and still leaves the database to others for most of the time.
const BATCHES_MAX: usize = 100;
const BATCH_PAUSE: Duration = Duration::from_millis(200);
/// What attempts of a task kept for later ones is forgotten this long after it was written, once
/// the task has succeeded.
const CHECKPOINTS_KEPT: TimeDelta = TimeDelta::days(2);
/// How far back a schedule may be edited to go without firing again.
const FIRINGS_KEPT: TimeDelta = TimeDelta::days(30);
/// Workers that took no leave are forgotten this long after they were last seen.
const WORKERS_KEPT: TimeDelta = TimeDelta::hours(1);

/// Sessions are forgotten this long after they ended by themselves.
const SESSIONS_KEPT: TimeDelta = TimeDelta::days(1);
/// Sessions that are forgotten in one period, each with up to some thousand tokens.
const SESSIONS_MAX: u32 = 100;

/// Runs until it is stopped.
pub(crate) async fn run(db: &Db, stop: &CancellationToken) {
    loop {
        keep(db).await;
        let pause = stop.run_until_cancelled(sleep(PERIOD)).await;
        if pause.is_none() {
            return;
        }
    }
}

async fn keep(db: &Db) {
    if let Err(error) = db.measure_clock().await {
        warn!(%error, "Could not measure the database's clock: {error}");
    }
    report("idempotency keys", forget_keys(db).await);
    report("checkpoints", forget_checkpoints(db).await);
    report("firings of schedules", forget_firings(db).await);
    report("workers", forget_workers(db).await);
    report("sessions", forget_sessions(db).await);
    for kind in kinds::ALL {
        report(kind.kind, forget_tasks(db, kind).await);
        if let Err(error) = store::durations::learn(db, kind.kind, db.now()).await {
            warn!(%error, "Could not learn how long {} takes: {error}", kind.kind);
        }
    }
}

fn report(what: &str, forgotten: Result<u64>) {
    match forgotten {
        Ok(0) => {}
        Ok(rows) => debug!(rows, "Forgot {rows} old rows: {what}"),
        Err(error) => warn!(%error, "Could not forget what is old, {what}: {error}"),
    }
}

async fn forget_keys(db: &Db) -> Result<u64> {
    let mut tx = db.begin().await?;
    let before = db.now() - idempotency::LIFETIME;
    let forgotten = idempotency::prune(&mut tx, before, BATCH_MAX).await?;
    tx.commit().await?;
    Ok(forgotten)
}

async fn forget_checkpoints(db: &Db) -> Result<u64> {
    let mut tx = db.begin().await?;
    let before = db.now() - CHECKPOINTS_KEPT;
    let forgotten = store::checkpoint::prune(&mut tx, before, BATCH_MAX).await?;
    tx.commit().await?;
    Ok(forgotten)
}

async fn forget_firings(db: &Db) -> Result<u64> {
    let mut tx = db.begin().await?;
    let before = db.now() - FIRINGS_KEPT;
    let forgotten = store::schedules::prune(&mut tx, before, BATCH_MAX).await?;
    tx.commit().await?;
    Ok(forgotten)
}

async fn forget_workers(db: &Db) -> Result<u64> {
    let mut tx = db.begin().await?;
    let forgotten = store::workers::prune(&mut tx, db.now() - WORKERS_KEPT).await?;
    tx.commit().await?;
    Ok(forgotten)
}

async fn forget_sessions(db: &Db) -> Result<u64> {
    let mut tx = db.begin().await?;
    let forgotten = sessions::prune(&mut tx, db.now() - SESSIONS_KEPT, SESSIONS_MAX).await?;
    tx.commit().await?;
    Ok(forgotten)
}

/// Forgets the tasks of a kind that ended too long ago, with their events, attempts, checkpoints and
/// children.
async fn forget_tasks(db: &Db, kind: &Definition) -> Result<u64> {
    let mut forgotten = 0;
    for _ in 0..BATCHES_MAX {
        let before = db.now() - kind.kept;
        let mut tx = db.begin().await?;
        let batch = store::prune(&mut tx, kind.kind, before, BATCH_MAX).await?;
        tx.commit().await?;
        forgotten += batch;
        if batch < u64::from(BATCH_MAX) {
            break;
        }
        sleep(BATCH_PAUSE).await;
    }
    Ok(forgotten)
}
