//! What a running task shows of itself.

use chrono::{DateTime, Utc};
use models::{Error, Result, Tx, sql};
use serde_json::Value;

use super::events;
use crate::{
    task::{Lease, Progress, Task},
    word::EventKind,
};

/// Characters of a message at most; the rest is cut off.
const MESSAGE_CHARS_MAX: usize = 500;

/// Shows how far the task is. The percent never falls. Callers coalesce: at most two a second.
pub async fn progress(
    tx: &mut Tx,
    lease: Lease,
    progress: &Progress,
    now: DateTime<Utc>,
) -> Result<Task> {
    let message = progress
        .message
        .as_deref()
        .map(|text| cut(text, MESSAGE_CHARS_MAX));
    let task = sql!(
        tx, fetch_optional Task,
        "update tasks
        set percent = case when $3 > percent then $3 else percent end, step = $4, message = $5,
            completed = $6, total = $7, version = version + 1, updated_at = $8
        where id = $1 and attempt = $2 and state = 'running'
        returning *",
        lease.task_id, lease.attempt, progress.percent.clamp(0.0, 100.0), &progress.step,
        message, progress.completed, progress.total, now,
    )?
    .ok_or(Error::Lost)?;
    events::progress(tx, &task, now).await?;
    Ok(task)
}

/// Shows part of the result to those who follow the events; the row keeps nothing of it.
pub async fn partial(tx: &mut Tx, lease: Lease, data: &Value, now: DateTime<Utc>) -> Result<Task> {
    super::document(data, "/data")?;
    let task = sql!(
        tx, fetch_optional Task,
        "update tasks set version = version + 1, updated_at = $3
        where id = $1 and attempt = $2 and state = 'running'
        returning *",
        lease.task_id, lease.attempt, now,
    )?
    .ok_or(Error::Lost)?;
    events::record(tx, &task, EventKind::Partial, data, now).await?;
    Ok(task)
}

fn cut(text: &str, chars_max: usize) -> &str {
    text.char_indices()
        .nth(chars_max)
        .map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        assert_eq!(cut("éèê", 2), "éè");
        assert_eq!(cut("éè", 2), "éè");
    }
}
