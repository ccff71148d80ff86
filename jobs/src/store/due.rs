//! Which tasks of a queue come first: those that the relay rings for, those that a busy worker starts.
//!
//! Each owner's tasks of a kind are a line. Lines are found by skipping through an index, and a
//! bounded number of tasks is looked at in each: an owner with 100,000 tasks costs no more than one
//! with a hundred. Which of them come first is decided in [`fair`].

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use models::{
    Conn, Db, OwnerId, Result, TaskId, Tx, sql,
    sql::{Ids, One},
};
use serde_json::{Value, json};
use sqlx::types::Json;
use uuid::Uuid;

use super::fair::{self, Candidate, Line};
use crate::{bell::OUTSTANDING_MAX, job::Queue, kinds};

/// Lines that one call looks at; those beyond have their turn in the next.
const LINES_MAX: usize = 256;
/// Rings that may be out for a line while its next tasks are still found.
const RUNG_MAX: usize = OUTSTANDING_MAX;
/// Tasks of a line that are looked at, however many lines there are.
const LOOK_MIN: usize = 8;

/// Where the next call goes on, when there are more lines than one looks at.
#[derive(Clone, Debug, Default)]
pub struct Turn(Option<(OwnerId, String)>);

/// Due tasks of a queue for which nobody rang since `rung_before`, the first to run first, at most
/// `limit`; marks them as rung.
///
/// None of a paused queue, and none beyond the tasks that a kind lets an owner run.
pub async fn due(
    db: &Db,
    queue: Queue,
    now: DateTime<Utc>,
    rung_before: DateTime<Utc>,
    turn: &mut Turn,
    limit: usize,
) -> Result<Vec<TaskId>> {
    // Mostly there is nothing, and then nobody is kept waiting.
    if limit == 0 || !is_waited_in(&mut db.conn().await?, queue).await? {
        return Ok(Vec::new());
    }
    let choice = Choice {
        rung_before,
        rung: false,
        limit,
    };
    let Some((mut tx, mut ids)) = choose(db, queue, now, turn, &choice).await? else {
        return Ok(Vec::new());
    };
    let marked = mark(&mut tx, &ids, now).await?;
    tx.commit().await?;
    ids.retain(|id| marked.contains(id));
    Ok(ids)
}

/// What is to be chosen.
pub(super) struct Choice {
    /// Rings that are older count for nothing.
    pub(super) rung_before: DateTime<Utc>,
    /// Whether those for which somebody rang are chosen too.
    pub(super) rung: bool,
    /// Tasks at most.
    pub(super) limit: usize,
}

/// Chooses the tasks of a queue that come first. Until the end of the transaction that comes with
/// them, nobody else chooses.
///
/// Nothing when there is nothing to choose from.
pub(super) async fn choose(
    db: &Db,
    queue: Queue,
    now: DateTime<Utc>,
    turn: &mut Turn,
    choice: &Choice,
) -> Result<Option<(Tx, Vec<TaskId>)>> {
    let mut tx = db.begin().await?;
    choose_alone(&mut tx, queue).await?;
    let (lines, running) = lines(&mut tx, queue, turn, now).await?;
    let lines = with_room(lines, &running);
    if lines.is_empty() {
        tx.rollback().await?;
        return Ok(None);
    }
    let passed_over = if choice.rung { 0 } else { RUNG_MAX };
    let look = ((passed_over + 2 * choice.limit) / lines.len()).max(LOOK_MIN);
    let times = (now, choice.rung_before);
    let candidates = candidates(&mut tx, queue, &lines, times, look).await?;
    let mut ids = fair::order(&lines, candidates, choice.rung, now);
    ids.truncate(choice.limit);
    Ok(Some((tx, ids)))
}

/// Whether any task of a queue is queued.
async fn is_waited_in(conn: &mut Conn, queue: Queue) -> Result<bool> {
    let (waits,) = sql!(
        conn,
        fetch_one One<bool>,
        "select exists (
            select 1 from tasks where state = 'queued' and attempts_spared >= 0 and queue = $1)",
        queue,
    )?;
    Ok(waits)
}

/// Waits until nobody else chooses from the queue.
async fn choose_alone(tx: &mut Tx, queue: Queue) -> Result<()> {
    // In a statement of its own: what the next ones see must be later than what others chose. SQLite
    // has one writer, which this transaction is.
    sql!(
        tx, execute,
        postgres "select pg_advisory_xact_lock(hashtextextended('lyo.due.' || $1, 0))",
        sqlite "select $1",
        queue,
    )
    .map(|_| ())
}

/// An owner's tasks of a kind, and how many of them run.
#[derive(sqlx::FromRow)]
struct Counted {
    owner_id: OwnerId,
    kind: String,
    /// The place of the line among those that were asked for; 0 where the row says what runs.
    n: i64,
    running: i64,
}

/// The lines of a queue from the turn on, none when it is paused, and beside them what runs.
async fn lines(
    conn: &mut Conn,
    queue: Queue,
    turn: &mut Turn,
    now: DateTime<Utc>,
) -> Result<(Vec<Counted>, Vec<Counted>)> {
    let (owner, kind) = turn
        .0
        .take()
        .unwrap_or_else(|| (OwnerId::LOCAL, String::new()));
    let rows = sql!(
        conn,
        fetch_all Counted,
        "with recursive lines (owner_id, kind, n) as (
            select owner_id, kind, cast(1 as bigint) from tasks
            where id = (
                select id from tasks
                where state = 'queued' and attempts_spared >= 0 and queue = $1
                    and (owner_id, kind) > ($2, $3)
                    and not exists (
                        select 1 from queues
                        where queue = $1 and mode = 'paused'
                            and (paused_until is null or paused_until > $5))
                order by owner_id, kind, priority, run_at, id
                limit 1)
            union all
            select t.owner_id, t.kind, l.n + 1 from lines l
            join tasks t on t.id = coalesce(
                (select x.id from tasks x
                where x.state = 'queued' and x.attempts_spared >= 0 and x.queue = $1
                    and x.owner_id = l.owner_id and x.kind > l.kind
                order by x.kind, x.priority, x.run_at, x.id
                limit 1),
                (select x.id from tasks x
                where x.state = 'queued' and x.attempts_spared >= 0 and x.queue = $1
                    and x.owner_id > l.owner_id
                order by x.owner_id, x.kind, x.priority, x.run_at, x.id
                limit 1))
            where l.n < $4
        )
        select owner_id, kind, n, cast(0 as bigint) as running from lines
        union all
        select owner_id, kind, cast(0 as bigint), count(*) from tasks
        where state = 'running' and queue = $1
        group by owner_id, kind",
        queue,
        owner,
        kind,
        i64::try_from(LINES_MAX).unwrap_or(i64::MAX),
        now,
    )?;
    let (mut lines, running): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|row: &Counted| row.n > 0);
    lines.sort_by_key(|line| line.n);
    if let Some(last) = lines.get(LINES_MAX - 1) {
        turn.0 = Some((last.owner_id, last.kind.clone()));
    }
    Ok((lines, running))
}

/// The lines that have room, with what their owners have running.
fn with_room(lines: Vec<Counted>, running: &[Counted]) -> Vec<Line> {
    let mut busy = HashMap::<OwnerId, usize>::new();
    let mut busy_with = HashMap::<(OwnerId, &str), usize>::new();
    for row in running {
        let count = usize::try_from(row.running).unwrap_or(usize::MAX);
        *busy.entry(row.owner_id).or_default() += count;
        busy_with.insert((row.owner_id, &row.kind), count);
    }
    let line = |Counted {
                    owner_id: owner,
                    kind,
                    ..
                }| {
        let running = busy_with.get(&(owner, kind.as_str())).copied().unwrap_or(0);
        let most = kinds::find(&kind).and_then(|kind| kind.per_owner_max);
        Line {
            owner,
            kind,
            room: most.map_or(usize::MAX, |most| usize::from(most).saturating_sub(running)),
            busy: busy.get(&owner).copied().unwrap_or(0),
        }
    };
    lines
        .into_iter()
        .map(line)
        .filter(|line| line.room > 0)
        .collect()
}

/// The first tasks of each line, at most `look` of each priority.
async fn candidates(
    tx: &mut Tx,
    queue: Queue,
    lines: &[Line],
    (now, rung_before): (DateTime<Utc>, DateTime<Utc>),
    look: usize,
) -> Result<Vec<Candidate>> {
    let named: Vec<Value> = lines
        .iter()
        .map(|line| json!([Uuid::from(line.owner).simple().to_string(), line.kind]))
        .collect();
    let look = i64::try_from(look).unwrap_or(i64::MAX);
    sql!(
        tx, fetch_all Candidate,
        postgres
        "select t.id, t.owner_id, t.kind, t.priority, t.run_at,
            coalesce(t.rung_at >= $5, false) as rung
        from jsonb_array_elements($2) l
        cross join (values (0), (1), (2)) p (priority)
        cross join lateral (
            select * from tasks
            where state = 'queued' and attempts_spared >= 0 and queue = $1
                and owner_id = cast(l ->> 0 as uuid) and kind = l ->> 1
                and priority = p.priority and run_at <= $4
                and (expires_at is null or expires_at > $4)
            order by run_at, id
            limit $3
        ) t",
        sqlite
        "select t.id, t.owner_id, t.kind, t.priority, t.run_at,
            coalesce(t.rung_at >= $5, false) as rung
        from json_each($2) l
        cross join (select 0 as priority union all select 1 union all select 2) p
        join tasks t on t.id in (
            select y.id from tasks y
            where y.state = 'queued' and y.attempts_spared >= 0 and y.queue = $1
                and y.owner_id = unhex(l.value ->> 0) and y.kind = l.value ->> 1
                and y.priority = p.priority and y.run_at <= $4
                and (y.expires_at is null or y.expires_at > $4)
            order by y.run_at, y.id
            limit $3)",
        queue, Json(named), look, now, rung_before,
    )
}

/// Marks tasks as rung. One that somebody has in hand at the moment is left for the next time.
async fn mark(tx: &mut Tx, ids: &[TaskId], now: DateTime<Utc>) -> Result<HashSet<TaskId>> {
    let ids: Ids = ids.iter().copied().collect();
    let marked = sql!(
        tx, fetch_all One<TaskId>,
        postgres
        // The state is compared so that no index of all that is queued can serve, and the ids are an array
        // rather than a join: PostgreSQL would read all, where it has planned while there was little.
        "update tasks set rung_at = $2
        where id = any(array(
                select id from tasks where id = any($1) order by id for no key update skip locked
            ))
            and state || '' = 'queued'
        returning id",
        sqlite
        "update tasks set rung_at = $2
        where id in (select unhex(value) from json_each($1)) and state = 'queued'
        returning id",
        ids, now,
    )?;
    Ok(marked.into_iter().map(|(id,)| id).collect())
}

/// When there is something to do next: a task becomes due, a lease runs out, a pause ends, or a
/// schedule fires.
pub async fn next_due(conn: &mut Conn, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
    let (next,) = sql!(
        conn, fetch_one One<Option<DateTime<Utc>>>,
        "select min(next) from (
            select min(run_at) as next from tasks
            where state = 'queued' and attempt >= 0 and run_at > $1
            union all
            select min(lease_until) as next from tasks where state = 'running'
            union all
            select min(paused_until) as next from queues where paused_until > $1
            union all
            select min(next_at) as next from schedules
        ) t",
        now,
    )?;
    Ok(next)
}
