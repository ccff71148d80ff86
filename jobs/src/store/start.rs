//! `queued` to `running`: the only way to own a task.

use chrono::{DateTime, Utc};
use models::{Db, Result, TaskId, Tx, sql, sql::Ids};

use super::{
    count,
    due::{self, Choice, Turn},
    events,
};
use crate::{
    job::Queue,
    relay::PERIOD,
    task::{Lease, Task},
};

/// Starts those of the tasks that are queued, due, not expired, have attempts left, and whose queue
/// is not paused.
///
/// The others are left out without a word: a bell may ring twice, and somebody else may be first.
/// `worker` must be a name that no other process has or had: leases hang on it.
pub async fn start(db: &Db, ids: &[TaskId], worker: &str, now: DateTime<Utc>) -> Result<Vec<Task>> {
    begin(db.begin().await?, ids, worker, now).await
}

/// Starts those tasks of a queue that come first, `most` at most, whoever was rung for.
///
/// For a worker that has more to do than room: who goes first is decided at the last moment. Waits
/// while somebody else chooses from the queue.
pub async fn start_next(
    db: &Db,
    queue: Queue,
    most: usize,
    turn: &mut Turn,
    worker: &str,
    now: DateTime<Utc>,
) -> Result<Vec<Task>> {
    let choice = Choice {
        rung_before: now - PERIOD,
        rung: true,
        limit: most,
    };
    match due::choose(db, queue, now, turn, &choice).await? {
        Some((tx, ids)) => begin(tx, &ids, worker, now).await,
        None => Ok(Vec::new()),
    }
}

async fn begin(mut tx: Tx, ids: &[TaskId], worker: &str, now: DateTime<Utc>) -> Result<Vec<Task>> {
    let tasks = claim(&mut tx, ids.iter().copied().collect(), worker, now).await?;
    if tasks.is_empty() {
        tx.rollback().await?;
        return Ok(tasks);
    }
    events::states(&mut tx, &tasks, now).await?;
    tx.commit().await?;
    for task in &tasks {
        count::started(task, now);
    }
    Ok(tasks)
}

/// Takes the tasks that can be started, and logs their attempts.
async fn claim(tx: &mut Tx, ids: Ids, worker: &str, now: DateTime<Utc>) -> Result<Vec<Task>> {
    sql!(
        tx, fetch_all Task,
        postgres
        // Skipping rows that somebody else has in hand keeps claimers from waiting for each other.
        // The state is compared so that no index of all that is queued can serve, and the ids are an array
        // rather than a join: PostgreSQL would read all, where it has planned while there was little.
        "with claimed as (
            update tasks
            set state = 'running', attempt = attempt + 1, version = version + 1, lease_until = $3,
                worker = $2, waiting_reason = null, started_at = coalesce(started_at, $4),
                updated_at = $4
            where id = any(array(
                    select id from tasks where id = any($1) order by id for no key update skip locked
                ))
                and state || '' = 'queued' and run_at <= $4
                and attempt - attempts_spared < attempts_max
                and (expires_at is null or expires_at > $4)
                and not exists (
                    select 1 from queues
                    where queues.queue = tasks.queue and mode = 'paused'
                        and (paused_until is null or paused_until > $4))
            returning *
        ), logged as (
            insert into task_attempts (task_id, attempt, worker, started_at)
            select id, attempt, worker, $4 from claimed
        )
        select * from claimed",
        sqlite
        "update tasks
        set state = 'running', attempt = attempt + 1, version = version + 1, lease_until = $3,
            worker = $2, waiting_reason = null, started_at = coalesce(started_at, $4),
            updated_at = $4
        where id in (select unhex(value) from json_each($1))
            and state = 'queued' and run_at <= $4
            and attempt - attempts_spared < attempts_max
            and (expires_at is null or expires_at > $4)
            and not exists (
                select 1 from queues
                where queues.queue = tasks.queue and mode = 'paused'
                    and (paused_until is null or paused_until > $4))
        returning *;
        insert into task_attempts (task_id, attempt, worker, started_at)
        select id, attempt, worker, $4 from tasks
        where id in (select unhex(value) from json_each($1))
            and state = 'running' and not exists (
                select 1 from task_attempts a
                where a.task_id = tasks.id and a.attempt = tasks.attempt)",
        ids, worker, now + Lease::DURATION, now,
    )
}
