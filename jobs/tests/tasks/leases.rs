//! Starting, heartbeats, silence and retries, on both databases.

use std::collections::BTreeSet;

use jobs::{
    Ending, Lease, State, TaskId,
    kinds::Noop,
    store::{self, New, Options},
};
use models::{Db, OwnerId, on_both, testing::TestResult};
use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{
    WORKER, assert_gap_free, commit, enqueue, failure, get, options, running, seconds, silence,
    start,
};

on_both! {
    async fn eight_claimers_start_two_hundred_tasks_once_each(db: &Db) -> TestResult {
        static NOOP: jobs::Definition = jobs::Definition::of::<Noop>();
        let new = (0..200).map(|n| New {
            definition: &NOOP,
            payload: json!({"n": n}),
            options: options(),
        });
        let tasks = commit!(db, tx => store::enqueue_many(&mut tx, new.collect(), db.now()));
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
        let mut claimers = JoinSet::new();
        for seed in 0..8 {
            let (db, mut ids) = (db.clone(), ids.clone());
            ids.shuffle(&mut StdRng::seed_from_u64(seed));
            claimers.spawn(async move {
                let mut started = Vec::new();
                for some in ids.chunks(7) {
                    let worker = format!("worker-{seed}");
                    started.extend(store::start(&db, some, &worker, db.now()).await?);
                }
                models::Result::<_>::Ok(started)
            });
        }

        let mut started = Vec::new();
        for claimer in claimers.join_all().await {
            started.extend(claimer?);
        }

        assert_eq!(started.len(), 200);
        let distinct: BTreeSet<_> = started.iter().map(|task| task.id).collect();
        assert_eq!(distinct.len(), 200);
        for task in started.iter().step_by(20) {
            let mut conn = db.conn().await?;
            let attempts = store::attempts(&mut conn, OwnerId::LOCAL, task.id).await?;
            assert_eq!(attempts.len(), 1);
            assert_eq!(Some(&attempts[0].worker), task.worker.as_ref());
        }
        Ok(())
    }

    async fn only_due_tasks_start(db: &Db) -> TestResult {
        let now = db.now();
        let later = Some(now + seconds(60));
        let scheduled = enqueue(db, Options { run_at: later, ..options() }).await?;
        let expiring = enqueue(db, Options { expires_at: later, ..options() }).await?;
        let ids = [scheduled.id, expiring.id, TaskId::new()];

        let at_once = store::start(db, &ids, WORKER, db.now()).await?;
        let too_late = enqueue(db, Options { expires_at: later, ..options() }).await?;
        let ids = [scheduled.id, too_late.id];
        let after = store::start(db, &ids, WORKER, now + seconds(60)).await?;

        assert_eq!(at_once.iter().map(|task| task.id).collect::<Vec<_>>(), [expiring.id]);
        assert_eq!(after.iter().map(|task| task.id).collect::<Vec<_>>(), [scheduled.id]);
        assert!(store::start(db, &[], WORKER, now).await?.is_empty());
        Ok(())
    }

    async fn a_heartbeat_renews_what_the_worker_holds_and_nothing_else(db: &Db) -> TestResult {
        let mine = running(db).await?;
        let asked = running(db).await?;
        let other = enqueue(db, options()).await?;
        let other = store::start(db, &[other.id], "worker-2", db.now()).await?.remove(0);
        commit!(db, tx => store::cancel(&mut tx, OwnerId::LOCAL, asked.id, db.now()));
        let later = db.now() + seconds(10);

        let mut held = store::heartbeat(db, WORKER, later).await?;

        held.sort_by_key(|held| held.task_id);
        let found: Vec<_> = held.iter().map(|held| (held.lease(), held.cancel_requested)).collect();
        assert_eq!(found, [(mine.lease(), false), (asked.lease(), true)]);
        let renewed = get(db, mine.id).await?;
        assert_eq!(renewed.lease_until, Some(later + Lease::DURATION));
        assert_eq!(renewed.version, mine.version, "a heartbeat is nothing to see");
        assert_eq!(get(db, other.id).await?, other);
        Ok(())
    }

    async fn whoever_begins_alone_takes_over_what_runs(db: &Db) -> TestResult {
        let left = running(db).await?;
        let asked = running(db).await?;
        let waits = enqueue(db, options()).await?;
        commit!(db, tx => store::cancel(&mut tx, OwnerId::LOCAL, asked.id, db.now()));

        let taken = store::take_over(db, db.now()).await?;
        let again = store::take_over(db, db.now()).await?;

        assert_eq!((taken, again), (2, 0));
        let next = start(db, left.id, db.now()).await?;
        assert_eq!(next.attempt, 2);
        assert_eq!(get(db, asked.id).await?.state, State::Cancelled);
        assert_eq!(get(db, waits.id).await?, waits);
        Ok(())
    }

    async fn an_attempt_that_got_on_before_its_worker_died_is_spared(db: &Db) -> TestResult {
        let task = enqueue(db, options()).await?;
        let output = json!({});
        for (attempt, used) in [(1, 0), (2, 0), (3, 1), (4, 2)] {
            let running = start(db, task.id, db.now()).await?;
            // New steps in two attempts, then the same step as before, then none.
            if let Some(key) = ["outline", "text", "text"].get(attempt - 1) {
                commit!(db, tx => store::checkpoint::put(
                    &mut tx, running.lease(), key, "1", &output, db.now()));
            }
            store::take_over(db, db.now()).await?;
            let lost = get(db, task.id).await?;
            assert_eq!((lost.attempt, lost.attempts_used()), (i64::try_from(attempt)?, used));
        }
        Ok(())
    }

    async fn a_silent_worker_loses_its_tasks_and_one_that_speaks_does_not(db: &Db) -> TestResult {
        let silent = running(db).await?;
        let speaks = enqueue(db, options()).await?;
        store::start(db, &[speaks.id], "worker-2", db.now()).await?;
        let later = db.now() + silence();
        store::heartbeat(db, "worker-2", later).await?;

        let reaped = store::reap(db, later, 100).await?;
        let again = store::reap(db, later, 100).await?;

        assert_eq!(reaped.requeued.len(), 1);
        assert_eq!(reaped.changes().count(), 1);
        assert_eq!(again.changes().count(), 0);
        let task = get(db, silent.id).await?;
        assert_eq!((task.state, task.attempt, task.attempts_used()), (State::Queued, 1, 1));
        assert_eq!(task.error.map(|error| error.code).as_deref(), Some("worker_lost"));
        assert_eq!(task.run_at, later, "at once: it was not the task's fault");
        assert_eq!(get(db, speaks.id).await?.state, State::Running);
        Ok(())
    }

    async fn a_task_that_kills_its_workers_fails_after_its_attempts(db: &Db) -> TestResult {
        let task = enqueue(db, Options { attempts_max: Some(3), ..options() }).await?;
        let mut now = db.now();
        let mut starts = 0;
        while let Some(started) = store::start(db, &[task.id], WORKER, now).await?.pop() {
            starts += 1;
            assert_eq!(started.attempt, starts);
            now += silence();
            store::reap(db, now, 100).await?;
            now += seconds(10);
        }

        let task = get(db, task.id).await?;
        assert_eq!((task.state, starts), (State::Failed, 3));
        let mut conn = db.conn().await?;
        let attempts = store::attempts(&mut conn, OwnerId::LOCAL, task.id).await?;
        assert!(attempts.iter().all(|attempt| attempt.outcome == Some(Ending::Lost)));
        assert!(task.error.is_some_and(|error| !error.retryable));
        Ok(())
    }

    async fn tasks_that_were_lost_together_twice_start_apart(db: &Db) -> TestResult {
        let mut ids = Vec::new();
        for _ in 0..20 {
            ids.push(enqueue(db, options()).await?.id);
        }
        let mut now = db.now();
        let mut starts = BTreeSet::new();
        for loss in 1..=2 {
            assert_eq!(store::start(db, &ids, WORKER, now).await?.len(), ids.len());
            now += silence();
            let reaped = store::reap(db, now, 100).await?;
            starts = reaped.requeued.iter().map(|lost| lost.task.run_at).collect();
            if loss == 1 {
                assert_eq!(starts, BTreeSet::from([now]), "at once the first time");
            }
        }

        assert!(starts.len() > 10, "{starts:?}");
        assert!(starts.iter().all(|start| (now..now + seconds(5)).contains(start)), "{starts:?}");
        let waiting = get(db, ids[0]).await?.waiting(now).map(|waiting| waiting.reason);
        assert_eq!(waiting, Some(jobs::Reason::Backoff));
        Ok(())
    }

    async fn retries_are_counted_and_come_at_their_time(db: &Db) -> TestResult {
        let task = enqueue(db, Options { attempts_max: Some(2), ..options() }).await?;
        let now = db.now();
        let first = start(db, task.id, now).await?;
        let run_at = now + seconds(30);

        let back = commit!(db, tx => store::retry(&mut tx, first.lease(), &failure(), run_at, now));
        assert!(store::start(db, &[task.id], WORKER, now).await?.is_empty());
        let second = start(db, task.id, run_at).await?;
        let end = commit!(db, tx => store::retry(
            &mut tx, second.lease(), &failure(), run_at, now));

        let waiting = back.task.waiting(now).map(|waiting| (waiting.reason, waiting.until));
        assert_eq!(waiting, Some((jobs::Reason::Backoff, Some(run_at))));
        assert_eq!(back.task.waiting(run_at), None, "a row does not change when its time comes");
        assert_eq!(end.task.state, State::Failed);
        assert_eq!(end.task.error, Some(failure()));
        assert_gap_free(db, task.id).await?;
        Ok(())
    }

    async fn snoozes_and_drains_spend_no_attempt(db: &Db) -> TestResult {
        let task = enqueue(db, Options { attempts_max: Some(1), ..options() }).await?;
        let mut now = db.now();
        for _ in 0..3 {
            let started = start(db, task.id, now).await?;
            now += seconds(5);
            commit!(db, tx => store::snooze(&mut tx, started.lease(), now, now));
            let started = start(db, task.id, now).await?;
            commit!(db, tx => store::release(&mut tx, started.lease(), now));
        }

        let task = get(db, task.id).await?;
        assert_eq!((task.state, task.attempt, task.attempts_used()), (State::Queued, 6, 0));
        Ok(())
    }

    async fn many_relays_take_back_each_task_once(db: &Db) -> TestResult {
        for _ in 0..10 {
            running(db).await?;
        }
        let later = db.now() + silence();
        let mut relays = JoinSet::new();
        for _ in 0..4 {
            let db = db.clone();
            relays.spawn(async move { store::reap(&db, later, 100).await });
        }

        let mut requeued = 0;
        for reaped in relays.join_all().await {
            requeued += reaped?.requeued.len();
        }

        assert_eq!(requeued, 10);
        Ok(())
    }
}
