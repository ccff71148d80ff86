//! Keeps the leases of what runs here, and hears of cancellations.

use std::{collections::HashMap, time::Duration};

use jobs::{Lease, store};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{ctx::Ctx, held::Held, run::Stop};

/// How often leases are renewed. A third of [`Lease::DURATION`] would do for the leases; a client that
/// cancels should not wait longer than this for its task to stop.
const PERIOD: Duration = Duration::from_secs(1);
/// Nothing is asked while all that runs is younger than this: what is short ends by itself.
const AGE_MIN: Duration = Duration::from_millis(500);

/// Beats until it is stopped: one statement for all tasks that run under this worker's name.
///
/// It runs on a task of its own, and the model computes on a thread of its own, so that no work can
/// keep it from beating.
pub(crate) async fn beat(ctx: Ctx, worker: String, held: Held, stop: CancellationToken) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = renew(&ctx, &worker, &held).await {
            warn!(%error, "The leases could not be renewed");
        }
    }
}

/// Renews every lease, and stops what was cancelled or is no longer ours.
async fn renew(ctx: &Ctx, worker: &str, held: &Held) -> Result<(), models::Error> {
    // Taken before the statement: what starts meanwhile is not missed in its answer.
    let runs = held.all();
    if runs.iter().all(|run| run.age() < AGE_MIN) {
        return Ok(());
    }
    let renewed = store::heartbeat(&ctx.db, worker, ctx.db.now()).await?;
    let renewed: HashMap<Lease, bool> = renewed
        .iter()
        .map(|held| (held.lease(), held.cancel_requested))
        .collect();
    for run in runs {
        match renewed.get(&run.lease()) {
            Some(false) => {}
            Some(true) => run.stop(Stop::Cancel),
            // It may also have ended just now; then nobody listens any more.
            None => {
                info!(task.id = %run.lease().task_id, "The lease was lost");
                run.stop(Stop::Lost);
            }
        }
    }
    Ok(())
}
