//! One attempt from start to end: the handler runs, and what came of it is written into the row.

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use jobs::{
    Failure, Retry, State, Task, Wait, kinds,
    store::{self, Changed, Success},
};
use models::Tx;
use serde_json::Value;
use tokio::time::sleep;
use tracing::{Instrument, debug, error, info, info_span, warn};

use crate::{
    course::text::tidy,
    error::{JobError, Outcome},
    handlers,
    run::{Run, Stop},
    successes::Successes,
};

/// A kind that this release does not know is left for a newer worker, which may be on its way.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(30);
/// A kind without a definition has no time limit of its own.
const TIMEOUT_DEFAULT: Duration = Duration::from_mins(1);
/// An outcome that cannot be written is tried again, from the first to the second of these apart.
const WRITE_PAUSE: Duration = Duration::from_millis(100);
const WRITE_PAUSE_MAX: Duration = Duration::from_secs(2);
/// What is recorded when the database refuses an outcome.
const REFUSED: &str = "outcome_refused";

/// Works on a task that was started, and writes how it ended; answers how long the work took.
pub(crate) async fn attempt(run: &Run, successes: &Successes) -> Duration {
    let task = run.task();
    let span =
        info_span!("job.run", job.id = %task.id, job.kind = %task.kind, job.attempt = task.attempt);
    async {
        // What is short comes in great numbers.
        if task.queue.batch_max() > 1 {
            debug!(request.id = task.request_id, "Started");
        } else {
            info!(request.id = task.request_id, "Started");
        }
        let limit = kinds::find(&task.kind).map_or(TIMEOUT_DEFAULT, |kind| kind.timeout);
        let verdict = verdict(run, perform(run, limit).await);
        let took = run.age();
        run.flush().await;
        settle(run, successes, verdict).await;
        took
    }
    .instrument(span)
    .await
}

/// Runs the handler until it ends, panics, takes too long or is told to stop.
///
/// A handler that is told to stop is dropped where it waits: its transactions roll back, its request
/// to the model is cancelled.
async fn perform(run: &Run, limit: Duration) -> Result<Outcome, JobError> {
    let Some(handler) = handlers::find(&run.task().kind) else {
        return Err(JobError::snooze(UNKNOWN_PAUSE));
    };
    tokio::select! {
        biased;
        ended = AssertUnwindSafe((handler.run)(run)).catch_unwind() => {
            ended.unwrap_or_else(|panic| Err(JobError::retry("panicked", message(panic.as_ref()))))
        }
        () = run.cancelled().cancelled() => Err(JobError::Cancelled),
        () = sleep(limit) => {
            run.stop(Stop::Timeout);
            Err(JobError::retry("timeout", format!("it took longer than {} s", limit.as_secs())))
        }
        never = run.write_progress() => match never {},
    }
}

/// What is to be written.
#[derive(Debug)]
enum Verdict {
    Succeed(Option<Value>),
    Wait(Wait),
    Retry(Failure),
    Fail(Failure),
    Snooze(Duration),
    Release,
    Cancelled,
    /// Somebody else owns the row.
    Nothing,
}

/// Weighs what the handler said against why it was told to stop.
fn verdict(run: &Run, ended: Result<Outcome, JobError>) -> Verdict {
    match (ended, run.stopped()) {
        (_, Some(Stop::Lost)) | (Err(JobError::Lost), _) => Verdict::Nothing,
        // Work that is done is done, whatever was asked meanwhile.
        (Ok(Outcome::Done(result)), _) => Verdict::Succeed(result),
        (Err(JobError::Fail { code, detail }), _) => {
            Verdict::Fail(failure(run, code, &detail, false))
        }
        (_, Some(Stop::Cancel)) => Verdict::Cancelled,
        (Ok(Outcome::Wait(wait)), _) => Verdict::Wait(wait),
        (Err(JobError::Cancelled), Some(Stop::Drain)) => Verdict::Release,
        (Err(JobError::Snooze(pause)), _) => Verdict::Snooze(pause),
        (Err(JobError::Retry { code, detail }), _) => {
            Verdict::Retry(failure(run, code, &detail, true))
        }
        (Err(JobError::Cancelled), _) => Verdict::Retry(failure(
            run,
            "interrupted",
            "the work was interrupted",
            true,
        )),
    }
}

fn failure(run: &Run, code: &str, detail: &str, retryable: bool) -> Failure {
    // PostgreSQL refuses some control characters, and nobody can read the others.
    let detail = tidy(detail);
    Failure {
        code: code.to_owned(),
        detail,
        attempt: run.lease().attempt,
        retryable,
    }
}

/// Writes the verdict, again and again while the database cannot be reached.
///
/// It does not give up: the heartbeat of this process keeps the lease as long as the database can be
/// reached, and once the lease was lost the write answers so.
async fn settle(run: &Run, successes: &Successes, mut verdict: Verdict) {
    let mut pause = WRITE_PAUSE;
    loop {
        match write(run, successes, &verdict).await {
            Ok(()) => return,
            Err(models::Error::Lost) => {
                info!("Somebody else owns the task: nothing was written");
                return;
            }
            Err(error) if error.is_unavailable() => {
                warn!(%error, "The outcome could not be written yet");
            }
            Err(error) => {
                error!(%error, ?verdict, "The outcome was refused");
                verdict = refused(run, &verdict, &error);
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(WRITE_PAUSE_MAX);
    }
}

/// What to write instead of an outcome that the database refuses, and would refuse again.
fn refused(run: &Run, verdict: &Verdict, error: &models::Error) -> Verdict {
    match verdict {
        Verdict::Retry(failure) if failure.code == REFUSED => Verdict::Release,
        _ => Verdict::Retry(failure(run, REFUSED, &error.to_string(), true)),
    }
}

async fn write(run: &Run, successes: &Successes, verdict: &Verdict) -> Result<(), models::Error> {
    let changed = match verdict {
        Verdict::Nothing => return Err(models::Error::Lost),
        Verdict::Succeed(result) => {
            let success = Success {
                result: result.clone(),
                warnings: run.warnings(),
                usage: run.usage(),
            };
            let written = successes.add((run.lease(), success)).await?;
            written.ok_or(models::Error::Lost)?
        }
        other => alone(run, other).await?,
    };
    run.ctx().bell.tell_all(&changed, run.db().now());
    let (queue, state) = (changed.task.queue, changed.task.state);
    if queue.batch_max() > 1 && state == State::Succeeded {
        debug!(task.state = %state, "Ended {state}");
    } else {
        info!(task.state = %state, "Ended {state}");
    }
    Ok(())
}

/// Writes a verdict in a transaction of its own.
async fn alone(run: &Run, verdict: &Verdict) -> Result<Changed, models::Error> {
    let now = run.db().now();
    let mut tx = run.db().begin().await?;
    let changed = put(run, &mut tx, verdict, now).await?;
    tx.commit().await?;
    Ok(changed)
}

async fn put(
    run: &Run,
    tx: &mut Tx,
    verdict: &Verdict,
    now: DateTime<Utc>,
) -> Result<Changed, models::Error> {
    let lease = run.lease();
    match verdict {
        Verdict::Wait(wait) => store::wait(tx, lease, wait, now).await,
        Verdict::Retry(failure) => {
            let run_at = now + delay(run.task());
            store::retry(tx, lease, failure, run_at, now).await
        }
        Verdict::Fail(failure) => store::fail(tx, lease, failure, now).await,
        Verdict::Snooze(pause) => store::snooze(tx, lease, now + *pause, now).await,
        Verdict::Release => store::release(tx, lease, now).await,
        Verdict::Cancelled => store::cancelled(tx, lease, now).await,
        Verdict::Succeed(_) | Verdict::Nothing => Err(models::Error::Lost),
    }
}

/// How long until the next attempt. The jitter keeps tasks that failed together apart.
fn delay(task: &Task) -> Duration {
    let retry = kinds::find(&task.kind).map_or(Retry::attempts(1), |kind| kind.retry);
    let used = u32::try_from(task.attempts_used()).unwrap_or(1);
    retry.delay(used, rand::random())
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "it panicked without saying why".to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use futures_util::future::BoxFuture;
    use inference::{Error, Generation, ModelInfo, Request};
    use jobs::{State, kinds::Noop};
    use models::testing::{TestDb, TestResult};
    use platform::health::Health;

    use super::*;
    use crate::{loading::Models, model::Model, run::tests::started, successes::successes};

    /// These tests ask for nothing.
    pub(crate) struct Silent;

    impl Model for Silent {
        fn info(&self) -> &ModelInfo {
            unreachable!("nobody asks")
        }

        fn generate(&self, _request: Request) -> BoxFuture<'_, Result<Generation, Error>> {
            unreachable!("nobody asks")
        }
    }

    async fn slow(test: &TestDb) -> TestResult<Run> {
        let noop = Noop {
            n: 1,
            sleep_ms: 10_000,
            fail: None,
        };
        started(
            test,
            Models::ready(Arc::new(Silent)),
            Health::default(),
            &noop,
        )
        .await
    }

    #[tokio::test]
    async fn an_attempt_that_takes_too_long_is_tried_again() -> TestResult {
        let test = TestDb::sqlite().await?;
        let run = slow(&test).await?;

        let ended = perform(&run, Duration::from_millis(20)).await;
        settle(&run, &successes(&test.db), verdict(&run, ended)).await;

        let task = store::get(&mut test.db.conn().await?, run.task().id).await?;
        assert_eq!(task.state, State::Queued);
        assert_eq!(
            task.error.map(|error| error.code).as_deref(),
            Some("timeout")
        );
        test.close().await
    }

    #[tokio::test]
    async fn progress_is_written_before_the_end_and_never_falls() -> TestResult {
        let test = TestDb::sqlite().await?;
        let run = slow(&test).await?;

        run.progress(jobs::Progress {
            percent: 40.0,
            ..jobs::Progress::default()
        });
        run.say("step", "Still at it");
        run.flush().await;

        let task = store::get(&mut test.db.conn().await?, run.task().id).await?;
        assert_eq!((task.percent, task.step.as_deref()), (40.0, Some("step")));
        test.close().await
    }
}
