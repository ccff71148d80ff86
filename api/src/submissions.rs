//! Submissions that come at the same time share one transaction.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use jobs::{
    Task,
    batch::Batch,
    store::{self, New},
};
use models::{
    Db, Error, Result, Tx,
    id::{OwnerId, TaskId},
    idempotency::{self, TaskKey},
};

/// Tasks that are stored in one transaction at most.
const TOGETHER_MAX: usize = 256;
/// How often a batch is tried because somebody else claimed one of its keys meanwhile. Each race is with
/// another batch of the others, so several may follow each other where clients send everything twice.
const RACES_MAX: usize = 16;
/// The name under which keys of submissions are kept.
pub(crate) const ROUTE: &str = "submit_task";

/// Stores submissions, and answers what became of each.
pub(crate) type Submissions = Batch<Item, Stored>;

/// A submission that was checked.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// The task to be stored.
    pub(crate) new: New,
    /// The client's key, and the digest of the request.
    pub(crate) key: Option<(String, String)>,
}

/// What became of a submission.
#[derive(Debug)]
pub(crate) enum Stored {
    /// It is a task now.
    New(Box<Task>),
    /// An earlier request with the same key had made this task.
    Replay(TaskId),
    /// The key was used for another request.
    Mismatch,
}

/// The line in which submissions wait for each other.
pub(crate) fn submissions(db: &Db) -> Submissions {
    let db = db.clone();
    Batch::new(TOGETHER_MAX, move |items: Arc<[Item]>| {
        let db = db.clone();
        async move { store(&db, &items).await }
    })
}

async fn store(db: &Db, items: &[Item]) -> Result<Vec<Stored>> {
    for _ in 0..RACES_MAX {
        if let Some(stored) = attempt(db, items).await? {
            return Ok(stored);
        }
    }
    Err(Error::unavailable(
        "others claim the same idempotency keys all the time",
    ))
}

/// Stores what is new; nothing when somebody else claimed one of the keys in between.
async fn attempt(db: &Db, items: &[Item]) -> Result<Option<Vec<Stored>>> {
    let mut tx = db.begin().await?;
    let now = db.now();
    let answered = answered(&mut tx, items, now).await?;
    let fates = fates(items, &answered);
    let is_new = |fate: &Fate| matches!(fate, Fate::New(_));
    let fresh = || items.iter().zip(&fates).filter(|(_, fate)| is_new(fate));
    let new = fresh().map(|(item, _)| item.new.clone()).collect();
    let tasks = store::enqueue_many(&mut tx, new, now).await?;
    let mut keys: Vec<TaskKey> = fresh()
        .zip(&tasks)
        .filter_map(|((item, _), task)| item.claim(task))
        .collect();
    keys.sort_by(|a, b| (a.owner_id, &a.key).cmp(&(b.owner_id, &b.key)));
    if !idempotency::claim_for_tasks(&mut tx, ROUTE, &keys, now).await? {
        return Ok(None);
    }
    tx.commit().await?;
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    let mut tasks = tasks.into_iter();
    let stored = fates.into_iter().map(|fate| match fate {
        Fate::New(_) => tasks.next().map(|task| Stored::New(Box::new(task))),
        Fate::Twin(place) => ids.get(place).copied().map(Stored::Replay),
        Fate::Answered(id) => Some(Stored::Replay(id)),
        Fate::Mismatch => Some(Stored::Mismatch),
    });
    Ok(stored.collect())
}

/// The keys of the items that stand for a task already.
async fn answered(tx: &mut Tx, items: &[Item], now: DateTime<Utc>) -> Result<Vec<TaskKey>> {
    let keys: Vec<_> = items.iter().filter_map(Item::name).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    idempotency::tasks_of(tx, ROUTE, &keys, now).await
}

/// What is to become of an item.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// The task of this place among the new ones.
    New(usize),
    /// The same as an item before it: the task of this place among the new ones.
    Twin(usize),
    Answered(TaskId),
    Mismatch,
}

fn fates(items: &[Item], answered: &[TaskKey]) -> Vec<Fate> {
    let known = answered.iter().map(|key| {
        let name = (key.owner_id, key.key.as_str());
        (
            name,
            (key.fingerprint.as_str(), Fate::Answered(key.task_id)),
        )
    });
    let mut known: HashMap<_, _> = known.collect();
    let (mut fates, mut new) = (Vec::with_capacity(items.len()), 0);
    for item in items {
        let named = item.name().zip(item.key.as_ref());
        let fate = match named.map(|(name, (_, fingerprint))| (known.entry(name), fingerprint)) {
            None => Fate::New(new),
            Some((Entry::Vacant(vacant), print)) => vacant.insert((print, Fate::New(new))).1,
            Some((Entry::Occupied(taken), print)) => match *taken.get() {
                (same, Fate::New(place)) if same == print => Fate::Twin(place),
                (same, fate) if same == print => fate,
                _ => Fate::Mismatch,
            },
        };
        new += usize::from(matches!(fate, Fate::New(_)));
        fates.push(fate);
    }
    fates
}

impl Item {
    /// Whose key it is, and which.
    fn name(&self) -> Option<(OwnerId, &str)> {
        let (key, _) = self.key.as_ref()?;
        Some((self.new.options.owner, key))
    }

    /// The claim of its key for the task that it became.
    fn claim(&self, task: &Task) -> Option<TaskKey> {
        let (key, fingerprint) = self.key.clone()?;
        Some(TaskKey {
            owner_id: task.owner_id,
            key,
            fingerprint,
            task_id: task.id,
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use jobs::{kinds, store::Options};
    use models::{Cursor, Limit, on_both, testing::TestResult};
    use serde_json::json;

    use super::*;

    const KEYS: usize = 1_000;
    const DUPLICATES: usize = 50;

    fn item(n: usize, key: Option<(&str, &str)>) -> TestResult<Item> {
        let new = New {
            definition: kinds::find("noop").ok_or("it is a kind")?,
            payload: json!({"n": n}),
            options: Options::by(OwnerId::LOCAL),
        };
        let key = key.map(|(key, print)| (key.to_owned(), print.to_owned()));
        Ok(Item { new, key })
    }

    async fn count(db: &Db) -> TestResult<usize> {
        let (mut cursor, mut count): (Option<Cursor>, _) = (None, 0);
        loop {
            let (any, limit) = (store::Filter::default(), Limit::new(100)?);
            let mut conn = db.conn().await?;
            let page = store::list(&mut conn, OwnerId::LOCAL, &any, cursor, limit).await?;
            count += page.items.len();
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(count),
            }
        }
    }

    on_both! {
        async fn every_key_makes_one_task_however_often_it_comes(db: &Db) -> TestResult {
            // As in two processes over one database.
            let lines = [submissions(db), submissions(db)];
            let mut adds = Vec::new();
            for duplicate in 0..DUPLICATES {
                for n in 0..KEYS {
                    let item = item(n, Some((&format!("key {n}"), "print")))?;
                    adds.push(lines[(n + duplicate) % 2].add(item));
                }
            }

            let stored = join_all(adds).await.into_iter().collect::<Result<Vec<_>>>()?;

            let mut tasks = HashMap::new();
            let new = stored.iter().enumerate().filter_map(|(place, stored)| match stored {
                Stored::New(task) => Some((place % KEYS, task.id)),
                _ => None,
            });
            for (key, id) in new {
                assert!(tasks.insert(key, id).is_none(), "key {key} made two tasks");
            }
            assert_eq!(tasks.len(), KEYS);
            for (place, stored) in stored.iter().enumerate() {
                if let Stored::Replay(id) = stored {
                    assert_eq!(Some(id), tasks.get(&(place % KEYS)));
                }
            }
            assert!(!stored.iter().any(|stored| matches!(stored, Stored::Mismatch)));
            assert_eq!(count(db).await?, KEYS);
            Ok(())
        }

        async fn a_key_of_another_request_is_refused_in_the_same_batch_too(db: &Db) -> TestResult {
            let line = submissions(db);
            let adds = [
                item(1, Some(("key", "print")))?,
                item(2, Some(("key", "other print")))?,
                item(3, None)?,
                item(1, Some(("key", "print")))?,
            ];

            let stored = join_all(adds.map(|item| line.add(item))).await;
            let later = line.add(item(2, Some(("key", "other print")))?).await?;

            let mut stored = stored.into_iter().collect::<Result<Vec<_>>>()?.into_iter();
            let Some(Stored::New(first)) = stored.next() else {
                return Err("the first is stored".into());
            };
            assert!(matches!(stored.next(), Some(Stored::Mismatch)));
            assert!(matches!(stored.next(), Some(Stored::New(_))));
            assert!(matches!(stored.next(), Some(Stored::Replay(id)) if id == first.id));
            assert!(matches!(later, Stored::Mismatch));
            assert_eq!(count(db).await?, 2);
            Ok(())
        }

        async fn a_refused_item_keeps_no_neighbour_from_being_stored(db: &Db) -> TestResult {
            let line = submissions(db);
            let mut late = item(2, Some(("late", "print")))?;
            late.new.options.expires_at = Some(db.now());
            let adds = [item(1, Some(("key", "print")))?, late, item(3, None)?];

            let stored = join_all(adds.map(|item| line.add(item))).await;

            assert!(matches!(stored[0], Ok(Stored::New(_))));
            assert!(matches!(stored[1], Err(Error::Invalid { .. })));
            assert!(matches!(stored[2], Ok(Stored::New(_))));
            assert_eq!(count(db).await?, 2);
            Ok(())
        }

        async fn a_key_is_free_again_after_its_time(db: &Db) -> TestResult {
            let line = submissions(db);
            let first = line.add(item(1, Some(("key", "print")))?).await?;
            let mut tx = db.begin().await?;
            let long_ago = db.now() - idempotency::LIFETIME;
            models::sql!(tx, execute, "update idempotency_keys set created_at = $1", long_ago)?;
            tx.commit().await?;

            let second = line.add(item(2, Some(("key", "other print")))?).await?;

            assert!(matches!((first, second), (Stored::New(_), Stored::New(_))));
            assert_eq!(count(db).await?, 2);
            Ok(())
        }
    }
}
