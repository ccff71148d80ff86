//! The bell between processes: apalis carries task ids through Redis, and nothing else.
//!
//! Everything that Redis holds may vanish at any time: the database has the tasks, and the relay of
//! any process rings again. So nobody waits for Redis, few tasks are outstanding in it at a time, and
//! what was heard is forgotten there at once.

mod address;
mod keys;
mod knock;
mod listen;
mod outbox;
mod pulse;
mod sweep;
mod wake;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use models::TaskId;
use redis::{
    AsyncCommands as _, Client,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::time::timeout;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tracing::debug;

pub use self::address::AddressError;
use self::{keys::Keys, knock::Door, outbox::Outbox, pulse::Pulse};
use super::{express::Offer, in_process::InProcess};
use crate::job::Queue;

/// Tasks of a queue that are outstanding in Redis at most. With thousands apalis breaks down; with
/// few the order in which SQL hands them out counts.
pub const OUTSTANDING_MAX: usize = 512;
/// How long an answer may take that somebody waits for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer to apalis may take: a late one costs it its worker.
const SLOW_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest pause between two attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// How long closing may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Where Redis is, and what this process wants of it.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// `redis://`, `rediss://` or `unix://`.
    pub url: String,
    /// The queues this process takes from; none for an API.
    pub queues: Vec<Queue>,
    /// Whether this process watches tasks: an API does, a worker does not.
    pub watches: bool,
}

/// The bell between processes; see [`super::Bell::redis`].
#[derive(Debug)]
pub struct Redis {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    _stop: DropGuard,
}

/// What the background tasks of a bell share.
#[derive(Debug)]
struct Shared {
    local: InProcess,
    outbox: Outbox,
    options: RedisOptions,
    keys: Vec<Keys>,
    doors: Vec<Arc<Door>>,
    client: Client,
    conn: ConnectionManager,
    /// For apalis.
    slow: ConnectionManager,
    pulse: Pulse,
    stop: CancellationToken,
}

impl Redis {
    pub(super) fn start(options: &RedisOptions) -> Result<Self, AddressError> {
        let client = address::client(&options.url)?;
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            local: InProcess::new(false),
            outbox: Outbox::default(),
            options: options.clone(),
            keys: Queue::ALL.iter().map(|queue| Keys::of(*queue)).collect(),
            doors: Queue::ALL.iter().map(|_| Arc::default()).collect(),
            conn: connection(&client, ANSWER_TIMEOUT)?,
            slow: connection(&client, SLOW_TIMEOUT)?,
            client,
            pulse: Pulse::new(&options.queues),
            stop: stop.clone(),
        });
        let tasks = TaskTracker::new();
        tasks.spawn(outbox::run(shared.clone()));
        tasks.spawn(wake::run(shared.clone()));
        tasks.spawn(sweep::run(shared.clone()));
        for queue in &options.queues {
            tasks.spawn(listen::run(shared.clone(), *queue));
        }
        tasks.close();
        Ok(Self {
            shared,
            tasks,
            _stop: stop.drop_guard(),
        })
    }

    pub(super) fn local(&self) -> &InProcess {
        &self.shared.local
    }

    pub(super) fn connection(&self) -> ConnectionManager {
        self.shared.conn.clone()
    }

    pub(super) fn ring(&self, due: &[(Queue, TaskId)]) {
        self.shared.outbox.ring(due);
    }

    pub(super) fn offer(&self, queue: Queue, offer: Offer) {
        self.shared.outbox.offer(queue, offer);
    }

    pub(super) async fn take_offered(&self, queue: Queue, most: NonZeroUsize) -> Vec<Offer> {
        let mut conn = self.shared.conn.clone();
        let offers = self.shared.keys(queue).take_offered(&mut conn, most).await;
        offers.unwrap_or_else(|error| {
            debug!(%error, %queue, "Nothing is offered while Redis is away");
            Vec::new()
        })
    }

    pub(super) fn more(&self, queue: Queue, low: usize) {
        self.shared.outbox.more(queue, low);
    }

    pub(super) fn announce(&self, id: TaskId) {
        self.shared.local.watchers.announce(id);
        self.shared.outbox.announce(id);
    }

    pub(super) async fn outstanding(&self, queue: Queue) -> Option<usize> {
        let mut conn = self.shared.conn.clone();
        let known: Result<usize, _> = conn.hlen(&self.shared.keys(queue).known).await;
        known
            .inspect_err(|error| debug!(%error, %queue, "Nothing is rung while Redis is away"))
            .ok()
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.shared.pulse.trouble()
    }

    pub(super) async fn close(&self) {
        for queue in self.shared.queues() {
            let left = self.shared.local.line(queue).drain();
            self.ring(&left.into_iter().map(|id| (queue, id)).collect::<Vec<_>>());
        }
        self.shared.stop.cancel();
        if timeout(CLOSE_TIMEOUT, self.tasks.wait()).await.is_err() {
            debug!("The bell was closed without a last word");
        }
    }
}

impl Shared {
    fn keys(&self, queue: Queue) -> &Keys {
        &self.keys[queue as usize]
    }

    fn door(&self, queue: Queue) -> Arc<Door> {
        self.doors[queue as usize].clone()
    }

    /// The queues that this process listens to.
    fn queues(&self) -> impl Iterator<Item = Queue> {
        self.options.queues.iter().copied()
    }

    /// The channels that this process listens to.
    fn channels(&self) -> impl Iterator<Item = &str> {
        let rung = self.queues().map(|queue| self.keys(queue).rung.as_str());
        rung.chain(self.options.watches.then_some(keys::CHANGED))
    }

    fn knock(&self, channel: &str, offered: bool) {
        let mut queues = self.queues();
        let queue = queues.find(|queue| self.keys(*queue).rung == channel);
        match queue {
            Some(queue) if offered => self.local.express(queue).knock(),
            Some(queue) => self.door(queue).knock(),
            None => {}
        }
    }

    fn knock_all(&self) {
        for queue in self.queues() {
            self.door(queue).knock();
        }
    }
}

/// A connection that is made when it is needed, and made again when it breaks.
fn connection(client: &Client, answer: Duration) -> redis::RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(answer))
        .set_number_of_retries(1)
        .set_max_delay(RECONNECT_PAUSE);
    client.get_connection_manager_lazy(config)
}
