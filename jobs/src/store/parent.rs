//! What happens to a parent when its children come and go.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use models::{Error, Result, TaskId, Tx, sql};

use super::{CHILDREN_MAX, events};
use crate::{task::Task, word::State};

/// Counts new children in their parents; a parent that has ended, or has too many, refuses.
pub(super) async fn adopt(tx: &mut Tx, children: &[Task], now: DateTime<Utc>) -> Result<()> {
    let mut counts = BTreeMap::<TaskId, i64>::new();
    for parent in children.iter().filter_map(|child| child.parent_id) {
        *counts.entry(parent).or_default() += 1;
    }
    for (parent, count) in counts.into_iter().rev() {
        let parent = sql!(
            tx, fetch_optional Task,
            "update tasks
            set children_total = children_total + $2, version = version + 1, updated_at = $3
            where id = $1 and state in ('queued', 'running', 'waiting')
                and children_total + $2 <= $4
            returning *",
            parent, count, now, CHILDREN_MAX,
        )?
        .ok_or(Error::Conflict("parent_ended"))?;
        events::progress(tx, &parent, now).await?;
    }
    Ok(())
}

/// Counts the end of a child; the last one queues a parent that waits for its children.
///
/// Every expression looks at the row as it is under the lock, so of two children that end at the
/// same time exactly one is the last. A parent that has ended stays as it is.
pub(super) async fn child_ended(
    tx: &mut Tx,
    child: &Task,
    now: DateTime<Utc>,
) -> Result<Option<Task>> {
    let Some(parent) = child.parent_id else {
        return Ok(None);
    };
    let succeeded = i64::from(child.state == State::Succeeded);
    let parent = sql!(
        tx, fetch_optional Task,
        "update tasks
        set children_succeeded = children_succeeded + $2,
            children_failed = children_failed + 1 - $2,
            completed = case when state = 'waiting'
                then children_succeeded + children_failed + 1 else completed end,
            total = case when state = 'waiting' then children_total else total end,
            percent = case
                when state = 'waiting' and percent < children_percent_to
                    and children_succeeded + children_failed < children_total
                then percent + (children_percent_to - percent)
                    / (children_total - children_succeeded - children_failed)
                else percent end,
            run_at = case
                when state = 'waiting' and waiting_reason = 'children'
                    and children_succeeded + children_failed + 1 >= children_total
                then $3 else run_at end,
            rung_at = case when state = 'waiting' then null else rung_at end,
            waiting_reason = case
                when state = 'waiting' and waiting_reason = 'children'
                    and children_succeeded + children_failed + 1 >= children_total
                then null else waiting_reason end,
            state = case
                when state = 'waiting' and waiting_reason = 'children'
                    and children_succeeded + children_failed + 1 >= children_total
                then 'queued' else state end,
            version = version + 1, updated_at = $3
        where id = $1 and state in ('queued', 'running', 'waiting')
        returning *",
        parent, succeeded, now,
    )?;
    match &parent {
        Some(parent) if parent.state == State::Queued => events::state(tx, parent, now).await?,
        Some(parent) => events::progress(tx, parent, now).await?,
        None => {}
    }
    Ok(parent)
}

/// Takes back that an unsuccessful child has ended: it is tried again.
pub(super) async fn child_revived(
    tx: &mut Tx,
    child: &Task,
    now: DateTime<Utc>,
) -> Result<Option<Task>> {
    let Some(parent) = child.parent_id else {
        return Ok(None);
    };
    let parent = sql!(
        tx, fetch_optional Task,
        "update tasks
        set children_failed = children_failed - 1, version = version + 1, updated_at = $2
        where id = $1 and state in ('queued', 'running', 'waiting')
        returning *",
        parent, now,
    )?;
    if let Some(parent) = &parent {
        events::progress(tx, parent, now).await?;
    }
    Ok(parent)
}
