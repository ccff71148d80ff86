//! What an attempt finished, so that a later one need not do it again.

use chrono::{DateTime, Utc};
use models::{Conn, Result, TaskId, Tx, sql, sql::One};
use serde_json::Value;
use sqlx::types::Json;

use super::lock;
use crate::task::Lease;

#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(json)]
    output: Value,
}

/// What was finished under this key from the same input, if anything was.
pub async fn get(
    conn: &mut Conn,
    task: TaskId,
    key: &str,
    input_digest: &str,
) -> Result<Option<Value>> {
    let row = sql!(
        conn, fetch_optional Row,
        "select output from task_checkpoints
        where task_id = $1 and key = $2 and input_digest = $3",
        task, key, input_digest,
    )?;
    Ok(row.map(|row| row.output))
}

/// Remembers what was finished, an object or an array; replaces what the key held before.
///
/// The time stays that of the first output: one that is only replaced is no step forward.
pub async fn put(
    tx: &mut Tx,
    lease: Lease,
    key: &str,
    input_digest: &str,
    output: &Value,
    now: DateTime<Utc>,
) -> Result<()> {
    super::document(output, "/output")?;
    lock::fence(tx, lease).await?;
    sql!(
        tx,
        execute,
        "insert into task_checkpoints (task_id, key, input_digest, output, created_at)
        values ($1, $2, $3, $4, $5)
        on conflict (task_id, key) do update
        set input_digest = excluded.input_digest, output = excluded.output",
        lease.task_id,
        key,
        input_digest,
        Json(output),
        now,
    )
    .map(|_| ())
}

/// Forgets what was finished before then for tasks that have succeeded, at most `limit` of it.
pub async fn prune(tx: &mut Tx, before: DateTime<Utc>, limit: u32) -> Result<u64> {
    sql!(
        tx,
        execute,
        "delete from task_checkpoints
        where (task_id, key) in (
            select c.task_id, c.key from task_checkpoints c
            join tasks t on t.id = c.task_id
            where c.created_at < $1 and t.state = 'succeeded'
            order by c.created_at
            limit $2
        )",
        before,
        i64::from(limit),
    )
}

/// Forgets everything a task finished.
pub(super) async fn clear(tx: &mut Tx, task: TaskId) -> Result<()> {
    sql!(
        tx,
        execute,
        "delete from task_checkpoints where task_id = $1",
        task
    )
    .map(|_| ())
}

/// Whether this attempt finished something that no attempt before it had.
pub(super) async fn advanced(conn: &mut Conn, lease: Lease) -> Result<bool> {
    let kept = sql!(
        conn, fetch_optional One<String>,
        "select key from task_checkpoints
        where task_id = $1 and created_at >= (
            select started_at from task_attempts where task_id = $1 and attempt = $2
        )
        limit 1",
        lease.task_id, lease.attempt,
    )?;
    Ok(kept.is_some())
}
