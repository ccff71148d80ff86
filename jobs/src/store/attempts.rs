//! The log of attempts: who started a task when, and how that ended.
//!
//! Starts and successes, of which there are many, write it in their own statement.

use chrono::{DateTime, Utc};
use models::{Conn, OwnerId, Result, TaskId, Tx, sql};
use sqlx::types::Json;

use crate::{
    task::{Attempt, Failure, Lease},
    word::Ending,
};

/// The attempts of a task, oldest first. Empty also when there is no such task of this owner.
pub async fn attempts(conn: &mut Conn, owner: OwnerId, id: TaskId) -> Result<Vec<Attempt>> {
    sql!(
        conn, fetch_all Attempt,
        "select * from task_attempts
        where task_id = $1 and exists (select 1 from tasks where id = $1 and owner_id = $2)
        order by attempt",
        id, owner,
    )
}

/// Logs how an attempt ended.
pub(super) async fn end(
    tx: &mut Tx,
    lease: Lease,
    ending: Ending,
    error: Option<&Failure>,
    now: DateTime<Utc>,
) -> Result<()> {
    sql!(
        tx,
        execute,
        "update task_attempts set ended_at = $3, outcome = $4, error = $5
        where task_id = $1 and attempt = $2",
        lease.task_id,
        lease.attempt,
        now,
        ending,
        error.map(Json),
    )
    .map(|_| ())
}
