//! The states that a list of tasks can be narrowed to.

use jobs::State;
use poem_openapi::Enum;

/// Where a task is.
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename_all = "snake_case", rename = "TaskStateFilter")]
pub(crate) enum StateFilter {
    /// It waits for a worker, or for its time.
    Queued,
    /// A worker is at it.
    Running,
    /// It waits for its children or for a person.
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

impl From<StateFilter> for State {
    fn from(filter: StateFilter) -> Self {
        match filter {
            StateFilter::Queued => Self::Queued,
            StateFilter::Running => Self::Running,
            StateFilter::Waiting => Self::Waiting,
            StateFilter::Succeeded => Self::Succeeded,
            StateFilter::Failed => Self::Failed,
            StateFilter::Cancelled => Self::Cancelled,
            StateFilter::Expired => Self::Expired,
        }
    }
}
