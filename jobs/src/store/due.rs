//! What the relay has to ring.

use chrono::{DateTime, Utc};
use models::{Conn, Db, Result, TaskId, sql, sql::One};

use crate::{job::Queue, word::Priority};

#[derive(sqlx::FromRow)]
struct Row {
    id: TaskId,
    priority: Priority,
    run_at: DateTime<Utc>,
}

/// Due tasks of a queue for which nobody rang since `rung_before`, the first to run first; marks
/// them as rung.
pub async fn due(
    db: &Db,
    queue: Queue,
    now: DateTime<Utc>,
    rung_before: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<TaskId>> {
    let mut tx = db.begin().await?;
    let mut rows = sql!(
        tx, fetch_all Row,
        postgres
        "update tasks set rung_at = $1
        where id in (
            select id from tasks
            where state = 'queued' and queue = $4 and run_at <= $1
                and (rung_at is null or rung_at < $2)
                and (expires_at is null or expires_at > $1)
            order by priority, run_at, id
            limit $3
            for no key update skip locked
        )
        returning id, priority, run_at",
        sqlite
        "update tasks set rung_at = $1
        where id in (
            select id from tasks
            where state = 'queued' and queue = $4 and run_at <= $1
                and (rung_at is null or rung_at < $2)
                and (expires_at is null or expires_at > $1)
            order by priority, run_at, id
            limit $3
        )
        returning id, priority, run_at",
        now, rung_before, i64::from(limit), queue,
    )?;
    if !rows.is_empty() {
        tx.commit().await?;
    }
    rows.sort_by_key(|row| (row.priority, row.run_at, row.id));
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// When there is something to do next: a task becomes due, or a lease runs out.
pub async fn next_due(conn: &mut Conn, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
    let (next,) = sql!(
        conn, fetch_one One<Option<DateTime<Utc>>>,
        "select min(next) from (
            select min(run_at) as next from tasks where state = 'queued' and run_at > $1
            union all
            select min(lease_until) as next from tasks where state = 'running'
        ) t",
        now,
    )?;
    Ok(next)
}
