//! The log of attempts: who started a task when, and how that ended.

use chrono::{DateTime, Utc};
use models::{Conn, OwnerId, Result, TaskId, Tx, sql, sql::Ids};
use sqlx::types::Json;

use crate::{
    task::{Attempt, Failure, Lease, Task},
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

/// Logs the attempts that a worker just started.
pub(super) async fn begin(tx: &mut Tx, tasks: &[Task], now: DateTime<Utc>) -> Result<()> {
    let ids: Ids = tasks.iter().map(|task| task.id).collect();
    sql!(
        tx, execute,
        postgres
        "insert into task_attempts (task_id, attempt, worker, started_at)
        select id, attempt, worker, $2 from tasks where id = any($1)",
        sqlite
        "insert into task_attempts (task_id, attempt, worker, started_at)
        select id, attempt, worker, $2 from tasks
        where id in (select unhex(value) from json_each($1))",
        ids, now,
    )
    .map(|_| ())
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

/// Logs that the present attempts of many tasks ended the same way, and well.
pub(super) async fn end_many(
    tx: &mut Tx,
    tasks: &[Task],
    ending: Ending,
    now: DateTime<Utc>,
) -> Result<()> {
    let ids: Ids = tasks.iter().map(|task| task.id).collect();
    sql!(
        tx, execute,
        postgres
        "update task_attempts set ended_at = $2, outcome = $3
        where task_id = any($1) and attempt = (select attempt from tasks where id = task_id)",
        sqlite
        "update task_attempts set ended_at = $2, outcome = $3
        where task_id in (select unhex(value) from json_each($1))
            and attempt = (select attempt from tasks where id = task_id)",
        ids, now, ending,
    )
    .map(|_| ())
}
