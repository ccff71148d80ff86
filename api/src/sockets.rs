//! Every open WebSocket: how many each caller has, and when the last one is closed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use models::id::OwnerId;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use crate::limits::SOCKETS_PER_CALLER_MAX;

/// Each open WebSocket of this process; clones share the count.
#[derive(Clone, Debug)]
pub struct Sockets {
    most: usize,
    open: Arc<Mutex<HashMap<OwnerId, usize>>>,
    tracker: TaskTracker,
}

impl Sockets {
    /// None yet, and `most` of each caller.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            open: Arc::default(),
            tracker: TaskTracker::new(),
        }
    }

    /// The right to one more, unless the caller has as many as it may have.
    pub(crate) fn seat(&self, owner: OwnerId) -> Option<SocketSeat> {
        let mut open = lock(&self.open);
        let count = open.get(&owner).copied().unwrap_or(0);
        if count >= self.most {
            return None;
        }
        open.insert(owner, count + 1);
        Some(SocketSeat {
            owner,
            open: self.open.clone(),
            _open: self.tracker.token(),
        })
    }

    /// Returns when all are closed.
    pub(crate) async fn closed(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Default for Sockets {
    fn default() -> Self {
        Self::new(SOCKETS_PER_CALLER_MAX)
    }
}

/// One open WebSocket of a caller.
#[derive(Debug)]
pub(crate) struct SocketSeat {
    owner: OwnerId,
    open: Arc<Mutex<HashMap<OwnerId, usize>>>,
    _open: TaskTrackerToken,
}

impl Drop for SocketSeat {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        match open.get_mut(&self.owner) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.owner)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_that_is_left_is_free_again() {
        let sockets = Sockets::new(2);
        let other = OwnerId::from(uuid::Uuid::from_u128(1));
        let first = sockets.seat(OwnerId::LOCAL);
        let second = sockets.seat(OwnerId::LOCAL);

        assert!(first.is_some() && second.is_some());
        assert!(sockets.seat(OwnerId::LOCAL).is_none());
        assert!(sockets.seat(other).is_some(), "another caller has its own");
        drop(first);
        assert!(sockets.seat(OwnerId::LOCAL).is_some());
        drop(second);
        assert!(lock(&sockets.open).is_empty(), "nothing is left behind");
    }
}
