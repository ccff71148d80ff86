//! The tasks table: one file a verb, each a conditional update.
//!
//! What holds everywhere:
//!
//! - A write by a worker names its lease; when the row is no longer the lease's, `Error::Lost`.
//! - Every visible change raises the version by one and adds one event with that number.
//! - An ended row changes no more, unless a person asks for it again ([`again`]).
//! - The end of a child is counted in its parent in the same transaction; the last one queues it.
//! - Rows are locked the latest first, which is child before parent. Whoever changes several of a
//!   family locks all of it first ([`lock::family`]); a transaction that ends a task must not hold
//!   its parent.

mod again;
mod attempts;
pub mod bulk;
mod cancel;
pub mod checkpoint;
mod count;
mod due;
pub mod durations;
mod end;
mod enqueue;
mod events;
mod fair;
mod find;
mod forget;
mod glance;
mod heartbeat;
mod lock;
mod parent;
mod position;
mod progress;
mod put_back;
pub mod queues;
mod reap;
pub mod schedules;
mod start;
mod succeed;
pub mod workers;

pub use again::again;
pub use attempts::attempts;
pub use cancel::cancel;
pub use due::{Turn, due, next_due};
pub use end::{cancelled, fail};
pub use enqueue::{
    CHILDREN_MAX, New, Options, PAYLOAD_BYTES_MAX, enqueue, enqueue_many, enqueue_raw,
};
pub use events::{Followed, events, events_many};
pub use fair::AGEING;
pub use find::{Filter, children, find, get, list};
pub use forget::{delete, prune};
pub use glance::{Glance, Wanted, find_many, glance_many};
pub use heartbeat::{Held, heartbeat};
pub use lock::fence;
pub use position::{Front, POSITION_MAX, front};
pub use progress::{partial, progress};
pub use put_back::{release, retry, snooze, wait};
pub use reap::{Reaped, reap, take_over};
pub use start::{start, start_next};
pub use succeed::{Success, succeed, succeed_many};

use models::{Error, Result};
use serde_json::Value;

use crate::task::Task;

/// What a verb changed: to be told to the bell after the commit.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The task that was asked for, as it is now.
    pub task: Task,
    /// Others that changed with it: its parent, its children.
    pub others: Vec<Task>,
}

/// Refuses a document that is neither an object nor an array: SQLite would store it as a number.
fn document(value: &Value, field: &'static str) -> Result<()> {
    if value.is_object() || value.is_array() {
        Ok(())
    } else {
        Err(Error::invalid(field, "must be an object or an array"))
    }
}
