//! The bell: a hint that there is something to do, or something to see.
//!
//! A ring may be lost and may come twice. Nobody is told anything that is not in the row: whoever
//! hears the bell reads the row, and the relay rings again for what nobody started.

mod express;
mod in_process;
mod line;
mod redis;
mod watchers;

use std::{num::NonZeroUsize, sync::Arc};

use ::redis::aio::ConnectionManager;
use chrono::{DateTime, Utc};
use models::TaskId;

pub use self::{
    express::Offer,
    in_process::InProcess,
    line::RINGS_MAX,
    redis::{AddressError, OUTSTANDING_MAX, Redis, RedisOptions},
    watchers::Watch,
};
use crate::{job::Queue, kinds, store::Changed, task::Task, word::State};

/// The bell of a process.
#[derive(Clone, Debug)]
pub enum Bell {
    /// Everybody who rings and everybody who listens is in this process.
    InProcess(Arc<InProcess>),
    /// They are in different processes, and Redis is between them.
    Redis(Arc<Redis>),
}

impl Bell {
    /// A bell for a system of one process.
    pub fn in_process() -> Self {
        Self::InProcess(Arc::new(InProcess::new(true)))
    }

    /// A bell for many processes. Redis need not be there: it is tried again for ever.
    ///
    /// # Errors
    /// When the address cannot be used; see [`AddressError`].
    pub fn redis(options: &RedisOptions) -> Result<Self, AddressError> {
        Ok(Self::Redis(Arc::new(Redis::start(options)?)))
    }

    /// Tells everybody of a task that changed, after the commit: watchers, workers, the relay.
    ///
    /// Where it matters who goes first, because others wait or an owner may run only so many, the
    /// relay decides.
    pub fn tell(&self, task: &Task, now: DateTime<Utc>) {
        self.announce(task.id);
        let bounded = kinds::find(&task.kind).is_some_and(|kind| kind.per_owner_max.is_some());
        match task.state {
            State::Queued if task.run_at <= now && !bounded => self.offer(task),
            State::Queued => self.nudge(),
            // Its owner has room for another.
            state if bounded && state.is_done() => self.nudge(),
            _ => {}
        }
    }

    /// Says that a task is due, unless others should go first: then the relay is asked in time, and
    /// the task is offered to places that are kept for newcomers.
    fn offer(&self, task: &Task) {
        let offer = Offer {
            id: task.id,
            owner: task.owner_id,
        };
        match self {
            Self::InProcess(bell) => bell.offer(task.queue, offer),
            Self::Redis(bell) => bell.offer(task.queue, offer),
        }
    }

    /// Tells everybody of all that a verb changed, after the commit.
    pub fn tell_all(&self, changed: &Changed, now: DateTime<Utc>) {
        self.tell(&changed.task, now);
        for task in &changed.others {
            self.tell(task, now);
        }
    }

    /// Says that tasks are due. Never waits and never fails.
    pub fn ring(&self, due: &[(Queue, TaskId)]) {
        match self {
            Self::InProcess(bell) => {
                for (queue, id) in due {
                    bell.line(*queue).push(*id);
                }
            }
            Self::Redis(bell) => bell.ring(due),
        }
    }

    /// Takes what may be due in a queue: waits for one task at least, and takes `most` at most (1 at
    /// least). Dropping the future loses no ring.
    pub async fn take(&self, queue: Queue, most: usize) -> Vec<TaskId> {
        self.local().take(queue, most).await
    }

    /// Takes tasks that became due while others waited: waits for one at least, and takes `most` at
    /// most. They may be started by somebody else at any time; dropping the future may lose some,
    /// which then take their turn.
    pub async fn take_offered(&self, queue: Queue, most: NonZeroUsize) -> Vec<Offer> {
        let express = self.local().express(queue);
        loop {
            express.offered().await;
            let offers = match self {
                Self::InProcess(_) => express.pop(most),
                Self::Redis(bell) => bell.take_offered(queue, most).await,
            };
            if offers.len() >= most.get() {
                // There may be more.
                express.knock();
            }
            if !offers.is_empty() {
                return offers;
            }
        }
    }

    /// Says that a task changed visibly. Never waits and never fails.
    pub fn announce(&self, id: TaskId) {
        match self {
            Self::InProcess(bell) => bell.watchers.announce(id),
            Self::Redis(bell) => bell.announce(id),
        }
    }

    /// Watches tasks, none yet.
    pub fn watch(&self) -> Watch {
        self.local().watch()
    }

    /// Asks the relay of this process to look now.
    pub fn nudge(&self) {
        self.local().nudge();
    }

    /// The Redis of a fleet, for what may be lost at any time; one process has none.
    pub fn connection(&self) -> Option<ConnectionManager> {
        match self {
            Self::InProcess(_) => None,
            Self::Redis(bell) => Some(bell.connection()),
        }
    }

    /// Why this process is cut off from the others, when it has been for a while.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::InProcess(_) => None,
            Self::Redis(bell) => bell.trouble(),
        }
    }

    /// Says what is still to be said and gives back what was heard and not taken, within a few
    /// seconds. To be called when nothing more is told and nothing more is taken.
    pub async fn close(&self) {
        if let Self::Redis(bell) = self {
            bell.close().await;
        }
    }

    /// Waits until somebody asks the relay to look.
    pub(crate) async fn nudged(&self) {
        self.local().nudged().await;
    }

    /// How many rings of a queue nobody has heard; nothing while the bell is away.
    pub(crate) async fn outstanding(&self, queue: Queue) -> Option<usize> {
        match self {
            Self::InProcess(bell) => Some(bell.line(queue).outstanding()),
            Self::Redis(bell) => bell.outstanding(queue).await,
        }
    }

    /// Says that the database may hold more due tasks of a queue than were rung: a relay is asked to
    /// look again when no more than `low` are outstanding.
    pub(crate) fn more(&self, queue: Queue, low: usize) {
        match self {
            Self::InProcess(bell) => {
                if bell.line(queue).more(low) {
                    bell.nudge();
                }
            }
            Self::Redis(bell) => bell.more(queue, low),
        }
    }

    /// The part of the bell that is in this process.
    fn local(&self) -> &InProcess {
        match self {
            Self::InProcess(bell) => bell,
            Self::Redis(bell) => bell.local(),
        }
    }
}
