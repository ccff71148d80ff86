//! What becomes of tasks, counted for those who scrape this process.
//!
//! Ends are counted before the commit, which hardly ever fails: these numbers steer people and decide
//! nothing.

use chrono::{DateTime, Utc};
use metrics::{counter, histogram};

use crate::task::Task;

/// A task was started.
pub(super) fn started(task: &Task, now: DateTime<Utc>) {
    let waited = (now - task.run_at).as_seconds_f64().max(0.0);
    histogram!("task_wait_seconds", "queue" => task.queue.as_str()).record(waited);
}

/// A task has ended.
pub(super) fn ended(task: &Task) {
    let outcome = task.state.as_str();
    counter!("tasks_total", "kind" => task.kind.clone(), "outcome" => outcome).increment(1);
    if let (Some(started_at), Some(finished_at)) = (task.started_at, task.finished_at) {
        let seconds = (finished_at - started_at).as_seconds_f64().max(0.0);
        histogram!("task_seconds", "kind" => task.kind.clone()).record(seconds);
    }
}
