//! Stops a task on request, and its children with it.

use chrono::{DateTime, Utc};
use models::{Error, OwnerId, Result, TaskId, Tx, sql};

use super::{Changed, end, events, find, lock};
use crate::{task::Task, word::State};

/// Cancels a task of this owner, or `NotFound`.
///
/// Queued and waiting tasks end as cancelled at once. A running one is marked, and ends when its
/// worker has stopped, within a heartbeat. One that has ended stays as it is. Its descendants go the
/// same way.
pub async fn cancel(
    tx: &mut Tx,
    owner: OwnerId,
    id: TaskId,
    now: DateTime<Utc>,
) -> Result<Changed> {
    let task = find(tx, owner, id).await?.ok_or(Error::NotFound("task"))?;
    if task.state.is_done() {
        return Ok(Changed {
            task,
            others: Vec::new(),
        });
    }
    let mut others = children(tx, id, now).await?;
    let changed = one(tx, id, now).await?;
    others.extend(changed.others);
    Ok(Changed {
        task: changed.task,
        others,
    })
}

/// Locks a task with its family, and cancels its living descendants.
pub(super) async fn children(tx: &mut Tx, id: TaskId, now: DateTime<Utc>) -> Result<Vec<Task>> {
    let mut others = Vec::new();
    for node in lock::family(tx, id).await? {
        if node.id != id && !node.state.is_done() {
            let changed = one(tx, node.id, now).await?;
            others.push(changed.task);
            others.extend(changed.others);
        }
    }
    Ok(others)
}

async fn one(tx: &mut Tx, id: TaskId, now: DateTime<Utc>) -> Result<Changed> {
    // Locked first: between two conditional updates it could change from one state to the other.
    let task = lock::lock(tx, id).await?.ok_or(Error::NotFound("task"))?;
    if task.state == State::Running && !task.cancel_requested {
        return request(tx, id, now).await;
    }
    match end::close(tx, id, State::Cancelled, now).await? {
        Some(changed) => Ok(changed),
        None => Ok(Changed {
            task,
            others: Vec::new(),
        }),
    }
}

async fn request(tx: &mut Tx, id: TaskId, now: DateTime<Utc>) -> Result<Changed> {
    let task = sql!(
        tx, fetch_one Task,
        "update tasks set cancel_requested = true, version = version + 1, updated_at = $2
        where id = $1 and state = 'running'
        returning *",
        id, now,
    )?;
    events::state(tx, &task, now).await?;
    Ok(Changed {
        task,
        others: Vec::new(),
    })
}
