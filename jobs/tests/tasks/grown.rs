//! PostgreSQL keeps the plans of statements. One that was made while there was little must not read
//! everything when there is much.

use jobs::{
    Definition, Queue, Task,
    kinds::Noop,
    store::{self, New, Success, Turn},
};
use models::{
    Db, DbOptions, OwnerId, Result, sql,
    sql::One,
    testing::{TestDb, TestResult},
};
use serde_json::json;

use crate::support::{WORKER, commit, options};

static NOOP: Definition = Definition::of::<Noop>();
/// After so many times PostgreSQL uses a plan again, whatever the arguments are.
const PLANNED: usize = 8;
/// Tasks that there are later.
const MANY: usize = 4_000;
/// Tasks that each statement is about.
const FEW: usize = 5;
/// Rows that one of each statement may read together.
const ROWS_MAX: i64 = 1_000;

async fn enqueue(db: &Db, count: usize) -> Result<Vec<Task>> {
    let new = |_| New {
        definition: &NOOP,
        payload: json!({"n": 1}),
        options: options(),
    };
    let new = (0..count).map(new).collect();
    Ok(commit!(db, tx => store::enqueue_many(&mut tx, new, db.now())))
}

/// Everything that is done to every task.
async fn one_of_each(db: &Db) -> Result<()> {
    let turn = &mut Turn::default();
    let (now, queue) = (db.now(), Queue::Default);
    store::due(db, queue, now, now, turn, FEW).await?;
    let tasks = store::start_next(db, queue, FEW, turn, WORKER, now).await?;
    assert_eq!(tasks.len(), FEW);
    store::heartbeat(db, WORKER, now).await?;
    let mut conn = db.conn().await?;
    let wanted: Vec<_> = tasks.iter().map(|task| (task.owner_id, task.id)).collect();
    let glances = store::glance_many(&mut conn, &wanted).await?;
    assert!(glances.iter().all(Option::is_some));
    let found = store::find_many(&mut conn, &wanted).await?;
    assert!(found.iter().all(Option::is_some));
    let followed: Vec<_> = tasks
        .iter()
        .map(|task| (OwnerId::LOCAL, task.id, 0))
        .collect();
    let events = store::events_many(&mut conn, &followed, 10).await?;
    assert!(events.iter().all(|events| !events.is_empty()));
    store::next_due(&mut conn, now).await?;
    drop(conn);
    let done: Vec<_> = tasks
        .iter()
        .map(|task| (task.lease(), Success::default()))
        .collect();
    let changed = commit!(db, tx => store::succeed_many(&mut tx, &done, now));
    assert!(changed.iter().all(Option::is_some));
    store::reap(db, now, 100).await?;
    Ok(())
}

/// Rows that statements have read so far.
async fn rows_read(db: &Db) -> Result<i64> {
    let mut conn = db.conn().await?;
    sql!(conn, execute, postgres "select pg_stat_force_next_flush()", sqlite "select 1")?;
    let (rows,) = sql!(
        conn, fetch_one One<i64>,
        postgres
        "select cast(sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) as bigint)
        from pg_stat_user_tables",
        sqlite "select cast(0 as bigint)",
    )?;
    Ok(rows)
}

#[tokio::test]
async fn statements_that_were_planned_for_few_tasks_do_not_read_many() -> TestResult {
    let test = TestDb::postgres().await?;
    // One connection, whose plans are used again.
    let db = Db::connect(&test.url, &DbOptions { connections_max: 1 }).await?;
    for _ in 0..PLANNED {
        enqueue(&db, FEW).await?;
        one_of_each(&db).await?;
    }

    enqueue(&db, MANY).await?;
    let before = rows_read(&db).await?;
    one_of_each(&db).await?;
    let rows = rows_read(&db).await? - before;

    assert!((1..ROWS_MAX).contains(&rows), "{rows} rows were read");
    db.close().await;
    test.close().await
}
