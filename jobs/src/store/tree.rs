//! The descendants of a task.

use models::{Result, TaskId, Tx, sql};

use crate::word::State;

/// Generations below a task that are looked at.
const DEPTH_MAX: i64 = 8;
/// Descendants that one verb touches at most.
const NODES_MAX: i64 = 10_000;

#[derive(sqlx::FromRow)]
pub(super) struct Node {
    pub(super) id: TaskId,
    pub(super) state: State,
}

/// The descendants of a task without the task itself, latest first: children before their parents.
pub(super) async fn descendants(tx: &mut Tx, root: TaskId) -> Result<Vec<Node>> {
    sql!(
        tx, fetch_all Node,
        "with recursive tree (id, state, depth) as (
            select id, state, cast(0 as bigint) from tasks where id = $1
            union all
            select t.id, t.state, tree.depth + 1
            from tasks t join tree on t.parent_id = tree.id
            where tree.depth < $2
        )
        select id, state from tree where depth > 0 order by id desc limit $3",
        root, DEPTH_MAX, NODES_MAX,
    )
}

/// The descendants that ended without success, reached through such ones only,
/// latest first.
pub(super) async fn unsuccessful(tx: &mut Tx, root: TaskId) -> Result<Vec<Node>> {
    sql!(
        tx, fetch_all Node,
        "with recursive tree (id, state, depth) as (
            select id, state, cast(0 as bigint) from tasks where id = $1
            union all
            select t.id, t.state, tree.depth + 1
            from tasks t join tree on t.parent_id = tree.id
            where tree.depth < $2 and t.state in ('failed', 'cancelled', 'expired')
        )
        select id, state from tree where depth > 0 order by id desc limit $3",
        root, DEPTH_MAX, NODES_MAX,
    )
}
