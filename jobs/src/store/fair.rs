//! Who goes first.
//!
//! Among tasks of one priority, an owner's next task comes after as many of everybody else's as the
//! owner has in hand already, running or rung: whoever has little in hand goes first, whoever has
//! much waits for the others. A task rises by a priority for every [`AGEING`] that it waits, so none
//! waits for ever.

use std::{cmp::Reverse, collections::HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use models::{OwnerId, TaskId};

use crate::word::Priority;

/// After each such time a task counts as one priority higher.
pub const AGEING: TimeDelta = TimeDelta::minutes(10);

/// An owner's tasks of a kind.
pub(super) struct Line {
    pub(super) owner: OwnerId,
    pub(super) kind: String,
    /// Tasks that may be in hand beyond those that run.
    pub(super) room: usize,
    /// Tasks of the owner, of any kind, that run.
    pub(super) busy: usize,
}

/// A due task among the first of its line.
#[derive(Clone, sqlx::FromRow)]
pub(super) struct Candidate {
    pub(super) id: TaskId,
    pub(super) owner_id: OwnerId,
    pub(super) kind: String,
    pub(super) priority: Priority,
    pub(super) run_at: DateTime<Utc>,
    /// Somebody rang for it and may be about to start it: it is in hand.
    pub(super) rung: bool,
}

impl Candidate {
    /// Its priority, as its age has made it.
    fn class(&self, now: DateTime<Utc>) -> i64 {
        let risen = (now - self.run_at).num_seconds() / AGEING.num_seconds();
        (self.priority as i64 - risen.max(0)).max(0)
    }
}

/// The candidates that were not rung yet, or all of them, the first to run first.
pub(super) fn order(
    lines: &[Line],
    candidates: Vec<Candidate>,
    rung: bool,
    now: DateTime<Utc>,
) -> Vec<TaskId> {
    let mut within: HashMap<(OwnerId, &str), (usize, usize)> = lines
        .iter()
        .map(|line| ((line.owner, line.kind.as_str()), (line.room, line.busy)))
        .collect();
    let mut turns = HashMap::<(OwnerId, i64), usize>::new();
    let mut rows: Vec<_> = candidates
        .into_iter()
        .map(|task| (task.class(now), task))
        .collect();
    // Those that were rung first: they take up room and turns, since somebody may be about to start
    // them.
    rows.sort_by_key(|(class, task)| (Reverse(task.rung), *class, task.run_at, task.id));
    let mut next = Vec::with_capacity(rows.len());
    for (class, task) in &rows {
        let Some((room, busy)) = within.get_mut(&(task.owner_id, task.kind.as_str())) else {
            continue;
        };
        if *room == 0 {
            continue;
        }
        *room -= 1;
        let turn = turns.entry((task.owner_id, *class)).or_insert(*busy);
        *turn += 1;
        if rung || !task.rung {
            next.push((*class, *turn, task.run_at, task.id));
        }
    }
    next.sort_unstable();
    next.into_iter().map(|(_, _, _, id)| id).collect()
}
