//! The ways in which a running task goes back without having ended.
//!
//! A task that somebody asked to cancel does not go back: it ends as cancelled instead.

use chrono::{DateTime, Utc};
use models::{Error, Result, Tx, sql};
use sqlx::types::Json;

use super::{Changed, attempts, end, events, find, lock};
use crate::{
    task::{Failure, Lease, Task, Wait},
    word::{Ending, Reason},
};

/// `running` to `queued` until `run_at`, or to `failed` when its attempts are used up.
pub async fn retry(
    tx: &mut Tx,
    lease: Lease,
    failure: &Failure,
    run_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Changed> {
    // Not locked: only whoever holds the lease changes these numbers.
    let task = find::look(tx, lease.task_id)
        .await?
        .filter(|task| lease.holds(task))
        .ok_or(Error::Lost)?;
    if task.attempts_used() >= task.attempts_max && !task.cancel_requested {
        return end::fail(tx, lease, failure, now).await;
    }
    let back = Back {
        reason: Some(Reason::Backoff),
        run_at: Some(run_at),
        spared: false,
        ending: Ending::Retry,
    };
    children_first(tx, lease).await?;
    put_back(tx, lease, &back, Some(failure), now).await
}

/// `running` to `queued` until then; the attempt does not count.
pub async fn snooze(
    tx: &mut Tx,
    lease: Lease,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Changed> {
    let back = Back {
        reason: Some(Reason::Scheduled),
        run_at: Some(until),
        spared: true,
        ending: Ending::Snooze,
    };
    children_first(tx, lease).await?;
    put_back(tx, lease, &back, None, now).await
}

/// `running` to `queued` at once: the worker is being stopped. The attempt does not count.
pub async fn release(tx: &mut Tx, lease: Lease, now: DateTime<Utc>) -> Result<Changed> {
    let back = Back {
        reason: None,
        run_at: None,
        spared: true,
        ending: Ending::Released,
    };
    children_first(tx, lease).await?;
    put_back(tx, lease, &back, None, now).await
}

/// `running` to `queued` until `run_at`: its worker fell silent. The attempt counts unless it is
/// spared.
pub(super) async fn lost(
    tx: &mut Tx,
    lease: Lease,
    failure: &Failure,
    (run_at, spared): (DateTime<Utc>, bool),
    now: DateTime<Utc>,
) -> Result<Changed> {
    let back = Back {
        reason: (run_at > now).then_some(Reason::Backoff),
        run_at: Some(run_at),
        spared,
        ending: Ending::Lost,
    };
    put_back(tx, lease, &back, Some(failure), now).await
}

/// `running` to `waiting` for its children; queued at once when none of them lives.
///
/// The attempt does not count.
pub async fn wait(tx: &mut Tx, lease: Lease, wait: &Wait, now: DateTime<Utc>) -> Result<Changed> {
    children_first(tx, lease).await?;
    let task = sql!(
        tx, fetch_optional Task,
        "update tasks
        set state = case when children_succeeded + children_failed >= children_total
                then 'queued' else 'waiting' end,
            waiting_reason = case when children_succeeded + children_failed >= children_total
                then null else 'children' end,
            percent = case when $3 > percent then $3 else percent end,
            children_percent_from = $3, children_percent_to = $4, step = $5, message = $6,
            completed = children_succeeded + children_failed, total = children_total,
            attempts_spared = attempts_spared + 1, lease_until = null, run_at = $7,
            rung_at = null, error = null, version = version + 1, updated_at = $7
        where id = $1 and attempt = $2 and state = 'running' and not cancel_requested
        returning *",
        lease.task_id, lease.attempt, wait.from.clamp(0.0, 100.0), wait.to.clamp(0.0, 100.0),
        &wait.step, &wait.message, now,
    )?;
    went(tx, lease, task, Ending::Wait, None, now).await
}

/// Locks the children of a task before the task itself.
///
/// PostgreSQL keeps the lock of a row that an update waited for also when the row then turns out not
/// to match. So whoever finds here that the task was cancelled meanwhile holds it already, and would
/// lock its children after it.
async fn children_first(tx: &mut Tx, lease: Lease) -> Result<()> {
    lock::family(tx, lease.task_id).await.map(drop)
}

struct Back {
    reason: Option<Reason>,
    /// Nothing: what was interrupted by a drain keeps its place in the queue.
    run_at: Option<DateTime<Utc>>,
    spared: bool,
    ending: Ending,
}

async fn put_back(
    tx: &mut Tx,
    lease: Lease,
    back: &Back,
    failure: Option<&Failure>,
    now: DateTime<Utc>,
) -> Result<Changed> {
    let task = sql!(
        tx, fetch_optional Task,
        "update tasks
        set state = 'queued', waiting_reason = $3, run_at = coalesce($4, run_at), rung_at = null,
            attempts_spared = attempts_spared + $5, error = $6, lease_until = null,
            version = version + 1, updated_at = $7
        where id = $1 and attempt = $2 and state = 'running' and not cancel_requested
        returning *",
        lease.task_id, lease.attempt, back.reason, back.run_at, i64::from(back.spared),
        failure.map(Json), now,
    )?;
    went(tx, lease, task, back.ending, failure, now).await
}

/// Tells of the way back; without a row the task was cancelled meanwhile, or lost.
async fn went(
    tx: &mut Tx,
    lease: Lease,
    task: Option<Task>,
    ending: Ending,
    failure: Option<&Failure>,
    now: DateTime<Utc>,
) -> Result<Changed> {
    let Some(task) = task else {
        return end::cancelled(tx, lease, now).await;
    };
    attempts::end(tx, lease, ending, failure, now).await?;
    events::state(tx, &task, now).await?;
    Ok(Changed {
        task,
        others: Vec::new(),
    })
}
