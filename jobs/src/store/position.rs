//! How many due tasks come before one.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use models::{Conn, Result, TaskId, sql, sql::Ids};

use crate::job::Queue;

/// Counting stops here: beyond, the number says nothing that somebody who waits can use.
pub const POSITION_MAX: i64 = 1_000;

/// The number of due tasks of the queue before each of these, in their order, counted in one pass; 0
/// for one that is not due in it.
pub async fn positions(
    conn: &mut Conn,
    queue: Queue,
    ids: &[TaskId],
    now: DateTime<Utc>,
) -> Result<Vec<i64>> {
    let wanted: Ids = ids.iter().copied().collect();
    let places = sql!(
        conn, fetch_all (TaskId, i64),
        postgres
        "select id, n from (
            select id, row_number() over (order by priority, run_at, id) - 1 as n from (
                select id, priority, run_at from tasks
                where queue = $1 and state = 'queued' and run_at <= $2
                order by priority, run_at, id
                limit $3
            ) line
        ) numbered
        where id = any($4) or n = $3 - 1",
        sqlite
        "select id, n from (
            select id, row_number() over (order by priority, run_at, id) - 1 as n from (
                select id, priority, run_at from tasks
                where queue = $1 and state = 'queued' and run_at <= $2
                order by priority, run_at, id
                limit $3
            ) line
        ) numbered
        where id in (select unhex(value) from json_each($4)) or n = $3 - 1",
        queue, now, POSITION_MAX + 1, wanted,
    )?;
    // Whoever is not among the first of a line that goes on is behind them.
    let beyond = if places.iter().any(|(_, n)| *n == POSITION_MAX) {
        POSITION_MAX
    } else {
        0
    };
    let places: BTreeMap<_, _> = places.into_iter().collect();
    Ok(ids
        .iter()
        .map(|id| places.get(id).copied().unwrap_or(beyond))
        .collect())
}
