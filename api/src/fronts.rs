//! The fronts of the queues: what those who wait are told their positions from.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jobs::{
    Queue,
    store::{self, Front},
};
use models::Db;

/// A front of so many tasks takes a while to read, and nobody sees whether it is quite new.
const LONG: usize = 100;
/// How long it is used then.
const FRESH: Duration = Duration::from_millis(100);

/// The fronts that were read last; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fronts(Arc<Mutex<[Option<Kept>; Queue::ALL.len()]>>);

#[derive(Clone, Debug)]
struct Kept {
    front: Arc<Front>,
    read: Instant,
}

impl Fronts {
    /// The fronts of some queues, in their order, each read once at most.
    pub(crate) async fn of(&self, db: &Db, queues: &[Queue]) -> models::Result<Vec<Arc<Front>>> {
        let mut found = [const { None }; Queue::ALL.len()];
        let mut fronts = Vec::with_capacity(queues.len());
        for queue in queues {
            let front = match &found[*queue as usize] {
                Some(front) => Arc::clone(front),
                None => self.front(db, *queue).await?,
            };
            found[*queue as usize] = Some(Arc::clone(&front));
            fronts.push(front);
        }
        Ok(fronts)
    }

    async fn front(&self, db: &Db, queue: Queue) -> models::Result<Arc<Front>> {
        let kept = self.kept()[queue as usize].clone();
        if let Some(kept) = kept
            && kept.front.length() >= LONG
            && kept.read.elapsed() < FRESH
        {
            return Ok(kept.front);
        }
        let read = Instant::now();
        let front = Arc::new(store::front(&mut db.conn().await?, queue, db.now()).await?);
        self.kept()[queue as usize] = Some(Kept {
            front: Arc::clone(&front),
            read,
        });
        Ok(front)
    }

    fn kept(&self) -> MutexGuard<'_, [Option<Kept>; Queue::ALL.len()]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
