//! Takes work from the bell, as much as there is room for, until told to stop.

use std::{sync::Arc, time::Duration};

use jobs::{Queue, store};
use models::TaskId;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    attempt::attempt,
    ctx::Ctx,
    heartbeat,
    held::Held,
    presence,
    run::{Run, Stop},
};

/// A worker that could not reach the database waits this long before it takes the next id. The id it
/// dropped is rung again by the relay.
const DATABASE_PAUSE: Duration = Duration::from_millis(500);
/// After the grace period an attempt has this long to put its task back.
const RELEASE_TIME: Duration = Duration::from_secs(5);

/// What one worker process does.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Its name in the attempts of a task. It must differ from process to process and from start to
    /// start: the heartbeat keeps the leases of everything that runs under it.
    pub name: String,
    /// The queues it serves.
    pub queues: Vec<Queue>,
    /// Tasks of one queue that run at the same time, at least 1.
    pub concurrency: usize,
    /// How long running tasks may go on after the worker was asked to stop.
    pub grace: Duration,
}

/// Works until `stop` ends, then drains: takes nothing new, gives what runs a grace period, puts the
/// rest back into the queue, and returns.
pub async fn run(config: WorkerConfig, ctx: Ctx, stop: CancellationToken) -> anyhow::Result<()> {
    info!(worker = %config.name, queues = ?config.queues, "The worker takes tasks");
    let held = Held::default();
    let attempts = TaskTracker::new();
    // The heart beats until the last attempt has ended, so it has a token of its own.
    let drained = CancellationToken::new();
    let heart = tokio::spawn(heartbeat::beat(
        ctx.clone(),
        config.name.clone(),
        held.clone(),
        drained.clone(),
    ));
    let present = tokio::spawn(presence::report(ctx.db.clone(), config.clone(), drained.clone()));
    let loops = TaskTracker::new();
    for queue in &config.queues {
        let taker = Taker {
            queue: *queue,
            worker: config.name.clone(),
            room: Arc::new(Semaphore::new(config.concurrency.max(1))),
            ctx: ctx.clone(),
            held: held.clone(),
            attempts: attempts.clone(),
        };
        let stop = stop.clone();
        loops.spawn(async move { stop.run_until_cancelled(taker.take()).await });
    }
    loops.close();
    loops.wait().await;
    attempts.close();
    drain(&attempts, &held, config.grace).await;
    drained.cancel();
    heart.await?;
    present.await?;
    info!(worker = %config.name, "The worker has stopped");
    Ok(())
}

/// Waits for what runs; what runs longer than the grace period is stopped and put back.
async fn drain(attempts: &TaskTracker, held: &Held, grace: Duration) {
    info!(tasks = attempts.len(), "Draining");
    if timeout(grace, attempts.wait()).await.is_ok() {
        return;
    }
    for run in held.all() {
        run.stop(Stop::Drain);
    }
    if timeout(RELEASE_TIME, attempts.wait()).await.is_err() {
        warn!(tasks = attempts.len(), "Tasks were left to their leases");
    }
}

/// Takes the work of one queue.
struct Taker {
    queue: Queue,
    worker: String,
    room: Arc<Semaphore>,
    ctx: Ctx,
    held: Held,
    attempts: TaskTracker,
}

impl Taker {
    async fn take(&self) {
        // The semaphore is never closed. Room comes first: an id that is taken from the bell is
        // started at once, the others stay where every worker of this process can take them.
        while let Ok(permit) = self.room.clone().acquire_owned().await {
            let id = self.ctx.bell.next(self.queue).await;
            // Not to be interrupted by a drain: a row that was started must find its attempt.
            let starting = Starting {
                worker: self.worker.clone(),
                ctx: self.ctx.clone(),
                held: self.held.clone(),
            };
            self.attempts.spawn(starting.start(id, permit));
        }
    }
}

/// What is needed to start one task.
struct Starting {
    worker: String,
    ctx: Ctx,
    held: Held,
}

impl Starting {
    /// Starts the task and works on it; nothing happens when somebody else started it before.
    async fn start(self, id: TaskId, permit: OwnedSemaphorePermit) {
        let started = store::start(&self.ctx.db, &[id], &self.worker, self.ctx.db.now()).await;
        match started {
            Ok(started) => {
                for task in started {
                    self.ctx.bell.announce(task.id);
                    let run = Arc::new(Run::new(task, self.ctx.clone()));
                    let _held = self.held.insert(run.clone());
                    attempt(&run).await;
                }
            }
            Err(error) => {
                warn!(%error, task.id = %id, "The task could not be started");
                sleep(DATABASE_PAUSE).await;
            }
        }
        drop(permit);
    }
}
