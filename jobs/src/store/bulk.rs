//! Everybody's tasks at once, for operators: to be looked at, cancelled, tried again.

use chrono::{DateTime, Utc};
use models::{Conn, Cursor, Limit, OwnerId, Page, Result, TaskId, sql, sql::One};

use crate::{job::Queue, task::Task, word::State};

/// Counting stops here.
pub const COUNT_MAX: i64 = 100_000;

/// Which tasks; what is absent does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of this kind.
    pub kind: Option<String>,
    /// Of this queue.
    pub queue: Option<Queue>,
    /// In this state.
    pub state: Option<State>,
    /// Of this owner.
    pub owner: Option<OwnerId>,
    /// Failed with this code.
    pub error: Option<String>,
    /// Created after this time.
    pub created_after: Option<DateTime<Utc>>,
    /// Created before this time.
    pub created_before: Option<DateTime<Utc>>,
}

impl Selection {
    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The selected tasks, newest first: their ids rise with time.
pub async fn list(
    conn: &mut Conn,
    selection: &Selection,
    after: Option<Cursor>,
    limit: Limit,
) -> Result<Page<Task>> {
    let after = after.unwrap_or_else(Cursor::start);
    let rows = sql!(
        conn, fetch_all Task,
        "select * from tasks
        where id < $1
            and ($2 is null or kind = $2) and ($3 is null or queue = $3)
            and ($4 is null or state = $4) and ($5 is null or owner_id = $5)
            and ($6 is null or error ->> 'code' = $6)
            and ($7 is null or created_at > $7) and ($8 is null or created_at < $8)
        order by id desc
        limit $9",
        after.id, &selection.kind, selection.queue, selection.state,
        selection.owner, &selection.error, selection.created_after, selection.created_before,
        limit.and_one(),
    )?;
    Ok(Page::new(rows, limit, |task| Cursor {
        created_at: task.created_at,
        id: task.id.into(),
    }))
}

/// The selected tasks that live, or those that have ended without success: the oldest first, so
/// parents before their children.
pub async fn ids(
    conn: &mut Conn,
    selection: &Selection,
    alive: bool,
    limit: u32,
) -> Result<Vec<(TaskId, OwnerId)>> {
    sql!(
        conn,
        fetch_all(TaskId, OwnerId),
        "select id, owner_id from tasks
        where ((state in ('queued', 'running', 'waiting') and $1)
                or (state in ('failed', 'cancelled', 'expired') and not $1))
            and ($2 is null or kind = $2) and ($3 is null or queue = $3)
            and ($4 is null or state = $4) and ($5 is null or owner_id = $5)
            and ($6 is null or error ->> 'code' = $6)
            and ($7 is null or created_at > $7) and ($8 is null or created_at < $8)
        order by id
        limit $9",
        alive,
        &selection.kind,
        selection.queue,
        selection.state,
        selection.owner,
        &selection.error,
        selection.created_after,
        selection.created_before,
        i64::from(limit),
    )
}

/// How many tasks [`ids`] would find, up to [`COUNT_MAX`].
pub async fn count(conn: &mut Conn, selection: &Selection, alive: bool) -> Result<i64> {
    let (count,) = sql!(
        conn, fetch_one One<i64>,
        "select count(*) from (
            select 1 from tasks
            where ((state in ('queued', 'running', 'waiting') and $1)
                    or (state in ('failed', 'cancelled', 'expired') and not $1))
                and ($2 is null or kind = $2) and ($3 is null or queue = $3)
                and ($4 is null or state = $4) and ($5 is null or owner_id = $5)
                and ($6 is null or error ->> 'code' = $6)
                and ($7 is null or created_at > $7) and ($8 is null or created_at < $8)
            limit $9
        ) selected",
        alive, &selection.kind, selection.queue, selection.state, selection.owner,
        &selection.error, selection.created_after, selection.created_before, COUNT_MAX,
    )?;
    Ok(count)
}
