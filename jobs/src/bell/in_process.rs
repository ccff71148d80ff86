//! The bell inside a process: who rings and who listens share memory.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use models::TaskId;
use tokio::sync::{Notify, watch};

use super::line::Line;
use crate::job::Queue;

/// Watchers of different tasks share so many places: a few of them wake for nothing.
const PLACES: usize = 64;

/// The bell inside a process.
#[derive(Debug)]
pub struct InProcess {
    lines: Vec<Line>,
    places: Vec<watch::Sender<()>>,
    relay: Notify,
}

impl InProcess {
    pub(super) fn new() -> Self {
        Self {
            lines: Queue::ALL.iter().map(|_| Line::default()).collect(),
            places: (0..PLACES).map(|_| watch::Sender::new(())).collect(),
            relay: Notify::new(),
        }
    }

    pub(super) fn line(&self, queue: Queue) -> &Line {
        &self.lines[queue as usize]
    }

    pub(super) async fn take(&self, queue: Queue, most: usize) -> Vec<TaskId> {
        self.line(queue).take(most, || self.nudge()).await
    }

    /// Wakes those who watch a task.
    pub(super) fn announce(&self, id: TaskId) {
        self.places[place(id)].send_replace(());
    }

    /// Wakes all who watch: nobody knows what was missed.
    pub(super) fn announce_all(&self) {
        for place in &self.places {
            place.send_replace(());
        }
    }

    pub(super) fn watch(&self) -> Vec<watch::Receiver<()>> {
        self.places.iter().map(watch::Sender::subscribe).collect()
    }

    pub(super) fn nudge(&self) {
        self.relay.notify_one();
    }

    pub(super) async fn nudged(&self) {
        self.relay.notified().await;
    }
}

/// The place where a task is watched.
pub(super) fn place(id: TaskId) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(id);
    usize::try_from(hash % PLACES as u64).unwrap_or(0)
}
