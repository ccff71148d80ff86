//! Idempotency keys: a repeated request is answered, not done again.
//!
//! The key is claimed in the transaction that does the work. A second request with the same key
//! waits for the first one's transaction and then sees its answer, so there is no state between
//! "new" and "answered" that anybody could observe.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;

use crate::{
    db::{Conn, Tx},
    error::{Error, Result},
    id::{OwnerId, TaskId},
    sql,
};

/// How long a key is remembered.
pub const LIFETIME: TimeDelta = TimeDelta::hours(24);

/// What a claim found.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// The key is the caller's: do the work, then [`answer`] in the same transaction.
    New,
    /// The same request was answered before, with this.
    Replay {
        /// The task it made, if it made one.
        task_id: Option<TaskId>,
        /// The document it answered, if it answered one.
        response: Option<Value>,
    },
    /// The key was used for another request.
    Mismatch,
}

/// What identifies a request.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    /// Who asks.
    pub owner: OwnerId,
    /// What for, such as `POST /v1/tasks`.
    pub route: &'k str,
    /// The client's key.
    pub key: &'k str,
}

#[derive(sqlx::FromRow)]
struct Row {
    fingerprint: String,
    task_id: Option<TaskId>,
    #[sqlx(json(nullable))]
    response: Option<Value>,
}

/// Claims a key for a request whose body has this fingerprint (SHA-256, hexadecimal).
///
/// A key older than [`LIFETIME`] counts as new.
pub async fn claim(
    tx: &mut Tx,
    key: Key<'_>,
    fingerprint: &str,
    now: DateTime<Utc>,
) -> Result<Claim> {
    let claimed = sql!(
        tx,
        execute,
        "insert into idempotency_keys (owner_id, route, key, fingerprint, created_at)
        values ($1, $2, $3, $4, $5)
        on conflict (owner_id, route, key) do update
        set fingerprint = excluded.fingerprint, task_id = null, response = null,
            created_at = excluded.created_at
        where idempotency_keys.created_at <= $6",
        key.owner,
        key.route,
        key.key,
        fingerprint,
        now,
        now - LIFETIME,
    )?;
    if claimed == 1 {
        return Ok(Claim::New);
    }
    // The claim locked the row although it did not change it, so it is still there.
    let row = sql!(
        tx, fetch_one Row,
        "select fingerprint, task_id, response from idempotency_keys
        where owner_id = $1 and route = $2 and key = $3",
        key.owner, key.route, key.key,
    )?;
    if row.fingerprint != fingerprint {
        return Ok(Claim::Mismatch);
    }
    Ok(Claim::Replay {
        task_id: row.task_id,
        response: row.response,
    })
}

/// Remembers what the request that claimed the key was answered.
///
/// `response` holds an object or an array.
pub async fn answer(
    tx: &mut Tx,
    key: Key<'_>,
    task: Option<TaskId>,
    response: Option<&Value>,
) -> Result<()> {
    let rows = sql!(
        tx,
        execute,
        "update idempotency_keys set task_id = $4, response = $5
        where owner_id = $1 and route = $2 and key = $3",
        key.owner,
        key.route,
        key.key,
        task,
        response.map(Json),
    )?;
    if rows == 0 {
        Err(Error::NotFound("idempotency_key"))
    } else {
        Ok(())
    }
}

/// Forgets keys older than `before`, at most `limit` of them; answers how many it forgot.
pub async fn prune(tx: &mut Tx, before: DateTime<Utc>, limit: u32) -> Result<u64> {
    sql!(
        tx,
        execute,
        "delete from idempotency_keys
        where (owner_id, route, key) in (
            select owner_id, route, key from idempotency_keys
            where created_at <= $1
            order by created_at
            limit $2
        )",
        before,
        i64::from(limit),
    )
}

/// A key that stands for a task, for those who claim many at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct TaskKey {
    /// Who asked.
    pub owner_id: OwnerId,
    /// The client's key.
    pub key: String,
    /// The SHA-256 of the request, hexadecimal.
    pub fingerprint: String,
    /// The task that it made.
    pub task_id: TaskId,
}

/// The keys of a route that stand for a task already, among those given.
pub async fn tasks_of(
    conn: &mut Conn,
    route: &str,
    keys: &[(OwnerId, &str)],
    now: DateTime<Utc>,
) -> Result<Vec<TaskKey>> {
    sql!(
        conn, fetch_all TaskKey,
        postgres
        // Key by key through the index: a plan that was made while the table was small would read
        // all of it for ever.
        "select k.owner_id, k.key, k.fingerprint, k.task_id
        from jsonb_array_elements($1) r
        cross join lateral (
            select * from idempotency_keys
            where owner_id = cast(r ->> 0 as uuid) and route = $2 and key = r ->> 1
            limit 1
        ) k
        where k.created_at > $3 and k.task_id is not null",
        sqlite
        "select k.owner_id, k.key, k.fingerprint, k.task_id
        from json_each($1) r
        join idempotency_keys k on k.owner_id = unhex(r.value ->> 0, '-') and k.route = $2
            and k.key = r.value ->> 1
        where k.created_at > $3 and k.task_id is not null",
        Json(keys), route, now - LIFETIME,
    )
}

/// Claims keys for tasks that the same transaction has made; whether every key was free.
///
/// When one was not, roll back: somebody else's task stands for it now, and [`tasks_of`] finds it.
/// Keys are to be in order, so that two who claim the same ones do not wait for each other.
pub async fn claim_for_tasks(
    tx: &mut Tx,
    route: &str,
    keys: &[TaskKey],
    now: DateTime<Utc>,
) -> Result<bool> {
    if keys.is_empty() {
        return Ok(true);
    }
    let claimed = sql!(
        tx, execute,
        postgres
        "insert into idempotency_keys (owner_id, route, key, fingerprint, task_id, created_at)
        select r.owner_id, $2, r.key, r.fingerprint, r.task_id, $3
        from jsonb_to_recordset($1)
            as r (owner_id uuid, key text, fingerprint text, task_id uuid)
        on conflict (owner_id, route, key) do update
        set fingerprint = excluded.fingerprint, task_id = excluded.task_id, response = null,
            created_at = excluded.created_at
        where idempotency_keys.created_at <= $4",
        sqlite
        "insert into idempotency_keys (owner_id, route, key, fingerprint, task_id, created_at)
        select unhex(value ->> 'owner_id', '-'), $2, value ->> 'key', value ->> 'fingerprint',
            unhex(value ->> 'task_id', '-'), $3
        from json_each($1)
        where true
        on conflict (owner_id, route, key) do update
        set fingerprint = excluded.fingerprint, task_id = excluded.task_id, response = null,
            created_at = excluded.created_at
        where idempotency_keys.created_at <= $4",
        Json(keys), route, now, now - LIFETIME,
    )?;
    Ok(claimed == keys.len() as u64)
}
