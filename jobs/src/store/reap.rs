//! Takes back what silent workers held, and ends what was not started in time.

use std::{
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    time::Duration,
};

use chrono::{DateTime, Utc};
use models::{Db, Result, TaskId, Tx, sql, sql::One};

use super::{Changed, cancel, checkpoint, end, find, lock, put_back};
use crate::{
    task::{Failure, Lease, Task},
    word::{Ending, State},
};

/// Tasks that [`take_over`] takes back in one round.
const TAKE_OVER_MAX: u32 = 256;
/// Tasks that lose a worker later than in their first attempt start again spread over this time.
///
/// One of them may be what kills the workers; those that were lost beside it would be lost beside it
/// again, and fail for nothing, if all of them started together.
const APART_MAX: Duration = Duration::from_secs(4);

/// What was taken back.
#[derive(Clone, Debug, Default)]
pub struct Reaped {
    /// Not started in time.
    pub expired: Vec<Changed>,
    /// Queued again: their workers fell silent.
    pub requeued: Vec<Changed>,
    /// Given up: as many workers fell silent as there were attempts.
    pub failed: Vec<Changed>,
    /// Their workers fell silent after they were asked to stop.
    pub cancelled: Vec<Changed>,
}

impl Reaped {
    /// Everything that changed.
    pub fn changes(&self) -> impl Iterator<Item = &Changed> {
        [&self.expired, &self.requeued, &self.failed, &self.cancelled]
            .into_iter()
            .flatten()
    }
}

/// Ends overdue tasks and takes back those whose lease ran out, at most `limit` of each.
///
/// Each in a transaction of its own: several relays may do this at the same time, and one row that
/// is locked holds up no other.
pub async fn reap(db: &Db, now: DateTime<Utc>, limit: u32) -> Result<Reaped> {
    reap_silent(db, now, now, limit).await
}

/// Takes back everything that runs, whatever its lease says, and answers how much that was.
///
/// For whoever knows that no worker lives: a process that has its database to itself and begins.
pub async fn take_over(db: &Db, now: DateTime<Utc>) -> Result<usize> {
    let mut taken = 0;
    loop {
        let reaped = reap_silent(db, now + Lease::DURATION * 2, now, TAKE_OVER_MAX).await?;
        let changes = reaped.changes().count();
        taken += changes;
        if changes == 0 {
            return Ok(taken);
        }
    }
}

/// Takes back what was last heard of so long ago that its lease ended before `silent`.
async fn reap_silent(
    db: &Db,
    silent: DateTime<Utc>,
    now: DateTime<Utc>,
    limit: u32,
) -> Result<Reaped> {
    let (running, overdue) = candidates(db, silent, now, limit).await?;
    let mut reaped = Reaped::default();
    for (task_id, attempt) in running {
        if let Some(changed) = take_back(db, Lease { task_id, attempt }, silent, now).await? {
            match changed.task.state {
                State::Failed => reaped.failed.push(changed),
                State::Cancelled => reaped.cancelled.push(changed),
                _ => reaped.requeued.push(changed),
            }
        }
    }
    for id in overdue {
        reaped.expired.extend(expire(db, id, now).await?);
    }
    Ok(reaped)
}

async fn candidates(
    db: &Db,
    silent: DateTime<Utc>,
    now: DateTime<Utc>,
    limit: u32,
) -> Result<(Vec<(TaskId, i64)>, Vec<TaskId>)> {
    let mut conn = db.conn().await?;
    let running = sql!(
        conn,
        fetch_all(TaskId, i64),
        "select id, attempt from tasks
        where state = 'running' and lease_until < $1
        order by lease_until
        limit $2",
        silent,
        i64::from(limit),
    )?;
    let overdue = sql!(
        conn,
        fetch_all One<TaskId>,
        "select id from tasks
        where state = 'queued' and expires_at <= $1
        order by expires_at
        limit $2",
        now,
        i64::from(limit),
    )?;
    Ok((running, overdue.into_iter().map(|(id,)| id).collect()))
}

/// Ends the lease of a silent worker, unless it was renewed or taken back meanwhile.
async fn take_back(
    db: &Db,
    lease: Lease,
    silent: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Option<Changed>> {
    let mut tx = db.begin().await?;
    let mut others = Vec::new();
    if find::look(&mut tx, lease.task_id)
        .await?
        .is_some_and(|task| task.cancel_requested)
    {
        // Before the task itself is locked. Right even if its worker speaks again meanwhile.
        others = cancel::children(&mut tx, lease.task_id, now).await?;
    }
    let ended = |lease_until| lease_until < silent;
    let task = lock::lock(&mut tx, lease.task_id)
        .await?
        .filter(|task| lease.holds(task) && task.lease_until.is_some_and(ended));
    let Some(task) = task else { return Ok(None) };
    let mut changed = give_back(&mut tx, &task, now).await?;
    tx.commit().await?;
    changed.others.append(&mut others);
    Ok(Some(changed))
}

/// Queues a task whose worker fell silent, or ends it where that is due.
async fn give_back(tx: &mut Tx, task: &Task, now: DateTime<Utc>) -> Result<Changed> {
    let lease = task.lease();
    if task.cancel_requested {
        return end::stop(tx, lease, State::Cancelled, None, Ending::Lost, now).await;
    }
    // A task that got on before its worker died did not kill it, and comes to an end if it always
    // gets on; only steps that were never taken before count, so it cannot go round for ever.
    let spared = checkpoint::advanced(tx, lease).await?;
    let used_up = task.attempts_used() >= task.attempts_max && !spared;
    let attempt = lease.attempt;
    let failure = Failure {
        code: "worker_lost".to_owned(),
        detail: format!("The worker stopped in the middle of attempt {attempt}."),
        attempt,
        retryable: !used_up,
    };
    if used_up {
        end::stop(tx, lease, State::Failed, Some(&failure), Ending::Lost, now).await
    } else {
        let suspect = task.attempts_used() > 1 && !spared;
        let run_at = now
            + if suspect {
                apart(lease)
            } else {
                Duration::ZERO
            };
        put_back::lost(tx, lease, &failure, (run_at, spared), now).await
    }
}

/// How long the next attempt waits: another time for each task, and for each of its attempts.
fn apart(lease: Lease) -> Duration {
    let hash =
        BuildHasherDefault::<DefaultHasher>::default().hash_one((lease.task_id, lease.attempt));
    let milliseconds = u64::try_from(APART_MAX.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(hash % milliseconds)
}

async fn expire(db: &Db, id: TaskId, now: DateTime<Utc>) -> Result<Option<Changed>> {
    let mut tx = db.begin().await?;
    let overdue = lock::lock(&mut tx, id).await?.is_some_and(|task| {
        task.state == State::Queued && task.expires_at.is_some_and(|expires_at| expires_at <= now)
    });
    if !overdue {
        return Ok(None);
    }
    let changed = end::close(&mut tx, id, State::Expired, now).await?;
    tx.commit().await?;
    Ok(changed)
}
