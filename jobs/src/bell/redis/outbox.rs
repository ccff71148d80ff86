//! What is to be said to Redis: gathered in memory, said in the background.
//!
//! Whoever rings has committed a transaction and must not wait. While one batch is being sent the
//! next one gathers. What cannot be sent is dropped: the relay and the watchers look again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use models::TaskId;
use redis::RedisResult;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tracing::{info, warn};
use uuid::Uuid;

use super::{Shared, keys::CHANGED};
use crate::{bell::Offer, job::Queue};

/// Rings of a queue, and changes, that wait to be sent at most.
const PENDING_MAX: usize = 4_096;
/// Redis is asked for a sign of life when nothing was to be said for so long.
const PING_PERIOD: Duration = Duration::from_secs(2);
/// How long sending a batch may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to leave Redis alone after it failed.
const FAILURE_PAUSE: Duration = Duration::from_millis(250);

/// Rings and changes that were not sent yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pending: Mutex<Pending>,
    some: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    rings: [Rings; Queue::ALL.len()],
    changed: Vec<TaskId>,
}

/// Rings of one queue.
#[derive(Debug, Default)]
pub(super) struct Rings {
    /// Those that the relay has chosen.
    pub(super) fed: Vec<TaskId>,
    /// Those of tasks that have just become due.
    pub(super) offered: Vec<Offer>,
    /// The database holds more: a relay is to look when no more than so many are outstanding.
    pub(super) low: Option<usize>,
}

impl Rings {
    fn is_empty(&self) -> bool {
        self.fed.is_empty() && self.offered.is_empty() && self.low.is_none()
    }
}

impl Outbox {
    pub(super) fn ring(&self, due: &[(Queue, TaskId)]) {
        self.add(|pending| {
            for (queue, id) in due {
                let rings = &mut pending.rings[*queue as usize];
                push(&mut rings.fed, &mut rings.low, *id);
            }
        });
    }

    pub(super) fn offer(&self, queue: Queue, offer: Offer) {
        self.add(|pending| {
            let rings = &mut pending.rings[queue as usize];
            push(&mut rings.offered, &mut rings.low, offer);
        });
    }

    pub(super) fn more(&self, queue: Queue, low: usize) {
        self.add(|pending| pending.rings[queue as usize].low = Some(low));
    }

    pub(super) fn announce(&self, id: TaskId) {
        self.add(|pending| {
            if pending.changed.len() < PENDING_MAX {
                pending.changed.push(id);
            }
        });
    }

    fn add(&self, add: impl FnOnce(&mut Pending)) {
        add(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        self.some.notify_one();
    }

    fn take(&self) -> Pending {
        std::mem::take(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn push<T>(rings: &mut Vec<T>, low: &mut Option<usize>, ring: T) {
    if rings.len() < PENDING_MAX {
        rings.push(ring);
    } else {
        low.get_or_insert(0);
    }
}

/// Sends until the bell is closed, and then once more.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut silent = false;
    loop {
        let stopping = tokio::select! {
            () = shared.outbox.some.notified() => false,
            () = sleep(PING_PERIOD) => false,
            () = shared.stop.cancelled() => true,
        };
        let sent = timeout(SEND_TIMEOUT, send(&shared, shared.outbox.take())).await;
        let error = match sent {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        match &error {
            None => shared.pulse.answered(),
            Some(error) if !silent => {
                warn!(error, "Redis does not answer, the relay rings: {error}");
            }
            Some(_) => {}
        }
        if silent && error.is_none() {
            info!("Redis answers again");
            // What was rung meanwhile was dropped.
            shared.local.nudge();
        }
        silent = error.is_some();
        if stopping {
            return;
        }
        if silent {
            sleep(FAILURE_PAUSE).await;
        }
    }
}

async fn send(shared: &Shared, pending: Pending) -> RedisResult<()> {
    let mut conn = shared.conn.clone();
    let mut said = false;
    for (queue, rings) in Queue::ALL.iter().zip(&pending.rings) {
        if !rings.is_empty() {
            if shared.keys(*queue).push(&mut conn, rings).await? {
                shared.local.nudge();
            }
            said = true;
        }
    }
    if !pending.changed.is_empty() {
        let bytes = |id: &TaskId| Uuid::from(*id).into_bytes();
        let message: Vec<u8> = pending.changed.iter().flat_map(bytes).collect();
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(CHANGED).arg(message);
        publish.query_async::<()>(&mut conn).await?;
        said = true;
    }
    if !said {
        redis::cmd("PING").query_async::<()>(&mut conn).await?;
    }
    Ok(())
}
