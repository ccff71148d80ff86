//! Polls that come at the same time share one read, and ended tasks are written out once.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use jobs::{
    Event, Queue, Task,
    batch::Batch,
    store::{self, Followed, Front, Glance, Wanted},
};
use models::{Db, id::TaskId};

use crate::{fronts::Fronts, limits::EVENTS_PAGE};

/// Polls that one read answers at most.
const TOGETHER_MAX: usize = 256;
/// Tasks whose events one read looks for at most; each may find a page of them.
const EVENTS_TOGETHER_MAX: usize = 128;
/// Bytes of ended tasks that are kept at most.
const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// An ended task of more bytes is not kept.
const KEPT_TASK_BYTES_MAX: usize = 64 * 1024;

/// The lines in which polls wait for each other; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Reads {
    /// Tasks at a glance.
    pub(crate) glances: Batch<Wanted, Option<Glance>>,
    /// Whole tasks.
    pub(crate) tasks: Batch<Wanted, Option<Task>>,
    /// What happened to tasks since somebody last heard of them.
    pub(crate) events: Batch<Followed, Vec<Event>>,
    /// The first due tasks of queues.
    pub(crate) fronts: Batch<Queue, Arc<Front>>,
    /// Answers about ended tasks.
    pub(crate) kept: Kept,
}

impl Reads {
    /// The lines over a database.
    pub(crate) fn new(db: &Db) -> Self {
        let (glances, tasks, events, queues) = (db.clone(), db.clone(), db.clone(), db.clone());
        let fronts = Fronts::default();
        Self {
            glances: Batch::new(TOGETHER_MAX, move |wanted: Arc<[Wanted]>| {
                let db = glances.clone();
                async move { store::glance_many(&mut db.conn().await?, &wanted).await }
            }),
            tasks: Batch::new(TOGETHER_MAX, move |wanted: Arc<[Wanted]>| {
                let db = tasks.clone();
                async move { store::find_many(&mut db.conn().await?, &wanted).await }
            }),
            events: Batch::new(EVENTS_TOGETHER_MAX, move |followed: Arc<[Followed]>| {
                let db = events.clone();
                async move {
                    let mut conn = db.conn().await?;
                    store::events_many(&mut conn, &followed, EVENTS_PAGE).await
                }
            }),
            fronts: Batch::new(TOGETHER_MAX, move |asked: Arc<[Queue]>| {
                let (db, fronts) = (queues.clone(), fronts.clone());
                async move { fronts.of(&db, &asked).await }
            }),
            kept: Kept::default(),
        }
    }
}

/// Ended tasks as they were last written out. The row is still asked for its version each time, so
/// it does not matter who tries one again or deletes it, and where.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    answers: HashMap<TaskId, (i64, Bytes)>,
    /// The order in which they came, in which they go.
    order: VecDeque<TaskId>,
    bytes: usize,
}

impl Kept {
    /// Whether some version of a task is kept.
    pub(crate) fn has(&self, id: TaskId) -> bool {
        self.shelf().answers.contains_key(&id)
    }

    /// What is kept of this version of a task.
    pub(crate) fn get(&self, id: TaskId, version: i64) -> Option<Bytes> {
        let shelf = self.shelf();
        let (kept, bytes) = shelf.answers.get(&id)?;
        (*kept == version).then(|| bytes.clone())
    }

    /// Keeps an answer; the oldest ones make room.
    pub(crate) fn put(&self, id: TaskId, version: i64, answer: Bytes) {
        if answer.len() > KEPT_TASK_BYTES_MAX {
            return;
        }
        let mut shelf = self.shelf();
        shelf.bytes += answer.len();
        match shelf.answers.insert(id, (version, answer)) {
            Some((_, old)) => shelf.bytes -= old.len(),
            None => shelf.order.push_back(id),
        }
        while shelf.bytes > KEPT_BYTES_MAX
            && let Some(oldest) = shelf.order.pop_front()
        {
            if let Some((_, old)) = shelf.answers.remove(&oldest) {
                shelf.bytes -= old.len();
            }
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_of_one_version() {
        let kept = Kept::default();
        let answer = || Bytes::from(vec![b' '; KEPT_TASK_BYTES_MAX]);
        let ids: Vec<_> = (0..=KEPT_BYTES_MAX / KEPT_TASK_BYTES_MAX)
            .map(|_| TaskId::new())
            .collect();

        for id in &ids {
            kept.put(*id, 3, answer());
            kept.put(*id, 4, answer());
        }

        assert!(!kept.has(ids[0]), "the oldest made room");
        assert_eq!(kept.get(ids[1], 3), None);
        assert_eq!(kept.get(ids[1], 4), Some(answer()));
        assert_eq!(kept.shelf().bytes, KEPT_BYTES_MAX);
        let large = TaskId::new();
        kept.put(large, 1, Bytes::from(vec![b' '; KEPT_TASK_BYTES_MAX + 1]));
        assert!(!kept.has(large));
    }
}
