//! Takes work from the bell, as much as there is room for, until told to stop.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use jobs::{
    Queue, Task,
    store::{self, Turn},
};
use models::TaskId;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use crate::{
    attempt::attempt,
    ctx::Ctx,
    heartbeat,
    held::Held,
    pace::Pace,
    presence,
    run::{Run, Stop},
    successes::{Successes, successes},
    sweep,
};

/// A worker that could not reach the database waits this long before it takes the next id. The id it
/// dropped is rung again by the relay.
const DATABASE_PAUSE: Duration = Duration::from_millis(500);
/// Offers of tasks whose owners have something in hand are looked at no more often than that.
const EXPRESS_PAUSE: Duration = Duration::from_millis(5);
/// Tasks of a quick queue that run at the same time at least: they wait more than they compute, and
/// while some are being started others are being ended.
const QUICK_ROOM: usize = 256;
/// Mails that are under way at the same time at least: twice as many as are handed over. More would
/// only wait, and cost each of them an attempt when the process dies.
const MAIL_ROOM: usize = 32;
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
    /// Tasks of one queue that run at the same time, at least 1; of `default` at least 256 and 32 more
    /// for owners who have none there, of `email` at least 32, of `media` up to twice as many as there
    /// are cores, and of the one that writes courses at least as many as the model has places.
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
    let successes = successes(&ctx.db);
    // The heart beats until the last attempt has ended, so it has a token of its own.
    let drained = CancellationToken::new();
    let heart = tokio::spawn(heartbeat::beat(
        ctx.clone(),
        config.name.clone(),
        held.clone(),
        drained.clone(),
    ));
    let present = tokio::spawn(presence::report(
        ctx.db.clone(),
        config.clone(),
        drained.clone(),
    ));
    let loops = TaskTracker::new();
    if let Some(storage) = ctx.storage.clone() {
        loops.spawn(sweep::run(ctx.db.clone(), storage, stop.clone()));
    }
    for queue in &config.queues {
        let places = room(*queue, &config, &ctx);
        let taker = Taker {
            queue: *queue,
            worker: config.name.clone(),
            places,
            room: Arc::new(Semaphore::new(places)),
            ctx: ctx.clone(),
            held: held.clone(),
            attempts: attempts.clone(),
            successes: successes.clone(),
            pace: Arc::default(),
        };
        if queue.express_max() > 0 {
            let (taker, stop) = (taker.express(), stop.clone());
            loops.spawn(async move { stop.run_until_cancelled(taker.take_offered()).await });
        }
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

/// How many tasks of a queue run at the same time.
fn room(queue: Queue, config: &WorkerConfig, ctx: &Ctx) -> usize {
    let least = match queue {
        Queue::Generation => ctx.model.places().unwrap_or(1),
        // While some pictures are decoded, as many others are fetched and stored.
        Queue::Media => 2 * ctx.pictures.places().min(config.concurrency.max(1)),
        Queue::Email => MAIL_ROOM,
        Queue::Default => QUICK_ROOM,
    };
    config.concurrency.max(least)
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

/// What a taker knows of the work that waits.
#[derive(Default)]
struct Search {
    /// There was as much as there was room for, so there may be more.
    more: bool,
    /// Where the lines of the queue go on.
    turn: Turn,
}

/// Takes the work of one queue.
#[derive(Clone)]
struct Taker {
    queue: Queue,
    worker: String,
    places: usize,
    room: Arc<Semaphore>,
    ctx: Ctx,
    held: Held,
    attempts: TaskTracker,
    successes: Successes,
    pace: Arc<Pace>,
}

impl Taker {
    async fn take(&self) {
        let mut search = Search::default();
        // Room comes first: an id that is taken from the bell is started at once, the others stay
        // where every worker of this process can take them.
        while let Some(room) = self.room(search.more).await {
            // With more to do than room, it matters who goes first; the bell does not know.
            let rung = if search.more {
                None
            } else {
                Some(self.ctx.bell.take(self.queue, room.num_permits()).await)
            };
            // Not to be interrupted by a drain: a row that was started must find its attempt. And
            // waited for: meanwhile room gathers for the next statement.
            let started = self.attempts.spawn(self.clone().start(rung, search, room));
            search = started.await.unwrap_or_else(|panic| {
                error!(%panic, "Tasks were started and have to be found again");
                Search::default()
            });
        }
    }

    /// The same with the places that are kept for owners for whom nothing runs here.
    fn express(&self) -> Self {
        Self {
            room: Arc::new(Semaphore::new(self.queue.express_max())),
            ..self.clone()
        }
    }

    /// Starts tasks of such owners as soon as they are offered, while all others wait for their turn.
    async fn take_offered(&self) {
        while let Some(room) = self.room(false).await
            && let Some(most) = NonZeroUsize::new(room.num_permits())
        {
            let offers = self.ctx.bell.take_offered(self.queue, most).await;
            let busy = self.held.owners(self.queue);
            let new = offers.iter().filter(|offer| !busy.contains(&offer.owner));
            let ids: Vec<_> = new.map(|offer| offer.id).collect();
            if ids.is_empty() {
                sleep(EXPRESS_PAUSE).await;
                continue;
            }
            let start = self.clone().start(Some(ids), Search::default(), room);
            if let Err(panic) = self.attempts.spawn(start).await {
                error!(%panic, "Tasks were started and have to be found again");
            }
        }
    }

    /// Room for as many tasks as one statement may start, if there is, and for one at least; for
    /// fewer while others wait.
    async fn room(&self, others_wait: bool) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        let mut room = self.room.clone().acquire_owned().await.ok()?;
        let mut most = self.queue.batch_max();
        if others_wait {
            most = most.min(self.pace.most(self.places));
        }
        let more = self.room.available_permits().min(most - 1);
        if let Ok(more) = u32::try_from(more)
            && let Ok(more) = self.room.clone().try_acquire_many_owned(more)
        {
            room.merge(more);
        }
        Some(room)
    }

    /// Starts what was rung for, or else what comes first, and works on it; nothing happens to what
    /// somebody else started.
    async fn start(
        self,
        rung: Option<Vec<TaskId>>,
        mut search: Search,
        mut room: OwnedSemaphorePermit,
    ) -> Search {
        let (db, most) = (&self.ctx.db, room.num_permits());
        let started = if let Some(ids) = &rung {
            store::start(db, ids, &self.worker, db.now()).await
        } else {
            let turn = &mut search.turn;
            store::start_next(db, self.queue, most, turn, &self.worker, db.now()).await
        };
        let found = rung.as_ref().map(Vec::len);
        search.more = match started {
            Ok(started) => {
                let found = found.unwrap_or(started.len());
                for task in started {
                    self.ctx.bell.announce(task.id);
                    self.work(task, room.split(1));
                }
                found >= most
            }
            Err(error) => {
                warn!(%error, "No tasks could be started");
                sleep(DATABASE_PAUSE).await;
                false
            }
        };
        search
    }

    /// Works on a task that was started, until its end.
    fn work(&self, task: Task, room: Option<OwnedSemaphorePermit>) {
        let run = Arc::new(Run::new(task, self.ctx.clone()));
        let held = self.held.insert(run.clone());
        let (successes, pace) = (self.successes.clone(), self.pace.clone());
        self.attempts.spawn(async move {
            pace.note(attempt(&run, &successes).await);
            drop((held, room));
        });
    }
}
