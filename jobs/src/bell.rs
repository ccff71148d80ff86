//! The bell: a hint that there is something to do, or something to see.
//!
//! A ring may be lost and may come twice. Nobody is told anything that is not in the row: whoever
//! hears the bell reads the row, and the relay rings again for what nobody started.

use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use models::TaskId;
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use crate::{job::Queue, store::Changed, task::Task, word::State};

/// Rings outstanding in a queue at most; those beyond are dropped, and the relay repeats them.
pub const RINGS_MAX: usize = 1024;
/// Whoever watches a task looks again after this long: another process may have changed it.
const WATCH_PERIOD: Duration = Duration::from_secs(1);
/// Watchers of different tasks share so many places: a few of them wake for nothing.
const PLACES: usize = 64;

/// The bell of a process.
#[derive(Clone, Debug)]
pub enum Bell {
    /// Everybody who rings and everybody who listens is in this process.
    InProcess(Arc<InProcess>),
}

/// The bell inside a process.
#[derive(Debug)]
pub struct InProcess {
    queues: Vec<Line>,
    places: Vec<watch::Sender<()>>,
    relay: Notify,
}

/// The rings of a queue that nobody took yet, each task at most once.
#[derive(Debug, Default)]
struct Line {
    rings: Mutex<Rings>,
    rung: Notify,
}

#[derive(Debug, Default)]
struct Rings {
    line: VecDeque<TaskId>,
    known: HashSet<TaskId>,
    /// The database holds more: ask the relay when the line is empty.
    more: bool,
}

impl Bell {
    /// A bell for a system of one process.
    pub fn in_process() -> Self {
        Self::InProcess(Arc::new(InProcess {
            queues: Queue::ALL.iter().map(|_| Line::default()).collect(),
            places: (0..PLACES).map(|_| watch::Sender::new(())).collect(),
            relay: Notify::new(),
        }))
    }

    /// Tells everybody of a task that changed, after the commit: watchers, workers, the relay.
    pub fn tell(&self, task: &Task, now: DateTime<Utc>) {
        self.announce(task.id);
        if task.state == State::Queued {
            if task.run_at <= now {
                self.ring(&[(task.queue, task.id)]);
            } else {
                self.nudge();
            }
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
        for (queue, id) in due {
            let line = self.line(*queue);
            if line.rings().push(*id) {
                line.rung.notify_one();
            }
        }
    }

    /// Takes what may be due in a queue: waits for one task at least, and takes `most` at most (1 at
    /// least). Dropping the future loses no ring.
    pub async fn take(&self, queue: Queue, most: usize) -> Vec<TaskId> {
        let line = self.line(queue);
        loop {
            let more = {
                let mut rings = line.rings();
                let taken = rings.pop(most.max(1));
                if !taken.is_empty() {
                    // Another consumer may wait for what is left.
                    if !rings.line.is_empty() {
                        line.rung.notify_one();
                    }
                    return taken;
                }
                std::mem::take(&mut rings.more)
            };
            if more {
                self.nudge();
            }
            line.rung.notified().await;
        }
    }

    /// Says that a task changed visibly.
    pub fn announce(&self, id: TaskId) {
        self.inner().places[place(id)].send_replace(());
    }

    /// Starts to watch: changes announced from now on are seen.
    ///
    /// Watch first, then read the row, then wait: nothing that happens in between is missed.
    pub fn watch(&self) -> Watch {
        Watch {
            places: self
                .inner()
                .places
                .iter()
                .map(watch::Sender::subscribe)
                .collect(),
        }
    }

    /// Asks the relay to look now.
    pub fn nudge(&self) {
        self.inner().relay.notify_one();
    }

    /// Waits until somebody asks the relay to look.
    pub(crate) async fn nudged(&self) {
        self.inner().relay.notified().await;
    }

    /// How many more rings a queue can hold.
    pub(crate) fn room(&self, queue: Queue) -> usize {
        RINGS_MAX.saturating_sub(self.line(queue).rings().line.len())
    }

    /// Says that the database may hold more due tasks of a queue than were rung.
    pub(crate) fn more(&self, queue: Queue) {
        self.line(queue).rings().more = true;
    }

    fn inner(&self) -> &InProcess {
        match self {
            Self::InProcess(inner) => inner,
        }
    }

    fn line(&self, queue: Queue) -> &Line {
        &self.inner().queues[queue as usize]
    }
}

impl Line {
    fn rings(&self) -> MutexGuard<'_, Rings> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rings {
    fn push(&mut self, id: TaskId) -> bool {
        if self.line.len() >= RINGS_MAX {
            self.more = true;
            return false;
        }
        let new = self.known.insert(id);
        if new {
            self.line.push_back(id);
        }
        new
    }

    fn pop(&mut self, most: usize) -> Vec<TaskId> {
        let taken: Vec<TaskId> = self.line.drain(..most.min(self.line.len())).collect();
        for id in &taken {
            self.known.remove(id);
        }
        taken
    }
}

/// Sees that tasks change.
#[derive(Debug)]
pub struct Watch {
    places: Vec<watch::Receiver<()>>,
}

impl Watch {
    /// Returns when the task may have changed since the last call, after `patience` at the latest.
    ///
    /// Also returns once a second, because another process may have changed it: read the row, and
    /// call again if it is the same.
    pub async fn changed(&mut self, id: TaskId, patience: Duration) {
        let place = &mut self.places[place(id)];
        // Neither a time-out nor a bell that is gone matters: the caller reads the row anyway.
        let _ = timeout(patience.min(WATCH_PERIOD), place.changed()).await;
    }
}

fn place(id: TaskId) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(id);
    usize::try_from(hash % PLACES as u64).unwrap_or(0)
}
