//! Puts tasks into the table, in the transaction that makes them true.

use chrono::{DateTime, SecondsFormat, Utc};
use models::{Error, OwnerId, Result, TaskId, Tx, sql};
use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use super::{events, parent};
use crate::{
    job::{Definition, Job, Queue},
    task::Task,
    word::{Priority, Reason},
};

/// A payload is ids and small options: at most this many bytes of JSON.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// Children of one task at most.
pub const CHILDREN_MAX: i64 = 10_000;

/// How a task is to run. Start from [`Options::by`] and change what matters.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose it is.
    pub owner: OwnerId,
    /// Who goes first.
    pub priority: Priority,
    /// Not to be started before; at once when absent.
    pub run_at: Option<DateTime<Utc>>,
    /// Not to be started after.
    pub expires_at: Option<DateTime<Utc>>,
    /// The task that asks for it and waits for it.
    pub parent: Option<TaskId>,
    /// Its name among its siblings: the same name again answers the task that is there.
    pub child_key: Option<String>,
    /// The request that asks for it.
    pub request_id: Option<String>,
    /// The trace it is part of.
    pub trace_id: Option<String>,
    /// Attempts at most, 1 to 100, where it shall differ from the job's.
    pub attempts_max: Option<u8>,
}

impl Options {
    /// The usual: at once, with the job's own policy.
    pub fn by(owner: OwnerId) -> Self {
        Self {
            owner,
            priority: Priority::Normal,
            run_at: None,
            expires_at: None,
            parent: None,
            child_key: None,
            request_id: None,
            trace_id: None,
            attempts_max: None,
        }
    }
}

/// A task to be enqueued.
#[derive(Clone, Debug)]
pub struct New {
    /// Its job.
    pub definition: &'static Definition,
    /// The input of the job, an object that passed the definition's check.
    pub payload: Value,
    /// How it is to run.
    pub options: Options,
}

/// Enqueues a job. A child whose name is taken among its siblings is answered, not made again.
///
/// Refuses a payload that breaks the job's own rules, and a child of a task that has ended. A queue
/// that drains refuses everything but children: `Conflict("queue_draining")`.
pub async fn enqueue<J: Job>(
    tx: &mut Tx,
    job: &J,
    options: Options,
    now: DateTime<Utc>,
) -> Result<Task> {
    job.check()?;
    let payload = serde_json::to_value(job)
        .map_err(|error| Error::invalid("/payload", format!("is not JSON: {error}")))?;
    one(tx, &Definition::of::<J>(), payload, options, now).await
}

/// Enqueues a payload that a client sent for a kind that it named.
pub async fn enqueue_raw(
    tx: &mut Tx,
    definition: &Definition,
    payload: Value,
    options: Options,
    now: DateTime<Utc>,
) -> Result<Task> {
    (definition.check)(&payload)?;
    one(tx, definition, payload, options, now).await
}

/// Enqueues many checked payloads in one statement; answers their tasks in the same order.
///
/// The first that breaks a rule fails them all.
pub async fn enqueue_many(tx: &mut Tx, new: Vec<New>, now: DateTime<Utc>) -> Result<Vec<Task>> {
    let rows = new
        .into_iter()
        .map(|new| Row::new(new.definition, new.payload, new.options, now))
        .collect::<Result<Vec<_>>>()?;
    insert(tx, rows, now).await
}

async fn one(
    tx: &mut Tx,
    definition: &Definition,
    payload: Value,
    options: Options,
    now: DateTime<Utc>,
) -> Result<Task> {
    let row = Row::new(definition, payload, options, now)?;
    insert(tx, vec![row], now)
        .await?
        .pop()
        .ok_or(Error::NotFound("task"))
}

/// A row as both databases read it out of JSON: ids without hyphens, times in the form that they
/// have in SQLite, where they are compared as text.
#[derive(Serialize)]
struct Row {
    #[serde(skip)]
    task: TaskId,
    #[serde(skip)]
    parent: Option<TaskId>,
    id: String,
    kind: &'static str,
    queue: Queue,
    priority: i64,
    owner_id: String,
    payload: Value,
    attempts_max: u8,
    waiting_reason: Option<Reason>,
    run_at: String,
    expires_at: Option<String>,
    parent_id: Option<String>,
    child_key: Option<String>,
    subject: Option<String>,
    request_id: Option<String>,
    trace_id: Option<String>,
}

impl Row {
    fn new(
        definition: &Definition,
        payload: Value,
        options: Options,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        super::document(&payload, "/payload")?;
        if payload.to_string().len() > PAYLOAD_BYTES_MAX {
            return Err(Error::invalid("/payload", "must be at most 65536 bytes"));
        }
        let attempts_max = options.attempts_max.unwrap_or(definition.attempts_max);
        if !(1..=100).contains(&attempts_max) {
            return Err(Error::invalid("/attempts_max", "must be from 1 to 100"));
        }
        let run_at = options.run_at.unwrap_or(now).max(now);
        if options
            .expires_at
            .is_some_and(|expires_at| expires_at <= run_at)
        {
            return Err(Error::invalid(
                "/expires_at",
                "must be after the task may start",
            ));
        }
        let task = TaskId::new();
        Ok(Self {
            task,
            parent: options.parent,
            id: hex(task),
            kind: definition.kind,
            queue: definition.queue,
            priority: options.priority as i64,
            owner_id: hex(options.owner),
            subject: (definition.subject)(&payload),
            payload,
            attempts_max,
            waiting_reason: (run_at > now).then_some(Reason::Scheduled),
            run_at: text(run_at),
            expires_at: options.expires_at.map(text),
            parent_id: options.parent.map(hex),
            child_key: options.child_key,
            request_id: options.request_id,
            trace_id: options.trace_id,
        })
    }
}

async fn insert(tx: &mut Tx, rows: Vec<Row>, now: DateTime<Utc>) -> Result<Vec<Task>> {
    let mut inserted = insert_rows(tx, &rows, now).await?;
    events::states(tx, &inserted, now).await?;
    parent::adopt(tx, &inserted, now).await?;
    // The order of returned rows is nobody's promise; ids were made in the order of the rows.
    inserted.sort_by_key(|task| task.id);
    let mut inserted = inserted.into_iter().peekable();
    let mut tasks = Vec::with_capacity(rows.len());
    for row in &rows {
        tasks.push(match inserted.next_if(|task| task.id == row.task) {
            Some(task) => task,
            None => sibling(tx, row).await?,
        });
    }
    Ok(tasks)
}

async fn insert_rows(tx: &mut Tx, rows: &[Row], now: DateTime<Utc>) -> Result<Vec<Task>> {
    sql!(
        tx, fetch_all Task,
        postgres
        "insert into tasks (id, kind, queue, state, version, priority, owner_id, payload,
            warnings, usage, percent, attempt, attempts_spared, attempts_max, cancel_requested,
            waiting_reason, run_at, expires_at, parent_id, child_key, children_total,
            children_succeeded, children_failed, children_percent_from, children_percent_to,
            subject, request_id, trace_id, created_at, updated_at)
        select cast(r ->> 'id' as uuid), r ->> 'kind', r ->> 'queue', 'queued', 1,
            cast(r ->> 'priority' as bigint), cast(r ->> 'owner_id' as uuid), r -> 'payload',
            '[]', '{\"tokens_in\": 0, \"tokens_out\": 0}', 0, 0, 0,
            cast(r ->> 'attempts_max' as bigint), false,
            r ->> 'waiting_reason', cast(r ->> 'run_at' as timestamptz),
            cast(r ->> 'expires_at' as timestamptz), cast(r ->> 'parent_id' as uuid),
            r ->> 'child_key', 0, 0, 0, 0, 0,
            r ->> 'subject', r ->> 'request_id', r ->> 'trace_id', $2, $2
        from jsonb_array_elements($1) r
        where r ->> 'parent_id' is not null or not exists (
            select 1 from queues where queue = r ->> 'queue' and mode = 'draining')
        on conflict (parent_id, child_key) where child_key is not null do nothing
        returning *",
        sqlite
        "insert into tasks (id, kind, queue, state, version, priority, owner_id, payload,
            warnings, usage, percent, attempt, attempts_spared, attempts_max, cancel_requested,
            waiting_reason, run_at, expires_at, parent_id, child_key, children_total,
            children_succeeded, children_failed, children_percent_from, children_percent_to,
            subject, request_id, trace_id, created_at, updated_at)
        select unhex(value ->> 'id'), value ->> 'kind', value ->> 'queue', 'queued', 1,
            value ->> 'priority', unhex(value ->> 'owner_id'), value -> 'payload',
            '[]', '{\"tokens_in\": 0, \"tokens_out\": 0}', 0, 0, 0,
            value ->> 'attempts_max', false,
            value ->> 'waiting_reason', value ->> 'run_at',
            value ->> 'expires_at', unhex(value ->> 'parent_id'),
            value ->> 'child_key', 0, 0, 0, 0, 0,
            value ->> 'subject', value ->> 'request_id', value ->> 'trace_id', $2, $2
        from json_each($1)
        where value ->> 'parent_id' is not null or not exists (
            select 1 from queues where queue = value ->> 'queue' and mode = 'draining')
        on conflict (parent_id, child_key) where child_key is not null do nothing
        returning *",
        Json(rows), now,
    )
}

/// The child that has this name already; without a parent, it was the queue that refused the row.
async fn sibling(tx: &mut Tx, row: &Row) -> Result<Task> {
    if row.parent.is_none() {
        return Err(Error::Conflict("queue_draining"));
    }
    sql!(
        tx, fetch_optional Task,
        "select * from tasks where parent_id = $1 and child_key = $2", row.parent, &row.child_key,
    )?
    .ok_or(Error::NotFound("task"))
}

fn hex(id: impl Into<Uuid>) -> String {
    id.into().simple().to_string()
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, false)
}
