//! The health of the parts of one process, as readiness reports it.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use serde::Serialize;

/// What one part of the process says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "detail", rename_all = "snake_case")]
pub enum Status {
    /// It does its work.
    Ready,
    /// It is on its way, for example a model that is being downloaded: the text says how far.
    Starting(String),
    /// It works in a lesser way: the text says which.
    Degraded(String),
    /// It does not work, and neither does what depends on it: the text says why.
    Down(String),
}

/// A register of the parts of this process; clones share it.
///
/// Parts report by name as they change. Nothing is polled here, so reading it costs nothing and
/// cannot fail; what needs a probe (the database) is probed by whoever answers readiness.
#[derive(Clone, Debug, Default)]
pub struct Health {
    components: Arc<RwLock<BTreeMap<&'static str, Status>>>,
}

impl Health {
    /// Records what a part says of itself now.
    pub fn set(&self, component: &'static str, status: Status) {
        let mut components = self
            .components
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        components.insert(component, status);
    }

    /// Every part that has reported so far, by name.
    pub fn snapshot(&self) -> BTreeMap<&'static str, Status> {
        self.components
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether no part is down. A part that is starting or degraded does not make it false.
    pub fn is_ready(&self) -> bool {
        !self
            .snapshot()
            .values()
            .any(|status| matches!(status, Status::Down(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_one_register_and_only_down_makes_it_unready() {
        let health = Health::default();
        let other = health.clone();

        other.set("model", Status::Starting("Downloading, 43 %".to_owned()));
        assert!(health.is_ready());
        other.set("database", Status::Down("connection refused".to_owned()));

        assert!(!health.is_ready());
        assert_eq!(health.snapshot().len(), 2);
    }

    #[test]
    fn a_status_is_written_as_state_and_detail() {
        let json = |status| serde_json::to_value(status).expect("it has no map keys");

        assert_eq!(json(Status::Ready), serde_json::json!({"state": "ready"}));
        assert_eq!(
            json(Status::Starting("Loading".to_owned())),
            serde_json::json!({"state": "starting", "detail": "Loading"})
        );
    }
}
