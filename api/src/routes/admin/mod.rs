//! What operators see and do.

pub(crate) mod queues;
pub(crate) mod tasks;
pub(crate) mod workers;
