//! Keeps the leases of a worker alive.

use chrono::{DateTime, Utc};
use models::{Db, Result, TaskId, sql};

use crate::task::Lease;

/// A task that the worker still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Held {
    /// The task.
    pub task_id: TaskId,
    /// The attempt that the worker started.
    pub attempt: i64,
    /// Whether somebody asked for it to stop.
    pub cancel_requested: bool,
}

impl Held {
    /// The lease that was renewed.
    pub fn lease(&self) -> Lease {
        Lease {
            task_id: self.task_id,
            attempt: self.attempt,
        }
    }
}

/// Renews all leases of a worker in one statement and answers them.
///
/// A task that the worker runs and that is missing here was lost: stop it at once.
pub async fn heartbeat(db: &Db, worker: &str, now: DateTime<Utc>) -> Result<Vec<Held>> {
    let mut tx = db.begin().await?;
    let held = sql!(
        tx, fetch_all Held,
        // Unordered, it could meet a cancellation that has locked some of the same rows.
        postgres
        "update tasks set lease_until = $2
        where id in (
            select id from tasks
            where worker = $1 and state = 'running'
            order by id desc
            for no key update
        )
        returning id as task_id, attempt, cancel_requested",
        sqlite
        "update tasks set lease_until = $2
        where worker = $1 and state = 'running'
        returning id as task_id, attempt, cancel_requested",
        worker, now + Lease::DURATION,
    )?;
    tx.commit().await?;
    Ok(held)
}
