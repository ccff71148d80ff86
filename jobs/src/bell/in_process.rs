//! The bell inside a process: who rings and who listens share memory.

use std::sync::Arc;

use models::TaskId;
use tokio::sync::Notify;

use super::{
    express::{Express, Offer},
    line::Line,
    watchers::{Watch, Watchers},
};
use crate::job::Queue;

/// The bell inside a process.
#[derive(Debug)]
pub struct InProcess {
    lines: Vec<Line>,
    express: Vec<Express>,
    pub(super) watchers: Arc<Watchers>,
    relay: Notify,
}

impl InProcess {
    /// `hears` when there is no other process, so that every change is announced here.
    pub(super) fn new(hears: bool) -> Self {
        Self {
            lines: Queue::ALL.iter().map(|_| Line::default()).collect(),
            express: Queue::ALL.iter().map(|_| Express::default()).collect(),
            watchers: Arc::new(Watchers::new(hears)),
            relay: Notify::new(),
        }
    }

    pub(super) fn line(&self, queue: Queue) -> &Line {
        &self.lines[queue as usize]
    }

    pub(super) fn express(&self, queue: Queue) -> &Express {
        &self.express[queue as usize]
    }

    pub(super) fn offer(&self, queue: Queue, offer: Offer) {
        let rung = self.line(queue).offer(offer.id, queue.rings_max());
        if !rung && queue.express_max() > 0 {
            self.express(queue).push(offer);
        }
    }

    pub(super) async fn take(&self, queue: Queue, most: usize) -> Vec<TaskId> {
        self.line(queue).take(most, || self.nudge()).await
    }

    pub(super) fn watch(&self) -> Watch {
        Watch::new(self.watchers.clone())
    }

    pub(super) fn nudge(&self) {
        self.relay.notify_one();
    }

    pub(super) async fn nudged(&self) {
        self.relay.notified().await;
    }
}
