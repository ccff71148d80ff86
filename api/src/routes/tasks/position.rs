//! How many due tasks come before one.

use chrono::{DateTime, Utc};
use jobs::{State, Task};
use models::{Conn, sql};

/// Counting stops here: beyond, the number says nothing that somebody who waits can use.
const POSITION_MAX: i64 = 1_000;

type Count = (i64,);

/// The number of due tasks of the same queue that come first; 0 for a task that is not due.
pub(crate) async fn position(
    conn: &mut Conn,
    task: &Task,
    now: DateTime<Utc>,
) -> models::Result<i64> {
    if task.state != State::Queued || task.run_at > now {
        return Ok(0);
    }
    let (count,) = sql!(
        conn, fetch_one Count,
        "select count(*) from (
            select 1 from tasks
            where queue = $1 and state = 'queued' and run_at <= $2
                and (priority, run_at, id) < ($3, $4, $5)
            limit $6
        ) earlier",
        task.queue, now, task.priority, task.run_at, task.id, POSITION_MAX,
    )?;
    Ok(count)
}
