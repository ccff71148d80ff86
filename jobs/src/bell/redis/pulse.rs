//! Whether Redis answers and whether the queues are listened to.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::job::Queue;

/// Silence for longer than this is worth telling.
const PATIENCE: Duration = Duration::from_secs(20);

/// When there was the last sign of life of each part.
#[derive(Debug)]
pub(super) struct Pulse {
    answered: Mutex<Instant>,
    heard: Mutex<BTreeMap<Queue, Instant>>,
}

impl Pulse {
    pub(super) fn new(queues: &[Queue]) -> Self {
        let now = Instant::now();
        Self {
            answered: Mutex::new(now),
            heard: Mutex::new(queues.iter().map(|queue| (*queue, now)).collect()),
        }
    }

    /// Redis has answered.
    pub(super) fn answered(&self) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// The worker of a queue lives.
    pub(super) fn heard(&self, queue: Queue) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.insert(queue, Instant::now());
    }

    /// What is wrong, when it has been for a while.
    pub(super) fn trouble(&self) -> Option<String> {
        let silence = self
            .answered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed();
        if silence > PATIENCE {
            return Some(format!(
                "Redis has not answered for {} s.",
                silence.as_secs()
            ));
        }
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let (queue, since) = heard.iter().min_by_key(|(_, since)| **since)?;
        let silence = since.elapsed();
        (silence > PATIENCE).then(|| {
            format!(
                "Nothing was taken from the queue {queue} for {} s.",
                silence.as_secs()
            )
        })
    }
}
