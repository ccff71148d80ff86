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
    let mut events = events_many(conn, &[(owner, id, after)], limit).await?;
    Ok(events.pop().unwrap_or_default())
}

/// Who follows which task, and the last event that it has seen.
pub type Followed = (OwnerId, TaskId, i64);

/// The same for many who follow, in the order in which they ask, in one statement.
pub async fn events_many(
    conn: &mut Conn,
    followed: &[Followed],
    limit: u32,
) -> Result<Vec<Vec<Event>>> {
    let hex = |id: Uuid| id.simple().to_string();
    let asked: Vec<_> = followed
        .iter()
        .map(|(owner, id, after)| (hex((*owner).into()), hex((*id).into()), after))
        .collect();
    let rows = sql!(
        conn, fetch_all Numbered,
        postgres
        "select f.n - 1 as n, e.seq, e.event, e.data, e.created_at
        from jsonb_array_elements($1) with ordinality as f (value, n)
        cross join lateral (
            select id from tasks
            where id = cast(f.value ->> 1 as uuid) and owner_id = cast(f.value ->> 0 as uuid)
            limit 1
        ) t
        cross join lateral (
            select * from task_events
            where task_id = t.id and seq > cast(f.value ->> 2 as bigint)
            order by seq
            limit $2
        ) e
        order by f.n, e.seq",
        sqlite
        "select cast(f.key as bigint) as n, e.seq, e.event, e.data, e.created_at
        from json_each($1) f
        join tasks t on t.id = unhex(f.value ->> 1) and t.owner_id = unhex(f.value ->> 0)
        join task_events e on e.task_id = t.id and e.seq in (
            select y.seq from task_events y
            where y.task_id = t.id and y.seq > f.value ->> 2
            order by y.seq
            limit $2)
        order by f.key, e.seq",
        Json(asked), i64::from(limit),
    )?;
    let mut events = vec![Vec::new(); followed.len()];
    for row in rows {
        if let Some(events) = usize::try_from(row.n).ok().and_then(|n| events.get_mut(n)) {
            events.push(row.event);
        }
    }
    Ok(events)
}

/// An event, and who asked for it.
#[derive(sqlx::FromRow)]
struct Numbered {
    n: i64,
    #[sqlx(flatten)]
    event: Event,
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
