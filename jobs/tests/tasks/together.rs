//! Many tasks ended in one transaction: each fenced by its own row, each parent counted.

use jobs::{
    Ending, Lease, State, Task, Usage,
    store::{self, Changed, Success},
};
use models::{Db, Error, OwnerId, Result, on_both, testing::TestResult};
use serde_json::json;

use crate::support::{
    WORKER, assert_gap_free, cancel, commit, family, get, running, silence, start,
};

async fn succeed_many(db: &Db, leases: &[Lease]) -> Result<Vec<Option<Changed>>> {
    let successes: Vec<_> = leases.iter().map(|lease| (*lease, success())).collect();
    Ok(commit!(db, tx => store::succeed_many(&mut tx, &successes, db.now())))
}

fn success() -> Success {
    Success {
        result: Some(json!({"n": 1})),
        warnings: vec!["slow".to_owned()],
        usage: Usage {
            tokens_in: 3,
            tokens_out: 4,
        },
    }
}

on_both! {
    async fn many_tasks_end_at_once_as_they_would_alone(db: &Db) -> TestResult {
        let mut tasks = Vec::new();
        for _ in 0..5 {
            tasks.push(running(db).await?);
        }
        let leases: Vec<_> = tasks.iter().map(Task::lease).collect();

        let changed = succeed_many(db, &leases).await?;

        for (task, changed) in tasks.iter().zip(changed) {
            let ended = get(db, task.id).await?;
            assert_eq!(changed.map(|changed| changed.task), Some(ended.clone()));
            assert_eq!((ended.state, ended.percent), (State::Succeeded, 100.0));
            assert_eq!(ended.result, success().result);
            assert_eq!((ended.warnings, ended.usage), (success().warnings, success().usage));
            let mut conn = db.conn().await?;
            let attempts = store::attempts(&mut conn, OwnerId::LOCAL, task.id).await?;
            assert_eq!(attempts[0].outcome, Some(Ending::Succeeded));
            assert_eq!(attempts[0].ended_at, ended.finished_at);
            drop(conn);
            assert_gap_free(db, task.id).await?;
        }
        Ok(())
    }

    async fn a_lost_lease_among_many_changes_nothing(db: &Db) -> TestResult {
        let (kept, lost, ended) = (running(db).await?, running(db).await?, running(db).await?);
        store::heartbeat(db, WORKER, db.now() - silence() - silence()).await?;
        store::reap(db, db.now(), 100).await?;
        let restarted = start(db, kept.id, db.now()).await?;
        let other = start(db, lost.id, db.now()).await?;
        let leases = [restarted.lease(), lost.lease(), ended.lease()];

        let changed = succeed_many(db, &leases).await?;

        let told: Vec<_> = changed.iter().map(Option::is_some).collect();
        assert_eq!(told, [true, false, false]);
        assert_eq!(get(db, kept.id).await?.state, State::Succeeded);
        assert_eq!(get(db, lost.id).await?, other, "the other worker goes on");
        assert_eq!(get(db, ended.id).await?.state, State::Queued);
        for task in [&kept, &lost, &ended] {
            assert_gap_free(db, task.id).await?;
        }
        Ok(())
    }

    async fn siblings_that_end_at_once_are_counted_and_wake_their_parents(db: &Db) -> TestResult {
        let (first, mut children) = family(db, 3).await?;
        let (second, others) = family(db, 2).await?;
        children.extend(others);
        cancel(db, &children[4]).await?;
        let leases: Vec<_> = children.iter().map(Task::lease).collect();

        let changed = succeed_many(db, &leases).await?;

        // A success is a success although somebody asked for it to stop.
        let woken = changed.iter().flatten().flat_map(|changed| &changed.others);
        let woken: Vec<_> = woken.filter(|task| task.state == State::Queued).collect();
        assert_eq!(woken.len(), 2, "each parent once");
        for (parent, count) in [(first, 3), (second, 2)] {
            let parent = get(db, parent.id).await?;
            assert_eq!((parent.state, parent.children_succeeded), (State::Queued, count));
            assert_gap_free(db, parent.id).await?;
        }
        Ok(())
    }

    async fn one_bad_result_fails_the_statement_and_changes_nothing(db: &Db) -> TestResult {
        let (good, bad) = (running(db).await?, running(db).await?);
        let mut successes = vec![(good.lease(), success()), (bad.lease(), success())];
        successes[1].1.result = Some(json!(1));

        let mut tx = db.begin().await?;
        let refused = store::succeed_many(&mut tx, &successes, db.now()).await;
        drop(tx);

        assert!(matches!(refused, Err(Error::Invalid { .. })));
        assert_eq!(get(db, good.id).await?, good);
        Ok(())
    }
}
