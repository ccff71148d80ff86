//! The attempts that run in this process, for the heartbeat and the drain.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jobs::{Lease, Queue};
use models::OwnerId;

use crate::run::Run;

/// A register of running attempts: a handle to share, cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    runs: Arc<Mutex<HashMap<Lease, Arc<Run>>>>,
}

impl Held {
    /// Registers an attempt until the guard is dropped.
    pub(crate) fn insert(&self, run: Arc<Run>) -> HeldGuard {
        let lease = run.lease();
        self.runs().insert(lease, run);
        HeldGuard {
            held: self.clone(),
            lease,
        }
    }

    /// Every attempt that runs now.
    pub(crate) fn all(&self) -> Vec<Arc<Run>> {
        self.runs().values().cloned().collect()
    }

    /// The owners for whom something of a queue runs now.
    pub(crate) fn owners(&self, queue: Queue) -> HashSet<OwnerId> {
        let runs = self.runs();
        let of_queue = runs.values().filter(|run| run.task().queue == queue);
        of_queue.map(|run| run.task().owner_id).collect()
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<Lease, Arc<Run>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps an attempt registered.
pub(crate) struct HeldGuard {
    held: Held,
    lease: Lease,
}

impl Drop for HeldGuard {
    fn drop(&mut self) {
        self.held.runs().remove(&self.lease);
    }
}
