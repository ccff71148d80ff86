//! Who waits for which tasks to change.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use models::TaskId;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// Whoever watches looks again after this long: an announcement may be lost.
const LOOK_PERIOD: Duration = Duration::from_secs(5);
/// The same while nothing is heard of other processes.
const DEAF_PERIOD: Duration = Duration::from_secs(1);

/// All who wait in this process.
#[derive(Debug)]
pub(super) struct Watchers {
    by_task: Mutex<HashMap<TaskId, Vec<Arc<Own>>>>,
    hears: AtomicBool,
}

/// What one who waits was told and has not asked for yet.
#[derive(Debug, Default)]
struct Own {
    changed: Mutex<HashSet<TaskId>>,
    told: Notify,
}

impl Watchers {
    /// Nobody waits yet; `hears` when every change is announced.
    pub(super) fn new(hears: bool) -> Self {
        Self {
            by_task: Mutex::default(),
            hears: AtomicBool::new(hears),
        }
    }

    /// Tells those who watch a task.
    pub(super) fn announce(&self, id: TaskId) {
        for watcher in lock(&self.by_task).get(&id).into_iter().flatten() {
            watcher.tell(id);
        }
    }

    /// Says whether changes in other processes are heard. Either way something may have been missed, so
    /// all who watch look again.
    pub(super) fn hears(&self, hears: bool) {
        self.hears.store(hears, Ordering::Relaxed);
        for (id, watchers) in lock(&self.by_task).iter() {
            for watcher in watchers {
                watcher.tell(*id);
            }
        }
    }

    /// When whoever watches looks again at the latest.
    ///
    /// The same moment for all, so that many looks share one statement.
    fn next_look(&self) -> Instant {
        static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);
        let period = if self.hears.load(Ordering::Relaxed) {
            LOOK_PERIOD
        } else {
            DEAF_PERIOD
        };
        let gone = EPOCH.elapsed().as_nanos() % period.as_nanos();
        Instant::now() + period - Duration::from_nanos(u64::try_from(gone).unwrap_or(0))
    }
}

impl Own {
    fn tell(&self, id: TaskId) {
        lock(&self.changed).insert(id);
        self.told.notify_one();
    }
}

/// Sees that tasks change.
///
/// Watch first, then read the row, then wait: nothing that happens in between is missed.
#[derive(Debug)]
pub struct Watch {
    watchers: Arc<Watchers>,
    own: Arc<Own>,
    ids: HashSet<TaskId>,
}

impl Watch {
    pub(super) fn new(watchers: Arc<Watchers>) -> Self {
        Self {
            watchers,
            own: Arc::default(),
            ids: HashSet::new(),
        }
    }

    /// Watches one more task: changes that are announced from now on are seen.
    pub fn add(&mut self, id: TaskId) {
        if self.ids.insert(id) {
            let mut by_task = lock(&self.watchers.by_task);
            by_task.entry(id).or_default().push(self.own.clone());
        }
    }

    /// Watches a task no more.
    pub fn remove(&mut self, id: TaskId) {
        if !self.ids.remove(&id) {
            return;
        }
        lock(&self.own.changed).remove(&id);
        let mut by_task = lock(&self.watchers.by_task);
        if let Some(watchers) = by_task.get_mut(&id) {
            watchers.retain(|watcher| !Arc::ptr_eq(watcher, &self.own));
            if watchers.is_empty() {
                by_task.remove(&id);
            }
        }
    }

    /// Waits for a change, `patience` at most, and answers the tasks that may have changed since the
    /// last call.
    ///
    /// Those are all of them every few seconds, because an announcement may be lost. Dropping the future
    /// loses nothing.
    pub async fn changed(&mut self, patience: Duration) -> Vec<TaskId> {
        let deadline = Instant::now() + patience;
        loop {
            let changed = std::mem::take(&mut *lock(&self.own.changed));
            if !changed.is_empty() {
                return changed.into_iter().collect();
            }
            let look = self.watchers.next_look();
            if timeout_at(deadline.min(look), self.own.told.notified())
                .await
                .is_err()
            {
                let all = if look <= deadline {
                    self.ids.clone()
                } else {
                    HashSet::new()
                };
                return all.into_iter().collect();
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for id in self.ids.clone() {
            self.remove(id);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn each_watcher_hears_of_its_own_tasks_and_leaves_nothing_behind() {
        let watchers = Arc::new(Watchers::new(true));
        let ids = [TaskId::new(), TaskId::new(), TaskId::new()];
        let (mut first, mut second) = (Watch::new(watchers.clone()), Watch::new(watchers.clone()));
        first.add(ids[0]);
        first.add(ids[1]);
        second.add(ids[1]);

        for id in ids {
            watchers.announce(id);
        }
        let mut heard = first.changed(PATIENCE).await;
        heard.sort();
        assert_eq!(heard, ids[..2]);
        assert_eq!(second.changed(PATIENCE).await, [ids[1]]);

        first.remove(ids[0]);
        watchers.announce(ids[0]);
        watchers.announce(ids[1]);
        assert_eq!(first.changed(PATIENCE).await, [ids[1]]);
        drop((first, second));
        assert!(lock(&watchers.by_task).is_empty());
    }

    #[tokio::test]
    async fn who_may_have_missed_something_looks_at_everything() {
        let watchers = Arc::new(Watchers::new(false));
        let id = TaskId::new();
        let mut watch = Watch::new(watchers.clone());
        watch.add(id);

        assert_eq!(watch.changed(PATIENCE).await, [id], "now and then");
        watchers.hears(true);
        assert_eq!(watch.changed(Duration::ZERO).await, [id], "after a gap");
        assert_eq!(
            watch.changed(Duration::ZERO).await,
            [],
            "no longer than it may"
        );
    }
}
