//! Takes the messages of a queue, by a worker of apalis, as fast as somebody in this process wants
//! them and no faster: what is fetched too early, nobody else can do.

use std::{cmp, sync::Arc, time::Duration};

use apalis::{
    layers::limit::GlobalConcurrencyLimitLayer,
    prelude::{
        BackendExt as _, Data, Event, EventListenerExt as _, ParallelizeExt as _, WorkerBuilder,
        WorkerError,
    },
};
use apalis_redis::RedisStorage;
use futures_util::future::BoxFuture;
use models::TaskId;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use super::{Shared, knock::Listener};
use crate::job::Queue;

/// How often a worker of apalis says that it lives.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);
/// Any error of Redis ends a worker of apalis; the next one starts after so long,
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// and after so long when one after the other ends.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A message that was taken is tried to be forgotten again after so long.
const FINISH_PAUSE: Duration = Duration::from_millis(500);

/// What the handler of a worker needs.
#[derive(Debug)]
struct Ear {
    shared: Arc<Shared>,
    queue: Queue,
    /// The name of the worker: a new one for each start, because apalis refuses those it has known.
    worker: String,
    /// Ends the handler with its worker.
    ended: CancellationToken,
}

/// Listens to a queue until the bell is closed, with one worker after the other.
pub(super) async fn run(shared: Arc<Shared>, queue: Queue) {
    let mut pause = PAUSE_MIN;
    while !shared.stop.is_cancelled() {
        let began = Instant::now();
        let ear = Arc::new(Ear {
            shared: shared.clone(),
            queue,
            worker: format!("{queue}-{}", Uuid::now_v7().simple()),
            ended: shared.stop.child_token(),
        });
        // On a task of its own: a panic inside of apalis ends this worker alone.
        match tokio::spawn(work(ear.clone())).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, %queue, "A worker of the bell has ended: {error}"),
            Err(panic) => warn!(%panic, %queue, "A worker of the bell has panicked"),
        }
        ear.ended.cancel();
        ear.leave().await;
        if began.elapsed() > PAUSE_MAX * 2 {
            pause = PAUSE_MIN;
        }
        shared.stop.run_until_cancelled(sleep(pause)).await;
        pause = cmp::min(pause * 2, PAUSE_MAX);
    }
}

/// Runs one worker until it fails or the bell is closed.
fn work(ear: Arc<Ear>) -> BoxFuture<'static, Result<(), WorkerError>> {
    let shared = ear.shared.clone();
    let queue = ear.queue;
    let storage = RedisStorage::<Vec<TaskId>>::new(shared.slow.clone())
        .with_config(shared.keys(queue).config.clone())
        .poll_with_strategy(Listener::new(shared.door(queue)));
    let pulse = shared.clone();
    let first = Arc::new(Semaphore::new(0));
    let limit = GlobalConcurrencyLimitLayer::with_semaphore(first.clone());
    let hearing = ear.clone();
    let worker = WorkerBuilder::new(ear.worker.as_str())
        .backend(storage)
        .data(ear)
        // One message at a time: it ends when the next one is wanted.
        .layer(limit)
        // Otherwise whatever wakes the handler makes the worker ask Redis.
        .parallelize(tokio::spawn)
        .on_event(move |_, event| {
            if matches!(event, Event::HeartBeat) {
                pulse.pulse.heard(queue);
            }
        })
        .build(hear);
    let stopped = async move {
        // Registered and alive from the start, but the first message has to be wanted as well.
        let wanted = shared.local.line(queue).wanted();
        if hearing.ended.run_until_cancelled(wanted).await.is_some() {
            first.add_permits(1);
        }
        hearing.ended.cancelled().await;
        Ok::<(), WorkerError>(())
    };
    Box::pin(worker.run_until(stopped))
}

/// Hands on what a message says, forgets the message, and waits until somebody wants the next.
async fn hear(ids: Vec<TaskId>, message: apalis::prelude::TaskId, ear: Data<Arc<Ear>>) {
    let line = ear.shared.local.line(ear.queue);
    for id in ids {
        line.push(id);
    }
    let done = async {
        ear.finish(&message.to_string()).await;
        line.wanted().await;
    };
    ear.ended.run_until_cancelled(done).await;
}

impl Ear {
    /// Forgets a message, when Redis lets us.
    async fn finish(&self, message: &str) {
        let keys = self.shared.keys(self.queue);
        let messages = [message.to_owned()];
        loop {
            let mut conn = self.shared.conn.clone();
            match keys.finish(&mut conn, &self.worker, &messages).await {
                Ok(more) => {
                    if more {
                        self.shared.local.nudge();
                    }
                    return;
                }
                Err(error) => debug!(%error, "A message could not be forgotten yet: {error}"),
            }
            sleep(FINISH_PAUSE).await;
        }
    }

    /// Forgets the worker; if Redis is away, the sweep does it later.
    async fn leave(&self) {
        if let Err(error) = self.shared.forget(self.queue, &self.worker).await {
            debug!(%error, "A worker of the bell is left to the sweep: {error}");
        }
    }
}
