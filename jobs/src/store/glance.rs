//! Reads many tasks for those who poll, each its own, in one statement.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use models::{Conn, OwnerId, Result, TaskId, sql, sql::Ids};

use crate::{task::Task, word::State};

/// What is asked most of a task, and cheap to answer.
#[derive(Clone, Copy, Debug, PartialEq, sqlx::FromRow)]
pub struct Glance {
    /// The task.
    pub id: TaskId,
    /// Whose it is.
    pub owner_id: OwnerId,
    /// Where it stands.
    pub state: State,
    /// Its ETag.
    pub version: i64,
    /// How far it is.
    pub percent: f64,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When it was first started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Task {
    /// The task at a glance.
    pub fn glance(&self) -> Glance {
        Glance {
            id: self.id,
            owner_id: self.owner_id,
            state: self.state,
            version: self.version,
            percent: self.percent,
            created_at: self.created_at,
            started_at: self.started_at,
            updated_at: self.updated_at,
        }
    }
}

/// Who asks for which task.
pub type Wanted = (OwnerId, TaskId);

/// Tasks at a glance, each if it is there and this owner's, in the order of those wanted.
pub async fn glance_many(conn: &mut Conn, wanted: &[Wanted]) -> Result<Vec<Option<Glance>>> {
    let (owners, ids) = columns(wanted);
    let rows = sql!(
        conn, fetch_all Glance,
        postgres
        // One by one through the index: a plan that was made while the table was small would read all
        // of it for ever.
        "select t.id, t.owner_id, state, version, percent, created_at, started_at, updated_at
        from unnest($1, $2) as w (id, owner_id)
        cross join lateral (
            select * from tasks where id = w.id and owner_id = w.owner_id limit 1
        ) t",
        sqlite
        "select t.id, t.owner_id, state, version, percent, created_at, started_at, updated_at
        from json_each($1) w join json_each($2) o on o.key = w.key
        join tasks t on t.id = unhex(w.value) and t.owner_id = unhex(o.value)",
        ids, owners,
    )?;
    Ok(in_order(wanted, rows, |glance| {
        (glance.owner_id, glance.id)
    }))
}

/// Whole tasks, each if it is there and this owner's, in the order of those wanted.
pub async fn find_many(conn: &mut Conn, wanted: &[Wanted]) -> Result<Vec<Option<Task>>> {
    let (owners, ids) = columns(wanted);
    let rows = sql!(
        conn, fetch_all Task,
        postgres
        "select t.* from unnest($1, $2) as w (id, owner_id)
        cross join lateral (
            select * from tasks where id = w.id and owner_id = w.owner_id limit 1
        ) t",
        sqlite
        "select t.* from json_each($1) w join json_each($2) o on o.key = w.key
        join tasks t on t.id = unhex(w.value) and t.owner_id = unhex(o.value)",
        ids, owners,
    )?;
    Ok(in_order(wanted, rows, |task| (task.owner_id, task.id)))
}

/// Owners and ids, each pair once.
fn columns(wanted: &[Wanted]) -> (Ids, Ids) {
    let pairs: BTreeSet<_> = wanted.iter().collect();
    let owners = pairs.iter().map(|(owner, _)| *owner).collect();
    (owners, pairs.iter().map(|(_, id)| *id).collect())
}

fn in_order<R: Clone>(
    wanted: &[Wanted],
    rows: Vec<R>,
    key: impl Fn(&R) -> Wanted,
) -> Vec<Option<R>> {
    let found: BTreeMap<Wanted, R> = rows.into_iter().map(|row| (key(&row), row)).collect();
    wanted.iter().map(|one| found.get(one).cloned()).collect()
}
