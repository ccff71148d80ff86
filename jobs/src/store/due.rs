//! What the relay has to ring.

use chrono::{DateTime, Utc};
use models::{Conn, Db, Result, TaskId, sql};

use crate::{job::Queue, task::Priority};

#[derive(sqlx::FromRow)]
struct Row {
    queue: Queue,
    id: TaskId,
    priority: Priority,
    run_at: DateTime<Utc>,
}

/// Due tasks for which nobody rang since `rung_before`, the first to run first; marks them as rung.
pub async fn due(
    db: &Db,
    now: DateTime<Utc>,
    rung_before: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<(Queue, TaskId)>> {
    let mut tx = db.begin().await?;
    let mut rows = sql!(
        tx, fetch_all Row,
        postgres
        "update tasks set rung_at = $1
        where id in (
            select id from tasks
            where state = 'queued' and run_at <= $1 and (rung_at is null or rung_at < $2)
                and (expires_at is null or expires_at > $1)
            order by priority, run_at, id
            limit $3
            for no key update skip locked
        )
        returning queue, id, priority, run_at",
        sqlite
        "update tasks set rung_at = $1
        where id in (
            select id from tasks
            where state = 'queued' and run_at <= $1 and (rung_at is null or rung_at < $2)
                and (expires_at is null or expires_at > $1)
            order by priority, run_at, id
            limit $3
        )
        returning queue, id, priority, run_at",
        now, rung_before, i64::from(limit),
    )?;
    if !rows.is_empty() {
        tx.commit().await?;
    }
    rows.sort_by_key(|row| (row.priority, row.run_at, row.id));
    Ok(rows.into_iter().map(|row| (row.queue, row.id)).collect())
}

/// A row of one value; named, because rustfmt takes the comma out of a tuple in a macro call.
type Next = (Option<DateTime<Utc>>,);

/// When the next task becomes due that is not due yet.
pub async fn next_due(conn: &mut Conn, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
    let (next,) = sql!(
        conn,
        fetch_one Next,
        "select min(run_at) from tasks where state = 'queued' and run_at > $1",
        now,
    )?;
    Ok(next)
}
