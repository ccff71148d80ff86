//! What operators decide about queues: open, paused, draining.

use chrono::{DateTime, Utc};
use models::{Conn, Error, Result, Tx, sql, words};

use crate::job::Queue;

words! {
    /// What a queue does.
    Mode {
        /// It takes tasks and starts them.
        Open = "open",
        /// It takes tasks and starts none.
        Paused = "paused",
        /// It starts what it has and takes nothing new from clients.
        Draining = "draining",
    }
}

/// A row of `queues`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Control {
    /// The queue.
    pub queue: Queue,
    /// What it does.
    pub mode: Mode,
    /// When a pause ends by itself.
    pub paused_until: Option<DateTime<Utc>>,
}

impl Control {
    /// What the queue does at this time: a pause may have ended without anybody's doing.
    #[must_use]
    pub fn at(self, now: DateTime<Utc>) -> Self {
        if self.paused_until.is_some_and(|until| until <= now) {
            return Self::open(self.queue);
        }
        self
    }

    const fn open(queue: Queue) -> Self {
        Self {
            queue,
            mode: Mode::Open,
            paused_until: None,
        }
    }
}

/// Every queue as it is at this time, in the order of declaration.
pub async fn list(conn: &mut Conn, now: DateTime<Utc>) -> Result<Vec<Control>> {
    let rows = sql!(
        conn, fetch_all Control,
        "select queue, mode, paused_until from queues",
    )?;
    let control = |queue: &Queue| {
        let row = rows.iter().find(|row| row.queue == *queue);
        row.map_or(Control::open(*queue), |row| row.at(now))
    };
    Ok(Queue::ALL.iter().map(control).collect())
}

/// Changes what a queue does. After the commit, nudge the relay.
///
/// `Invalid` when an end is given that is not in the future, or for anything but a pause.
pub async fn update(tx: &mut Tx, control: Control, now: DateTime<Utc>) -> Result<Control> {
    if control.paused_until.is_some_and(|until| until <= now) {
        return Err(Error::invalid("/paused_until", "must be in the future"));
    }
    if control.paused_until.is_some() && control.mode != Mode::Paused {
        return Err(Error::invalid("/paused_until", "is only for a pause"));
    }
    sql!(
        tx, fetch_one Control,
        "insert into queues (queue, mode, paused_until, updated_at)
        values ($1, $2, $3, $4)
        on conflict (queue) do update
        set mode = excluded.mode, paused_until = excluded.paused_until,
            updated_at = excluded.updated_at
        returning queue, mode, paused_until",
        control.queue, control.mode, control.paused_until, now,
    )
}

/// What a queue holds of a kind.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Load {
    /// The queue.
    pub queue: Queue,
    /// The kind.
    pub kind: String,
    /// Tasks that could start now.
    pub due: i64,
    /// Tasks whose time has not come.
    pub scheduled: i64,
    /// Tasks in the hands of workers.
    pub running: i64,
    /// Since when the oldest of those that could start could.
    pub oldest_at: Option<DateTime<Utc>>,
}

/// What every queue holds, kind by kind. Counts every living task: callers keep the answer a while.
pub async fn load(conn: &mut Conn, now: DateTime<Utc>) -> Result<Vec<Load>> {
    // Two halves, each with an index of its own.
    sql!(
        conn, fetch_all Load,
        "select queue, kind, count(case when run_at <= $1 then 1 end) as due,
            count(case when run_at > $1 then 1 end) as scheduled,
            cast(0 as bigint) as running, min(case when run_at <= $1 then run_at end) as oldest_at
        from tasks where state = 'queued' and attempts_spared >= 0 group by queue, kind
        union all
        select queue, kind, cast(0 as bigint), cast(0 as bigint), count(*), null
        from tasks where state = 'running' group by queue, kind",
        now,
    )
}
