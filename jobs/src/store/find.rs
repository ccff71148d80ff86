//! Reads tasks.

use chrono::{DateTime, Utc};
use models::{Conn, Cursor, Error, Limit, OwnerId, Page, Result, TaskId, sql};

use crate::{task::Task, word::State};

/// Which tasks to list; what is absent does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this kind.
    pub kind: Option<String>,
    /// In this state.
    pub state: Option<State>,
    /// Children of this task.
    pub parent: Option<TaskId>,
    /// Created after this time.
    pub created_after: Option<DateTime<Utc>>,
    /// Created before this time.
    pub created_before: Option<DateTime<Utc>>,
}

/// A task of this owner, if there is one.
pub async fn find(conn: &mut Conn, owner: OwnerId, id: TaskId) -> Result<Option<Task>> {
    sql!(
        conn, fetch_optional Task,
        "select * from tasks where id = $1 and owner_id = $2", id, owner,
    )
}

/// A task whoever owns it, or `NotFound`: for those who work on it.
pub async fn get(conn: &mut Conn, id: TaskId) -> Result<Task> {
    look(conn, id).await?.ok_or(Error::NotFound("task"))
}

/// The task as it is at the moment, if there is one.
pub(super) async fn look(conn: &mut Conn, id: TaskId) -> Result<Option<Task>> {
    sql!(conn, fetch_optional Task, "select * from tasks where id = $1", id)
}

/// The children of a task, in the order they were enqueued: for those who work on it.
pub async fn children(conn: &mut Conn, parent: TaskId) -> Result<Vec<Task>> {
    sql!(
        conn, fetch_all Task,
        "select * from tasks where parent_id = $1 order by created_at, id", parent,
    )
}

/// The tasks of an owner that pass the filter, newest first, from the cursor on.
pub async fn list(
    conn: &mut Conn,
    owner: OwnerId,
    filter: &Filter,
    after: Option<Cursor>,
    limit: Limit,
) -> Result<Page<Task>> {
    let after = after.unwrap_or_else(Cursor::start);
    let rows = sql!(
        conn, fetch_all Task,
        "select * from tasks
        where owner_id = $1 and (created_at, id) < ($2, $3)
            and ($4 is null or kind = $4)
            and ($5 is null or state = $5)
            and ($6 is null or parent_id = $6)
            and ($7 is null or created_at > $7)
            and ($8 is null or created_at < $8)
        order by created_at desc, id desc
        limit $9",
        owner, after.created_at, after.id, &filter.kind, filter.state, filter.parent,
        filter.created_after, filter.created_before, limit.and_one(),
    )?;
    Ok(Page::new(rows, limit, |task| Cursor {
        created_at: task.created_at,
        id: task.id.into(),
    }))
}
