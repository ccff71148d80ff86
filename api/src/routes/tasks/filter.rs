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

#[cfg(test)]
mod tests {
    use poem_openapi::types::ParseFromParameter;

    use super::*;
    use crate::{json::agreement::words, routes::tasks::view::TaskState};

    #[test]
    fn the_states_are_those_of_tasks() {
        let states: Vec<_> = State::ALL.iter().map(|state| state.as_str()).collect();

        words::<TaskState>(&states);
        for word in states {
            let filter = StateFilter::parse_from_parameter(word).ok();
            assert_eq!(
                filter.map(|filter| State::from(filter).as_str()),
                Some(word)
            );
        }
    }
}
