//! The attempts of a task, as clients see them.

use chrono::{DateTime, Utc};
use jobs::Attempt;
use schemars::JsonSchema;
use serde::Serialize;

use super::view::TaskError;

/// Every attempt of a task, the first one first.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Attempts {
    /// The attempts; an attempt that merely waited or was interrupted is one too.
    pub(crate) items: Vec<AttemptView>,
}

/// One attempt of a task.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Attempt")]
pub(crate) struct AttemptView {
    /// Its number, from 1.
    pub(crate) attempt: i64,
    /// Which worker made it.
    pub(crate) worker: String,
    /// When it began.
    pub(crate) started_at: DateTime<Utc>,
    /// When it ended; null while it goes on.
    pub(crate) ended_at: Option<DateTime<Utc>>,
    /// `succeeded`, `failed`, `retry`, `wait`, `snooze`, `cancelled`, `released` or `lost`; more
    /// may come. Null while it goes on.
    pub(crate) outcome: Option<&'static str>,
    /// Why it failed.
    pub(crate) error: Option<TaskError>,
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> Self {
        Self {
            attempt: attempt.attempt,
            worker: attempt.worker,
            started_at: attempt.started_at,
            ended_at: attempt.ended_at,
            outcome: attempt.outcome.map(jobs::Ending::as_str),
            error: attempt.error.map(TaskError::of),
        }
    }
}
