//! Workers, as they report themselves.

use chrono::TimeDelta;
use jobs::{
    Queue,
    store::workers::{self, SILENCE_MAX, Worker},
};
use models::{Db, on_both, testing::TestResult};

use crate::support::{WORKER, commit, running};

fn worker(db: &Db, name: &str) -> Worker {
    let now = db.now();
    Worker {
        name: name.to_owned(),
        version: "1.2.3".to_owned(),
        queues: vec![Queue::Email, Queue::Default],
        concurrency: 4,
        started_at: now,
        seen_at: now,
    }
}

on_both! {
    async fn a_worker_lives_while_it_reports(db: &Db) -> TestResult {
        let mut one = worker(db, "one");
        let silent = one.seen_at + SILENCE_MAX + TimeDelta::seconds(1);
        workers::report(db, &one).await?;
        workers::report(db, &worker(db, "two")).await?;
        let mut conn = db.conn().await?;
        assert_eq!(workers::list(&mut conn, one.seen_at).await?.len(), 2);

        one.seen_at = silent;
        workers::report(db, &one).await?;

        assert_eq!(workers::list(&mut conn, silent).await?, [one.clone()]);
        drop(conn);
        let forgotten = commit!(db, tx => workers::prune(&mut tx, silent));
        assert_eq!(forgotten, 1);
        workers::leave(db, "one").await?;
        assert!(workers::list(&mut db.conn().await?, silent).await?.is_empty());
        Ok(())
    }

    async fn what_workers_have_in_hand_is_told(db: &Db) -> TestResult {
        let task = running(db).await?;

        let hands = workers::running(&mut db.conn().await?).await?;

        assert_eq!(hands.len(), 1);
        assert_eq!((hands[0].worker.as_str(), hands[0].id), (WORKER, task.id));
        assert_eq!(hands[0].kind, "noop");
        Ok(())
    }
}
