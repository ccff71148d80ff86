//! The attempts that run in this process, for the heartbeat and the drain.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jobs::Lease;

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
