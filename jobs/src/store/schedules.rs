//! Schedules: tasks that are enqueued at the times of a cron expression, each time exactly once.
//!
//! Every relay looks for schedules whose time has come. Moving one on to its next time is a
//! conditional update, and a time that was dealt with is remembered, so of many relays one fires.

use chrono::{DateTime, TimeDelta, Utc};
use models::{
    Conn, Cursor, Db, Error, Limit, OwnerId, Page, Result, ScheduleId, TaskId, Tx, sql, users,
    words,
};
use serde_json::Value;
use sqlx::types::Json;
use tracing::warn;

use super::{Options, enqueue_raw};
use crate::{cron::Cron, kinds, task::Task, word::Priority};

/// Schedules of one owner at most.
pub const SCHEDULES_MAX: i64 = 100;
/// Schedules that one call fires at most.
const FIRE_MAX: i64 = 64;
/// A firing later than this was missed.
pub const LATE: TimeDelta = TimeDelta::seconds(60);
/// Missed firings of a schedule that one call makes up for at most.
const MISSED_MAX: usize = 100;

words! {
    /// What happens to firings that nobody was there for.
    Misfire {
        /// Nothing.
        Skip = "skip",
        /// The schedule fires once for all of them.
        Once = "once",
        /// Each is made up for.
        All = "all",
    }
}

/// What a schedule says, as its owner writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// For people.
    pub name: String,
    /// When: a cron expression.
    pub cron: String,
    /// Where: a name of the IANA time zone database.
    pub time_zone: String,
    /// What happens to firings that nobody was there for.
    pub misfire: Misfire,
    /// The kind of its tasks.
    pub kind: String,
    /// The payload of its tasks, an object.
    pub payload: Value,
    /// The priority of its tasks.
    pub priority: Priority,
    /// Whether it fires.
    pub enabled: bool,
}

impl Draft {
    /// When it fires first after this time.
    fn next(&self, after: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
        let never = || Error::invalid("/cron", "never comes");
        let next = Cron::new(&self.cron, &self.time_zone)?
            .next(after)
            .ok_or_else(never)?;
        Ok(self.enabled.then_some(next))
    }
}

/// A row of `schedules`.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Schedule {
    /// Its id.
    pub id: ScheduleId,
    /// Whose it is, and its tasks.
    pub owner_id: OwnerId,
    /// Rises with every edit; the ETag.
    pub version: i64,
    /// For people.
    pub name: String,
    /// When: a cron expression.
    pub cron: String,
    /// Where.
    pub time_zone: String,
    /// What happens to firings that nobody was there for.
    pub misfire: Misfire,
    /// The kind of its tasks.
    pub kind: String,
    /// The payload of its tasks.
    #[sqlx(json)]
    pub payload: Value,
    /// The priority of its tasks.
    pub priority: Priority,
    /// Whether it fires.
    pub enabled: bool,
    /// When it fires next.
    pub next_at: Option<DateTime<Utc>>,
    /// The time of its last firing.
    pub last_at: Option<DateTime<Utc>>,
    /// The task of its last firing.
    pub last_task_id: Option<TaskId>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last edited.
    pub updated_at: DateTime<Utc>,
}

/// Makes a schedule. `Invalid` names the field; `Conflict("too_many_schedules")`.
pub async fn create(
    tx: &mut Tx,
    owner: OwnerId,
    draft: &Draft,
    now: DateTime<Utc>,
) -> Result<Schedule> {
    let next_at = draft.next(now)?;
    sql!(
        tx, fetch_optional Schedule,
        "insert into schedules (id, owner_id, version, name, cron, time_zone, misfire, kind,
            payload, priority, enabled, next_at, created_at, updated_at)
        select $1, $2, 1, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12
        where (select count(*) from schedules where owner_id = $2) < $13
        returning *",
        ScheduleId::new(), owner, &draft.name, &draft.cron, &draft.time_zone, draft.misfire,
        &draft.kind, Json(&draft.payload), draft.priority, draft.enabled, next_at, now,
        SCHEDULES_MAX,
    )?
    .ok_or(Error::Conflict("too_many_schedules"))
}

/// A schedule of this owner, if there is one.
pub async fn find(conn: &mut Conn, owner: OwnerId, id: ScheduleId) -> Result<Option<Schedule>> {
    sql!(
        conn, fetch_optional Schedule,
        "select * from schedules where id = $1 and owner_id = $2", id, owner,
    )
}

/// The schedules of an owner, newest first.
pub async fn list(
    conn: &mut Conn,
    owner: OwnerId,
    after: Option<Cursor>,
    limit: Limit,
) -> Result<Page<Schedule>> {
    let after = after.unwrap_or_else(Cursor::start);
    let rows = sql!(
        conn, fetch_all Schedule,
        "select * from schedules
        where owner_id = $1 and (created_at, id) < ($2, $3)
        order by created_at desc, id desc
        limit $4",
        owner, after.created_at, after.id, limit.and_one(),
    )?;
    Ok(Page::new(rows, limit, |schedule| Cursor {
        created_at: schedule.created_at,
        id: schedule.id.into(),
    }))
}

/// Writes a schedule anew, or `NotFound`. It fires next after now; a time that it fired at before
/// stays dealt with.
pub async fn update(
    tx: &mut Tx,
    owner: OwnerId,
    id: ScheduleId,
    draft: &Draft,
    now: DateTime<Utc>,
) -> Result<Schedule> {
    let next_at = draft.next(now)?;
    sql!(
        tx, fetch_optional Schedule,
        "update schedules
        set name = $3, cron = $4, time_zone = $5, misfire = $6, kind = $7, payload = $8,
            priority = $9, enabled = $10, next_at = $11, version = version + 1, updated_at = $12
        where id = $1 and owner_id = $2
        returning *",
        id, owner, &draft.name, &draft.cron, &draft.time_zone, draft.misfire, &draft.kind,
        Json(&draft.payload), draft.priority, draft.enabled, next_at, now,
    )?
    .ok_or(Error::NotFound("schedule"))
}

/// Forgets a schedule, or `NotFound`. Its tasks stay.
pub async fn delete(tx: &mut Tx, owner: OwnerId, id: ScheduleId) -> Result<()> {
    let deleted = sql!(
        tx,
        execute,
        "delete from schedules where id = $1 and owner_id = $2",
        id,
        owner,
    )?;
    if deleted == 0 {
        return Err(Error::NotFound("schedule"));
    }
    Ok(())
}

/// Enqueues the tasks of every schedule whose time has come, and answers them.
pub async fn fire(db: &Db, now: DateTime<Utc>) -> Result<Vec<Task>> {
    let due = sql!(
        db.conn().await?, fetch_all Schedule,
        "select * from schedules where next_at <= $1 order by next_at limit $2",
        now, FIRE_MAX,
    )?;
    let mut tasks = Vec::new();
    for schedule in due {
        tasks.extend(fire_one(db, &schedule, now).await?);
    }
    Ok(tasks)
}

async fn fire_one(db: &Db, schedule: &Schedule, now: DateTime<Utc>) -> Result<Vec<Task>> {
    let Some(due_at) = schedule.next_at else {
        return Ok(Vec::new());
    };
    let plan = match Cron::new(&schedule.cron, &schedule.time_zone) {
        Ok(cron) => Plan::of(&cron, schedule.misfire, due_at, now),
        // Other releases may know other words; the schedules of others must not wait for this one.
        Err(error) => {
            warn!(schedule.id = %schedule.id, %error, "A schedule cannot be read: {error}");
            Plan::default()
        }
    };
    let mut tx = db.begin().await?;
    // Whoever moves it on fires it; edited meanwhile, it has another time.
    let moved = sql!(
        tx,
        execute,
        "update schedules set next_at = $3
        where id = $1 and next_at = $2 and version = $4",
        schedule.id,
        due_at,
        plan.next,
        schedule.version,
    )?;
    if moved == 0 {
        return Ok(Vec::new());
    }
    let mut tasks = Vec::new();
    for time in plan.times {
        tasks.extend(fire_at(&mut tx, schedule, time, now).await?);
    }
    tx.commit().await?;
    Ok(tasks)
}

/// Fires a schedule for one time, unless that was done.
async fn fire_at(
    tx: &mut Tx,
    schedule: &Schedule,
    time: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Option<Task>> {
    let first = sql!(
        tx,
        execute,
        "insert into schedule_firings (schedule_id, fire_at) values ($1, $2)
        on conflict (schedule_id, fire_at) do nothing",
        schedule.id,
        time,
    )?;
    if first == 0 {
        return Ok(None);
    }
    let task = match enqueue(tx, schedule, now).await {
        Ok(task) => Some(task),
        // A queue that drains, an owner who may do nothing, or a payload that this release does not
        // take: the time has passed.
        Err(error @ (Error::Conflict(_) | Error::Invalid { .. } | Error::NotFound(_))) => {
            warn!(schedule.id = %schedule.id, %error, "A schedule could not fire: {error}");
            None
        }
        Err(error) => return Err(error),
    };
    sql!(
        tx,
        execute,
        "update schedules set last_at = $2, last_task_id = $3 where id = $1",
        schedule.id,
        time,
        task.as_ref().map(|task| task.id),
    )?;
    Ok(task)
}

async fn enqueue(tx: &mut Tx, schedule: &Schedule, now: DateTime<Utc>) -> Result<Task> {
    let definition = kinds::find(&schedule.kind).ok_or(Error::NotFound("kind"))?;
    let owner = users::find(tx, schedule.owner_id).await?;
    if owner.is_some_and(|owner| owner.suspended_at.is_some()) {
        return Err(Error::Conflict("account_suspended"));
    }
    let options = Options {
        priority: schedule.priority,
        ..Options::by(schedule.owner_id)
    };
    enqueue_raw(tx, definition, schedule.payload.clone(), options, now).await
}

/// Forgets that times before this one were dealt with, at most `limit`; no schedule goes back there.
pub async fn prune(tx: &mut Tx, before: DateTime<Utc>, limit: u32) -> Result<u64> {
    sql!(
        tx,
        execute,
        "delete from schedule_firings
        where (schedule_id, fire_at) in (
            select schedule_id, fire_at from schedule_firings
            where fire_at < $1
            order by fire_at
            limit $2
        )",
        before,
        i64::from(limit),
    )
}

/// What is to be done about a schedule whose time has come.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    times: Vec<DateTime<Utc>>,
    next: Option<DateTime<Utc>>,
}

impl Plan {
    fn of(cron: &Cron, misfire: Misfire, due_at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let late = now - due_at > LATE;
        let next = |after| cron.next(after);
        match misfire {
            Misfire::Skip if late => Self {
                times: Vec::new(),
                next: next(now - LATE),
            },
            Misfire::Once if late => Self {
                times: vec![due_at],
                next: next(now),
            },
            Misfire::All if late => {
                let mut times = vec![due_at];
                let mut following = next(due_at);
                while let Some(time) = following.filter(|time| *time <= now)
                    && times.len() < MISSED_MAX
                {
                    times.push(time);
                    following = next(time);
                }
                Self {
                    times,
                    next: following,
                }
            }
            _ => Self {
                times: vec![due_at],
                next: next(due_at),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(misfire: Misfire, minutes_late: i64) -> (usize, i64) {
        let cron = Cron::new("* * * * *", "UTC").expect("it is valid");
        let due_at = DateTime::UNIX_EPOCH;
        let now = due_at + TimeDelta::minutes(minutes_late) + TimeDelta::seconds(1);
        let plan = Plan::of(&cron, misfire, due_at, now);
        let next = plan.next.expect("it goes on");
        (plan.times.len(), (next - due_at).num_minutes())
    }

    #[test]
    fn what_was_missed_is_skipped_or_made_up_for_once_or_each() {
        for misfire in [Misfire::Skip, Misfire::Once, Misfire::All] {
            assert_eq!(plan(misfire, 0), (1, 1), "in time: {misfire}");
        }
        assert_eq!(plan(Misfire::Skip, 10), (0, 10));
        assert_eq!(plan(Misfire::Once, 10), (1, 11));
        assert_eq!(plan(Misfire::All, 10), (11, 11));
        assert_eq!(plan(Misfire::All, 1_000), (MISSED_MAX, 100));
    }
}
