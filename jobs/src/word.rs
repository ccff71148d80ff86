//! The words that tasks are told in: states, reasons, endings, events, priorities.

use models::words;
use serde::{Deserialize, Serialize};

words! {
    /// Where a task stands. The last four are ends: such a row changes no more.
    State {
        /// Due, scheduled, or backing off: see `run_at`.
        Queued = "queued",
        /// A worker holds its lease.
        Running = "running",
        /// On its children, or on a person. Holds no worker.
        Waiting = "waiting",
        /// Done.
        Succeeded = "succeeded",
        /// Given up.
        Failed = "failed",
        /// Stopped on request.
        Cancelled = "cancelled",
        /// Not started in time.
        Expired = "expired",
    }
}

impl State {
    /// Whether this is an end.
    pub const fn is_done(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Expired
        )
    }
}

words! {
    /// Why nothing happens with a task yet.
    Reason {
        /// It is to run later.
        Scheduled = "scheduled",
        /// An attempt failed; the next one waits a little.
        Backoff = "backoff",
        /// Its children are at work.
        Children = "children",
        /// A person has to answer.
        Input = "input",
    }
}

words! {
    /// How an attempt ended.
    Ending {
        /// With the task done.
        Succeeded = "succeeded",
        /// With the task given up.
        Failed = "failed",
        /// To be tried again.
        Retry = "retry",
        /// To wait for children.
        Wait = "wait",
        /// To be continued later.
        Snooze = "snooze",
        /// On request.
        Cancelled = "cancelled",
        /// Put back by a worker that was stopped.
        Released = "released",
        /// By the silence of its worker.
        Lost = "lost",
    }
}

words! {
    /// What an event tells of.
    EventKind {
        /// The state changed, or a cancellation was requested.
        State = "state",
        /// The progress changed.
        Progress = "progress",
        /// Part of the result is there.
        Partial = "partial",
        /// The task ended: the last event.
        Done = "done",
    }
}

/// Who goes first: a number in the table, a word elsewhere.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    sqlx::Type,
)]
#[serde(rename_all = "snake_case")]
#[repr(i64)]
pub enum Priority {
    /// Somebody waits for it.
    Interactive = 0,
    /// The usual.
    #[default]
    Normal = 1,
    /// Whenever there is time.
    Bulk = 2,
}
