//! Connections, transactions and the clock, on both databases.

use std::{path::PathBuf, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use models::{
    CourseId, Db, DbOptions, Error, Limit, OwnerId,
    courses::{self, Brief},
    on_both, sql,
    sql::{Ids, One},
    testing::{TestDb, TestResult},
};
use tokio::time::timeout;

on_both! {
    async fn migrating_again_changes_nothing(db: &Db) -> TestResult {
        db.migrate().await?;
        db.ping().await?;
        Ok(())
    }

    async fn a_transaction_that_is_dropped_never_was(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        courses::create(&mut tx, OwnerId::LOCAL, &Brief::new("Tides"), db.now()).await?;
        drop(tx);

        let mut conn = db.conn().await?;
        let page = courses::list(&mut conn, OwnerId::LOCAL, None, Limit::default()).await?;

        assert!(page.items.is_empty());
        Ok(())
    }

    async fn writers_wait_for_each_other_and_readers_for_nobody(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        courses::create(&mut tx, OwnerId::LOCAL, &Brief::new("Tides"), db.now()).await?;
        let other = db.clone();
        let second = tokio::spawn(async move {
            let mut tx = other.begin().await?;
            courses::create(&mut tx, OwnerId::LOCAL, &Brief::new("Waves"), other.now()).await?;
            tx.commit().await
        });

        let patience = Duration::from_secs(2);
        let count = sql!(timeout(patience, db.conn()).await??, fetch_one One<i64>,
            "select count(*) from courses")?;
        tx.commit().await?;
        second.await??;
        let after = sql!(db.conn().await?, fetch_one One<i64>, "select count(*) from courses")?;

        assert!(count.0 <= 1, "what is not committed is not seen");
        assert_eq!(after.0, 2);
        Ok(())
    }

    async fn ids_and_times_are_stored_as_they_are(db: &Db) -> TestResult {
        let now = db.now();
        let mut tx = db.begin().await?;
        let course = courses::create(&mut tx, OwnerId::LOCAL, &Brief::new("Tides"), now).await?;

        let found = courses::get_any(&mut tx, course.id).await?;
        let ids: Ids = [course.id, CourseId::new()].into_iter().collect();
        let known = sql!(tx, fetch_all One<CourseId>,
            postgres "select id from courses where id = any($1)",
            sqlite "select id from courses where id in (select unhex(value) from json_each($1))",
            ids)?;

        assert_eq!(found, course);
        assert_eq!(found.created_at, now);
        assert_eq!(known, [(course.id,)]);
        Ok(())
    }

    async fn times_of_every_precision_sort_by_time(db: &Db) -> TestResult {
        let start: DateTime<Utc> = "2026-11-21T04:00:00Z".parse()?;
        let steps = [0, 1, 1_000, 120_000, 123_000, 123_456, 999_999, 1_000_000, 1_500_000];
        let times: Vec<_> =
            steps.iter().map(|step| start + TimeDelta::microseconds(*step)).collect();
        let mut tx = db.begin().await?;
        for time in times.iter().rev() {
            courses::create(&mut tx, OwnerId::LOCAL, &Brief::new("Tides"), *time).await?;
        }

        let sorted = sql!(tx, fetch_all One<DateTime<Utc>>,
            "select created_at from courses order by created_at")?;
        let early = sql!(tx, fetch_one One<i64>,
            "select count(*) from courses where created_at < $1", times[5])?;

        assert_eq!(sorted.into_iter().map(|(time,)| time).collect::<Vec<_>>(), times);
        assert_eq!(early.0, 5);
        Ok(())
    }

    async fn the_clock_is_the_databases(db: &Db) -> TestResult {
        let hour = TimeDelta::hours(1);
        let right = db.now();
        db.disturb_clock(hour);
        let wrong = db.now();

        db.measure_clock().await?;
        let repaired = db.now();

        assert!(wrong - right >= hour);
        // SQLite lives on this machine: there is no other clock to measure.
        let error = if db.is_sqlite() { hour } else { TimeDelta::zero() };
        assert!((repaired - right - error).abs() < TimeDelta::seconds(5));
        assert_eq!(repaired.timestamp_subsec_nanos() % 1_000, 0);
        Ok(())
    }

    async fn a_closed_database_is_unavailable(test: &TestDb) -> TestResult {
        let db = Db::connect(&test.url, &DbOptions { connections_max: 0 }).await?;
        db.close().await;

        let refused = db.ping().await;

        assert!(refused.is_err_and(|error| error.is_unavailable()));
        Ok(())
    }

    async fn a_unique_violation_is_recognised(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        let course =
            courses::create(&mut tx, OwnerId::LOCAL, &Brief::new("Tides"), db.now()).await?;

        let second = sql!(tx, execute,
            "insert into courses (id, owner_id, version, status, brief, seed, created_at, updated_at)
            select id, owner_id, version, status, brief, seed, created_at, updated_at from courses
            where id = $1", course.id);

        assert!(second.is_err_and(|error| error.is_unique_violation()));
        Ok(())
    }
}

#[tokio::test]
async fn sqlite_without_a_file_is_refused() {
    for url in [
        "sqlite::memory:",
        "sqlite://:memory:",
        "mysql://localhost/lyo",
    ] {
        let refused = Db::connect(url, &DbOptions::default()).await;

        assert!(matches!(refused, Err(Error::Database(_))), "{url}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let url = "postgres://nobody@127.0.0.1:1/nothing";

    let refused = Db::connect(url, &DbOptions::default()).await;

    assert!(refused.is_err_and(|error| error.is_unavailable()));
}

#[tokio::test]
async fn readers_of_sqlite_cannot_write() -> TestResult {
    let test = TestDb::sqlite().await?;
    let mut conn = test.db.conn().await?;

    let refused = sql!(conn, execute, "delete from courses");

    assert!(refused.is_err());
    Ok(())
}

#[tokio::test]
async fn a_server_that_went_away_is_told_from_a_busy_one() -> TestResult {
    let test = TestDb::postgres().await?;
    // A door of its own to the server, since the server is everybody's.
    let (before, after) = test.url.split_once('@').ok_or("no host")?;
    let (host, name) = after.split_once('/').ok_or("no database")?;
    let door = tempfile::tempdir()?;
    let socket = door.path().join(".s.PGSQL.5432");
    let real = PathBuf::from(host.replace("%2F", "/")).join(".s.PGSQL.5432");
    std::os::unix::fs::symlink(&real, &socket)?;
    let host = door.path().display().to_string().replace('/', "%2F");
    let options = DbOptions { connections_max: 1 };
    let db = Db::connect(&format!("{before}@{host}/{name}"), &options).await?;

    let busy = db.begin().await?;
    assert!(!db.is_refused().await);
    std::fs::remove_file(&socket)?;
    assert!(db.is_refused().await);

    drop(busy);
    db.close().await;
    test.close().await
}

#[tokio::test]
async fn a_file_is_never_away() -> TestResult {
    let test = TestDb::sqlite().await?;

    assert!(!test.db.is_refused().await);
    test.close().await
}
