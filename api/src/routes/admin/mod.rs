//! What operators see and do.

pub(crate) mod queues;
