//! Do nothing, for diagnosis and measurement.

use std::time::Duration;

use models::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::{
    job::{Job, Queue},
    retry::Retry,
};

/// Do nothing, slowly or in vain if asked to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noop {
    /// Any number: it comes back in the result.
    pub n: i64,
    /// How long to do nothing, in milliseconds: at most 10,000.
    #[serde(default)]
    pub sleep_ms: u64,
    /// Fail instead of succeeding: `true` for good, `false` so that it is tried again.
    #[serde(default)]
    pub fail: Option<bool>,
}

impl Job for Noop {
    const KIND: &'static str = "noop";
    const QUEUE: Queue = Queue::Default;
    // More than a poison has: it is short and comes in great numbers, so that of many thousands some
    // are hit by one dying worker after the other, through no fault of their own.
    const RETRY: Retry = Retry::attempts(5);
    const TIMEOUT: Duration = Duration::from_secs(30);
    const OPEN: bool = true;
    const KEPT: Duration = Duration::from_hours(2 * 24);

    fn check(&self) -> Result<()> {
        if self.sleep_ms > 10_000 {
            return Err(Error::invalid("/sleep_ms", "must be at most 10000"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::job::Definition;

    fn refused(payload: &Value) -> Option<String> {
        match (Definition::of::<Noop>().check)(payload) {
            Err(Error::Invalid { field, .. }) => Some(field),
            _ => None,
        }
    }

    #[test]
    fn a_payload_is_checked_by_its_kind() {
        assert_eq!(refused(&json!({"n": 1})), None);
        assert_eq!(
            refused(&json!({"n": 1, "sleep_ms": 10_000, "fail": true})),
            None
        );
        assert_eq!(refused(&json!({})).as_deref(), Some("/payload"));
        assert_eq!(refused(&json!([1])).as_deref(), Some("/payload"));
        assert_eq!(refused(&json!({"n": "1"})).as_deref(), Some("/payload"));
        assert_eq!(
            refused(&json!({"n": 1, "m": 2})).as_deref(),
            Some("/payload/m")
        );
        let slow = json!({"n": 1, "sleep_ms": 10_001});
        assert_eq!(refused(&slow).as_deref(), Some("/payload/sleep_ms"));
    }
}
