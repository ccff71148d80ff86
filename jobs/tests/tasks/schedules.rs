//! Schedules, fired by one relay and by many.

use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    Priority, Task,
    store::{
        self,
        schedules::{self, Draft, Misfire, Schedule},
    },
};
use models::{Db, Error, Limit, OwnerId, Result, on_both, sql, testing::TestResult, users};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{commit, get};

fn draft(cron: &str, time_zone: &str) -> Draft {
    Draft {
        name: "Nightly".to_owned(),
        cron: cron.to_owned(),
        time_zone: time_zone.to_owned(),
        misfire: Misfire::All,
        kind: "noop".to_owned(),
        payload: json!({"n": 7}),
        priority: Priority::Bulk,
        enabled: true,
    }
}

/// A schedule that was made at this time.
async fn made(db: &Db, draft: &Draft, at: DateTime<Utc>) -> Result<Schedule> {
    Ok(commit!(db, tx => schedules::create(&mut tx, OwnerId::LOCAL, draft, at)))
}

/// Three relays look at the same time; answers the tasks of all of them.
async fn three_relays(db: &Db, now: DateTime<Utc>) -> Result<Vec<Task>> {
    let mut relays = JoinSet::new();
    for _ in 0..3 {
        let db = db.clone();
        relays.spawn(async move { schedules::fire(&db, now).await });
    }
    let fired: Result<Vec<_>> = relays.join_all().await.into_iter().collect();
    Ok(fired?.into_iter().flatten().collect())
}

/// When a schedule fired, as the clock on the wall in Berlin showed it, while three relays looked
/// every ten minutes from one time to the other.
async fn fired_in_berlin(db: &Db, cron: &str, from: &str, to: &str) -> TestResult<Vec<String>> {
    let (mut now, to): (DateTime<Utc>, DateTime<Utc>) = (from.parse()?, to.parse()?);
    let schedule = made(db, &draft(cron, "Europe/Berlin"), now).await?;
    let mut times = Vec::new();
    while now <= to {
        for task in three_relays(db, now).await? {
            assert_eq!(task.payload, json!({"n": 7}));
            let last = find(db, &schedule).await?.last_at.ok_or("it has fired")?;
            let local = last.with_timezone(&chrono_tz::Europe::Berlin);
            times.push(local.format("%m-%d %H:%M %z").to_string());
        }
        now += TimeDelta::minutes(10);
    }
    Ok(times)
}

async fn find(db: &Db, schedule: &Schedule) -> TestResult<Schedule> {
    let found = schedules::find(&mut db.conn().await?, OwnerId::LOCAL, schedule.id).await?;
    Ok(found.ok_or("the schedule is there")?)
}

on_both! {
    async fn three_relays_fire_each_time_once_when_the_clock_is_set_forward(db: &Db) -> TestResult {
        let (from, to) = ("2026-03-28T20:00:00Z", "2026-03-29T04:00:00Z");

        let fixed = fired_in_berlin(db, "30 2 * * *", from, to).await?;
        let hourly = fired_in_berlin(db, "0 * * * *", "2026-03-28T23:30:00Z", "2026-03-29T02:30:00Z")
            .await?;

        assert_eq!(fixed, ["03-29 03:00 +0200"]);
        let expected = ["03-29 01:00 +0100", "03-29 03:00 +0200", "03-29 04:00 +0200"];
        assert_eq!(hourly, expected);
        Ok(())
    }

    async fn three_relays_fire_each_time_once_when_the_clock_is_set_back(db: &Db) -> TestResult {
        let fixed = fired_in_berlin(
            db, "30 2 * * *", "2026-10-24T22:00:00Z", "2026-10-25T04:00:00Z").await?;
        let hourly = fired_in_berlin(
            db, "0 * * * *", "2026-10-24T23:30:00Z", "2026-10-25T02:30:00Z").await?;

        assert_eq!(fixed, ["10-25 02:30 +0200"]);
        let expected = ["10-25 02:00 +0200", "10-25 02:00 +0100", "10-25 03:00 +0100"];
        assert_eq!(hourly, expected);
        Ok(())
    }

    async fn what_was_missed_is_made_up_for_as_the_schedule_says(db: &Db) -> TestResult {
        let now: DateTime<Utc> = "2026-11-21T12:00:30Z".parse()?;
        let made_at = now - TimeDelta::minutes(10);
        for (misfire, expected) in [(Misfire::Skip, 1), (Misfire::Once, 1), (Misfire::All, 10)] {
            let draft = Draft { misfire, ..draft("* * * * *", "UTC") };
            let schedule = made(db, &draft, made_at).await?;
            let mut tasks = 0;
            // The first look may find that it was late, the second what is on time.
            for _ in 0..2 {
                tasks += three_relays(db, now).await?.len();
            }

            assert_eq!(tasks, expected, "{misfire}");
            let next_at = find(db, &schedule).await?.next_at;
            assert_eq!(next_at, Some("2026-11-21T12:01:00Z".parse()?), "{misfire}");
            commit!(db, tx => schedules::delete(&mut tx, OwnerId::LOCAL, schedule.id));
        }
        Ok(())
    }

    async fn an_edit_neither_fires_again_nor_belongs_to_others(db: &Db) -> TestResult {
        let now: DateTime<Utc> = "2026-11-21T12:00:00Z".parse()?;
        let minutely = draft("* * * * *", "UTC");
        let schedule = made(db, &minutely, now - TimeDelta::seconds(1)).await?;
        let tasks = schedules::fire(db, now).await?;
        assert_eq!(tasks.len(), 1);
        assert_eq!(get(db, tasks[0].id).await?.priority, Priority::Bulk);

        // As if a clock had been set back.
        commit!(db, tx => schedules::update(
            &mut tx, OwnerId::LOCAL, schedule.id, &minutely, now - TimeDelta::seconds(30)));
        assert!(schedules::fire(db, now).await?.is_empty(), "that time was dealt with");

        let off = Draft { enabled: false, ..minutely.clone() };
        let changed = commit!(db, tx => schedules::update(
            &mut tx, OwnerId::LOCAL, schedule.id, &off, now));
        assert_eq!((changed.next_at, changed.version), (None, 3));
        let stranger = OwnerId::from(uuid::Uuid::from_u128(9));
        let mut tx = db.begin().await?;
        let refused = schedules::update(&mut tx, stranger, schedule.id, &off, now).await;
        assert!(matches!(refused, Err(Error::NotFound(_))));
        drop(tx);
        let mut conn = db.conn().await?;
        let theirs = schedules::list(&mut conn, stranger, None, Limit::default()).await?;
        let mine = schedules::list(&mut conn, OwnerId::LOCAL, None, Limit::default()).await?;
        assert_eq!((theirs.items.len(), mine.items.len()), (0, 1));
        Ok(())
    }

    async fn whoever_is_suspended_has_nothing_fired(db: &Db) -> TestResult {
        let now: DateTime<Utc> = "2026-11-21T12:00:00Z".parse()?;
        let schedule = made(db, &draft("* * * * *", "UTC"), now - TimeDelta::seconds(1)).await?;
        commit!(db, tx => users::local(&mut tx, now));
        commit!(db, tx => users::suspend(&mut tx, OwnerId::LOCAL, true, now));

        let suspended = schedules::fire(db, now).await?;
        let next_at = find(db, &schedule).await?.next_at;
        commit!(db, tx => users::suspend(&mut tx, OwnerId::LOCAL, false, now));
        let restored = schedules::fire(db, now + TimeDelta::minutes(1)).await?;

        assert_eq!(suspended.len(), 0);
        assert_eq!(next_at, Some(now + TimeDelta::minutes(1)), "the time has passed");
        assert_eq!(restored.len(), 1);
        Ok(())
    }

    async fn a_schedule_is_checked_and_their_number_is_bounded(db: &Db) -> TestResult {
        let now = db.now();
        for (wrong, field) in [
            (draft("61 * * * *", "UTC"), "/cron"),
            (draft("* * * * *", "Europe/Atlantis"), "/time_zone"),
        ] {
            let refused = made(db, &wrong, now).await;
            assert!(matches!(refused, Err(Error::Invalid { field: name, .. }) if name == field));
        }
        for _ in 0..schedules::SCHEDULES_MAX {
            made(db, &draft("@daily", "UTC"), now).await?;
        }
        let refused = made(db, &draft("@daily", "UTC"), now).await;
        assert!(matches!(refused, Err(Error::Conflict("too_many_schedules"))));
        Ok(())
    }

    async fn the_relay_wakes_for_a_schedule_and_forgets_old_times(db: &Db) -> TestResult {
        let now: DateTime<Utc> = "2026-11-21T12:00:00Z".parse()?;
        made(db, &draft("30 12 * * *", "UTC"), now).await?;
        let at = now + TimeDelta::minutes(30);
        assert_eq!(store::next_due(&mut db.conn().await?, now).await?, Some(at));

        schedules::fire(db, at).await?;

        let forgotten = commit!(db, tx => schedules::prune(&mut tx, at, 10));
        let all = commit!(db, tx => schedules::prune(&mut tx, at + TimeDelta::seconds(1), 10));
        assert_eq!((forgotten, all), (0, 1));
        let mut conn = db.conn().await?;
        let (left,) = sql!(conn, fetch_one (i64,), "select count(*) from schedule_firings")?;
        assert_eq!(left, 0);
        Ok(())
    }
}
