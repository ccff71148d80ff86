//! Kill the process, to prove that this comes to an end.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    job::{Job, Queue},
    retry::Retry,
};

/// Abort the process of whoever works on it. No client may submit it: `lyo chaos` puts it into a
/// database of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poison {}

impl Job for Poison {
    const KIND: &'static str = "poison";
    const QUEUE: Queue = Queue::Default;
    const RETRY: Retry = Retry::attempts(3);
    const TIMEOUT: Duration = Duration::from_secs(30);
    const KEPT: Duration = Duration::from_hours(2 * 24);
}
