//! Removes ended tasks, with everything that hangs on them.

use chrono::{DateTime, Utc};
use models::{Error, OwnerId, Result, TaskId, Tx, sql};

use super::{find, lock};

/// Forgets an ended task of this owner with its events, attempts, checkpoints and children.
///
/// `NotFound`, or `Conflict("task_live")` while it, a child of it or its parent lives: a living
/// parent still counts on what its children did.
pub async fn delete(tx: &mut Tx, owner: OwnerId, id: TaskId) -> Result<()> {
    let task = find(tx, owner, id).await?.ok_or(Error::NotFound("task"))?;
    lock::family(tx, id).await?;
    let deleted = sql!(
        tx,
        execute,
        "delete from tasks
        where id = $1 and state in ('succeeded', 'failed', 'cancelled', 'expired')
            and not exists (
                select 1 from tasks c
                where (c.parent_id = $1 or c.id = $2)
                    and c.state in ('queued', 'running', 'waiting'))",
        id,
        task.parent_id,
    )?;
    if deleted == 0 {
        Err(Error::Conflict("task_live"))
    } else {
        Ok(())
    }
}

/// Forgets tasks of a kind that ended before then, at most `limit` of them and their children; answers how
/// many it forgot without counting the children.
///
/// Children go with their parent, so a family is kept until all of it has ended.
pub async fn prune(tx: &mut Tx, kind: &str, before: DateTime<Utc>, limit: u32) -> Result<u64> {
    sql!(
        tx,
        execute,
        "delete from tasks
        where id in (
            select id from tasks t
            where kind = $3 and finished_at < $1 and parent_id is null
                and not exists (
                    select 1 from tasks c
                    where c.parent_id = t.id and c.state in ('queued', 'running', 'waiting'))
            order by finished_at
            limit $2
        )",
        before,
        i64::from(limit),
        kind,
    )
}
