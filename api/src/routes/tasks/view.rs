//! A task as clients see it.

use chrono::{DateTime, Utc};
use jobs::{Failure, Priority, State, Task};
use models::id::TaskId;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::estimate::{Eta, eta};
use crate::codes::Code;

/// A unit of work: what was asked for, how far it is, and what came of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Task")]
pub(crate) struct TaskView {
    /// A UUID of version 7: ids sort by the time they were made.
    pub(crate) id: Uuid,
    /// The kind of work.
    pub(crate) kind: String,
    /// The queue that the work goes through.
    pub(crate) queue: &'static str,
    /// Where the task is. A client treats a state that it does not know by `done`.
    #[schemars(with = "TaskState")]
    pub(crate) state: State,
    /// Whether the task has ended, one way or another.
    pub(crate) done: bool,
    /// Rises on every visible change; the ETag is made from it.
    pub(crate) version: i64,
    /// What is worked on first.
    #[schemars(with = "TaskPriority")]
    pub(crate) priority: Priority,
    /// How far the work is.
    pub(crate) progress: ProgressView,
    /// Why nothing happens yet; null while it runs, and when it is simply its turn next.
    pub(crate) waiting: Option<WaitingView>,
    /// When it will probably end, judged by its speed so far.
    pub(crate) eta: Option<Eta>,
    /// How many due tasks of the queue come before this one: 0 when it is not queued, and null
    /// in lists.
    pub(crate) position: Option<i64>,
    /// Which attempt this is; 0 before the first.
    pub(crate) attempt: i64,
    /// How many attempts it gets at most.
    pub(crate) attempts_max: i64,
    /// What was asked for.
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub(crate) payload: Value,
    /// What came of it; null until it has succeeded, and when its result is elsewhere.
    pub(crate) result: Option<Value>,
    /// Why it failed, or why its last attempt did.
    pub(crate) error: Option<TaskError>,
    /// What the reader should know although it went well.
    pub(crate) warnings: Vec<String>,
    /// What it has used up so far.
    pub(crate) usage: UsageView,
    /// The task that this one is part of.
    pub(crate) parent_id: Option<Uuid>,
    /// The tasks that are part of this one.
    pub(crate) children: Children,
    /// When it was submitted.
    pub(crate) created_at: DateTime<Utc>,
    /// The earliest time of its next attempt.
    pub(crate) run_at: DateTime<Utc>,
    /// When its first attempt began.
    pub(crate) started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub(crate) finished_at: Option<DateTime<Utc>>,
    /// If it has not begun by then, it ends as `expired`.
    pub(crate) expires_at: Option<DateTime<Utc>>,
    /// Who submitted it.
    pub(crate) created_by: Uuid,
    /// The trace of the request that submitted it.
    pub(crate) trace_id: Option<String>,
    /// Where to go from here.
    pub(crate) links: Links,
}

/// How far the work is.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Progress")]
pub(crate) struct ProgressView {
    /// From 0 to 100; it only rises within an attempt.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub(crate) percent: f64,
    /// The present step, for programs.
    pub(crate) step: Option<String>,
    /// The present step, for people.
    pub(crate) message: Option<String>,
    /// How many parts are done.
    pub(crate) completed: Option<i64>,
    /// How many parts there are.
    pub(crate) total: Option<i64>,
}

/// Why nothing happens yet.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Waiting")]
pub(crate) struct WaitingView {
    /// `scheduled`, `backoff`, `children` or `input`; more may come.
    pub(crate) reason: &'static str,
    /// When it goes on, if that is known.
    pub(crate) until: Option<DateTime<Utc>>,
}

/// Why a task, or its last attempt, failed: a problem of an attempt.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TaskError {
    /// Identifies the kind of problem.
    #[serde(rename = "type")]
    pub(crate) reference: String,
    /// The same for every problem of this kind.
    pub(crate) title: String,
    /// What programs switch on.
    pub(crate) code: String,
    /// What went wrong.
    pub(crate) detail: String,
    /// Which attempt it was.
    pub(crate) attempt: i64,
    /// Whether trying again can help.
    pub(crate) retryable: bool,
}

/// What a task has used up.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Usage")]
pub(crate) struct UsageView {
    /// Tokens read by the model.
    pub(crate) tokens_in: u64,
    /// Tokens written by the model.
    pub(crate) tokens_out: u64,
}

/// The tasks that are part of a task.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Children {
    /// How many there are.
    pub(crate) total: i64,
    /// How many have succeeded.
    pub(crate) succeeded: i64,
    /// How many have ended otherwise.
    pub(crate) failed: i64,
}

/// Where to go from a task.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TaskLinks")]
pub(crate) struct Links {
    /// The task itself.
    #[serde(rename = "self")]
    pub(crate) this: String,
    /// Its events.
    pub(crate) events: String,
    /// Its attempts.
    pub(crate) attempts: String,
    /// Cancels it; null once it has ended.
    pub(crate) cancel: Option<String>,
    /// Retries it; null unless that is possible.
    pub(crate) retry: Option<String>,
    /// What it works on.
    pub(crate) subject: Option<String>,
    /// The task that it is part of.
    pub(crate) parent: Option<String>,
}

/// Where a task is.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the words of `jobs` to clients")]
pub(crate) enum TaskState {
    /// It waits for a worker, or for its time.
    Queued,
    /// A worker is at it.
    Running,
    /// It waits for its children or for a person, and holds no worker.
    Waiting,
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It did not begin in time.
    Expired,
}

/// What is worked on first.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the words of `jobs` to clients")]
pub(crate) enum TaskPriority {
    /// Somebody is watching.
    Interactive,
    /// The default.
    Normal,
    /// Whenever there is time.
    Bulk,
}

impl TaskView {
    /// The view of a row at a time; `position` is the number of due tasks before it.
    pub(crate) fn new(task: Task, position: Option<i64>, now: DateTime<Utc>) -> Self {
        Self {
            eta: eta(&task.glance()),
            links: Links::of(&task),
            waiting: task.waiting(now).map(|waiting| WaitingView {
                reason: waiting.reason.as_str(),
                until: waiting.until,
            }),
            error: task.error.map(TaskError::of),
            id: task.id.into(),
            kind: task.kind,
            queue: task.queue.as_str(),
            state: task.state,
            done: task.state.is_done(),
            version: task.version,
            priority: task.priority,
            progress: ProgressView {
                percent: task.percent,
                step: task.step,
                message: task.message,
                completed: task.completed,
                total: task.total,
            },
            position,
            attempt: task.attempt,
            attempts_max: task.attempts_max,
            payload: task.payload,
            result: task.result,
            warnings: task.warnings,
            usage: UsageView {
                tokens_in: task.usage.tokens_in,
                tokens_out: task.usage.tokens_out,
            },
            parent_id: task.parent_id.map(Uuid::from),
            children: Children {
                total: task.children_total,
                succeeded: task.children_succeeded,
                failed: task.children_failed,
            },
            created_at: task.created_at,
            run_at: task.run_at,
            started_at: task.started_at,
            finished_at: task.finished_at,
            expires_at: task.expires_at,
            created_by: task.owner_id.into(),
            trace_id: task.trace_id,
        }
    }
}

impl TaskError {
    /// The failure of an attempt.
    pub(crate) fn of(failure: Failure) -> Self {
        // Failures of tasks share the vocabulary of problems where that has a page for them.
        let title = Code::find(&failure.code).map_or_else(
            || failure.code.replace('_', " "),
            |code| code.title.to_owned(),
        );
        Self {
            reference: format!("/problems/{}", failure.code.replace('_', "-")),
            title,
            code: failure.code,
            detail: failure.detail,
            attempt: failure.attempt,
            retryable: failure.retryable,
        }
    }
}

impl Links {
    fn of(task: &Task) -> Self {
        let this = path(task.id);
        let below = |name: &str| format!("{this}/{name}");
        Self {
            events: below("events"),
            attempts: below("attempts"),
            cancel: (!task.state.is_done()).then(|| below("cancel")),
            retry: is_retryable(task.state).then(|| below("retry")),
            subject: task
                .subject
                .as_ref()
                .map(|subject| format!("/v1/{subject}")),
            parent: task.parent_id.map(path),
            this,
        }
    }
}

/// Whether a task in this state can be tried again on request.
fn is_retryable(state: State) -> bool {
    matches!(state, State::Failed | State::Cancelled | State::Expired)
}

/// Where a task is found.
pub(crate) fn path(id: TaskId) -> String {
    format!("/v1/tasks/{id}")
}
