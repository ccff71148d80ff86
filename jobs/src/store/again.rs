//! Tries an ended task again, because a person asks for it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use models::{Error, OwnerId, Result, TaskId, Tx, sql};

use super::{
    Changed, checkpoint, events, find,
    lock::{self, Node},
    parent,
};
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
    let family = lock::family(tx, id).await?;
    let mut others = Vec::new();
    // Children first: each counts its own children when they are as they will be.
    for child in unsuccessful(family, id)?.into_iter().rev() {
        let changed = revive(tx, child, fresh, now).await?;
        others.push(changed.task);
        others.extend(changed.others);
    }
    let changed = revive(tx, id, fresh, now).await?;
    others.extend(changed.others);
    Ok(Changed {
        task: changed.task,
        others,
    })
}

/// The descendants that ended without success, reached through such ones only, parents first; or
/// why the task itself cannot be tried again.
fn unsuccessful(mut family: Vec<Node>, root: TaskId) -> Result<Vec<TaskId>> {
    let failed = |state: State| state.is_done() && state != State::Succeeded;
    family.sort_by_key(|node| node.depth);
    let mut reached = BTreeSet::new();
    let mut found = Vec::new();
    for node in family {
        if node.id == root {
            match node.state {
                state if failed(state) => reached.insert(root),
                State::Succeeded => return Err(Error::Conflict("task_succeeded")),
                _ => return Err(Error::Conflict("task_live")),
            };
        } else if failed(node.state) && node.parent_id.is_some_and(|id| reached.contains(&id)) {
            reached.insert(node.id);
            found.push(node.id);
        }
    }
    Ok(found)
}

/// Queues one ended task again, whose family is locked.
async fn revive(tx: &mut Tx, id: TaskId, fresh: bool, now: DateTime<Utc>) -> Result<Changed> {
    if fresh {
        checkpoint::clear(tx, id).await?;
    }
    let task = queue(tx, id, fresh, now).await?;
    events::state(tx, &task, now).await?;
    let others = parent::child_revived(tx, &task, now).await?;
    Ok(Changed {
        task,
        others: others.into_iter().collect(),
    })
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
