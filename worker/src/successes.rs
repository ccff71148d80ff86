//! The successes of this process, written together.

use std::{sync::Arc, time::Duration};

use jobs::{
    Lease,
    batch::Batch,
    store::{self, Changed, Success},
};
use models::Db;

/// Successes that are written in one transaction at most.
const TOGETHER_MAX: usize = 256;
/// While many tasks end, they do in transactions that are so far apart.
const PAUSE: Duration = Duration::from_millis(4);

/// Writes successes; answers what changed, or nothing where the lease was lost.
pub(crate) type Successes = Batch<(Lease, Success), Option<Changed>>;

/// The line in which finished attempts wait for each other.
pub(crate) fn successes(db: &Db) -> Successes {
    let db = db.clone();
    Batch::unhurried(TOGETHER_MAX, PAUSE, move |done: Arc<[_]>| {
        let db = db.clone();
        async move {
            let mut tx = db.begin().await?;
            let changed = store::succeed_many(&mut tx, &done, db.now()).await?;
            tx.commit().await?;
            Ok(changed)
        }
    })
}
