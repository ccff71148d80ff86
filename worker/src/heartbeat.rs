//! Keeps the leases of what runs here, and hears of cancellations.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use jobs::{Lease, store};
use metrics::histogram;
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
    let mut strangers = HashSet::new();
    loop {
        let due = tokio::select! {
            () = stop.cancelled() => return,
            due = ticks.tick() => due,
        };
        if held.all().iter().all(|run| run.age() < AGE_MIN) {
            continue;
        }
        match renew(&ctx, &worker, &held).await {
            Ok(unknown) => {
                histogram!("heartbeat_seconds").record(due.elapsed());
                give_back(&ctx, unknown.intersection(&strangers)).await;
                strangers = unknown;
            }
            Err(error) => warn!(%error, "The leases could not be renewed"),
        }
    }
}

/// Renews every lease, and stops what was cancelled or is no longer ours. Answers what runs under our
/// name although nobody here works on it.
async fn renew(ctx: &Ctx, worker: &str, held: &Held) -> Result<HashSet<Lease>, models::Error> {
    // Taken before the statement: what starts meanwhile is not missed in its answer.
    let runs = held.all();
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
    // And after it: what has started meanwhile is no stranger.
    let known: HashSet<Lease> = held.all().iter().map(|run| run.lease()).collect();
    Ok(renewed
        .into_keys()
        .filter(|lease| !known.contains(lease))
        .collect())
}

/// Puts back what was started by a statement whose answer was lost: as long as something else runs
/// here its lease would be renewed for ever.
async fn give_back(ctx: &Ctx, strangers: impl Iterator<Item = &Lease>) {
    for lease in strangers {
        match release(ctx, *lease).await {
            Ok(()) => info!(task.id = %lease.task_id, "Put back a task that nobody here works on"),
            // It has ended or was taken back: it is nobody's business here.
            Err(models::Error::Lost) => {}
            Err(error) => warn!(%error, task.id = %lease.task_id, "A task could not be put back"),
        }
    }
}

async fn release(ctx: &Ctx, lease: Lease) -> Result<(), models::Error> {
    let now = ctx.db.now();
    let mut tx = ctx.db.begin().await?;
    let changed = store::release(&mut tx, lease, now).await?;
    tx.commit().await?;
    ctx.bell.tell_all(&changed, now);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jobs::{State, kinds::Noop, store::Options};
    use models::{
        OwnerId,
        testing::{TestDb, TestResult},
    };
    use platform::health::Health;

    use super::*;
    use crate::{
        attempt::tests::Silent,
        loading::Models,
        run::tests::{WORKER, started},
    };

    #[tokio::test]
    async fn a_task_whose_start_was_never_heard_of_is_put_back() -> TestResult {
        let test = TestDb::sqlite().await?;
        let noop = Noop {
            n: 1,
            sleep_ms: 0,
            fail: None,
        };
        let run = started(
            &test,
            Models::ready(Arc::new(Silent)),
            Health::default(),
            &noop,
        )
        .await?;
        let (ctx, held) = (run.ctx().clone(), Held::default());
        let _guard = held.insert(Arc::new(run));
        let mut tx = test.db.begin().await?;
        let options = Options::by(OwnerId::LOCAL);
        let unheard = store::enqueue(&mut tx, &noop, options, test.db.now()).await?;
        tx.commit().await?;
        store::start(&test.db, &[unheard.id], WORKER, test.db.now()).await?;

        let strangers = renew(&ctx, WORKER, &held).await?;
        give_back(&ctx, strangers.iter()).await;

        let task = store::get(&mut test.db.conn().await?, unheard.id).await?;
        assert_eq!((task.state, task.attempts_used()), (State::Queued, 0));
        assert_eq!(renew(&ctx, WORKER, &held).await?, HashSet::new());
        test.close().await
    }
}
