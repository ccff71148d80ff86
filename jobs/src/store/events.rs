//! The append-only history of a task: one event a version.

use chrono::{DateTime, Utc};
use models::{Conn, OwnerId, Result, TaskId, Tx, sql};
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{
    task::{Event, Failure, Task},
    word::{EventKind, Reason, State},
};

/// The events of a task after the given one, oldest first, at most `limit`.
///
/// Empty also when there is no such task of this owner.
pub async fn events(
    conn: &mut Conn,
    owner: OwnerId,
    id: TaskId,
    after: i64,
    limit: u32,
) -> Result<Vec<Event>> {
    sql!(
        conn, fetch_all Event,
        "select seq, event, data, created_at from task_events
        where task_id = $1 and seq > $3
            and exists (select 1 from tasks where id = $1 and owner_id = $2)
        order by seq
        limit $4",
        id, owner, after, i64::from(limit),
    )
}

/// Tells of one change; its number is the version that the task has now.
pub(super) async fn record(
    tx: &mut Tx,
    task: &Task,
    event: EventKind,
    data: impl Serialize + Send + Sync,
    now: DateTime<Utc>,
) -> Result<()> {
    sql!(
        tx,
        execute,
        "insert into task_events (task_id, seq, event, data, created_at)
        values ($1, $2, $3, $4, $5)",
        task.id,
        task.version,
        event,
        Json(data),
        now,
    )
    .map(|_| ())
}

/// Tells of a new state.
pub(super) async fn state(tx: &mut Tx, task: &Task, now: DateTime<Utc>) -> Result<()> {
    record(tx, task, kind(task), &StateData::of(task), now).await
}

/// Tells of the new states of many tasks, in one statement.
pub(super) async fn states(tx: &mut Tx, tasks: &[Task], now: DateTime<Utc>) -> Result<()> {
    if let [task] = tasks {
        return state(tx, task, now).await;
    }
    let rows: Vec<Row<'_>> = tasks.iter().map(Row::of).collect();
    sql!(
        tx, execute,
        postgres
        "insert into task_events (task_id, seq, event, data, created_at)
        select cast(r ->> 'task_id' as uuid), cast(r ->> 'seq' as bigint), r ->> 'event',
            r -> 'data', $2
        from jsonb_array_elements($1) r",
        sqlite
        "insert into task_events (task_id, seq, event, data, created_at)
        select unhex(value ->> 'task_id'), value ->> 'seq', value ->> 'event', value -> 'data', $2
        from json_each($1)",
        Json(rows), now,
    )
    .map(|_| ())
}

/// Tells of new progress.
pub(super) async fn progress(tx: &mut Tx, task: &Task, now: DateTime<Utc>) -> Result<()> {
    record(tx, task, EventKind::Progress, &task.progress(), now).await
}

#[derive(Serialize)]
struct Row<'t> {
    task_id: String,
    seq: i64,
    event: EventKind,
    data: StateData<'t>,
}

impl<'t> Row<'t> {
    fn of(task: &'t Task) -> Self {
        Self {
            task_id: Uuid::from(task.id).simple().to_string(),
            seq: task.version,
            event: kind(task),
            data: StateData::of(task),
        }
    }
}

fn kind(task: &Task) -> EventKind {
    if task.state.is_done() {
        EventKind::Done
    } else {
        EventKind::State
    }
}

/// What the event of a new state says.
#[derive(Serialize)]
struct StateData<'t> {
    state: State,
    attempt: i64,
    percent: f64,
    waiting_reason: Option<Reason>,
    cancel_requested: bool,
    error: Option<&'t Failure>,
}

impl<'t> StateData<'t> {
    fn of(task: &'t Task) -> Self {
        Self {
            state: task.state,
            attempt: task.attempt,
            percent: task.percent,
            waiting_reason: task.waiting_reason,
            cancel_requested: task.cancel_requested,
            error: task.error.as_ref(),
        }
    }
}
