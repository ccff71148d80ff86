//! One attempt at one task, as its handler sees it.

use std::{
    convert::Infallible,
    future::Future,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use jobs::{
    Lease, Progress, Task, Usage,
    store::{self, checkpoint},
};
use models::{Db, Tx};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{ctx::Ctx, error::JobError};

/// Progress is written at most this often: readers poll once a second.
const PROGRESS_PERIOD: Duration = Duration::from_millis(500);
/// Warnings that a task keeps; more are dropped, the log has them all.
const WARNINGS_MAX: usize = 50;

/// Why a running attempt was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A client asked for it.
    Cancel,
    /// The worker is shutting down.
    Drain,
    /// Somebody else owns the task.
    Lost,
    /// It took longer than its kind may.
    Timeout,
}

/// One attempt at one task.
#[derive(Debug)]
pub struct Run {
    task: Task,
    lease: Lease,
    ctx: Ctx,
    started: Instant,
    cancel: CancellationToken,
    stop: OnceLock<Stop>,
    notes: Mutex<Notes>,
    /// Rings when there is progress to be written.
    progressed: Notify,
}

/// What the handler has said and nobody has written yet.
#[derive(Debug, Default)]
struct Notes {
    latest: Progress,
    unwritten: bool,
    warnings: Vec<String>,
    usage: Usage,
}

impl Run {
    pub(crate) fn new(task: Task, ctx: Ctx) -> Self {
        let latest = Progress {
            percent: task.percent,
            ..Progress::default()
        };
        Self {
            lease: task.lease(),
            task,
            ctx,
            started: Instant::now(),
            cancel: CancellationToken::new(),
            stop: OnceLock::new(),
            notes: Mutex::new(Notes {
                latest,
                ..Notes::default()
            }),
            progressed: Notify::new(),
        }
    }

    /// The task as it was when the attempt started.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// The fencing token: what every write of this attempt has to show.
    pub fn lease(&self) -> Lease {
        self.lease
    }

    /// How long the attempt has been running.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether children of the task have not ended yet, as far as the row knew when the attempt started.
    pub fn children_live(&self) -> bool {
        self.task.children_succeeded + self.task.children_failed < self.task.children_total
    }

    /// Ends when the attempt has to stop; pass it on to whatever takes long.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Says how far the work is. Cheap: it is written at most twice a second, and never goes back.
    pub fn progress(&self, progress: Progress) {
        let mut notes = self.notes();
        let percent = notes.latest.percent.max(progress.percent.clamp(0.0, 100.0));
        notes.latest = Progress {
            percent,
            ..progress
        };
        notes.unwritten = true;
        drop(notes);
        self.progressed.notify_one();
    }

    /// Says what is being done, without being further than before.
    pub fn say(&self, step: &str, message: impl Into<String>) {
        let percent = self.notes().latest.percent;
        self.progress(Progress {
            percent,
            step: Some(step.to_owned()),
            message: Some(message.into()),
            ..Progress::default()
        });
    }

    /// Tells the client of something that was done in a lesser way, once.
    pub fn warn(&self, warning: impl Into<String>) {
        let warning = warning.into();
        warn!(task.id = %self.task.id, warning, "The task goes on in a lesser way");
        let mut notes = self.notes();
        if notes.warnings.len() < WARNINGS_MAX && !notes.warnings.contains(&warning) {
            notes.warnings.push(warning);
        }
    }

    /// Adds to what the task has used.
    pub fn used(&self, tokens_in: u64, tokens_out: u64) {
        let mut notes = self.notes();
        notes.usage.tokens_in += tokens_in;
        notes.usage.tokens_out += tokens_out;
    }

    /// A transaction in which the lease is known to be ours: until it commits, nobody takes it.
    pub async fn begin(&self) -> Result<Tx, models::Error> {
        let mut tx = self.db().begin().await?;
        store::fence(&mut tx, self.lease).await?;
        Ok(tx)
    }

    /// The result of `work`, from an earlier attempt if one finished it with the same input.
    ///
    /// `digest` names everything that the result follows from. The result has to be an object or an
    /// array in JSON; an error is not kept.
    pub async fn checkpoint<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        digest: &str,
        work: impl Future<Output = Result<T, JobError>>,
    ) -> Result<T, JobError> {
        let mut conn = self.db().conn().await?;
        let kept = checkpoint::get(&mut conn, self.task.id, key, digest).await?;
        drop(conn);
        if let Some(kept) = kept {
            match serde_json::from_value(kept) {
                Ok(output) => return Ok(output),
                // Written by another release: do the work again.
                Err(error) => debug!(%error, key, "The checkpoint has another form"),
            }
        }
        let output = work.await?;
        let value = serde_json::to_value(&output).map_err(anyhow::Error::from)?;
        let mut tx = self.begin().await?;
        checkpoint::put(&mut tx, self.lease, key, digest, &value, self.db().now()).await?;
        tx.commit().await?;
        Ok(output)
    }

    pub(crate) fn db(&self) -> &Db {
        &self.ctx.db
    }

    pub(crate) fn ctx(&self) -> &Ctx {
        &self.ctx
    }

    /// Tells the attempt to stop; the first reason counts.
    pub(crate) fn stop(&self, reason: Stop) {
        if self.stop.set(reason).is_ok() {
            self.cancel.cancel();
        }
    }

    pub(crate) fn stopped(&self) -> Option<Stop> {
        self.stop.get().copied()
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.notes().warnings.clone()
    }

    pub(crate) fn usage(&self) -> Usage {
        self.notes().usage
    }

    /// Writes progress as it comes, until it is dropped.
    pub(crate) async fn write_progress(&self) -> Infallible {
        loop {
            self.progressed.notified().await;
            self.flush().await;
            sleep(PROGRESS_PERIOD).await;
        }
    }

    /// Writes what has been said and is not written yet. Progress that cannot be written is lost: it
    /// is a courtesy, and more is on its way.
    pub(crate) async fn flush(&self) {
        let progress = {
            let mut notes = self.notes();
            if !std::mem::take(&mut notes.unwritten) {
                return;
            }
            notes.latest.clone()
        };
        match self.write(&progress).await {
            Ok(()) => self.ctx.bell.announce(self.task.id),
            Err(models::Error::Lost) => self.stop(Stop::Lost),
            Err(error) => debug!(%error, task.id = %self.task.id, "Progress was not written"),
        }
    }

    async fn write(&self, progress: &Progress) -> Result<(), models::Error> {
        let mut tx = self.db().begin().await?;
        store::progress(&mut tx, self.lease, progress, self.db().now()).await?;
        tx.commit().await
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        // Every holder leaves the notes whole, also one that panics.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use jobs::{Job, bell::Bell, store::Options};
    use media::{Limits, Pool};
    use models::{
        OwnerId,
        testing::{TestDb, TestResult},
    };
    use platform::health::Health;

    use super::*;
    use crate::{loading::Models, mailer::Mailer};

    /// Who makes it.
    pub(crate) const WORKER: &str = "a test";

    /// The first attempt at a job, started.
    pub(crate) async fn started<J: Job>(
        test: &TestDb,
        model: Models,
        health: Health,
        job: &J,
    ) -> TestResult<Run> {
        let db = test.db.clone();
        let mut tx = db.begin().await?;
        let task = store::enqueue(&mut tx, job, Options::by(OwnerId::LOCAL), db.now()).await?;
        tx.commit().await?;
        let tasks = store::start(&db, &[task.id], WORKER, db.now()).await?;
        let task = tasks.into_iter().next().ok_or("it started")?;
        let ctx = Ctx {
            db,
            bell: Bell::in_process(),
            model,
            mailer: Mailer::folder("unused".as_ref()),
            pictures: Arc::new(Pool::new(Limits::default())),
            storage: None,
            health,
        };
        Ok(Run::new(task, ctx))
    }
}
