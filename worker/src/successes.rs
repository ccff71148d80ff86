//! The successes of this process, written together.

use std::sync::Arc;

use jobs::{
    Lease,
    batch::Batch,
    store::{self, Changed, Success},
};
use models::Db;

/// Successes that are written in one transaction at most.
const TOGETHER_MAX: usize = 256;

/// Writes successes; answers what changed, or nothing where the lease was lost.
pub(crate) type Successes = Batch<(Lease, Success), Option<Changed>>;

/// The line in which finished attempts wait for each other.
pub(crate) fn successes(db: &Db) -> Successes {
    let db = db.clone();
    Batch::new(TOGETHER_MAX, move |done: Arc<[_]>| {
        let db = db.clone();
        async move {
            let mut tx = db.begin().await?;
            let changed = store::succeed_many(&mut tx, &done, db.now()).await?;
            tx.commit().await?;
            Ok(changed)
        }
    })
}
