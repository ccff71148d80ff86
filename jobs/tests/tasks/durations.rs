//! What is learned from ended tasks, and what is forgotten of them.

use jobs::{
    State,
    kinds::Noop,
    store::{self, durations, queues},
};
use models::{Db, on_both, sql, sql::One, testing::TestResult};
use serde_json::json;

use crate::support::{commit, enqueue, options, running, seconds, start, succeed};

on_both! {
    async fn the_durations_of_a_kind_are_learned_from_what_succeeded(db: &Db) -> TestResult {
        for _ in 0..3 {
            let task = running(db).await?;
            succeed(db, &task).await?;
        }
        let kind = <Noop as jobs::Job>::KIND;

        durations::learn(db, kind, db.now()).await?;
        let known = durations::all(&mut db.conn().await?).await?;
        let noop = known.get(kind).ok_or("it was learned")?;

        assert_eq!((noop.samples, noop.judged), (3, 0));
        assert!(noop.left(0.0, 0.9).is_some_and(|left| left >= 0.0));
        // Somebody just did: nothing changes.
        let task = running(db).await?;
        succeed(db, &task).await?;
        durations::learn(db, kind, db.now()).await?;
        assert_eq!(durations::all(&mut db.conn().await?).await?[kind].samples, 3);
        durations::learn(db, kind, db.now() + seconds(60)).await?;
        assert_eq!(durations::all(&mut db.conn().await?).await?[kind].samples, 4);
        Ok(())
    }

    async fn the_load_counts_what_is_due_scheduled_and_running(db: &Db) -> TestResult {
        let later = Some(db.now() + seconds(60));
        let first = enqueue(db, options()).await?;
        enqueue(db, options()).await?;
        enqueue(db, store::Options { run_at: later, ..options() }).await?;
        let task = enqueue(db, options()).await?;
        start(db, task.id, db.now()).await?;

        let loads = queues::load(&mut db.conn().await?, db.now()).await?;

        let due: i64 = loads.iter().map(|load| load.due).sum();
        let scheduled: i64 = loads.iter().map(|load| load.scheduled).sum();
        let running: i64 = loads.iter().map(|load| load.running).sum();
        assert_eq!((due, scheduled, running), (2, 1, 1));
        assert_eq!(loads.iter().find_map(|load| load.oldest_at), Some(first.run_at));
        Ok(())
    }

    async fn checkpoints_of_tasks_that_succeeded_are_forgotten(db: &Db) -> TestResult {
        let (done, failed) = (running(db).await?, running(db).await?);
        for task in [&done, &failed] {
            commit!(db, tx => store::checkpoint::put(
                &mut tx, task.lease(), "outline", "digest", &json!({}), db.now()));
        }
        succeed(db, &done).await?;
        let failed = crate::support::fail(db, &failed).await?.task;
        assert_eq!(failed.state, State::Failed);

        let early = commit!(db, tx => store::checkpoint::prune(
            &mut tx, db.now() - seconds(60), 10));
        let forgotten = commit!(db, tx => store::checkpoint::prune(
            &mut tx, db.now() + seconds(1), 10));

        assert_eq!((early, forgotten), (0, 1));
        let mut conn = db.conn().await?;
        let (left,) = sql!(conn, fetch_one One<i64>, "select count(*) from task_checkpoints")?;
        assert_eq!(left, 1, "the failed one may be tried again");
        Ok(())
    }
}
