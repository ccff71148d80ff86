//! Says early that the database is away: a client hears of it within a second.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use models::Db;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

/// How long a request waits for the database before it doubts that there is one.
const DOUBT_AFTER: Duration = Duration::from_millis(400);
/// How often those who doubt look.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a request waits for a database that did not answer the last time, whatever the cause.
const AWAY_TIMEOUT: Duration = Duration::from_millis(700);

/// What the requests of a process know together of the database; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outage {
    /// Whether the database did not answer the last time.
    away: Arc<AtomicBool>,
    /// Held by the one who looks.
    looking: Arc<Mutex<()>>,
}

impl Outage {
    /// Writes down whether the database is away.
    pub(crate) fn found(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }

    /// Ends when the database certainly is away, or was and still does not answer.
    ///
    /// A busy database deserves patience, as long as the pool has it.
    pub(crate) async fn certain(&self, db: &Db) {
        let began = Instant::now();
        sleep(DOUBT_AFTER).await;
        loop {
            if let Ok(_looking) = self.looking.try_lock()
                && Box::pin(db.is_refused()).await
            {
                return;
            }
            if self.away.load(Ordering::Relaxed) && began.elapsed() >= AWAY_TIMEOUT {
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    }
}
