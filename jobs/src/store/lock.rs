//! Takes a row for the rest of the transaction, so that what was read stays true.

use models::{Error, Result, TaskId, Tx, sql, sql::Ids};

use crate::{
    task::{Lease, Task},
    word::State,
};

/// Generations below a task that are looked at.
const DEPTH_MAX: i64 = 8;
/// Tasks of one family that one verb touches at most.
const FAMILY_MAX: i64 = 10_000;

/// The task as it is, and stays until the transaction ends. Nothing when there is no such task.
pub(super) async fn lock(tx: &mut Tx, id: TaskId) -> Result<Option<Task>> {
    sql!(
        tx, fetch_optional Task,
        // For no key: others may meanwhile insert rows that refer to it.
        postgres "select * from tasks where id = $1 for no key update",
        // A transaction there is the only writer from its beginning.
        sqlite "select * from tasks where id = $1",
        id,
    )
}

/// Locks many tasks and their parents, the latest first: see `family`.
pub(super) async fn with_parents(tx: &mut Tx, ids: Ids) -> Result<()> {
    sql!(
        tx, execute,
        postgres
        "select id from tasks
        where id = any(array(
            select unnest($1)
            union all
            select parent_id from tasks where id = any($1) and parent_id is not null))
        order by id desc
        for no key update",
        // A transaction there is the only writer from its beginning.
        sqlite "select 1 where $1 is null",
        ids,
    )
    .map(|_| ())
}

/// Makes sure that everything else in the transaction is written under this lease, or `Lost`.
pub async fn fence(tx: &mut Tx, lease: Lease) -> Result<()> {
    match lock(tx, lease.task_id).await? {
        Some(task) if lease.holds(&task) => Ok(()),
        _ => Err(Error::Lost),
    }
}

/// A task among its family.
#[derive(sqlx::FromRow)]
pub(super) struct Node {
    pub(super) id: TaskId,
    pub(super) parent_id: Option<TaskId>,
    pub(super) state: State,
    /// Generations below the task whose family it is.
    pub(super) depth: i64,
}

/// A task with all of its descendants, locked, the latest first.
///
/// Whoever changes more than one of a family calls this first: row by row, the end of one child
/// would lock the parent before the next child.
pub(super) async fn family(tx: &mut Tx, root: TaskId) -> Result<Vec<Node>> {
    sql!(
        tx, fetch_all Node,
        postgres
        "with recursive tree (id, depth) as (
            select id, cast(0 as bigint) from tasks where id = $1
            union all
            select t.id, tree.depth + 1 from tasks t join tree on t.parent_id = tree.id
            where tree.depth < $2
        )
        select t.id, t.parent_id, t.state, tree.depth from tasks t join tree on t.id = tree.id
        order by t.id desc
        limit $3
        for no key update of t",
        sqlite
        "with recursive tree (id, depth) as (
            select id, cast(0 as bigint) from tasks where id = $1
            union all
            select t.id, tree.depth + 1 from tasks t join tree on t.parent_id = tree.id
            where tree.depth < $2
        )
        select t.id, t.parent_id, t.state, tree.depth from tasks t join tree on t.id = tree.id
        order by t.id desc
        limit $3",
        root, DEPTH_MAX, FAMILY_MAX,
    )
}
