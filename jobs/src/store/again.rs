//! Tries an ended task again, because a person asks for it.

use chrono::{DateTime, Utc};
use models::{Error, OwnerId, Result, TaskId, Tx, sql};

use super::{Changed, checkpoint, events, find, lock, parent, tree};
use crate::{task::Task, word::State};

/// `failed`, `cancelled` or `expired` to `queued`, with all of its attempts, and its unsuccessful
/// children with it.
///
/// Checkpoints are kept unless it is to start afresh. `Conflict("task_live")` while it lives,
/// `Conflict("task_succeeded")` when there is nothing to try again.
pub async fn again(
    tx: &mut Tx,
    owner: OwnerId,
    id: TaskId,
    fresh: bool,
    now: DateTime<Utc>,
) -> Result<Changed> {
    find(tx, owner, id).await?.ok_or(Error::NotFound("task"))?;
    let mut others = Vec::new();
    for node in tree::unsuccessful(tx, id).await? {
        if let Ok(changed) = revive(tx, node.id, fresh, now).await? {
            others.push(changed.task);
            others.extend(changed.others);
        }
    }
    // A refusal takes the children back with it: the caller does not commit.
    let changed = revive(tx, id, fresh, now).await?.map_err(Error::Conflict)?;
    others.extend(changed.others);
    Ok(Changed {
        task: changed.task,
        others,
    })
}

/// Queues one task again, or says why not.
async fn revive(
    tx: &mut Tx,
    id: TaskId,
    fresh: bool,
    now: DateTime<Utc>,
) -> Result<Result<Changed, &'static str>> {
    // A child that ends while we count must be counted by us or by itself, so it has to wait.
    lock::lock_children(tx, id).await?;
    match lock::lock(tx, id)
        .await?
        .ok_or(Error::NotFound("task"))?
        .state
    {
        State::Queued | State::Running | State::Waiting => return Ok(Err("task_live")),
        State::Succeeded => return Ok(Err("task_succeeded")),
        State::Failed | State::Cancelled | State::Expired => {}
    }
    if fresh {
        checkpoint::clear(tx, id).await?;
    }
    let task = queue(tx, id, fresh, now).await?;
    events::state(tx, &task, now).await?;
    let others = parent::child_revived(tx, &task, now)
        .await?
        .into_iter()
        .collect();
    Ok(Ok(Changed { task, others }))
}

async fn queue(tx: &mut Tx, id: TaskId, fresh: bool, now: DateTime<Utc>) -> Result<Task> {
    sql!(
        tx, fetch_one Task,
        "update tasks
        set state = 'queued', attempts_spared = attempt, error = null, warnings = '[]',
            finished_at = null, expires_at = null, cancel_requested = false,
            waiting_reason = null, run_at = $2, rung_at = null,
            percent = case when $3 then 0 else percent end,
            children_succeeded = (
                select count(*) from tasks c
                where c.parent_id = tasks.id and c.state = 'succeeded'),
            children_failed = (
                select count(*) from tasks c
                where c.parent_id = tasks.id and c.state in ('failed', 'cancelled', 'expired')),
            version = version + 1, updated_at = $2
        where id = $1
        returning *",
        id, now, fresh,
    )
}
