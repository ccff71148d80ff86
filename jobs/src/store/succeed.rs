//! The end of a task that is done.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use models::{Error, Result, Tx, sql};
use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Changed, count, events, lock, parent};
use crate::{
    task::{Lease, Task, Usage},
    word::Ending,
};

/// A task that a worker has done.
#[derive(Clone, Debug, Default)]
pub struct Success {
    /// What came of it, an object or an array.
    pub result: Option<Value>,
    /// What the client shall know although it went well.
    pub warnings: Vec<String>,
    /// What the model read and wrote.
    pub usage: Usage,
}

/// `running` to `succeeded`, with the result, an object or an array.
pub async fn succeed(
    tx: &mut Tx,
    lease: Lease,
    result: Option<&Value>,
    warnings: &[String],
    usage: Usage,
    now: DateTime<Utc>,
) -> Result<Changed> {
    let success = Success {
        result: result.cloned(),
        warnings: warnings.to_vec(),
        usage,
    };
    let mut changed = succeed_many(tx, &[(lease, success)], now).await?;
    changed.pop().flatten().ok_or(Error::Lost)
}

/// The same for many tasks in a few statements; answers what changed in their order, and nothing
/// where the lease was lost.
///
/// The first result that is neither an object nor an array fails them all.
pub async fn succeed_many(
    tx: &mut Tx,
    successes: &[(Lease, Success)],
    now: DateTime<Utc>,
) -> Result<Vec<Option<Changed>>> {
    for result in successes.iter().filter_map(|(_, one)| one.result.as_ref()) {
        super::document(result, "/result")?;
    }
    lock::with_parents(
        tx,
        successes.iter().map(|(lease, _)| lease.task_id).collect(),
    )
    .await?;
    let ended = update(tx, &successes.iter().map(Row::of).collect::<Vec<_>>(), now).await?;
    events::states(tx, &ended, now).await?;
    let mut changes = BTreeMap::new();
    for task in ended {
        count::ended(&task);
        let others = parent::child_ended(tx, &task, now).await?;
        let others = others.into_iter().collect();
        changes.insert(task.id, Changed { task, others });
    }
    let changed = |(lease, _): &(Lease, Success)| changes.remove(&lease.task_id);
    Ok(successes.iter().map(changed).collect())
}

/// A success as both databases read it out of JSON.
#[derive(Serialize)]
struct Row<'s> {
    id: String,
    attempt: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'s Value>,
    warnings: &'s [String],
    usage: Usage,
}

impl<'s> Row<'s> {
    fn of((lease, success): &'s (Lease, Success)) -> Self {
        Self {
            id: Uuid::from(lease.task_id).simple().to_string(),
            attempt: lease.attempt,
            result: success.result.as_ref(),
            warnings: &success.warnings,
            usage: success.usage,
        }
    }
}

/// Ends the tasks whose lease was not lost, and their attempts.
async fn update(tx: &mut Tx, rows: &[Row<'_>], now: DateTime<Utc>) -> Result<Vec<Task>> {
    sql!(
        tx, fetch_all Task,
        postgres
        // The state is compared so that no index of all that runs can serve: it is full of rows that
        // run no more. The ids come as an array as well: by the join alone PostgreSQL would read all
        // tasks, where it has planned while there were few.
        "with ended as (
            update tasks
            set state = 'succeeded', result = r.result, error = null, warnings = r.warnings,
                usage = r.usage, percent = 100, lease_until = null, finished_at = $2,
                version = version + 1, updated_at = $2
            from jsonb_to_recordset($1)
                as r (id uuid, attempt bigint, result jsonb, warnings jsonb, usage jsonb)
            where tasks.id = any(array(
                    select cast(value ->> 'id' as uuid) from jsonb_array_elements($1)
                ))
                and tasks.id = r.id and tasks.attempt = r.attempt and state || '' = 'running'
            returning tasks.*
        ), logged as (
            update task_attempts set ended_at = $2, outcome = $3
            where task_id = any(array(select id from ended))
                and attempt = (select attempt from tasks where id = task_id)
        )
        select * from ended",
        sqlite
        "update tasks
        set state = 'succeeded', result = r.value -> 'result', error = null,
            warnings = r.value -> 'warnings', usage = r.value -> 'usage', percent = 100,
            lease_until = null, finished_at = $2, version = version + 1, updated_at = $2
        from json_each($1) r
        where tasks.id = unhex(r.value ->> 'id') and tasks.attempt = r.value ->> 'attempt'
            and state = 'running'
        returning *;
        update task_attempts set ended_at = $2, outcome = $3
        where task_id in (select unhex(value ->> 'id') from json_each($1)) and ended_at is null
            and attempt = (select attempt from tasks where id = task_id and state = 'succeeded')",
        Json(rows), now, Ending::Succeeded,
    )
}
