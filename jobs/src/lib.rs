//! Job definitions, the tasks table, the bell and the relay.
//!
//! The database remembers, the bell is a hint, the worker does, the row tells. A task is enqueued
//! in the transaction that makes it true ([`store::enqueue`]), rung after the commit
//! ([`bell::Bell`]), and rung again by the [`relay`] until somebody starts it.

pub mod batch;
pub mod bell;
pub mod cron;
mod job;
mod keep;
pub mod kinds;
pub mod relay;
mod retry;
pub mod store;
mod task;
#[cfg(feature = "testing")]
pub mod testing;
mod word;

pub use job::{Definition, Job, Queue};
pub use models::TaskId;
pub use retry::Retry;
pub use task::{Attempt, Event, Failure, Lease, Progress, Task, Usage, Wait, Waiting};
pub use word::{Ending, EventKind, Priority, Reason, State};
