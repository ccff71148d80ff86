//! The ends of a task other than success.

use chrono::{DateTime, Utc};
use models::{Error, Result, TaskId, Tx, sql};
use sqlx::types::Json;

use super::{Changed, attempts, cancel, count, events, parent};
use crate::{
    kinds,
    task::{Failure, Lease, Task},
    word::{Ending, State},
};

/// `running` to `failed`: trying again cannot help, or was tried often enough.
///
/// Children that still live go on; nobody waits for them.
pub async fn fail(
    tx: &mut Tx,
    lease: Lease,
    failure: &Failure,
    now: DateTime<Utc>,
) -> Result<Changed> {
    stop(tx, lease, State::Failed, Some(failure), Ending::Failed, now).await
}

/// `running` to `cancelled`, and its children with it: the worker has stopped.
///
/// To be called in a transaction that has not fenced the task: its children are locked first.
pub async fn cancelled(tx: &mut Tx, lease: Lease, now: DateTime<Utc>) -> Result<Changed> {
    let mut others = cancel::children(tx, lease.task_id, now).await?;
    let changed = stop(tx, lease, State::Cancelled, None, Ending::Cancelled, now).await?;
    others.extend(changed.others);
    Ok(Changed {
        task: changed.task,
        others,
    })
}

/// `running` to an end other than success.
pub(super) async fn stop(
    tx: &mut Tx,
    lease: Lease,
    state: State,
    failure: Option<&Failure>,
    ending: Ending,
    now: DateTime<Utc>,
) -> Result<Changed> {
    let task = sql!(
        tx, fetch_optional Task,
        "update tasks
        set state = $3, error = $4, lease_until = null, finished_at = $5, version = version + 1,
            updated_at = $5
        where id = $1 and attempt = $2 and state = 'running'
        returning *",
        lease.task_id, lease.attempt, state, failure.map(Json), now,
    )?
    .ok_or(Error::Lost)?;
    attempts::end(tx, lease, ending, failure, now).await?;
    ended(tx, task, now).await
}

/// `queued` or `waiting` to an end: nobody works on it. Nothing when it is in another state.
pub(super) async fn close(
    tx: &mut Tx,
    id: TaskId,
    state: State,
    now: DateTime<Utc>,
) -> Result<Option<Changed>> {
    let task = sql!(
        tx, fetch_optional Task,
        "update tasks
        set state = $2, waiting_reason = null, finished_at = $3, version = version + 1,
            updated_at = $3
        where id = $1 and state in ('queued', 'waiting')
        returning *",
        id, state, now,
    )?;
    match task {
        Some(task) => ended(tx, task, now).await.map(Some),
        None => Ok(None),
    }
}

/// Tells of the end: the parent, and the rows that the task was about.
///
/// Those rows come last. Whoever has one of them locked asks for no task any more, so no two
/// transactions wait for each other.
async fn ended(tx: &mut Tx, task: Task, now: DateTime<Utc>) -> Result<Changed> {
    events::state(tx, &task, now).await?;
    count::ended(&task);
    let others = parent::child_ended(tx, &task, now)
        .await?
        .into_iter()
        .collect();
    if task.state != State::Succeeded
        && let Some(definition) = kinds::find(&task.kind)
    {
        (definition.given_up)(&task.payload, tx, now).await?;
    }
    Ok(Changed { task, others })
}
