//! Takes a row for the rest of the transaction, so that what was read stays true.

use models::{Error, Result, TaskId, Tx, sql, sql::One};

use crate::task::{Lease, Task};

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

/// The running task of a lease, locked, or `Lost`.
pub(super) async fn held(tx: &mut Tx, lease: Lease) -> Result<Task> {
    lock(tx, lease.task_id)
        .await?
        .filter(|task| lease.holds(task))
        .ok_or(Error::Lost)
}

/// Makes sure that everything else in the transaction is written under this lease, or `Lost`.
pub async fn fence(tx: &mut Tx, lease: Lease) -> Result<()> {
    held(tx, lease).await.map(|_| ())
}

/// Locks the children of a task, so that none of them ends before the transaction does.
pub(super) async fn lock_children(tx: &mut Tx, parent: TaskId) -> Result<()> {
    sql!(
        tx, fetch_all One<TaskId>,
        postgres "select id from tasks where parent_id = $1 order by id desc for no key update",
        sqlite "select id from tasks where parent_id = $1 limit 0",
        parent,
    )
    .map(|_| ())
}
