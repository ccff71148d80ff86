//! How long tasks of a kind took of late, and how good the estimates made from that were.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use models::{Conn, Db, Result, TaskId, Tx, sql};
use sqlx::types::Json;

/// Tasks of a kind that the numbers are made from at most: the last to succeed.
const SAMPLES_MAX: usize = 200;
/// Ended tasks of a kind that are looked through for those.
const LOOK_MAX: i64 = 1_000;
/// With fewer samples, an estimate is not judged.
const JUDGED_MIN: i64 = 20;
/// Steps from the shortest duration to the longest.
const STEPS: usize = 20;
/// One process in this time makes the numbers anew.
const PERIOD: TimeDelta = TimeDelta::seconds(30);

/// A row of `durations`. A default one knows nothing.
#[derive(Clone, Debug, Default, PartialEq, sqlx::FromRow)]
pub struct Durations {
    /// The kind.
    pub kind: String,
    /// How many tasks the numbers are made from.
    pub samples: i64,
    /// Seconds that a task keeps a worker busy, on average.
    pub busy_seconds: f64,
    /// Seconds from the first start to success, from the shortest to the longest, in equal steps of
    /// probability.
    #[sqlx(json)]
    quantiles: Vec<f64>,
    /// Tasks that ended after an estimate for them was possible.
    pub judged: i64,
    /// Those of them that took no longer than the median.
    pub within_p50: i64,
    /// Those that took no longer than nine of ten.
    pub within_p90: i64,
    judged_until: DateTime<Utc>,
}

impl Durations {
    /// The seconds that a task which began `elapsed` seconds ago still takes at most, with this
    /// chance. Nothing when no task is known to have taken that long.
    pub fn left(&self, elapsed: f64, chance: f64) -> Option<f64> {
        let below = self.rank(elapsed)?;
        let whole = self.quantile(below + (1.0 - below) * chance)?;
        Some((whole - elapsed).max(0.0))
    }

    /// The duration that this share of tasks does not exceed.
    fn quantile(&self, share: f64) -> Option<f64> {
        let last = self.quantiles.len().checked_sub(1)?;
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place among a few steps"
        )]
        let (step, part) = {
            let place = share.clamp(0.0, 1.0) * last as f64;
            (place as usize, place.fract())
        };
        let low = self.quantiles.get(step)?;
        let high = self.quantiles.get(step + 1).unwrap_or(low);
        Some(low + (high - low) * part)
    }

    /// The share of tasks that took no longer than this; nothing when none took longer.
    #[expect(clippy::cast_precision_loss, reason = "a place among a few steps")]
    fn rank(&self, seconds: f64) -> Option<f64> {
        let last = self.quantiles.len().checked_sub(1)?;
        let above = self.quantiles.iter().position(|step| *step >= seconds)?;
        let Some(below) = above.checked_sub(1) else {
            return Some(0.0);
        };
        let (low, high) = (self.quantiles[below], self.quantiles[above]);
        let part = if high > low {
            (seconds - low) / (high - low)
        } else {
            1.0
        };
        Some((below as f64 + part) / last.max(1) as f64)
    }

    /// Judges what was known by these tasks, then learns from them.
    fn learn(&mut self, mut ended: Vec<Ended>) {
        let judges = self.samples >= JUDGED_MIN;
        let (p50, p90) = (self.quantile(0.5), self.quantile(0.9));
        for task in ended
            .iter()
            .filter(|task| task.finished_at > self.judged_until)
        {
            if let (true, Some(p50), Some(p90)) = (judges, p50, p90) {
                self.judged += 1;
                self.within_p50 += i64::from(task.seconds <= p50);
                self.within_p90 += i64::from(task.seconds <= p90);
            }
        }
        let Some(latest) = ended.iter().map(|task| task.finished_at).max() else {
            return;
        };
        self.judged_until = latest.max(self.judged_until);
        ended.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let last = ended.len() - 1;
        self.quantiles = (0..=STEPS)
            .map(|step| ended[step * last / STEPS].seconds)
            .collect();
        self.samples = i64::try_from(ended.len()).unwrap_or(i64::MAX);
        #[expect(clippy::cast_precision_loss, reason = "a few hundred samples")]
        let count = ended.len() as f64;
        self.busy_seconds = ended.iter().map(|task| task.busy).sum::<f64>() / count;
    }
}

/// A task that succeeded.
#[derive(Clone, Copy, Debug)]
struct Ended {
    finished_at: DateTime<Utc>,
    /// From the first start to the end.
    seconds: f64,
    /// In the hands of workers.
    busy: f64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: TaskId,
    started_at: DateTime<Utc>,
    finished_at: DateTime<Utc>,
    began_at: DateTime<Utc>,
    ended_at: DateTime<Utc>,
}

/// What is known of every kind, by kind.
pub async fn all(conn: &mut Conn) -> Result<HashMap<String, Durations>> {
    let rows = sql!(conn, fetch_all Durations, "select * from durations")?;
    Ok(rows
        .into_iter()
        .map(|row| (row.kind.clone(), row))
        .collect())
}

/// Learns from the tasks of a kind that ended of late, unless another process just did.
pub async fn learn(db: &Db, kind: &str, now: DateTime<Utc>) -> Result<()> {
    let mut tx = db.begin().await?;
    let Some(mut known) = claim(&mut tx, kind, now).await? else {
        return Ok(());
    };
    known.learn(ended(&mut tx, kind).await?);
    sql!(
        tx,
        execute,
        "update durations
        set samples = $2, busy_seconds = $3, quantiles = $4, judged = $5, within_p50 = $6,
            within_p90 = $7, judged_until = $8
        where kind = $1",
        kind,
        known.samples,
        known.busy_seconds,
        Json(&known.quantiles),
        known.judged,
        known.within_p50,
        known.within_p90,
        known.judged_until,
    )?;
    tx.commit().await
}

async fn claim(tx: &mut Tx, kind: &str, now: DateTime<Utc>) -> Result<Option<Durations>> {
    sql!(
        tx, fetch_optional Durations,
        "insert into durations (kind, samples, busy_seconds, quantiles, judged, within_p50,
            within_p90, judged_until, updated_at)
        values ($1, 0, 0, '[]', 0, 0, 0, $2, $2)
        on conflict (kind) do update set updated_at = excluded.updated_at
        where durations.updated_at <= $3
        returning *",
        kind, now, now - PERIOD,
    )
}

async fn ended(tx: &mut Tx, kind: &str) -> Result<Vec<Ended>> {
    let rows = sql!(
        tx, fetch_all Row,
        "select t.id, t.started_at, t.finished_at, a.started_at as began_at, a.ended_at
        from (
            select * from (
                select id, state, started_at, finished_at from tasks
                where kind = $1 and finished_at is not null
                order by finished_at desc
                limit $2
            ) ended
            where state = 'succeeded'
            order by finished_at desc
            limit $3
        ) t
        join task_attempts a on a.task_id = t.id
        where a.ended_at is not null",
        kind, LOOK_MAX, i64::try_from(SAMPLES_MAX).unwrap_or(i64::MAX),
    )?;
    let mut tasks = HashMap::<TaskId, Ended>::with_capacity(rows.len());
    for row in rows {
        let task = tasks.entry(row.id).or_insert(Ended {
            finished_at: row.finished_at,
            seconds: (row.finished_at - row.started_at).as_seconds_f64(),
            busy: 0.0,
        });
        task.busy += (row.ended_at - row.began_at).as_seconds_f64().max(0.0);
    }
    Ok(tasks.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(seconds: impl IntoIterator<Item = i32>) -> Durations {
        let mut durations = Durations::default();
        durations.learn(tasks(seconds, 1));
        durations
    }

    fn tasks(seconds: impl IntoIterator<Item = i32>, at: i64) -> Vec<Ended> {
        let task = |seconds| Ended {
            finished_at: DateTime::UNIX_EPOCH + TimeDelta::seconds(at),
            seconds: f64::from(seconds),
            busy: f64::from(seconds) / 2.0,
        };
        seconds.into_iter().map(task).collect()
    }

    #[test]
    fn what_is_left_depends_on_what_has_passed() {
        let durations = known(0..=100);

        assert_eq!(durations.left(0.0, 0.5), Some(50.0));
        assert_eq!(durations.left(0.0, 0.9), Some(90.0));
        assert_eq!(durations.left(50.0, 0.5), Some(25.0));
        assert_eq!(durations.left(101.0, 0.5), None);
        assert_eq!(Durations::default().left(0.0, 0.5), None);
        assert!((durations.busy_seconds - 25.0).abs() < 1e-9);
    }

    #[test]
    fn equal_durations_are_one_estimate() {
        let durations = known([7; 30]);

        assert_eq!(durations.left(0.0, 0.5), Some(7.0));
        assert_eq!(durations.left(7.0, 0.9), Some(0.0));
    }

    #[test]
    fn an_estimate_is_judged_by_what_comes_after_it_and_once() {
        let mut durations = known(0..=100);
        assert_eq!(durations.judged, 0);

        durations.learn(tasks([10, 60, 95], 2));
        durations.learn(tasks([10, 60, 95], 2));

        let Durations {
            judged,
            within_p50,
            within_p90,
            ..
        } = durations;
        assert_eq!((judged, within_p50, within_p90), (3, 1, 2));
    }
}
