//! The relay: repairs every hint that was lost.
//!
//! It takes back what silent workers held, rings for due tasks that nobody started, and does what
//! has to be done now and then. Several may run: whatever one of them does, the others find done.

use std::{cmp, collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use metrics::counter;
use models::{Db, Result};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    bell::Bell,
    job::Queue,
    keep,
    store::{self, Turn},
};

/// A ring that was lost is repeated within this time.
pub const PERIOD: Duration = Duration::from_secs(5);
/// Tasks that one round takes back at most.
const REAP_MAX: u32 = 256;
/// No round starts sooner after the one before, however often the relay is nudged.
const NUDGE_PAUSE: Duration = Duration::from_millis(5);
/// The next round is no sooner, whatever is due.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// What is not about rings is done no more often: while much is done, nudges are many.
const CHORES_PAUSE: Duration = Duration::from_millis(100);

/// What a relay remembers from round to round.
#[derive(Debug, Default)]
struct Memory {
    /// Where the lines of a queue go on.
    turns: HashMap<Queue, Turn>,
    /// When the chores were last done.
    chores_at: Option<Instant>,
}

/// Runs until it is cancelled. A database that is out of reach is tried again, at most one period
/// later.
pub async fn run(db: Db, bell: Bell, stop: CancellationToken) {
    tokio::join!(rounds(&db, &bell, &stop), keep::run(&db, &stop));
}

async fn rounds(db: &Db, bell: &Bell, stop: &CancellationToken) {
    let mut memory = Memory::default();
    let mut failures = 0;
    while !stop.is_cancelled() {
        let pause = match round(db, bell, &mut memory).await {
            Ok(next_due) => {
                failures = 0;
                until(next_due, db.now())
            }
            Err(error) => {
                failures += 1;
                warn!(%error, failures, "The relay could not look: {error}");
                back_off(failures)
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = pause_or_nudge(bell, pause) => {}
        }
    }
}

/// Rings, does the chores unless they were just done, and answers when there is something to do next.
async fn round(db: &Db, bell: &Bell, memory: &mut Memory) -> Result<Option<DateTime<Utc>>> {
    let now = db.now();
    let tidy = memory
        .chores_at
        .is_some_and(|at| at.elapsed() < CHORES_PAUSE);
    if !tidy {
        chores(db, bell, now).await?;
        memory.chores_at = Some(Instant::now());
    }
    for queue in Queue::ALL {
        let turn = memory.turns.entry(*queue).or_default();
        ring(db, bell, *queue, turn, now).await?;
    }
    if tidy {
        return Ok(Some(now + CHORES_PAUSE));
    }
    store::next_due(&mut db.conn().await?, now).await
}

/// Takes back what silent workers held, and fires schedules.
async fn chores(db: &Db, bell: &Bell, now: DateTime<Utc>) -> Result<()> {
    let reaped = store::reap(db, now, REAP_MAX).await?;
    for changed in reaped.changes() {
        info!(
            task.id = %changed.task.id, task.state = %changed.task.state,
            "Took back task {}: {}", changed.task.id, changed.task.state,
        );
        bell.tell_all(changed, now);
    }
    let lost = reaped.changes().count() - reaped.expired.len();
    counter!("leases_lost_total").increment(lost as u64);
    if reaped.changes().count() >= REAP_MAX as usize {
        bell.nudge();
    }
    let fired = store::schedules::fire(db, now).await?;
    counter!("schedules_fired_total").increment(fired.len() as u64);
    for task in &fired {
        bell.tell(task, now);
    }
    Ok(())
}

/// Rings for what nobody started, as far as rings are wanted.
async fn ring(
    db: &Db,
    bell: &Bell,
    queue: Queue,
    turn: &mut Turn,
    now: DateTime<Utc>,
) -> Result<()> {
    let Some(outstanding) = bell.outstanding(queue).await else {
        return Ok(());
    };
    let most = queue.rings_max();
    let room = most.saturating_sub(outstanding);
    if room == 0 {
        bell.more(queue, most / 2);
        return Ok(());
    }
    let due = store::due(db, queue, now, now - PERIOD, turn, room).await?;
    if due.is_empty() {
        return Ok(());
    }
    debug!(%queue, tasks = due.len(), "Rang again for {} tasks", due.len());
    counter!("rings_repaired_total", "queue" => queue.as_str()).increment(due.len() as u64);
    let full = due.len() == room;
    bell.ring(&due.into_iter().map(|id| (queue, id)).collect::<Vec<_>>());
    if full {
        bell.more(queue, most / 2);
    }
    Ok(())
}

/// How long to sleep when the next task is due then: a period at most.
fn until(next_due: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Duration {
    let left = next_due.map_or(TimeDelta::MAX, |next_due| next_due - now);
    left.to_std()
        .unwrap_or(Duration::ZERO)
        .clamp(PAUSE_MIN, PERIOD)
}

fn back_off(failures: u32) -> Duration {
    let doubled = Duration::from_millis(250).saturating_mul(1 << failures.min(8));
    cmp::min(doubled, PERIOD)
}

async fn pause_or_nudge(bell: &Bell, pause: Duration) {
    sleep(NUDGE_PAUSE).await;
    tokio::select! {
        () = sleep(pause.saturating_sub(NUDGE_PAUSE)) => {}
        () = bell.nudged() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relay_sleeps_until_the_next_task_is_due() {
        let now = DateTime::UNIX_EPOCH;
        let after = |milliseconds| until(Some(now + TimeDelta::milliseconds(milliseconds)), now);

        assert_eq!(until(None, now), PERIOD);
        assert_eq!(after(1_500), Duration::from_millis(1_500));
        assert_eq!(after(60_000), PERIOD);
        assert_eq!(after(-10), PAUSE_MIN);
    }

    #[test]
    fn a_database_out_of_reach_is_tried_more_and_more_seldom() {
        let pauses: Vec<_> = (1..=6)
            .map(|failures| back_off(failures).as_millis())
            .collect();

        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 5_000, 5_000]);
        assert_eq!(back_off(u32::MAX), PERIOD);
    }
}
