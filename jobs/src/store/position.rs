//! How many due tasks come before one.

use chrono::{DateTime, Utc};
use models::{Conn, Result, TaskId, sql};

use crate::{job::Queue, task::Task, word::Priority};

/// Counting stops here: beyond, the number says nothing that somebody who waits can use.
pub const POSITION_MAX: i64 = 1_000;

/// The first due tasks of a queue as they were at one moment, [`POSITION_MAX`] at most.
#[derive(Debug)]
pub struct Front(Vec<Place>);

/// What the order of a queue goes by.
type Place = (Priority, DateTime<Utc>, TaskId);

impl Front {
    /// How many of them come before a task.
    pub fn before(&self, task: &Task) -> i64 {
        let place = (task.priority, task.run_at, task.id);
        let before = self.0.partition_point(|one| *one < place);
        i64::try_from(before).unwrap_or(POSITION_MAX)
    }

    /// How many tasks they are.
    pub fn length(&self) -> usize {
        self.0.len()
    }
}

/// Reads the front of a queue. Every priority is at least 0: to say so is to ask for the index.
pub async fn front(conn: &mut Conn, queue: Queue, now: DateTime<Utc>) -> Result<Front> {
    sql!(
        conn,
        fetch_all Place,
        "select priority, run_at, id from tasks
        where queue = $1 and state = 'queued' and priority >= 0 and run_at <= $2
        order by priority, run_at, id
        limit $3",
        queue,
        now,
        POSITION_MAX,
    )
    .map(Front)
}
