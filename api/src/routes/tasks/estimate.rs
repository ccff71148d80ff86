//! What can be said of a task's future: when it ends, and when to ask again.
//!
//! Both are reckoned from the row alone and at the time of its last change, so that one version of
//! a task has one answer.

use chrono::{DateTime, TimeDelta, Utc};
use jobs::{State, store::Glance};
use schemars::JsonSchema;
use serde::Serialize;

use crate::limits::POLL_SECONDS_MAX;

/// How many times the median estimate nine of ten tasks take at most, by experience.
const P90_FACTOR: f64 = 1.5;

/// Below this share of the work, its speed says nothing yet.
const PERCENT_MIN: f64 = 3.0;

/// When a task will probably end.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Eta {
    /// As likely before as after this time.
    pub(crate) p50: DateTime<Utc>,
    /// With nine chances in ten before this time.
    pub(crate) p90: DateTime<Utc>,
}

/// The end of a task that is at work, if it goes on at the speed it had so far.
pub(crate) fn eta(task: &Glance) -> Option<Eta> {
    let started_at = task.started_at?;
    // A task that waits for its children is at work through them.
    let at_work = matches!(task.state, State::Running | State::Waiting);
    if !at_work || !(PERCENT_MIN..100.0).contains(&task.percent) {
        return None;
    }
    let elapsed = (task.updated_at - started_at).as_seconds_f64().max(0.0);
    let left = elapsed * (100.0 - task.percent) / task.percent;
    let after = |seconds: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "an estimate needs no fractions"
        )]
        let seconds = TimeDelta::try_seconds(seconds.ceil() as i64)?;
        task.updated_at.checked_add_signed(seconds)
    };
    Some(Eta {
        p50: after(left)?,
        p90: after(left * P90_FACTOR)?,
    })
}

/// When to ask for a task again: 1 s at first, slower as it grows old, sooner near its end.
/// Nothing for a task that has ended.
pub(crate) fn poll_seconds(task: &Glance, now: DateTime<Utc>) -> Option<u64> {
    if task.state.is_done() {
        return None;
    }
    let whole_seconds = |delta: TimeDelta| u64::try_from(delta.num_seconds()).unwrap_or(0);
    let by_age = whole_seconds(now - task.created_at) / 10;
    let by_end = eta(task).map_or(POLL_SECONDS_MAX, |eta| whole_seconds(eta.p50 - now));
    Some(by_age.min(by_end).clamp(1, POLL_SECONDS_MAX))
}
