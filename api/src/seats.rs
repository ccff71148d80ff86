//! Places that there are only so many of: for sockets, for files that arrive.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use models::id::OwnerId;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use crate::{
    codes::{self, Code},
    problem::Problem,
};

/// The seats of one kind in this process; clones share them.
#[derive(Clone, Debug)]
pub struct Seats {
    per_caller: usize,
    in_all: usize,
    taken: Arc<Mutex<Taken>>,
    tracker: TaskTracker,
}

#[derive(Debug, Default)]
struct Taken {
    in_all: usize,
    by: HashMap<OwnerId, usize>,
}

impl Seats {
    /// All of them free: so many for each caller, and so many in all.
    pub fn new(per_caller: usize, in_all: usize) -> Self {
        Self {
            per_caller,
            in_all,
            taken: Arc::default(),
            tracker: TaskTracker::new(),
        }
    }

    /// The same seats, of which no more than so many are taken.
    pub(crate) fn at_most(self, in_all: usize) -> Self {
        Self {
            in_all: self.in_all.min(in_all),
            ..self
        }
    }

    /// A seat for a caller, or `refusal` when it has as many as it may have; `server_busy` when all
    /// are taken.
    pub(crate) fn seat(&self, owner: OwnerId, refusal: &'static Code) -> Result<Seat, Problem> {
        let mut taken = lock(&self.taken);
        let count = taken.by.get(&owner).copied().unwrap_or(0);
        if count >= self.per_caller {
            return Err(Problem::new(refusal, refusal.meaning));
        }
        if taken.in_all >= self.in_all {
            let code = &codes::SERVER_BUSY;
            return Err(Problem::new(code, code.meaning));
        }
        taken.in_all += 1;
        taken.by.insert(owner, count + 1);
        Ok(Seat {
            owner,
            taken: self.taken.clone(),
            _taken: self.tracker.token(),
        })
    }

    /// Returns when all are free.
    pub(crate) async fn left(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// A seat that a caller has until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    owner: OwnerId,
    taken: Arc<Mutex<Taken>>,
    _taken: TaskTrackerToken,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.in_all = taken.in_all.saturating_sub(1);
        match taken.by.get_mut(&self.owner) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.by.remove(&self.owner)),
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
        let seats = Seats::new(2, 3);
        let seat = |owner| {
            let refused = |problem: Problem| problem.code.name;
            seats.seat(owner, &codes::TOO_MANY_SOCKETS).map_err(refused)
        };
        let [other, third] = [1, 2].map(|n| OwnerId::from(uuid::Uuid::from_u128(n)));
        let first = seat(OwnerId::LOCAL);
        let second = seat(OwnerId::LOCAL);

        assert!(first.is_ok() && second.is_ok());
        assert_eq!(seat(OwnerId::LOCAL).err(), Some("too_many_sockets"));
        let theirs = seat(other);
        assert!(theirs.is_ok(), "another caller has its own");
        assert_eq!(seat(third).err(), Some("server_busy"));
        drop(first);
        assert!(seat(third).is_ok());
        assert!(seat(OwnerId::LOCAL).is_ok());
        drop((second, theirs));
        let left = lock(&seats.taken);
        assert!(
            left.by.is_empty() && left.in_all == 0,
            "nothing is left behind"
        );
    }
}
