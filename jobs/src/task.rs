//! The row of a task, and what goes into it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use models::{OwnerId, TaskId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    job::Queue,
    word::{Ending, EventKind, Priority, Reason, State},
};

/// The right to work on a task: its number of starts is the fencing token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The task.
    pub task_id: TaskId,
    /// The attempt that the holder started.
    pub attempt: i64,
}

impl Lease {
    /// How long a lease lasts without a heartbeat, of which there is one a second. With 9 s a task runs
    /// elsewhere within 15 s of the death of its worker, even if the first ring for it is lost, which
    /// the relay repairs within [`relay::PERIOD`](crate::relay::PERIOD).
    pub const DURATION: Duration = Duration::from_secs(9);

    /// Whether the task, as it is, runs under this lease.
    pub(crate) fn holds(self, task: &Task) -> bool {
        task.state == State::Running && task.lease() == self
    }
}

/// How far a task is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 100; the row keeps the highest.
    pub percent: f64,
    /// The stage, a word of the job: `outline`, `lessons`.
    pub step: Option<String>,
    /// For a person to read, at most 500 characters.
    pub message: Option<String>,
    /// Parts done.
    pub completed: Option<i64>,
    /// Parts in all.
    pub total: Option<i64>,
}

/// Why a task, or an attempt, failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable word: `model_unavailable`, `worker_lost`.
    pub code: String,
    /// For a person to read.
    pub detail: String,
    /// The attempt that failed.
    pub attempt: i64,
    /// Whether trying again can help.
    pub retryable: bool,
}

/// What the model read and wrote for a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read.
    pub tokens_in: u64,
    /// Tokens written.
    pub tokens_out: u64,
}

/// How a task waits for its children: their ends move its percent from one bound to the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wait {
    /// Percent while no child has ended.
    pub from: f64,
    /// Percent when all have.
    pub to: f64,
    /// The stage.
    pub step: String,
    /// For a person to read.
    pub message: String,
}

/// Why a task is not running, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// Why.
    pub reason: Reason,
    /// Until when, where that is known.
    pub until: Option<DateTime<Utc>>,
}

/// A row of `tasks`.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// The wire name of its job.
    pub kind: String,
    /// Where it waits.
    pub queue: Queue,
    /// Where it stands.
    pub state: State,
    /// Rises with every visible change; the ETag, and the number of the event that told of it.
    pub version: i64,
    /// Who goes first.
    pub priority: Priority,
    /// Whose it is.
    pub owner_id: OwnerId,
    /// The input of its job, an object.
    #[sqlx(json)]
    pub payload: Value,
    /// What came of it, an object or an array.
    #[sqlx(json(nullable))]
    pub result: Option<Value>,
    /// Why it failed, or why its last attempt did.
    #[sqlx(json(nullable))]
    pub error: Option<Failure>,
    /// What went less well than it should, for a person to read.
    #[sqlx(json)]
    pub warnings: Vec<String>,
    /// What the model read and wrote.
    #[sqlx(json)]
    pub usage: Usage,
    /// 0 to 100; falls only when a person asks for a fresh start.
    pub percent: f64,
    /// The stage.
    pub step: Option<String>,
    /// For a person to read.
    pub message: Option<String>,
    /// Parts done.
    pub completed: Option<i64>,
    /// Parts in all.
    pub total: Option<i64>,
    /// How many times it was started.
    pub attempt: i64,
    /// How many of these do not count against the maximum.
    pub attempts_spared: i64,
    /// Attempts at most.
    pub attempts_max: i64,
    /// Until when its worker holds it; set while it runs.
    pub lease_until: Option<DateTime<Utc>>,
    /// Who runs it, or ran it last.
    pub worker: Option<String>,
    /// Whether its worker was asked to stop.
    pub cancel_requested: bool,
    /// Why it waits: see [`Task::waiting`].
    pub waiting_reason: Option<Reason>,
    /// Not to be started before.
    pub run_at: DateTime<Utc>,
    /// When the relay last rang for it.
    pub rung_at: Option<DateTime<Utc>>,
    /// Not to be started after.
    pub expires_at: Option<DateTime<Utc>>,
    /// The task that asked for it.
    pub parent_id: Option<TaskId>,
    /// Its name among its siblings.
    pub child_key: Option<String>,
    /// Tasks it asked for.
    pub children_total: i64,
    /// Those that succeeded.
    pub children_succeeded: i64,
    /// Those that ended otherwise.
    pub children_failed: i64,
    /// Percent when it began to wait for its children.
    pub children_percent_from: f64,
    /// Percent when they will have ended.
    pub children_percent_to: f64,
    /// What it works on, as a reference under `/v1`.
    pub subject: Option<String>,
    /// The request that asked for it.
    pub request_id: Option<String>,
    /// The trace it is part of.
    pub trace_id: Option<String>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When it was first started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended; set in the ends only.
    pub finished_at: Option<DateTime<Utc>>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Task {
    /// The lease of whoever started its present attempt.
    pub fn lease(&self) -> Lease {
        Lease {
            task_id: self.id,
            attempt: self.attempt,
        }
    }

    /// Attempts that count against the maximum.
    pub fn attempts_used(&self) -> i64 {
        self.attempt - self.attempts_spared
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress {
            percent: self.percent,
            step: self.step.clone(),
            message: self.message.clone(),
            completed: self.completed,
            total: self.total,
        }
    }

    /// Why nothing happens with it, unless it runs, is due, or has ended.
    ///
    /// A row does not change when its time comes, so this depends on the time.
    pub fn waiting(&self, now: DateTime<Utc>) -> Option<Waiting> {
        match self.state {
            State::Waiting => Some(Waiting {
                reason: self.waiting_reason.unwrap_or(Reason::Children),
                until: None,
            }),
            State::Queued if self.run_at > now => Some(Waiting {
                reason: self.waiting_reason.unwrap_or(Reason::Scheduled),
                until: Some(self.run_at),
            }),
            _ => None,
        }
    }
}

/// A row of `task_attempts`: one start of a task.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Attempt {
    /// The task.
    pub task_id: TaskId,
    /// Its number, from 1.
    pub attempt: i64,
    /// Who ran it.
    pub worker: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How it ended; none while it runs.
    pub outcome: Option<Ending>,
    /// Why it failed.
    #[sqlx(json(nullable))]
    pub error: Option<Failure>,
}

/// A row of `task_events`: one visible change of a task.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Event {
    /// Equals the version after the change: gap-free from 1.
    pub seq: i64,
    /// What it tells of.
    pub event: EventKind,
    /// What changed, an object.
    #[sqlx(json)]
    pub data: Value,
    /// When.
    pub created_at: DateTime<Utc>,
}
