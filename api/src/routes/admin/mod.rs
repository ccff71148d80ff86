//! What operators see and do.

pub(crate) mod audit;
pub(crate) mod queues;
pub(crate) mod tasks;
pub(crate) mod users;
pub(crate) mod workers;
