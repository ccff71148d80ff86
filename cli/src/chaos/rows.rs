//! What the database remembers of the experiment.

use chrono::{DateTime, Utc};
use jobs::{Ending, State};
use models::{Conn, Result, TaskId, sql};

/// A task, with what hangs on it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Its id.
    pub id: TaskId,
    /// What it is.
    pub kind: String,
    /// Where it stands.
    pub state: State,
    /// How often it has changed.
    pub version: i64,
    /// How often it was started.
    pub attempt: i64,
    /// Attempts at most.
    pub attempts_max: i64,
    /// Events that tell of an end.
    pub ends: i64,
    /// The number of the last event.
    pub last_event: i64,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Its attempts, the first one first.
    pub attempts: Vec<Attempt>,
}

/// An attempt.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// Its number, from 1.
    pub number: i64,
    /// Who made it.
    pub worker: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub outcome: Option<Ending>,
}

/// What is left in the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    /// Every task of the load and every poison.
    pub tasks: Vec<Row>,
    /// Which task stands behind which idempotency key.
    pub keys: Vec<(String, TaskId)>,
}

type TaskRow = (
    TaskId,
    String,
    State,
    i64,
    i64,
    i64,
    i64,
    i64,
    Option<DateTime<Utc>>,
);
type AttemptRow = (
    TaskId,
    i64,
    String,
    DateTime<Utc>,
    Option<DateTime<Utc>>,
    Option<Ending>,
);

impl Rows {
    /// Reads everything.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn read(conn: &mut Conn) -> Result<Self> {
        let tasks = sql!(
            conn,
            fetch_all TaskRow,
            "select id, kind, state, version, attempt, attempts_max,
                (select count(*) from task_events where task_id = id and event = 'done'),
                (select coalesce(max(seq), 0) from task_events where task_id = id),
                finished_at
            from tasks
            where kind in ('noop', 'poison')
            order by id",
        )?;
        let attempts = sql!(
            conn,
            fetch_all AttemptRow,
            "select task_id, attempt, worker, started_at, ended_at, outcome
            from task_attempts
            order by task_id, attempt",
        )?;
        let keys = sql!(
            conn,
            fetch_all(String, TaskId),
            "select key, task_id from idempotency_keys
            where task_id is not null
            order by key",
        )?;
        let tasks = tasks.into_iter().map(|task| row(task, &attempts)).collect();
        Ok(Self { tasks, keys })
    }
}

/// A task and its attempts, which are sorted by task.
fn row(task: TaskRow, attempts: &[AttemptRow]) -> Row {
    let (id, kind, state, version, attempt, attempts_max, ends, last_event, finished_at) = task;
    let first = attempts.partition_point(|attempt| attempt.0 < id);
    let own = attempts[first..]
        .iter()
        .take_while(|attempt| attempt.0 == id);
    let attempts = own.cloned().map(
        |(_, number, worker, started_at, ended_at, outcome)| Attempt {
            number,
            worker,
            started_at,
            ended_at,
            outcome,
        },
    );
    Row {
        id,
        kind,
        state,
        version,
        attempt,
        attempts_max,
        ends,
        last_event,
        finished_at,
        attempts: attempts.collect(),
    }
}

/// Rows for the tests of those who read them.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// An attempt.
    pub(crate) fn attempt(
        number: i64,
        worker: &str,
        started_at: DateTime<Utc>,
        ended_at: DateTime<Utc>,
        outcome: Ending,
    ) -> Attempt {
        Attempt {
            number,
            worker: worker.to_owned(),
            started_at,
            ended_at: Some(ended_at),
            outcome: Some(outcome),
        }
    }

    /// A task that has succeeded with these attempts.
    pub(crate) fn row(attempts: Vec<Attempt>) -> Row {
        Row {
            id: TaskId::new(),
            kind: "noop".to_owned(),
            state: State::Succeeded,
            version: 3,
            attempt: i64::try_from(attempts.len()).unwrap_or_default(),
            attempts_max: 3,
            ends: 1,
            last_event: 3,
            finished_at: attempts.last().and_then(|last| last.ended_at),
            attempts,
        }
    }
}
