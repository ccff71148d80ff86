//! The rings of one queue inside a process, and those who wait for them.

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use models::TaskId;
use tokio::sync::Notify;

/// Rings outstanding in a queue of a process at most; those beyond are dropped, and the relay
/// repeats them.
pub const RINGS_MAX: usize = 1024;

/// The rings of a queue that nobody took yet, each task at most once.
#[derive(Debug, Default)]
pub(super) struct Line {
    rings: Mutex<Rings>,
    rung: Notify,
    /// Those who wait because there is nothing to take.
    takers: AtomicUsize,
    wanted: Notify,
}

#[derive(Debug, Default)]
struct Rings {
    line: VecDeque<TaskId>,
    known: HashSet<TaskId>,
    /// The database holds more: ask the relay when no more than so many are left.
    low: Option<usize>,
}

impl Line {
    /// Adds a ring, if there is room. Never waits.
    pub(super) fn push(&self, id: TaskId) {
        if self.rings().push(id, RINGS_MAX) {
            self.rung.notify_one();
        }
    }

    /// Adds a ring that does not come from the relay, if the line is shorter than `most` and nothing
    /// that was not rung comes before it. Whether it was added.
    pub(super) fn offer(&self, id: TaskId, most: usize) -> bool {
        let added = self.rings().offer(id, most);
        if added {
            self.rung.notify_one();
        }
        added
    }

    /// Takes one task at least and `most` at most; calls `starved` when the line has become short and
    /// the database holds more. Dropping the future loses no ring.
    pub(super) async fn take(&self, most: usize, starved: impl Fn()) -> Vec<TaskId> {
        loop {
            let (taken, left, more) = self.rings().pop(most.max(1));
            if more {
                starved();
            }
            if !taken.is_empty() {
                if left > 0 {
                    // Another consumer may wait for what is left.
                    self.rung.notify_one();
                } else if self.takers.load(Ordering::SeqCst) > 0 {
                    self.wanted.notify_one();
                }
                return taken;
            }
            let _waiting = self.wait();
            self.rung.notified().await;
        }
    }

    /// Returns when somebody waits and there is nothing to take.
    pub(super) async fn wanted(&self) {
        while self.takers.load(Ordering::SeqCst) == 0 || !self.rings().line.is_empty() {
            self.wanted.notified().await;
        }
    }

    /// How many rings nobody took yet.
    pub(super) fn outstanding(&self) -> usize {
        self.rings().line.len()
    }

    /// Says that the database may hold more due tasks than were rung; the relay is to look again when
    /// no more than `low` are left. True when that is so now.
    pub(super) fn more(&self, low: usize) -> bool {
        let mut rings = self.rings();
        let short = rings.line.len() <= low;
        rings.low = Some(low).filter(|_| !short);
        short
    }

    /// Takes everything at once, without waiting.
    pub(super) fn drain(&self) -> Vec<TaskId> {
        self.rings().pop(usize::MAX).0
    }

    fn wait(&self) -> Waiting<'_> {
        self.takers.fetch_add(1, Ordering::SeqCst);
        self.wanted.notify_one();
        Waiting(self)
    }

    fn rings(&self) -> MutexGuard<'_, Rings> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits, for as long as he waits.
struct Waiting<'a>(&'a Line);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.takers.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Rings {
    fn push(&mut self, id: TaskId, most: usize) -> bool {
        if self.line.len() >= most {
            self.low.get_or_insert(most / 2);
            return false;
        }
        let new = self.known.insert(id);
        if new {
            self.line.push_back(id);
        }
        new
    }

    fn offer(&mut self, id: TaskId, most: usize) -> bool {
        (self.low.is_none() || self.line.is_empty()) && self.push(id, most)
    }

    /// What is taken, how many are left, and whether the relay is to look for more.
    fn pop(&mut self, most: usize) -> (Vec<TaskId>, usize, bool) {
        let taken: Vec<TaskId> = self.line.drain(..most.min(self.line.len())).collect();
        for id in &taken {
            self.known.remove(id);
        }
        let left = self.line.len();
        let more = self.low.take_if(|low| left <= *low).is_some();
        (taken, left, more)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_line_is_wanted_while_somebody_waits_at_its_empty_end() {
        let patience = Duration::from_secs(20);
        let soon = Duration::from_millis(20);
        let line = Arc::new(Line::default());
        assert!(timeout(soon, line.wanted()).await.is_err(), "nobody waits");

        let takers: Vec<_> = (0..2)
            .map(|_| {
                let line = line.clone();
                tokio::spawn(async move { line.take(1, || ()).await })
            })
            .collect();
        for taker in takers {
            timeout(patience, line.wanted())
                .await
                .expect("somebody waits");
            line.push(TaskId::new());
            timeout(patience, taker)
                .await
                .expect("it was rung")
                .expect("it ends");
        }

        assert!(
            timeout(soon, line.wanted()).await.is_err(),
            "all have theirs"
        );
    }
}
